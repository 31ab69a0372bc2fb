"""RQ: no-op tasks a second, as bench/cluster_bench.cpp. A worker forks for each task; what it took and did not begin is lost
with it, what it began fails."""

import argparse
import json
import os
import pathlib
import sys
import time

import redis
import rq

from own_engine import engine, workers


def square(x: int) -> int:
    return x * x


def rate(connection, count: int) -> float:
    queue = rq.Queue(connection=connection)
    import python_rq  # by the name that the workers know

    begin = time.monotonic()
    jobs = [queue.enqueue(python_rq.square, x, result_ttl=600) for x in range(count)]
    while len(queue.finished_job_registry) < count:
        assert len(queue.failed_job_registry) == 0, "a task failed"
        time.sleep(0.005)
    elapsed = time.monotonic() - begin
    for x, job in enumerate(jobs):
        job.refresh()
        assert job.result == x * x, "a result"
    return count / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args()
    here = str(pathlib.Path(__file__).parent)
    with engine() as socket:
        words = ["-c", "import rq.cli; rq.cli.main()", "worker", "--url", f"unix://{socket}"]
        with workers(2, sys.executable, *words, PYTHONPATH=here):
            sys.path.insert(0, here)
            os.environ["PYTHONPATH"] = here
            connection = redis.Redis(unix_socket_path=str(socket))
            while len(rq.Worker.all(connection=connection)) < 2:
                time.sleep(0.01)
            print(json.dumps({"value": rate(connection, args.count)}), flush=True)


if __name__ == "__main__":
    main()
