#!/usr/bin/env python3
"""Builds and runs a small program against the library in each way that the README promises, from the files that stand there.

usage: consumers_test.py WAY --source FOLDER --build FOLDER --work FOLDER -- COMPILER [ARGUMENT...]

installed   by pkg-config and by CMake, against what the build folder installs
kinds       the same, against the shared and against the static library of one installation
subproject  as a Meson subproject, from a wrap file
"""
import argparse
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = "49\nbrood: cannot start /nonexistent: execve: No such file or directory\ncannot decode\n"


def without_flags(compiler):
    """The command itself, which may be of two words: ccache and a compiler."""
    return list(itertools.takewhile(lambda word: not word.startswith("-"), compiler))


def for_meson(compiler):
    return {**os.environ, "CXX": shlex.join(without_flags(compiler))}


def for_cmake(compiler):
    *launcher, program = without_flags(compiler)
    return {**os.environ, "CXX": program, "CXXFLAGS": shlex.join(compiler[len(launcher) + 1:]),
            "CMAKE_CXX_COMPILER_LAUNCHER": ";".join(launcher)}


def from_readme(given, name):
    """The file of that name: the fence whose first line ends with it."""
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", (given.source / "README.md").read_text(), re.M | re.S)
    if not found:
        sys.exit(f"the README shows no {name}")
    return found[1]


def run(*argv, **settings):
    result = subprocess.run(argv, capture_output=True, text=True, **settings)
    if result.returncode != 0:
        sys.exit(f"{[str(word) for word in argv]} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def check(program, **environment):
    output = run(program, timeout=60, env={**os.environ, **environment})
    if output != EXPECTED:
        sys.exit(f"{program} printed {output}")


def pkg_config_file(root):
    found = list(root.rglob("brood.pc"))
    if len(found) != 1:
        sys.exit(f"installed {len(found)} files brood.pc")
    return found[0]


def by_pkg_config(compiler, folder, file, *options):
    """`file` may lie below another root than the prefix that it was installed for."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(file.parent)}
    # PREFIX/lib/pkgconfig/brood.pc or PREFIX/lib/TRIPLET/pkgconfig/brood.pc: what is above lib is the prefix.
    prefix = next(parent.parent for parent in file.parents if parent.name in ("lib", "lib64"))
    flags = run("pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs", *options, "brood",
                env=environment).split()
    run(*compiler, HERE / "program.cpp", "-o", folder / "program", *flags)
    check(folder / "program", LD_LIBRARY_PATH=str(file.parents[1]))


def by_cmake(given, compiler, folder, file):
    if shutil.which("cmake") is None:
        return print("no cmake here: not tried")
    (folder / "cmake").mkdir()
    (folder / "cmake" / "CMakeLists.txt").write_text(from_readme(given, "CMakeLists.txt"))
    shutil.copy(HERE / "program.cpp", folder / "cmake")
    environment = {**for_cmake(compiler), "PKG_CONFIG_PATH": str(file.parent)}
    build = folder / "cmake" / "build"
    run("cmake", "-G", "Ninja", "-S", folder / "cmake", "-B", build, env=environment)  # there need be no make
    run("cmake", "--build", build)
    check(build / "consumer", LD_LIBRARY_PATH=str(file.parents[1]))


def installed(given):
    run("meson", "install", "-C", given.build, "--no-rebuild", "--destdir", given.work)
    by_pkg_config(given.compiler, given.work, pkg_config_file(given.work))


def kinds(given):
    prefix, build = given.work / "prefix", given.work / "build"
    off = [f"-D{part}=disabled" for part in ("tests", "examples", "bench", "fuzz")]
    # Not optimized, as it is what is packed that counts; with GCC a chain of coroutines would be no loop then.
    run("meson", "setup", build, given.source, "--prefix", prefix, "-Ddefault_library=both", "-Doptimization=0",
        "-Ddebug=false", *off, env=for_meson(given.compiler))
    run("meson", "install", "-C", build)
    shared = pkg_config_file(prefix)
    libraries = shared.parents[1]
    for name in ("libbrood.so", "libbrood.so.0", "libbrood.so.0.1.0", "libbrood.a"):
        if not (libraries / name).exists():
            sys.exit(f"{name} was not installed")
    by_pkg_config(given.compiler, given.work, shared)
    needed = run("objdump", "-p", given.work / "program")
    if "libbrood.so.0" not in needed:
        sys.exit("the program does not ask for libbrood.so.0")
    by_cmake(given, given.compiler, given.work, shared)
    for library in libraries.glob("libbrood.so*"):
        library.unlink()
    by_pkg_config(given.compiler, given.work, shared, "--static")
    if "libbrood" in run("objdump", "-p", given.work / "program"):
        sys.exit("the program that was linked statically asks for libbrood")


def subproject(given):
    folder = given.work / "consumer"
    (folder / "subprojects").mkdir(parents=True)
    for name in ("meson.build", "subprojects/brood.wrap"):
        (folder / name).write_text(from_readme(given, name))
    shutil.copy(HERE / "program.cpp", folder)
    (folder / "subprojects" / "brood").symlink_to(given.source)  # as if the wrap file had fetched it
    build = folder / "build"
    run("meson", "setup", build, folder, "-Doptimization=0", "-Ddebug=false", env=for_meson(given.compiler))
    targets = [target["name"] for target in json.loads(run("meson", "introspect", build, "--targets"))
               if target["build_by_default"]]
    if sorted(targets) != ["brood", "consumer"]:
        sys.exit(f"as a subproject it builds {targets}")
    run("meson", "compile", "-C", build)
    check(build / "consumer")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["installed", "kinds", "subproject"])
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("compiler", nargs="+")
    given = parser.parse_args()
    shutil.rmtree(given.work, ignore_errors=True)
    given.work.mkdir(parents=True)
    {"installed": installed, "kinds": kinds, "subproject": subproject}[given.way](given)
    shutil.rmtree(given.work)


if __name__ == "__main__":
    main()
