#!/usr/bin/env python3
"""What a public header declares and the library defines is marked BROOD_API: the shared library hides the rest.

usage: exports_test.py LIBRARY.a INCLUDE
"""
import collections
import pathlib
import re
import subprocess
import sys

library, include = sys.argv[1], pathlib.Path(sys.argv[2])

# A type or a function of namespace scope without the mark. What templates and inline functions need is their own affair.
TYPE = re.compile(r"^(?:class|struct)\s+(?!BROOD_API)(\w+)[^;]*$", re.MULTILINE)
FUNCTION = re.compile(r"^(?!BROOD_API|inline|constexpr|template|static|using|friend|extern|return|//|\s)"
                      r"[^;{}()\n]*?\b(\w+)\([^{}]*?\)[^{}();]*;", re.MULTILINE)

unmarked = collections.defaultdict(set)
for header in sorted(include.rglob("*.hpp")):
    text = header.read_text(encoding="utf-8")
    for name in TYPE.findall(text):
        unmarked[name].add(header.relative_to(include))
    for name in FUNCTION.findall(text):
        unmarked[name].add(header.relative_to(include))

missing = set()
symbols = subprocess.run(["readelf", "-sWC", library], capture_output=True, text=True, check=True).stdout
for line in symbols.splitlines():
    words = line.split(None, 7)
    if len(words) < 8 or words[3] != "FUNC" or words[4] != "GLOBAL" or words[5] != "HIDDEN" or words[6] == "UND":
        continue
    name = re.sub(r"\[abi:\w+\]", "", words[7])
    path = re.sub(r"<[^()]*>", "", name).split("(")[0].split("::")
    if path[0] != "brood":
        continue
    # The outermost class of a member, or the function itself.
    owner = next((part for part in path[1:] if part not in ("detail", "sys")), "")
    where = unmarked.get(owner)
    if where:
        missing.add(f"{', '.join(map(str, sorted(where)))}: {name}")
if missing:
    sys.exit("not marked BROOD_API, though a public header declares it:\n" + "\n".join(sorted(missing)))
