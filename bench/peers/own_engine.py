"""A redis-server for one benchmark, on a socket in a temporary folder; it writes its file every second, as ours does."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


@contextlib.contextmanager
def engine():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="brood-bench-"))
    words = ["redis-server", "--port", "0", "--unixsocket", str(folder / "socket"), "--dir", str(folder), "--save", "",
             "--appendonly", "yes", "--appendfsync", "everysec"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        while not (folder / "socket").exists():
            if process.poll() is not None:
                sys.exit("redis-server did not start")
            time.sleep(0.01)
        yield folder / "socket"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def workers(count, *words, **environment):
    """So many of them, until the block ends; what they say is shown only if they end before."""
    running = [subprocess.Popen(words, env={**os.environ, **environment}, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True) for _ in range(count)]
    try:
        yield running
        for process in running:
            if process.poll() is not None:
                sys.exit(f"a worker ended with {process.returncode}: {words}")
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
