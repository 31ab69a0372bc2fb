"""Dask: no-op tasks a second, as bench/cluster_bench.cpp. Its scheduler keeps all in memory: if it is lost, so are they."""

import argparse
import json
import time

import distributed


def square(x: int) -> int:
    return x * x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        with distributed.Client(cluster) as client:
            client.gather(client.map(square, range(-100, 0), pure=False))
            begin = time.monotonic()
            results = client.gather(client.map(square, range(args.count), pure=False))
            elapsed = time.monotonic() - begin
    assert results == [x * x for x in range(args.count)], "a result"
    print(json.dumps({"value": args.count / elapsed}), flush=True)


if __name__ == "__main__":
    main()
