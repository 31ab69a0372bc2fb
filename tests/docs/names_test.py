#!/usr/bin/env python3
"""docs/from-python.md names everything that Python has there.

usage: names_test.py FILE.md
"""
import asyncio.subprocess
import concurrent.futures
import multiprocessing
import multiprocessing.connection
import multiprocessing.managers
import multiprocessing.pool
import multiprocessing.queues
import multiprocessing.shared_memory
import pathlib
import re
import sys

# Python's own inheritance, and what is not meant for users.
INHERITED = {"with_traceback", "add_note", "args"}


def members(class_):
    return {name for name in dir(class_) if not name.startswith("_")} - INHERITED


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    known = {name for row in rows for words in re.findall(r"`([^`]+)`", row) for name in re.findall(r"\w+", words)}
    wanted = set(multiprocessing.__all__) | set(concurrent.futures.__all__)
    wanted |= {"create_subprocess_exec", "create_subprocess_shell", "PIPE", "STDOUT", "DEVNULL", "SharedMemory", "ShareableList"}
    wanted |= {"Listener", "Client", "wait", "BaseManager", "SyncManager", "SharedMemoryManager"}
    for class_ in (multiprocessing.Process, multiprocessing.pool.Pool, multiprocessing.pool.AsyncResult,
                   multiprocessing.queues.Queue, multiprocessing.connection.Connection, concurrent.futures.Future,
                   concurrent.futures.Executor, asyncio.subprocess.Process, multiprocessing.managers.BaseManager):
        wanted |= members(class_)
    wanted -= {"ctx", "readable", "writable", "closed"}  # no part of the documented interface
    missing = sorted(wanted - known)
    if missing:
        sys.exit(f"{sys.argv[1]} does not name {', '.join(missing)}")
    print(f"{len(wanted)} names")


if __name__ == "__main__":
    main()
