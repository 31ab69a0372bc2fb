#!/usr/bin/env python3
"""Checks what `many` runs, retries, kills and logs.

usage: many_test.py MANY
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

MANY = None


def many(*arguments, lines=()):
    return subprocess.run([MANY, *arguments], input="".join(line + "\n" for line in lines), capture_output=True, text=True,
                          timeout=120)


class ManyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.log = self.folder / "log"

    def logged(self):
        return sorted((json.loads(line) for line in self.log.read_text().splitlines()), key=lambda job: job["job"])

    def test_runs_every_line_once(self):
        result = many("-j", "4", "echo", "-n", "<{}>", lines=[str(i) for i in range(500)])
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(sorted(result.stdout), sorted("".join(f"<{i}>" for i in range(500))))

    def test_appends_the_line_where_no_place_is_named(self):
        self.assertEqual(many("-j1", "echo", "a", lines=["b c", "*"]).stdout, "a b c\na *\n")

    def test_lines_are_commands_of_the_shell_without_a_command(self):
        self.assertEqual(many("-j1", lines=["echo $((6 * 7))", "", "exit 0"]).stdout, "42\n")

    def test_reads_a_file_and_zero_bytes(self):
        (self.folder / "list").write_bytes(b"one\ntwo\0three\0last")
        result = many("-j1", "-0", "-a", str(self.folder / "list"), "printf", "[%s]")
        self.assertEqual(result.stdout, "[one\ntwo][three][last]")

    def test_retries_what_fails(self):
        script = 'echo x >> "$1"; test $(wc -l < "$1") -ge 3'
        result = many("--retries", "5", "--log", str(self.log), "sh", "-c", script, "-", lines=[str(self.folder / "tries")])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.logged()[0]["attempts"], 3)
        self.assertGreaterEqual(self.logged()[0]["seconds"], 0.3)

    def test_counts_and_logs_failures(self):
        result = many("-j2", "--log", str(self.log), lines=["exit 3", "true", "kill -9 $$", 'echo "\\"" > /dev/null'])
        self.assertEqual(result.returncode, 2)
        self.assertEqual([job["exitcode"] for job in self.logged()], [3, 0, -9, 0])
        self.assertEqual(self.logged()[0]["command"], ["/bin/sh", "-c", "exit 3"])
        self.assertIn("was killed by SIGKILL", result.stderr)

    def test_a_command_that_is_not_there_is_a_failure(self):
        result = many("--log", str(self.log), "/nonexistent", lines=["a", "b"])
        self.assertEqual(result.returncode, 2)
        self.assertIn("execve: No such file or directory", self.logged()[0]["error"])

    def test_a_deadline_kills_the_whole_tree(self):
        begin = time.monotonic()
        result = many("--deadline", "0.3", "--log", str(self.log), lines=["sleep 1000 & sleep 1000; echo no", "true"])
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual([job["deadline_passed"] for job in self.logged()], [True, False])

    def test_halts(self):
        result = many("-j1", "--halt", "--log", str(self.log), "sh", "-c", "exit {}", lines=["0", "1", "0", "0"])
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(self.logged()), 2)

    def test_groups_output(self):
        lines = [f"for i in 1 2 3 4 5; do echo {name}; sleep 0.01; done" for name in "abcdef"]
        words = many("-j6", "-g", lines=lines).stdout.split()
        self.assertEqual(len(words), 30)
        self.assertTrue(all(len(set(words[i:i + 5])) == 1 for i in range(0, 30, 5)), words)

    def test_runs_so_many_at_a_time(self):
        script = 'echo + >> "$1"; sleep 0.2; echo - >> "$1"'
        many("-j3", "sh", "-c", script, "-", str(self.folder / "steps"), "{}", lines=[str(i) for i in range(9)])
        alive, most = 0, 0
        for step in (self.folder / "steps").read_text().split():
            alive += 1 if step == "+" else -1
            most = max(most, alive)
        self.assertEqual(most, 3)

    def test_begins_before_the_list_has_ended_and_stops_at_an_interrupt(self):
        with subprocess.Popen([MANY, "-j2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdin.write("echo begun; exec sleep 1000\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), "begun\n")
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.send_signal(signal.SIGINT)
            process.stdin.close()
            process.stdout.read()
            self.assertEqual(process.wait(timeout=20), 128 + signal.SIGINT)
        deadline = time.monotonic() + 2  # the fork server sees that its parent has ended
        while (left := [pid for pid in children if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(left, [])


if __name__ == "__main__":
    MANY = sys.argv.pop(1)
    unittest.main(argv=["many_test.py", "-v"])
