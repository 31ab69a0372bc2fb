#!/usr/bin/env python3
"""Runs a list of commands, so many at a time, by xargs, GNU parallel or our `many`; prints commands a second.

usage: list_runner.py xargs|parallel|MANY --count N --jobs N
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("runner")
parser.add_argument("--count", type=int, required=True)
parser.add_argument("--jobs", type=int, required=True)
given = parser.parse_args()

with tempfile.NamedTemporaryFile("w") as lines:
    lines.write("".join(f"{i}\n" for i in range(given.count)))
    lines.flush()
    how = {
        "xargs": ["xargs", "-a", lines.name, "-n1", f"-P{given.jobs}"],
        "parallel": ["parallel", "--will-cite", f"-j{given.jobs}", "-a", lines.name],
    }.get(given.runner, [given.runner, "-j", str(given.jobs), "-a", lines.name])
    begin = time.monotonic()
    # Each runner tells by its exit code whether all have succeeded.
    result = subprocess.run([*how, "/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds = time.monotonic() - begin
if result.returncode != 0:
    sys.exit(f"{given.runner} ended with {result.returncode}: {result.stderr[-500:]}")
print(json.dumps({"value": given.count / seconds}))
