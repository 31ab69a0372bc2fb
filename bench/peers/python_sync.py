"""Python's locks, semaphores, events, conditions, barriers and arrays between processes."""

import argparse
import json
import multiprocessing
import time

CONTEXT = multiprocessing.get_context("fork")


def uncontended(primitive, count: int) -> float:
    """ns"""
    begin = time.monotonic()
    for _ in range(count):
        primitive.acquire()
        primitive.release()
    return (time.monotonic() - begin) / count * 1e9


def run(children) -> None:
    for child in children:
        child.join()
        assert child.exitcode == 0, f"a child ended with {child.exitcode}"


def contended(processes: int, count: int) -> float:
    """Acquisitions a second."""
    lock, ready, go = CONTEXT.Lock(), CONTEXT.Semaphore(0), CONTEXT.Event()
    counter = CONTEXT.RawValue("l", 0)

    def count_up():
        ready.release()
        go.wait()
        for _ in range(count // processes):
            with lock:
                counter.value += 1

    children = [CONTEXT.Process(target=count_up) for _ in range(processes)]
    for child in children:
        child.start()
    for _ in children:
        ready.acquire()
    begin = time.monotonic()
    go.set()
    run(children)
    elapsed = time.monotonic() - begin
    assert counter.value == count // processes * processes, "an acquisition was not exclusive"
    return counter.value / elapsed


def waiters(processes: int) -> float:
    """us from one of many waiting processes to the next"""
    lock, ready, done = CONTEXT.Lock(), CONTEXT.Semaphore(0), CONTEXT.Event()
    served = CONTEXT.RawValue("i", 0)

    def wait_in_line():
        ready.release()
        with lock:
            served.value += 1
            if served.value == processes:
                done.set()
        done.wait()  # so that nobody's end is measured

    lock.acquire()
    children = [CONTEXT.Process(target=wait_in_line) for _ in range(processes)]
    for child in children:
        child.start()
    for _ in children:
        ready.acquire()
    time.sleep(0.5)  # until the last waits; nothing tells
    begin = time.monotonic()
    lock.release()
    done.wait()
    elapsed = time.monotonic() - begin
    run(children)
    return elapsed / processes * 1e6


def event(count: int) -> float:
    """us there and back"""
    asked, answered = CONTEXT.Event(), CONTEXT.Event()

    def answer():
        for _ in range(count + 1):
            asked.wait()
            asked.clear()
            answered.set()

    child = CONTEXT.Process(target=answer)
    child.start()
    begin = 0.0
    for number in range(count + 1):
        asked.set()
        answered.wait()
        answered.clear()
        if number == 0:
            begin = time.monotonic()
    elapsed = time.monotonic() - begin
    run([child])
    return elapsed / count * 1e6


def condition(count: int) -> float:
    """us for two processes to have had their turn each"""
    changed, turn = CONTEXT.Condition(CONTEXT.Lock()), CONTEXT.RawValue("i", 0)

    def take_turns(mine: int, times: int):
        for _ in range(times):
            with changed:
                changed.wait_for(lambda: turn.value == mine)
                turn.value = 1 - mine
                changed.notify()

    child = CONTEXT.Process(target=take_turns, args=(1, count + 1))
    child.start()
    take_turns(0, 1)
    begin = time.monotonic()
    take_turns(0, count)
    run([child])
    return (time.monotonic() - begin) / count * 1e6


def barrier(processes: int, count: int) -> float:
    """us a pass"""
    wall = CONTEXT.Barrier(processes)

    def walk():
        for _ in range(count + 1):
            wall.wait()

    children = [CONTEXT.Process(target=walk) for _ in range(processes - 1)]
    for child in children:
        child.start()
    wall.wait()
    begin = time.monotonic()
    for _ in range(count):
        wall.wait()
    elapsed = time.monotonic() - begin
    run(children)
    return elapsed / count * 1e6


def array(size: int, count: int) -> float:
    """GB/s at which a child sums what its parent has written"""
    numbers = CONTEXT.RawArray("Q", range(size // 8))

    def sum_up():
        for _ in range(count):
            assert sum(numbers) == len(numbers) * (len(numbers) - 1) // 2, "the sum"

    child = CONTEXT.Process(target=sum_up)
    begin = time.monotonic()
    child.start()
    run([child])
    return size * count / (time.monotonic() - begin) * 1e-9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["lock", "semaphore", "contended", "waiters", "event", "condition", "barrier", "array"])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--size", type=int, default=8 << 20)
    chosen = parser.parse_args()
    value = {
        "lock": lambda: uncontended(CONTEXT.Lock(), chosen.count),
        "semaphore": lambda: uncontended(CONTEXT.Semaphore(1), chosen.count),
        "contended": lambda: contended(chosen.processes, chosen.count),
        "waiters": lambda: waiters(chosen.processes),
        "event": lambda: event(chosen.count),
        "condition": lambda: condition(chosen.count),
        "barrier": lambda: barrier(chosen.processes, chosen.count),
        "array": lambda: array(chosen.size, chosen.count),
    }[chosen.what]()
    print(json.dumps({"value": value}))


if __name__ == "__main__":
    main()
