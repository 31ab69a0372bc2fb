#!/usr/bin/env python3
"""The files of a folder, counted by three hosts while hosts are killed, links cut and the engine restarted: the SHA-256 is that
of the files, and nothing is left behind.

usage: cluster_test.py DEMO PROGRAM
"""
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

DEMO, PROGRAM = sys.argv[1:]

with tempfile.TemporaryDirectory() as folder:
    digests = []
    for number in range(3000):
        contents = f"file {number}\n".encode() * (number * 50 + 1)
        path = pathlib.Path(folder) / f"{number % 10}" / str(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents[:200_000])
        digests.append(hashlib.sha256(contents[:200_000]).digest())
    expected = hashlib.sha256(b"".join(sorted(digests))).hexdigest()
    for options in ([], ["--chaos"]):
        ended = subprocess.run([sys.executable, DEMO, PROGRAM, "--hosts", "3", *options, folder], capture_output=True, text=True,
                               timeout=150)
        found = re.search(r"^SHA-256  (\w+)$", ended.stdout, re.M)
        if ended.returncode != 0 or not found or found[1] != expected:
            sys.exit(f"{options}: ended with {ended.returncode}, expected {expected}:\n{ended.stdout}{ended.stderr}")
