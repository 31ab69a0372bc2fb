"""Celery on Redis: no-op tasks a second, as bench/cluster_bench.cpp. Acknowledged after the run (acks_late): what a worker
that dies had is run again after the visibility timeout, an hour by default."""

import argparse
import json
import os
import sys
import time

import celery

from own_engine import engine, workers

address = os.environ.get("BENCH_ENGINE", "")
app = celery.Celery("python_celery", broker=f"redis+socket://{address}", backend=f"redis+socket://{address}")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)


@app.task(name="square")
def square(x: int) -> int:
    return x * x


def rate(count: int) -> float:
    celery.group(square.s(x) for x in range(100))().get(timeout=50)
    begin = time.monotonic()
    results = celery.group(square.s(x) for x in range(count))().get(timeout=100)
    elapsed = time.monotonic() - begin
    assert results == [x * x for x in range(count)], "a result"
    return count / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "client", "worker"])
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    if args.what == "worker":
        sys.modules["python_celery"] = sys.modules["__main__"]
        app.worker_main(["worker", "--concurrency=2", "--loglevel=ERROR", "--without-gossip", "--without-mingle"])
    elif args.what == "client":
        print(json.dumps({"value": rate(args.count)}), flush=True)
    else:
        with engine() as socket:
            with workers(1, sys.executable, __file__, "worker", BENCH_ENGINE=str(socket)):
                os.environ["BENCH_ENGINE"] = str(socket)
                os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, "client", "--count", str(args.count)])


if __name__ == "__main__":
    main()
