#!/usr/bin/env python3
"""A trace of the swarm is valid JSON and holds every child.

usage: trace_test.py SWARM [--children N]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SWARM, CHILDREN = sys.argv[1], int(sys.argv[sys.argv.index("--children") + 1]) if "--children" in sys.argv else 300

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "trace.json"
    subprocess.run([SWARM, "--children", str(CHILDREN), "/usr/include"], check=True, capture_output=True,
                   env={**os.environ, "BROOD_TRACE": str(path)})
    events = json.loads(path.read_text())

names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
lives = {event["pid"]: event for event in events if event["ph"] == "X" and event["name"] != "function"}
functions = [event for event in events if event["ph"] == "X" and event["name"] == "function"]
# The children that count, the one that divides the work, and the parent, whose life nobody has seen the whole of.
if len(names) != CHILDREN + 2 or len(lives) != CHILDREN + 1 or len(functions) != CHILDREN + 1:
    sys.exit(f"{len(names)} names, {len(lives)} lives and {len(functions)} functions of {CHILDREN} children")
for event in functions:
    life = lives[event["pid"]]
    if not life["ts"] <= event["ts"] + 1e6 or life["args"]["end"] != "exited with 0":
        sys.exit(f"{event} does not lie in {life}")
print(f"{len(events)} events of {len(names)} processes")
