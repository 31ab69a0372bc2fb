#!/usr/bin/env python3
"""Installs the library into an empty folder and builds and runs a small program against it, by pkg-config.

usage: install_test.py BUILD COMPILER [ARGUMENT...]
"""
import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAM = r"""
#include <brood/brood.hpp>
#include <cstdio>

int square(int x) { return x * x; }

brood::task<> app() {
  auto child = co_await brood::spawn<square>(7);
  std::printf("%d\n", co_await child.result());
}

int main(int argc, char** argv) { return brood::run(argc, argv, app); }
"""


def run(*argv, **settings):
    result = subprocess.run(argv, capture_output=True, text=True, **settings)
    if result.returncode != 0:
        sys.exit(f"{argv} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def main():
    build, compiler = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        run("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
        found = list(root.rglob("brood.pc"))
        if len(found) != 1:
            sys.exit(f"installed {len(found)} files brood.pc")
        # The paths in it begin with the prefix that it was installed for; here they lie below another root.
        environment = {**os.environ, "PKG_CONFIG_PATH": str(found[0].parent)}
        prefix = run("pkg-config", "--variable=prefix", "brood", env=environment).strip()
        flags = run("pkg-config", f"--define-variable=prefix={root}{prefix}", "--cflags", "--libs", "brood",
                    env=environment).split()
        (root / "program.cpp").write_text(PROGRAM)
        run(*compiler, root / "program.cpp", "-o", root / "program", *flags)
        output = run(root / "program", timeout=60)
        if output != "49\n":
            sys.exit(f"the program printed {output}")


if __name__ == "__main__":
    main()
