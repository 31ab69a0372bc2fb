"""Python's multiprocessing.Pool and concurrent.futures.ProcessPoolExecutor; what bench/pool_bench.cpp does."""

import argparse
import concurrent.futures
import json
import multiprocessing
import statistics
import time

CONTEXT = multiprocessing.get_context("fork")


def square(x: int) -> int:
    return x * x


def same(x: int) -> int:
    return x


def map_rate(kind: str, workers: int, count: int, chunk: int) -> float:
    """Tasks a second; `chunk` 0: the default."""
    if kind == "pool":
        pool = CONTEXT.Pool(workers)
        run = lambda items: pool.map(square, items, chunk or None)
    else:
        pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=CONTEXT)
        run = lambda items: list(pool.map(square, items, chunksize=chunk or 1))
    with pool:
        run(list(range(1000)))
        items = list(range(count))
        begin = time.monotonic()
        results = run(items)
        elapsed = time.monotonic() - begin
    assert results == [x * x for x in items], "a result"
    return count / elapsed


def imap_unordered_rate(workers: int, count: int) -> float:
    with CONTEXT.Pool(workers) as pool:
        pool.map(square, range(1000))
        begin = time.monotonic()
        total = sum(pool.imap_unordered(same, range(count)))
        elapsed = time.monotonic() - begin
    assert total == count * (count - 1) // 2, "sum of the results"
    return count / elapsed


def as_completed_rate(workers: int, count: int) -> float:
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=CONTEXT) as pool:
        list(pool.map(square, range(1000)))
        begin = time.monotonic()
        calls = [pool.submit(same, number) for number in range(count)]
        total = sum(call.result() for call in concurrent.futures.as_completed(calls))
        elapsed = time.monotonic() - begin
    assert total == count * (count - 1) // 2, "sum of the results"
    return count / elapsed


def round_trip(kind: str, workers: int, count: int) -> float:
    """Microseconds for one call and its result."""
    if kind == "pool":
        pool = CONTEXT.Pool(workers)
        call = lambda number: pool.apply(square, (number,))
    else:
        pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=CONTEXT)
        call = lambda number: pool.submit(square, number).result()
    with pool:
        list(pool.map(square, range(1000)))
        begin = time.monotonic()
        for number in range(count):
            assert call(number) == number * number, "a result"
        return (time.monotonic() - begin) / count * 1e6


def announce(ready) -> None:
    ready.release()


def opening(kind: str, workers: int, count: int) -> float:
    """Milliseconds until every worker is ready for tasks."""
    times = []
    for _ in range(count):
        ready = CONTEXT.Semaphore(0)
        begin = time.monotonic()
        if kind == "pool":
            pool = CONTEXT.Pool(workers, initializer=announce, initargs=(ready,))
        else:
            pool = concurrent.futures.ProcessPoolExecutor(
                workers, mp_context=CONTEXT, initializer=announce, initargs=(ready,))
            calls = [pool.submit(square, number) for number in range(workers)]
        for _ in range(workers):
            ready.acquire()
        times.append((time.monotonic() - begin) * 1e3)
        if kind != "pool":
            assert [call.result() for call in calls] == [x * x for x in range(workers)]
        with pool:
            pass
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["map-chunk1", "map", "imap-unordered", "apply", "open"])
    parser.add_argument("--kind", choices=["pool", "executor"], default="pool")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args()

    if args.what == "map-chunk1":
        value = map_rate(args.kind, args.workers, args.count, 1)
    elif args.what == "map":  # the executor's default chunk is 1: it gets that of the pool
        chunk = 0 if args.kind == "pool" else -(-args.count // (4 * args.workers))
        value = map_rate(args.kind, args.workers, args.count, chunk)
    elif args.what == "imap-unordered" and args.kind == "pool":
        value = imap_unordered_rate(args.workers, args.count)
    elif args.what == "imap-unordered":
        value = as_completed_rate(args.workers, args.count)
    elif args.what == "apply":
        value = round_trip(args.kind, args.workers, args.count)
    else:
        value = opening(args.kind, args.workers, args.count)
    print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
