#!/usr/bin/env python3
"""Checks that children share what was loaded once: together they add less than a quarter of the table.

usage: preload_test.py PRELOAD [--children N] [--mib N]
"""
import argparse
import os
import re
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("preload")
parser.add_argument("--children", type=int, default=200)
parser.add_argument("--mib", type=int, default=256)
parser.add_argument("--any-memory", action="store_true", help="a sanitizer's own is not what is measured")
given = parser.parse_args()

result = subprocess.run([given.preload, "--children", str(given.children)], capture_output=True, text=True, timeout=300,
                        env={**os.environ, "PRELOAD_MIB": str(given.mib)})
print(result.stdout, end="")
if result.returncode != 0 or ", 0 wrong" not in result.stdout:
    sys.exit(f"exit code {result.returncode}\n{result.stderr}")
pages, tables = map(float, re.search(r"added by all children +(\S+) MiB of pages, (\S+) MiB of page", result.stdout).groups())
# 250 MiB for a thousand; some pages are nobody's share but the whole family's, and are few.
if not given.any_memory and not 0 < pages + tables < 0.25 * given.children + 2:
    sys.exit(f"{given.children} children add {pages} + {tables} MiB")
