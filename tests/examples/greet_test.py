#!/usr/bin/env python3
"""Checks what two processes that greet print.

usage: greet_test.py GREET
"""
import re
import subprocess
import sys

EXPECTED = r"""greeter \((\d+)\) says hello to Alice
greeter: daemon false, alive false, exit code 0
process-1: daemon true, alive true
process-1: alive false, exit code -15
"""

result = subprocess.run([sys.argv[1]], capture_output=True, text=True, timeout=60)
if result.returncode != 0 or result.stderr or not re.fullmatch(EXPECTED, result.stdout):
    sys.exit(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
