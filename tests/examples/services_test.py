#!/usr/bin/env python3
"""Checks what `services` starts, restarts, reloads and stops, by what it prints.

usage: services_test.py SERVICES
"""
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

SERVICES = None


class ServicesTest(unittest.TestCase):
    def start(self, text):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "Procfile"
        path.write_text(text)
        self.process = subprocess.Popen([SERVICES, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.lines = []

    def read_until(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        self.fail(f"{pattern} did not come; what came:\n" + "\n".join(self.lines))

    def test_starts_in_order_and_stops_in_reverse_order(self):
        self.start("a: trap 'echo bye; exit' TERM; echo hello; while :; do sleep 0.1; done\n\n# no service\nb: exec sleep 100\n")
        self.read_until(r"^b +\| is ready")
        self.read_until(r"^a +\| hello") if not any("hello" in line for line in self.lines) else None
        self.process.send_signal(signal.SIGINT)
        rest = self.process.stdout.read()
        self.assertEqual(self.process.wait(), 0)
        self.assertLess(rest.index("b          | is stopped"), rest.index("a          | is stopping"))
        self.assertIn("a          | bye", rest)

    def test_restarts_what_dies(self):
        self.start("a: echo born; exec sleep 100\n")
        pid = int(self.read_until(r"is ready, process (\d+)").group(1))
        subprocess.run(["kill", "-9", str(pid)], check=True)
        self.read_until(r"is waiting: .*SIGKILL")
        self.assertNotEqual(int(self.read_until(r"is ready, process (\d+)").group(1)), pid)

    def test_hangup_starts_all_anew(self):
        self.start("a (listen tcp:127.0.0.1:0): exec sleep $((100 * LISTEN_FDS))\nb: exec sleep 100\n")
        old = self.read_until(r"^a +\| is ready, process (\d+)").group(1)
        self.read_until(r"^b +\| is ready")
        self.process.send_signal(signal.SIGHUP)
        self.assertNotEqual(self.read_until(r"^a +\| is ready, process (\d+)").group(1), old)
        self.read_until(r"^b +\| is stopping")
        self.read_until(r"^b +\| is ready")

    def test_gives_up(self):
        self.start("a: exit 3\n")
        self.read_until(r"ended more often than its supervisor restarts it; the last time: .*exited with 3")
        self.assertEqual(self.process.wait(), 1)

    def test_says_what_is_wrong_with_the_file(self):
        self.start("nonsense\n")
        self.read_until(r'services: no "NAME: COMMAND": nonsense')


if __name__ == "__main__":
    SERVICES = sys.argv.pop(1)
    unittest.main()
