#!/usr/bin/env python3
"""Checks what the program of queue, pipe, events and manager prints.

usage: together_test.py TOGETHER
"""
import re
import subprocess
import sys

result = subprocess.run([sys.argv[1]], capture_output=True, text=True, timeout=60)
lines = result.stdout.splitlines()
of_a = [line for line in lines if line.startswith("A ")]
of_b = [line for line in lines if line.startswith("B ")]
rest = [line for line in lines if not line.startswith(("A ", "B "))]

right = (
    result.returncode == 0
    and not result.stderr
    and of_a == [f"A took {i}" for i in range(10)] + [f"A received {i}" for i in range(40, 50)]
    and of_b == [f"B received {i}" for i in range(20, 30)]
    and rest[:2] == ['{"1": 1, "2": 2}', '["2", "2"]']
    and len(rest) == 3
    and re.fullmatch(r"\d+\.\d{3} s", rest[2])
)
if not right:
    sys.exit(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
