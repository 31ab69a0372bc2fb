#!/usr/bin/env python3
"""Compiles and runs the programs in the documentation.

usage: snippets_test.py --compile 'COMPILER ARGUMENT...' FILE.md...

A fence ```cpp run holds a whole program. If the next fence is ```text output, that is what it must print.
A fence ```cpp compiles holds declarations that must compile, ```cpp fragment statements of a coroutine. A comment
<!-- given ... --> before the latter holds what they use, of which the reader need not be told.
No fence is plain ```cpp: what nobody compiles goes stale.
"""
import argparse
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

FENCE = re.compile(r"(?:^<!-- given\n(?P<given>(?:(?!-->).)*?)-->\n)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$",
                   re.MULTILINE | re.DOTALL)
FRAGMENT = """#include <brood/brood.hpp>
#include <fmt/core.h>
using namespace std::chrono_literals;
{given}
brood::task<> fragment() {{
{text}
co_return;
}}
"""


def snippets(path):
    """(line, kind, source, expected output or None) for each fence to be tried."""
    text = path.read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None]):
        kind = fence["kind"].strip()
        if not kind.startswith("cpp"):
            continue
        source = fence["text"]
        if kind == "cpp fragment":
            source = FRAGMENT.format(given=fence["given"] or "", text=source)
        expected = following["text"] if following and following["kind"].strip() == "text output" else None
        yield text.count("\n", 0, fence.start()) + 1, kind, source, expected


def what_is_wrong(kind, source, expected, compiler, folder):
    if kind not in ("cpp run", "cpp compiles", "cpp fragment"):
        return "a fence must be `cpp run`, `cpp compiles` or `cpp fragment`"
    file, program = folder / "snippet.cpp", folder / "snippet"
    file.write_text(source, encoding="utf-8")
    step = ["-o", program] if kind == "cpp run" else ["-fsyntax-only", "-Wno-unused"]
    before, after = compiler  # libraries come after the source
    compiled = subprocess.run([*before, file, *step, *(after if kind == "cpp run" else [])], capture_output=True, text=True)
    if compiled.returncode != 0:
        return "does not compile:\n" + compiled.stderr
    if kind != "cpp run":
        return None
    ran = subprocess.run([program], capture_output=True, text=True, timeout=60)
    if ran.returncode != 0:
        return f"ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}"
    if expected is not None and ran.stdout != expected:
        return f"printed\n{ran.stdout}instead of\n{expected}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compile", type=shlex.split, required=True, help="compiler and its arguments")
    parser.add_argument("--link", type=shlex.split, default=[], help="what comes after the source")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    given = parser.parse_args()
    tried = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in given.files:
            for line, kind, source, expected in snippets(path):
                tried += 1
                wrong = what_is_wrong(kind, source, expected, (given.compile, given.link), pathlib.Path(folder))
                if wrong:
                    failed += 1
                    print(f"{path}:{line}: {wrong}")
    print(f"{tried} programs, {failed} wrong")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
