#!/usr/bin/env python3
"""Checks that a source file does not compile, and why.

usage: compile_fail.py FILE COMPILER [ARGUMENT...]

FILE holds one or more lines `// expect: text`. The test passes if compiling FILE with the compiler and its arguments
fails and each text occurs in what the compiler prints. Lines `// expect-clang: text` and `// expect-gcc: text` count
for that compiler only. A file with the line `// link` is linked too, with the libraries among the arguments. A file with
the line `// expect: nothing` must compile: a check of the other files' set-up.
"""
import re
import subprocess
import sys
import tempfile


def compile_file(path, compiler, link):
    if not link:
        return subprocess.run([*compiler, "-fsyntax-only", path], capture_output=True, text=True)
    library = next(i for i, argument in enumerate(compiler) if argument.endswith((".a", ".so")))
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*compiler[:library], path, *compiler[library:], "-o", f"{folder}/program"],
                              capture_output=True, text=True)


def expectations(source, compiler_is_clang):
    own = "clang" if compiler_is_clang else "gcc"
    pattern = re.compile(r"^\s*//\s*expect(?:-(\w+))?:\s*(.*?)\s*$", re.MULTILINE)
    return [text for kind, text in pattern.findall(source) if kind in ("", own)]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    path, compiler = sys.argv[1], sys.argv[2:]
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    with open(path, encoding="utf-8") as file:
        source = file.read()
    expected = expectations(source, "clang" in version)
    if not expected:
        sys.exit(f"{path}: no line `// expect: text`")

    result = compile_file(path, compiler, re.search(r"^// link$", source, re.MULTILINE))
    output = result.stdout + result.stderr
    if expected == ["nothing"]:
        if result.returncode != 0:
            sys.exit(f"{path}: should compile, but:\n{output}")
        return
    if result.returncode == 0:
        sys.exit(f"{path}: compiles, but should fail with: {'; '.join(expected)}")
    missing = [text for text in expected if text not in output]
    if missing:
        sys.exit(f"{path}: fails, but without: {'; '.join(missing)}\n{output}")


if __name__ == "__main__":
    main()
