#!/usr/bin/env python3
"""Checks that the totals of the swarm are those of find, wc and SHA-256.

usage: swarm_test.py SWARM [--children N]
"""
import argparse
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

SWARM = None
CHILDREN = 300
C_LOCALE = {**os.environ, "LC_ALL": "C"}


def run_swarm(*folders, children=None, options=()):
    result = subprocess.run([SWARM, "--children", str(children or CHILDREN), *options, *folders], capture_output=True,
                            text=True)
    return result.returncode, table_of(result.stdout), result.stderr


def table_of(output):
    """The rows of the table: name -> number, or text where it is none."""
    rows = {}
    for line in output.splitlines():
        name, value = re.split(r"\s{2,}", line, maxsplit=1)
        number = value.replace(",", "")
        rows[name] = int(number) if number.isdigit() else value
    return rows


def files_below(*folders):
    found = subprocess.run(["find", *folders, "-type", "f", "-print0"], capture_output=True, check=False).stdout
    return [path for path in found.split(b"\0") if path]


def totals_of_wc(paths):
    """Of each file by itself: the last word of one and the first of the next are two."""
    counted = subprocess.run(["wc", "-lwc", "--files0-from=-"], input=b"\0".join(paths), env=C_LOCALE, check=True,
                             capture_output=True).stdout
    lines = [line for line in counted.split(b"\n") if re.match(rb"\s*\d+\s+\d+\s+\d+ ", line)]
    if len(paths) > 1:
        assert lines[-1].endswith(b"total")
    numbers = [int(number) for number in lines[-1].split()[:3]]
    return dict(zip(("lines", "words", "bytes"), numbers))


def combined_hash(paths):
    digests = sorted(hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).digest() for path in paths)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def wc_counts_unprintable_words():
    """From coreutils 9.4 on `wc` takes a byte that is no character for a part of a word."""
    return subprocess.run(["wc", "-w"], input=b"\1", env=C_LOCALE, capture_output=True).stdout.strip() != b"0"


class SwarmTest(unittest.TestCase):
    def assert_counts(self, table, paths):
        expected = totals_of_wc(paths)
        if wc_counts_unprintable_words():
            del expected["words"]
        self.assertEqual(table["files"], len(paths))
        self.assertEqual({name: table[name] for name in expected}, expected)
        self.assertEqual(table["sha256 of sha256s"], combined_hash(paths))

    def make_odd_folder(self, root):
        (root / "nested" / "deeper still").mkdir(parents=True)
        (root / "empty").write_bytes(b"")
        (root / "no newline at the end").write_bytes(b"two words")
        (root / "a\nnewline \t in its name").write_bytes(b"\n\n\n one\n")
        (root / "-n").write_bytes(b" \t\v\f\r leading white space\r\n")
        (root / "\udcff\udcfe not UTF-8").write_bytes("Wörter\u00a0und \u2003 mehr\n".encode())
        (root / "nested" / "binary").write_bytes(bytes(range(256)) * 1000)
        (root / "nested" / "random").write_bytes(os.urandom(700_001))
        (root / "nested" / "deeper still" / "large").write_bytes(b"0123456 89\n" * 3_000_000)
        (root / "nested" / "same").write_bytes(b"two words")
        for i in range(1000):
            (root / "nested" / f"small {i}").write_bytes(b"word " * i)
        (root / "link").symlink_to("/usr/share")
        (root / "dangling").symlink_to("nowhere")
        os.mkfifo(root / "fifo")

    def test_counts_what_find_and_wc_count_in_an_odd_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            self.make_odd_folder(pathlib.Path(folder))
            code, table, errors = run_swarm(folder)
            self.assertEqual(code, 0, errors)
            self.assert_counts(table, files_below(folder))
            self.assertEqual(table["not counted"], 0)
            self.assertEqual(table["peak children alive"], CHILDREN)

    def test_counts_what_find_and_wc_count_in_usr_include(self):
        code, table, errors = run_swarm("/usr/include")
        self.assertEqual(code, 0, errors)
        self.assert_counts(table, files_below("/usr/include"))
        self.assertEqual(table["peak children alive"], CHILDREN)

    def test_does_not_depend_on_the_number_of_children(self):
        folder = str(pathlib.Path(__file__).resolve().parents[1])
        tables = [run_swarm(folder, children=n)[1] for n in (1, 2, 50)]
        for table in tables:
            self.assert_counts(table, files_below(folder))

    def test_more_children_than_files_and_no_file_at_all(self):
        with tempfile.TemporaryDirectory() as folder:
            code, table, errors = run_swarm(folder, children=20)
            self.assertEqual((code, table["files"], table["peak children alive"]), (0, 0, 20), errors)

    @unittest.skipIf(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), "root reads everything")
    def test_reports_what_it_cannot_read(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            root.chmod(0o755)
            (root / "readable").write_bytes(b"text\n")
            (root / "secret").write_bytes(b"nobody knows\n")
            (root / "closed").mkdir()
            (root / "secret").chmod(0)
            (root / "closed").chmod(0)
            argv = [SWARM, "--children", "5", folder]
            if os.geteuid() == 0:
                argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
            result = subprocess.run(argv, capture_output=True, text=True)
            (root / "closed").chmod(0o755)
            if os.geteuid() == 0 and result.returncode in (126, 127):
                self.skipTest("the program lies where only root can reach it")
            table = table_of(result.stdout)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual((table["files"], table["not counted"]), (1, 2))
            self.assertIn("secret: Permission denied", result.stderr)
            self.assertIn("closed: Permission denied", result.stderr)

    def test_every_file_is_counted_once_while_a_tenth_of_the_children_is_killed(self):
        paths = files_below("/usr/include")
        for _ in range(3):
            code, table, errors = run_swarm("/usr/include", options=["--chaos"])
            self.assertEqual(code, 0, errors)
            self.assert_counts(table, paths)
            self.assertEqual(table["peak children alive"], CHILDREN)
            self.assertEqual(table["children that died"], CHILDREN // 10)
            self.assertEqual(table["not counted"], 0)

    def test_chaos_with_less_work_than_children_and_with_none(self):
        with tempfile.TemporaryDirectory() as folder:
            code, table, errors = run_swarm(folder, options=["--chaos"])
            self.assertEqual((code, table["files"], table["children that died"]), (0, 0, 0), errors)
            (pathlib.Path(folder) / "one").write_bytes(b"three words here")
            code, table, errors = run_swarm(folder, options=["--chaos"])
            self.assertEqual((code, table["words"], table["children that died"]), (0, 3, CHILDREN // 10), errors)

    def start(self, *folders, children=100, options=()):
        """With enough to do that it is still at it a moment later."""
        return subprocess.Popen([SWARM, "--children", str(children), *options, *folders], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, start_new_session=True)

    @staticmethod
    def children_of(pid):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def wait_for(self, process, what):
        """Until `what()` gives something; fails if the program ends before."""
        while not (found := what()):
            self.assertIsNone(process.poll(), "it ended too early")
            time.sleep(0.005)
        return found

    @staticmethod
    def all_end(pids):
        """Among them the fork server, which ends when it sees that its parent has ended."""
        deadline = time.monotonic() + 2
        while (left := [pid for pid in pids if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < deadline:
            time.sleep(0.01)
        return not left

    def test_an_interrupt_ends_it_and_all_children(self):
        with self.start("/usr/share") as process:
            self.wait_for(process, lambda: len(self.children_of(process.pid)) > 50)
            children = self.children_of(process.pid)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, errors)
        self.assertEqual(output, "")
        self.assertTrue(self.all_end(children))

    def test_the_files_of_a_killed_child_are_counted_by_another(self):
        for options in [], ["--chaos"]:
            with tempfile.TemporaryDirectory() as folder:
                self.make_busy_folder(pathlib.Path(folder))
                with self.start(folder, options=options) as process:
                    victim = self.wait_for(process, lambda: self.who_reads(process, "large"))
                    os.kill(victim, signal.SIGKILL)
                    output, errors = process.communicate(timeout=300)
                table = table_of(output)
                # Not one of those that --chaos kills; but it may have been about to be.
                self.assertIn(process.returncode, (1,) if not options else (0, 1), errors)
                self.assert_counts(table, files_below(folder))
                self.assertEqual(table["not counted"], 0, errors)
                if process.returncode == 1:
                    self.assertEqual(table["children that died"], 11 if options else 1)
                    self.assertIn(f"(pid {victim}) was killed by SIGKILL", errors)

    def test_a_file_of_which_every_reader_is_killed_is_not_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            self.make_busy_folder(pathlib.Path(folder))
            with self.start(folder, children=3) as process:
                killed = []
                for _ in range(3):
                    killed.append(self.wait_for(process, lambda: self.who_reads(process, "large", killed)))
                    os.kill(killed[-1], signal.SIGKILL)
                output, errors = process.communicate(timeout=300)
        table = table_of(output)
        self.assertEqual((process.returncode, table["children that died"]), (1, 3), errors)
        self.assertIn("large: no child is left", errors)
        self.assertEqual(errors.count("was killed by SIGKILL"), 3)
        self.assertEqual(table["files"] + table["not counted"], 2)

    @staticmethod
    def make_busy_folder(root):
        """A child that reads a large sparse file is busy for long enough."""
        with open(root / "large", "wb") as large:
            large.truncate(1 << 29)
        (root / "small").write_bytes(b"a few words\n")

    def who_reads(self, process, name, killed=()):
        """One that has been killed may keep the file open for a moment."""
        children = (child for child in self.children_of(process.pid) if child not in killed)
        return next((child for child in children if self.reads(child, name)), None)

    @staticmethod
    def reads(pid, name):
        try:
            return any(os.readlink(f"/proc/{pid}/fd/{fd}").endswith(name) for fd in os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("swarm")
    parser.add_argument("--children", type=int, default=CHILDREN)
    given = parser.parse_args()
    SWARM, CHILDREN = given.swarm, given.children
    unittest.main(argv=["swarm_test.py", "-v"])
