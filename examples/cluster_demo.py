#!/usr/bin/env python3
"""Counts files on several hosts of one machine: starts a redis-server of its own and the hosts, each in a network namespace
if this is root, else as plain families. Nothing is left behind.

usage: cluster_demo.py PROGRAM [--hosts N] [--chaos] [FOLDER...]
"""
import argparse
import os
import pathlib
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def run(*words):
    return subprocess.run(words, capture_output=True, text=True)


def must(*words):
    done = run(*words)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")


class Network:
    """A bridge, and a namespace with a cable to it for each host."""

    def __init__(self, folder):
        self.bridge = f"brood{os.getpid() % 100000}"
        self.subnet = f"198.18.{os.getpid() % 250}"
        self.namespaces, self.cables = [], []
        self.usable = os.geteuid() == 0 and run("ip", "link", "add", self.bridge, "type", "bridge").returncode == 0
        if self.usable:
            must("ip", "addr", "add", f"{self.subnet}.1/24", "dev", self.bridge)
            must("ip", "link", "set", self.bridge, "up")
        self.address = f"tcp:{self.subnet}.1:6379" if self.usable else f"unix:{folder}/socket"

    def engine_options(self, folder):
        return ["--bind", f"{self.subnet}.1", "--port", "6379"] if self.usable else ["--port", "0"]

    def add(self):
        """The words before a host's command, and its cable."""
        if not self.usable:
            return [], None
        number = len(self.namespaces)
        name, cable = f"{self.bridge}-{number}", f"v{os.getpid() % 100000}-{number}"
        self.namespaces.append(name)
        must("ip", "netns", "add", name)
        must("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        must("ip", "link", "set", cable, "master", self.bridge, "up")
        must("ip", "-n", name, "addr", "add", f"{self.subnet}.{2 + number}/24", "dev", "eth0")
        must("ip", "-n", name, "link", "set", "eth0", "up")
        must("ip", "-n", name, "link", "set", "lo", "up")
        self.cables.append(cable)
        return ["ip", "netns", "exec", name], cable

    def remove(self):
        """The cables first: a namespace that is removed keeps its end for a while, and so the name of the other."""
        for cable in self.cables:
            run("ip", "link", "del", cable)
        for name in self.namespaces:
            run("ip", "netns", "del", name)
        if self.usable:
            run("ip", "link", "del", self.bridge)


class Demo:
    def __init__(self, given, folder):
        self.given, self.folder = given, folder
        self.network = Network(folder)
        self.key = folder / "key"
        self.key.touch(mode=0o600)
        self.key.write_text(secrets.token_hex(32))
        self.hosts, self.losses = [], 0
        self.engine = None

    def start_engine(self):
        words = ["redis-server", *self.network.engine_options(self.folder), "--unixsocket", f"{self.folder}/socket", "--dir",
                 str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no",
                 "--daemonize", "no"]
        self.engine = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        for line in self.engine.stdout:
            if "ready to accept connections" in line.lower():
                return
        sys.exit("redis-server did not start")

    def start_host(self):
        before, cable = self.network.add()
        process = subprocess.Popen([*before, self.given.program, "--brood-join", self.network.address, "--brood-key",
                                    str(self.key), "--brood-lease", "2000", "--brood-workers", "2"])
        self.hosts.append((process, cable))

    def chaos(self):
        """The link goes first: else the kernel's word of the death would make it easy."""
        what = random.choice(["kill a host", "kill a host", "cut a link for 3 s", "kill the engine"])
        print(f"-- {what}", file=sys.stderr)
        if what == "kill the engine":
            self.engine.kill()
            self.engine.wait()
            self.start_engine()
            return
        process, cable = random.choice(self.hosts)
        if cable:
            run("ip", "link", "set", cable, "down")
        if what == "kill a host":
            process.kill()
            process.wait()
            self.hosts.remove((process, cable))
            self.start_host()
        elif cable:
            time.sleep(3)
            run("ip", "link", "set", cable, "up")

    def count(self):
        self.start_engine()
        for _ in range(self.given.hosts):
            self.start_host()
        application = subprocess.Popen([self.given.program, self.network.address, str(self.key), *self.given.folders])
        while self.given.chaos and application.poll() is None:
            self.chaos()
            try:
                application.wait(1)
            except subprocess.TimeoutExpired:
                pass
        return application.wait()

    def end(self):
        for process, _ in self.hosts:
            process.send_signal(signal.SIGTERM)
        for process, _ in self.hosts:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.engine:
            self.engine.kill()
            self.engine.wait()
        self.network.remove()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--chaos", action="store_true")
    parser.add_argument("folders", nargs="*")
    given = parser.parse_intermixed_args()
    given.program = os.path.abspath(given.program)
    given.folders = given.folders or ["/usr/include", "/usr/share"]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="brood-demo-"))
    demo = Demo(given, folder)
    try:
        code = demo.count()
    finally:
        demo.end()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
