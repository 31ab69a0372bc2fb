#!/usr/bin/env python3
"""Runs the tests of a build folder and counts their cases.

usage: run_tests.py BUILD [--filter TEXT] [--suite NAME] [--under COMMAND] [--jobs N]

With a filter or a suite it first builds what those tests need. Prints what failed with its output, and as its last line
`N passed, N failed`. A program's Catch2 test cases count one by one; what is no Catch2 program counts as one. Its exit code
is 0 if nothing failed.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

PASSED, SKIPPED = ("OK", "EXPECTEDFAIL"), ("SKIP",)


def names(build, suite):
    subprocess.run(["ninja", "-C", build, "build.ninja"], stdout=subprocess.DEVNULL, check=True)
    listed = subprocess.run(["meson", "introspect", "--tests", build], capture_output=True, text=True, check=True).stdout
    tests = json.loads(listed)
    return [test["name"] for test in tests if not suite or any(each.split(":")[-1] == suite for each in test["suite"])]


def cases(result):
    """How many of its test cases passed and failed."""
    output = result.get("stdout", "")
    passed = failed = 0
    if match := re.search(r"All tests passed \(.* in (\d+) test cases?\)", output):
        passed = int(match[1])
    elif match := re.search(r"^test cases:\s*(\d+)(.*)$", output, re.MULTILINE):
        count = {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|skipped)", match[2])}
        failed = count.get("failed", 0)
        passed = count.get("passed", 0)
    if result["result"] in SKIPPED:
        return 0, 0
    if result["result"] in PASSED:
        return max(passed, 1) if failed == 0 else passed, failed
    return passed, max(failed, 1)


def run(build, chosen, under, jobs):
    # Meson names it after the wrapper.
    name = f"testlog-{pathlib.Path(under.split()[0]).name}.json" if under else "testlog.json"
    log = pathlib.Path(build, "meson-logs", name)
    log.unlink(missing_ok=True)
    # Meson builds what the named tests need.
    what = chosen or ["--no-rebuild"]
    if under:  # tools are slow
        what = ["--wrap", under, "--timeout-multiplier", "10", *what]
    subprocess.run(["meson", "test", "-C", build, "--num-processes", str(jobs), *what], check=False)
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(errors="replace").splitlines() if line]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--filter", default="", help="a part of the names of the tests to run")
    parser.add_argument("--suite", default="", help="the suite of the tests to run")
    parser.add_argument("--under", default="", help="a command that runs each of them, such as valgrind")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many of them run at once")
    given = parser.parse_args()
    chosen = [name for name in names(given.build, given.suite) if given.filter in name]
    if not chosen:
        sys.exit(f"no test's name contains `{given.filter}`")

    results = run(given.build, chosen if given.filter or given.suite else [], given.under, given.jobs)
    passed = 0
    failed = len(chosen) - len(results)  # those that could not even be run
    for result in results:
        more_passed, more_failed = cases(result)
        passed += more_passed
        failed += more_failed
        if more_failed:
            print(f"\n=== {result['name']}: {result['result']} ===\n{result.get('stdout', '')}{result.get('stderr', '')}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
