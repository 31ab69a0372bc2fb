"""What a redis-server does for one redis-benchmark: SET a second, and the milliseconds of one."""

import argparse
import csv
import io
import json
import subprocess

from own_engine import engine

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, required=True)
parser.add_argument("--pipeline", type=int, required=True)
given = parser.parse_args()

with engine() as socket:
    said = subprocess.run(["redis-benchmark", "-s", str(socket), "-t", "set", "-c", "1", "-n", str(given.count), "-P",
                           str(given.pipeline), "--csv"], capture_output=True, text=True, check=True).stdout
row = next(csv.DictReader(io.StringIO(said)))
print(json.dumps({"value": float(row["rps"]), "p50": float(row["p50_latency_ms"]), "p99": float(row["p99_latency_ms"])}))
