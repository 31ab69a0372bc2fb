#!/usr/bin/env python3
"""Charts are drawn of whatever results there are, and the README shows none that does not exist.

usage: charts_test.py SOURCE
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

SOURCE = pathlib.Path(sys.argv[1])


def result(id_, better, brood, **others):
    return {"id": id_, "unit": "1/s", "better": better, "brood": brood, "peers": others, "limit": {"the limit": 3 * brood},
            "machine": "2 x some \"CPU\""}


RESULTS = [
    result("spawn.function.concurrent", "higher", 9000, Python=900),
    result("spawn.function.heap_1gib", "higher", 9000, Python=30, fork=31),
    result("children.live_10000", "lower", 1.4, uv_spawn=3),
    result("queue.64B.1p1c", "higher", 1e7, pipe=1e6),
    result("queue.1KiB.1p1c", "higher", 5e6, pipe=5e5),
    result("queue.1MiB.1p1c", "higher", 40, pipe=4),
    {**result("pool.map", "higher", 1e6, Pool=1e5), "machine": "another"},
    {**result("pool.apply", "lower", 10), "brood": None},
]

for name in re.findall(r"\((docs/charts/[^)]+\.svg)\)", (SOURCE / "README.md").read_text(encoding="utf-8")):
    if not (SOURCE / name).exists():
        sys.exit(f"the README shows {name}, which does not exist")

if shutil.which("gnuplot") is None:
    print("no gnuplot here: nothing drawn")
    sys.exit(77)
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / "results.json").write_text(json.dumps(RESULTS))
    subprocess.run([sys.executable, SOURCE / "bench" / "charts.py", "--results", folder / "results.json", "--output", folder],
                   check=True)
    drawn = {path.stem: path.read_text() for path in folder.glob("*.svg")}
    if set(drawn) != {"spawn", "alive", "messages", "group-spawn", "group-children", "group-queue"}:
        sys.exit(f"drew {sorted(drawn)}")
    for stem, text in drawn.items():
        xml.etree.ElementTree.fromstring(text)
        for wanted in "brood", "the limit", "some &quot;CPU&quot;" if "&quot;" in text else 'some "CPU"':
            if wanted not in text:
                sys.exit(f"{stem}.svg does not say {wanted}")
