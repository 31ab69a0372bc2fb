#!/usr/bin/env python3
"""Rounds of chaos over a cluster of four hosts on this machine, each in a network and a pid namespace if this is root, else
as plain families: kills workers, hosts (the link goes down first), a client and the engine, cuts links and heals them, stops
agents for longer than their lease. After each round every task must have had exactly one outcome, no task have run more often
than its tries and the losses of that round allow, none beside itself, and no key of the cluster be left.

usage: chaos.py PROGRAM [--rounds N] [--seed S]
"""
import argparse
import os
import pathlib
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples"))
from cluster_demo import Network, run  # noqa: E402

LEASE = 3.0
COUNT, MILLISECONDS = 600, 25
KILLS_ITSELF = 97  # as in chaos.cpp
RETRIES = 3
DEADLINE = 120


class Failure(Exception):
    pass


class Engine:
    def __init__(self, folder, network):
        self.folder, self.network, self.process = folder, network, None

    def start(self):
        words = ["redis-server", *self.network.engine_options(self.folder), "--unixsocket", f"{self.folder}/socket",
                 "--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "always",
                 "--protected-mode", "no", "--daemonize", "no"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if "ready to accept connections" in line.lower():
                return
        raise Failure("redis-server did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, *words):
        return run("redis-cli", "-s", f"{self.folder}/socket", "--raw", *words).stdout.strip()

    def rejoined(self):
        """How often a session was lost and begun anew: it is written down with the epoch that its process had first."""
        joined = re.compile(rb"\}:s:(\d+)\r\n\$4\r\nkind\r\n.*?\r\norigin\r\n\$\d+\r\n(\d+)\r\n", re.DOTALL)
        written = b"".join(part.read_bytes() for part in self.folder.glob("appendonlydir/*.aof"))
        return len({epoch for epoch, origin in joined.findall(written) if epoch != origin})

    def lasting_keys(self):
        """The answers to the requests of a session that was lost go by themselves."""
        return self.ask("eval", "local r = {} for _, k in ipairs(redis.call('keys', '*')) do "
                        "if redis.call('ttl', k) < 0 then r[#r + 1] = k end end return r", "0")


class Host:
    """A machine: when it is killed, all its processes are gone with it."""

    def __init__(self, round_):
        before, self.cable = round_.network.add()
        if before:
            before = [*before, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.in_namespace = bool(before)
        self.process = subprocess.Popen(
            [*before, round_.program, "--brood-join", round_.network.address, "--brood-key", str(round_.key),
             "--brood-cluster", round_.name, "--brood-lease", str(int(LEASE * 1000)), "--brood-workers", "2"],
            stderr=round_.log)

    @property
    def agent(self):
        if not self.in_namespace:
            return self.process.pid
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            return int(children.read().split()[0])

    def signal(self, number):
        try:
            os.kill(self.agent, number)
        except (ProcessLookupError, IndexError, FileNotFoundError):
            pass

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def link(self, state):
        if self.cable:
            run("ip", "link", "set", self.cable, state)


class Round:
    def __init__(self, program, number, seed, folder):
        self.program, self.folder = program, folder
        self.random = random.Random(f"{seed}.{number}")
        self.name = f"chaos{number}"
        self.network = Network(folder)
        self.engine = Engine(folder, self.network)
        self.key = folder / "key"
        self.key.touch(mode=0o600)
        self.key.write_text(secrets.token_hex(32))
        self.log = open(folder / "log", "w")
        self.hosts, self.clients = [], []
        self.told = []
        self.killed_hosts = self.killed_workers = self.stopped = 0

    def start_client(self, name):
        tasks = self.folder / name
        tasks.mkdir()
        chunk = self.random.choice([1, 8])
        client = subprocess.Popen(
            [self.program, self.network.address, str(self.key), self.name, str(tasks), str(COUNT), str(MILLISECONDS),
             str(int(LEASE * 1000)), str(chunk)], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.clients.append(client)
        return client

    # ---- what happens ----

    def kill_worker(self):
        """One that runs a task: it has locked the task's file."""
        files = {f.stat().st_ino for f in (self.folder / "tasks").iterdir()}
        with open("/proc/locks") as locks:
            holders = [int(words[4]) for words in map(str.split, locks)
                       if words[1] == "FLOCK" and int(words[5].split(":")[2]) in files]
        holders = [pid for pid in holders if pid > 0]
        if holders:
            self.killed_workers += 1
            try:
                os.kill(self.random.choice(holders), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill_host(self):
        host = self.random.choice(self.hosts)
        host.link("down")
        host.kill()
        self.hosts.remove(host)
        self.killed_hosts += 1
        self.hosts.append(Host(self))

    def cut_link(self):
        host = self.random.choice(self.hosts)
        host.link("down")
        time.sleep(self.random.choice([0.3, 0.7, 1.5]) * LEASE)
        host.link("up")

    def kill_engine(self):
        self.engine.kill()
        self.engine.start()

    def kill_client(self):
        client = self.start_client(f"other{len(self.clients)}")
        time.sleep(self.random.uniform(0.05, 0.5))
        client.kill()
        client.communicate()

    def stop_agent(self):
        host = self.random.choice(self.hosts)
        host.signal(signal.SIGSTOP)
        self.stopped += 1
        time.sleep(1.4 * LEASE)
        host.signal(signal.SIGCONT)

    # ---- a round ----

    def go(self):
        self.engine.start()
        self.hosts = [Host(self) for _ in range(4)]
        client = self.start_client("tasks")
        started = self.folder / "tasks" / "0"
        until = time.monotonic() + DEADLINE
        while not started.exists():
            self.check(client.poll() is None and time.monotonic() < until, "the client did not start")
            time.sleep(0.01)
        for act in self.random.choices([self.kill_worker, self.kill_host, self.cut_link, self.kill_engine,
                                        self.kill_client, self.stop_agent], weights=[3, 2, 2, 3, 1, 1], k=3):
            time.sleep(self.random.uniform(0, 0.4))
            self.told.append(act.__name__)
            act()
        try:
            said = client.communicate(timeout=DEADLINE)[0].split()
        except subprocess.TimeoutExpired:
            client.send_signal(signal.SIGABRT)
            raise Failure(f"the client does not end; the engine has\n{self.engine.ask('keys', '*')}") from None
        self.check_outcomes(client, said)
        self.check_runs()
        self.end_hosts()
        self.check_keys()

    def check(self, right, what):
        if not right:
            raise Failure(what)

    def check_outcomes(self, client, said):
        fatal = [id_ for id_ in range(COUNT) if id_ % KILLS_ITSELF == 5]
        right = [COUNT - len(fatal), len(fatal), 0, 0, sum(range(COUNT)) - sum(fatal)]
        self.check(client.returncode == 0 and [int(word) for word in said] == right,
                   f"results, deaths, others, twice, sum: {said}, not {right}; the client ended with {client.returncode}")

    def check_runs(self):
        most, lost = 0, self.killed_hosts + self.engine.rejoined()
        for id_ in range(COUNT):
            runs = (self.folder / "tasks" / str(id_)).read_text().splitlines()
            tries = 1 + RETRIES if id_ % KILLS_ITSELF == 5 else 1 + self.killed_workers
            self.check(1 <= len(runs) <= tries + lost,
                       f"task {id_} ran {len(runs)} times; {tries} tries, and {lost} sessions were lost")
            self.check(self.stopped or "overlaps" not in runs, f"task {id_} ran beside itself")
            most = max(most, len(runs))
        self.told.append(f"{lost} sessions lost, at most {most} runs")

    def end_hosts(self):
        for host in self.hosts:
            host.signal(signal.SIGTERM)
        for host in self.hosts:
            try:
                code = host.process.wait(30)
            except subprocess.TimeoutExpired:
                tree = run("pstree", "-pal", str(host.process.pid)).stdout
                raise Failure(f"a host does not end at SIGTERM:\n{tree}{self.engine.ask('keys', '*')}") from None
            self.check(code == 0, f"a host ended with {code}")
        self.hosts = []

    def check_keys(self):
        """Who was killed is over after a lease; as all others have left, a client that joins finds it out."""
        until = time.monotonic() + DEADLINE
        name = f"last{int(time.monotonic())}"
        while keys := self.engine.lasting_keys():
            self.check(time.monotonic() < until, f"keys are left:\n{keys}")
            (self.folder / name).mkdir(exist_ok=True)
            last = subprocess.run([self.program, self.network.address, str(self.key), self.name, str(self.folder / name),
                                   "0", "0", str(int(LEASE * 1000)), "1"], stdout=subprocess.DEVNULL, stderr=self.log)
            self.check(last.returncode == 0, "a client without tasks failed")
            time.sleep(LEASE / 4)

    def end(self):
        for client in self.clients:
            if client.poll() is None:
                client.kill()
                client.communicate()
        for host in self.hosts:
            host.signal(signal.SIGCONT)
            host.kill()
        if self.engine.process and self.engine.process.poll() is None:
            self.engine.kill()
        self.network.remove()
        self.log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--first", type=int, default=1, help="the number of the first round, to repeat one of a seed")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else secrets.randbelow(10**6)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    failed, overlaps = 0, 0
    for number in range(given.first, given.first + given.rounds):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="brood-chaos-"))
        round_ = Round(os.path.abspath(given.program), number, seed, folder)
        begin = time.monotonic()
        problem = ""
        try:
            round_.go()
        except Failure as failure:
            problem, failed = f"FAILED: {failure}\n{(folder / 'log').read_text()[-2000:]}", failed + 1
        finally:
            round_.end()
            overlaps += sum("overlaps" in f.read_text() for f in folder.glob("tasks/*"))
            shutil.rmtree(folder, ignore_errors=True)
        print(f"round {number} of seed {seed}: {', '.join(round_.told)}, {time.monotonic() - begin:.1f} s {problem}",
              flush=True)
    print(f"{given.rounds - failed} rounds passed, {failed} failed, {overlaps} tasks ran beside themselves")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
