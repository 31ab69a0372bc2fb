"""Python's multiprocessing: children that run an empty function, under each of its start methods."""

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import statistics
import sys
import time


def empty() -> None:
    pass


def idle(running) -> None:
    with running.get_lock():
        running.value += 1
    while True:
        signal.pause()


def join_successful(process) -> None:
    process.join()
    assert process.exitcode == 0, f"a child ended with {process.exitcode}"
    process.close()


def rate(context, count: int, in_flight: int) -> float:
    """Children a second. The oldest is joined first: joining whichever ends first takes Python longer."""
    alive = []
    begin = time.monotonic()
    for _ in range(count):
        if len(alive) == in_flight:
            join_successful(alive.pop(0))
        process = context.Process(target=empty)
        process.start()
        alive.append(process)
    for process in alive:
        join_successful(process)
    return count / (time.monotonic() - begin)


class IdleChildren:
    def __init__(self, context):
        self.context = context
        self.running = context.Value("i", 0)
        self.processes = []

    def start(self, count: int) -> None:
        """Returns when all of them run."""
        for _ in range(count):
            process = self.context.Process(target=idle, args=(self.running,))
            process.start()
            self.processes.append(process)
        while self.running.value < len(self.processes):
            time.sleep(0.001)

    def end_all(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()
            assert process.exitcode == -signal.SIGTERM, f"a child ended with {process.exitcode}"


def seconds_until_all_run(context, count: int) -> float:
    children = IdleChildren(context)
    begin = time.monotonic()
    children.start(count)
    elapsed = time.monotonic() - begin
    children.end_all()
    return elapsed


def memory_in_use_kib() -> int:
    """See memory_in_use_kib in measure.hpp."""
    with open("/proc/meminfo") as lines:
        info = {key: int(value.split()[0]) for key, value in (line.split(":") for line in lines)}
    with open("/proc/zoneinfo") as zones:
        cached_pages = sum(int(line.split()[1]) for line in zones if line.lstrip().startswith("count:"))
    available = info["MemFree"] + info["Active(file)"] + info["Inactive(file)"]
    return info["MemTotal"] - available - cached_pages * os.sysconf("SC_PAGESIZE") // 1024


def settled_memory_in_use_kib() -> int:
    lowest, unchanged = memory_in_use_kib(), 0
    for _ in range(40):
        time.sleep(0.05)
        now = memory_in_use_kib()
        unchanged = 0 if now < lowest - 256 else unchanged + 1
        lowest = min(lowest, now)
        if unchanged == 4:
            break
    return lowest


def memory_per_child(context, count: int) -> float:
    children = IdleChildren(context)
    before = settled_memory_in_use_kib()
    children.start(count)
    after = settled_memory_in_use_kib()
    children.end_all()
    return (after - before) / count


def exit_cost(context, alive: int, exits: int) -> float:
    """CPU seconds of this process for one exit, waited for among all of them by `multiprocessing.connection.wait`."""
    children = IdleChildren(context)
    children.start(alive + exits)
    by_sentinel = {process.sentinel: process for process in children.processes}
    costs = []
    for victim in list(by_sentinel.values())[alive // 2 : alive // 2 + exits]:
        sentinel = victim.sentinel
        victim.terminate()
        begin = time.process_time()
        ended = multiprocessing.connection.wait(by_sentinel)
        victim.join()
        costs.append(time.process_time() - begin)
        assert ended == [sentinel] and victim.exitcode == -signal.SIGTERM, "another child ended"
        del by_sentinel[sentinel]
    children.end_all()
    return statistics.median(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["rate", "live", "memory", "exit-cost-ratio"])
    parser.add_argument("--method", choices=["fork", "forkserver", "spawn"], default="fork")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--heap-mib", type=int, default=0)
    parser.add_argument("--exits", type=int, default=20)
    args = parser.parse_args()

    context = multiprocessing.get_context(args.method)
    heap = bytearray(b"\x01") * (args.heap_mib << 20)
    # The server process and the resource tracker start with the first child; that is not the children's cost.
    warm_up = context.Process(target=empty)
    warm_up.start()
    join_successful(warm_up)

    if args.what == "rate":
        value = rate(context, args.count, args.in_flight)
    elif args.what == "live":
        value = seconds_until_all_run(context, args.count)
    elif args.what == "memory":
        value = memory_per_child(context, args.count)
    else:
        few = exit_cost(context, 100, args.exits)
        many = exit_cost(context, args.count, args.exits)
        print(f"{many * 1e6:.2f} us over {few * 1e6:.2f} us", file=sys.stderr)
        value = many / few
    del heap
    print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
