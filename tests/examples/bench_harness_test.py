#!/usr/bin/env python3
"""Checks the figures of `bench_harness` against what the commands must take.

usage: bench_harness_test.py BENCH_HARNESS
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

HARNESS = None


def harness(*arguments):
    return subprocess.run([HARNESS, *arguments], capture_output=True, text=True, timeout=120)


class BenchHarnessTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_measures_and_compares(self):
        exported = self.folder / "figures.json"
        result = harness("-w1", "-r5", "--export-json", str(exported), "sleep 0.05", "sleep 0.2", 'echo "a\\b"')
        self.assertEqual(result.returncode, 0, result.stderr)
        short, long, odd = json.loads(exported.read_text())["results"]
        self.assertEqual((short["command"], odd["command"]), ("sleep 0.05", 'echo "a\\b"'))
        for one, least in (short, 0.05), (long, 0.2):
            self.assertEqual(len(one["times"]), 5)
            self.assertGreaterEqual(one["min"], least)
            self.assertAlmostEqual(one["median"], statistics.median(one["times"]), delta=1e-8)
            self.assertAlmostEqual(one["mean"], statistics.mean(one["times"]), delta=1e-8)
            deviations = [abs(time - one["median"]) for time in one["times"]]
            self.assertAlmostEqual(one["spread"], statistics.median(deviations), delta=1e-8)
            self.assertGreater(one["peak_memory"], 100_000)
        self.assertIn("times as fast as sleep 0.2", result.stdout)

    def test_counts_the_processor_and_pins(self):
        cpu = sorted(os.sched_getaffinity(0))[0]
        exported = self.folder / "figures.json"
        pinned = f'test "$(nproc)" = 1 && i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'
        result = harness("-w0", "-r2", "--cpus", str(cpu), "--export-json", str(exported), f"sh -c '{pinned}'")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(json.loads(exported.read_text())["results"][0]["user"], 0.005)

    def test_prepares_before_each_run(self):
        count = self.folder / "count"
        harness("-w2", "-r3", "-p", f"sh -c 'echo x >> {count}'", "true", "true")
        self.assertEqual(len(count.read_text().split()), 10)

    def test_a_failing_command_ends_it_unless_asked_not_to(self):
        result = harness("-w0", "-r1", "false")
        self.assertEqual(result.returncode, 1)
        self.assertIn("`false` exited with 1", result.stderr)
        self.assertEqual(harness("-w0", "-r1", "-i", "false").returncode, 0)


if __name__ == "__main__":
    HARNESS = sys.argv.pop(1)
    unittest.main(argv=["bench_harness_test.py", "-v"])
