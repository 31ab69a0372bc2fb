#!/usr/bin/env python3
"""Makes the reference, in which a warning is an error; and no class, enumeration or function goes without a comment.

usage: reference_test.py DOXYGEN SOURCE
"""
import pathlib
import re
import subprocess
import sys
import tempfile

DOXYGEN, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
# Members whose names say it all may stay without one.
NEEDS_COMMENT = re.compile(r"(Compound|Member .* of (namespace|file)) .*is not documented")


def reference(folder, **changes):
    settings = (SOURCE / "docs" / "Doxyfile").read_text()
    settings += "".join(f"\n{name} = {value}" for name, value in {"OUTPUT_DIRECTORY": folder, **changes}.items())
    return subprocess.run([DOXYGEN, "-"], input=settings, cwd=SOURCE, capture_output=True, text=True)


with tempfile.TemporaryDirectory() as folder:
    made = reference(folder)
    if made.returncode != 0 or not (pathlib.Path(folder) / "reference" / "index.html").exists():
        sys.exit(f"doxygen ended with {made.returncode}:\n{made.stderr}")
    strict = reference(folder, EXTRACT_ALL="NO", WARN_IF_UNDOCUMENTED="YES", WARN_AS_ERROR="NO")
    missing = [line for line in strict.stderr.splitlines() if NEEDS_COMMENT.search(line)]
    if missing:
        sys.exit("\n".join(missing))
