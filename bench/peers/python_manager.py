"""Python's multiprocessing.Manager: a dict in a server process."""

import argparse
import json
import multiprocessing
import time

CONTEXT = multiprocessing.get_context("fork")


def one_at_a_time(shared, count: int, sets: bool) -> float:
    """Microseconds of a call."""
    shared["key"] = 7
    begin = time.monotonic()
    for number in range(count):
        if sets:
            shared["key"] = number
        else:
            assert shared["key"] == 7, "the value"
    return (time.monotonic() - begin) / count * 1e6


def client(shared, start, count: int) -> None:
    assert shared["key"] == 7  # connects
    start.wait()
    for _ in range(count):
        assert shared["key"] == 7, "the value"


def many_clients(shared, clients: int, count: int) -> float:
    """Calls a second of all of them together."""
    shared["key"] = 7
    start = CONTEXT.Barrier(clients + 1)
    children = [CONTEXT.Process(target=client, args=(shared, start, count // clients)) for _ in range(clients)]
    for child in children:
        child.start()
    start.wait()
    begin = time.monotonic()
    for child in children:
        child.join()
        assert child.exitcode == 0
    return count // clients * clients / (time.monotonic() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["get", "set", "clients"])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--clients", type=int, default=100)
    args = parser.parse_args()
    with CONTEXT.Manager() as manager:
        shared = manager.dict()
        if args.what == "clients":
            value = many_clients(shared, args.clients, args.count)
        else:
            value = one_at_a_time(shared, args.count, args.what == "set")
    print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
