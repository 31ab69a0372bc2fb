#!/usr/bin/env python3
"""Checks the examples that use a pool, by what they print and write.

usage: pool_test.py submit|map|mandelbrot|compress PROGRAM
"""
import gzip
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import zlib


def output_of(*command):
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, f"exit code {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def check_submit(program):
    lines = output_of(program).splitlines()
    tasks = [re.fullmatch(r"task (\d) in pool-1-worker-[1-4]", line) for line in lines[:-1]]
    assert all(tasks) and sorted(int(task[1]) for task in tasks) == list(range(8)), lines
    assert lines[-1] == "all 8 done", lines


def check_map(program):
    assert output_of(program) == "[1, 4, 9, 16, 25]\n"


def pixels_of(png, width, height):
    """The bytes of an RGB image whose rows are filtered in any of PNG's ways."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        assert zlib.crc32(png[at + 4 : at + 8 + size]) == struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0]
        if kind == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += 12 + size
    data, rows, before = zlib.decompress(data), [], bytearray(width * 3)
    assert len(data) == height * (width * 3 + 1), "size of the image"
    for y in range(height):
        line = data[y * (width * 3 + 1) : (y + 1) * (width * 3 + 1)]
        row = bytearray(line[1:])
        for x in range(len(row)):
            a, b, c = (row[x - 3] if x >= 3 else 0), before[x], (before[x - 3] if x >= 3 else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row[x] = (row[x] + [0, a, b, (a + b) // 2, paeth][line[0]]) % 256
        rows.append(row)
        before = row
    return rows


def steps_of(c, most):
    z, steps = 0j, 0
    while steps < most and z.real * z.real + z.imag * z.imag <= 4:
        z, steps = z * z + c, steps + 1
    return steps


def check_mandelbrot(program):
    width, height = 60, 40
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.png")
        printed = output_of(program, "--width", "60", "--height", "40", "--steps", "50", "--workers", "3", path)
        assert printed == f"{path}: 60 x 40, 40 rows by 3 workers\n", printed
        rows = pixels_of(pathlib.Path(path).read_bytes(), width, height)
    for y in range(0, height, 7):
        for x in range(0, width, 5):
            inside = steps_of(complex(-2.2 + 3.0 * x / width, 1.0 - 2.0 * y / height), 50) == 50
            black = rows[y][x * 3 : x * 3 + 3] == b"\0\0\0"
            assert black or not inside, f"a point of the set at {x}, {y} is not black"
    assert any(any(row) for row in rows), "all black"


def check_compress(program):
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "source"), pathlib.Path(folder, "target")
        (source / "sub").mkdir(parents=True)
        words = random.Random(1)
        written = {"empty": b"", "sub/text": b"the same again and again " * 10_000, "noise": words.randbytes(300_000)}
        for i in range(50):
            written[f"sub/{i}"] = words.randbytes(words.randrange(1000)) * 10
        for name, data in written.items():
            (source / name).write_bytes(data)
        printed = output_of(program, "--workers", "3", source, target)
        total = sum(map(len, written.values()))
        packed = sum(path.stat().st_size for path in target.rglob("*.gz"))
        assert printed == f"{len(written)} files, {total} bytes became {packed}, 0 failed\n", printed
        for name, data in written.items():
            assert gzip.decompress((target / f"{name}.gz").read_bytes()) == data, name


globals()["check_" + sys.argv[1]](sys.argv[2])
