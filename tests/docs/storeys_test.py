#!/usr/bin/env python3
"""Includes point downwards through the storeys, nothing includes itself by a circle, and system calls stand in lib/system.
The kill fuzz has all sources that pass kill points.

usage: storeys_test.py SOURCE
"""
import pathlib
import re
import sys

SOURCE = pathlib.Path(sys.argv[1])

# Those of one line do not know of each other.
STOREYS = [["system"], ["coroutine"], ["runtime"], ["traces", "arena"], ["channel"], ["sync"], ["process"],
           ["program", "pool", "manager", "service"], ["cluster"]]
HEIGHT = {name: height for height, names in enumerate(STOREYS) for name in names}

# Functions of ours have some of the names: those are calls of the system only where they are qualified.
OURS_TOO = {"access", "bind", "close", "connect", "kill", "listen", "open", "poll", "read", "recv", "send", "shutdown",
            "socket", "stat", "unlink", "write", "accept4", "prctl"}
CALLS = set(re.findall(r"^[\w ]+[ *](\w+)\(", (SOURCE / "lib/system/calls.hpp").read_text(encoding="utf-8"),
                       re.MULTILINE)) - {"futex_wait", "futex_wake", "exit_group"} | {"syscall"}


def storey(path: pathlib.Path) -> str | None:
    parts = path.relative_to(SOURCE).parts
    folder = parts[2 if parts[0] == "include" else 1]
    return None if folder.endswith(".hpp") else folder


def includes(text: str) -> list[pathlib.Path]:
    found = []
    for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE):
        found += [base for base in (SOURCE / "include" / name, SOURCE / "lib" / name) if base.exists()]
    return found


def circle(graph: dict[pathlib.Path, list[pathlib.Path]]) -> list[pathlib.Path]:
    finished: set[pathlib.Path] = set()

    def follow(path: pathlib.Path, way: list[pathlib.Path]) -> list[pathlib.Path]:
        if path in way:
            return [*way[way.index(path):], path]
        if path not in finished:
            for target in graph.get(path, []):
                if found := follow(target, [*way, path]):
                    return found
            finished.add(path)
        return []

    for path in graph:
        if found := follow(path, []):
            return found
    return []


def main() -> None:
    errors = []
    graph = {}
    for path in sorted([*SOURCE.glob("include/**/*.hpp"), *SOURCE.glob("lib/**/*.[ch]pp")]):
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(SOURCE))
        graph[path] = includes(text)
        here = storey(path)
        if here is None:
            continue  # brood.hpp has everything
        if here not in HEIGHT:
            errors.append(f"{name}: {here} is no storey")
            continue
        for target in graph[path]:
            there = storey(target)
            if there is not None and there != here and HEIGHT[there] >= HEIGHT[here]:
                errors.append(f"{name} includes {target.relative_to(SOURCE)}, which is not below it")
        if here == "system":
            continue
        code = re.sub(r"//.*", "", re.sub(r'"[^"\n]*"', '""', text))
        for qualified, call in re.findall(r"(?<![\w.>:~])(::)?(\w+)\(", code):
            if call in CALLS and (qualified or call not in OURS_TOO):
                errors.append(f"{name} calls {call} by itself: lib/system has it, and can refuse it")
    fuzzed = (SOURCE / "tests/meson.build").read_text(encoding="utf-8")
    for path in SOURCE.glob("lib/**/*.cpp"):
        stem = f"{path.parent.name}/{path.stem}"
        if re.search(r"kill_point\(\)|detail/intent\.hpp", path.read_text(encoding="utf-8")) and f"'{stem}'" not in fuzzed:
            errors.append(f"{stem}.cpp passes kill points, and the kill fuzz in tests/meson.build does not have it")
    if way := circle(graph):
        errors.append("a circle: " + " -> ".join(str(path.relative_to(SOURCE)) for path in way))
    if len(graph) < 100:
        errors.append(f"only {len(graph)} files were found")
    print("\n".join(errors) or f"{len(graph)} files, every include points downwards")
    sys.exit(bool(errors))


main()
