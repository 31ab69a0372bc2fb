#!/usr/bin/env python3
"""What others need of the library is marked BROOD_API: the shared library hides the rest. Others are programs, which see the
public headers, and the library for several hosts where there is one.

usage: exports_test.py LIBRARY.a INCLUDE [CLUSTER.a]
"""
import collections
import pathlib
import re
import subprocess
import sys

library, include = sys.argv[1], pathlib.Path(sys.argv[2])

# A type or a function of namespace scope without the mark. What templates and inline functions need is their own affair.
NAMESPACE = re.compile(r"^(?:namespace ([\w:]+) \{|\}  // namespace)", re.MULTILINE)
TYPE = re.compile(r"^(?:class|struct)\s+(?:\[\[.*?\]\]\s+)?(?!BROOD_API|\[)(\w+)[^;]*$", re.MULTILINE)
FUNCTION = re.compile(r"^(?!BROOD_API|inline|constexpr|template|static|using|friend|extern|return|//|\s)"
                      r"[^;{}()\n]*?\b(\w+)\([^{}]*?\)[^{}();]*;", re.MULTILINE)

# Whole names: two storeys may each have a lock.
unmarked = collections.defaultdict(set)
for header in sorted(include.rglob("*.hpp")):
    text = header.read_text(encoding="utf-8")
    opened = []  # the namespaces around, from the outermost on
    for found in sorted((found for kind in (NAMESPACE, TYPE, FUNCTION) for found in kind.finditer(text)), key=re.Match.start):
        if found.re is not NAMESPACE:
            unmarked["::".join([*opened, found[1]])].add(header.relative_to(include))
        elif found[1]:
            opened.append(found[1])
        else:
            opened.pop()



def symbols(archive):
    """(name, type, binding, visibility, section) of each symbol."""
    table = subprocess.run(["readelf", "-sWC", archive], capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        words = line.split(None, 7)
        if len(words) == 8:
            yield re.sub(r"\[abi:\w+\]", "", words[7]), *words[3:7]


missing = set()
for name, kind, binding, visibility, section in symbols(library):
    if (kind, binding, visibility) != ("FUNC", "GLOBAL", "HIDDEN") or section == "UND":
        continue
    path = re.sub(r"<[^()]*>", "", name).split("(")[0].split("::")
    # Itself, or the class that it is a member of.
    owners = ("::".join(path[:length]) for length in range(2, len(path) + 1))
    where = next((unmarked[owner] for owner in owners if owner in unmarked), None)
    if where:
        missing.add(f"{', '.join(map(str, sorted(where)))}: {name}")
if missing:
    sys.exit("not marked BROOD_API, though a public header declares it:\n" + "\n".join(sorted(missing)))

if len(sys.argv) > 3:
    hidden = {name for name, _, _, visibility, section in symbols(library) if visibility == "HIDDEN" and section != "UND"}
    cluster = list(symbols(sys.argv[3]))
    own = {name for name, *_, section in cluster if section != "UND"}
    missing = ({name for name, *_, section in cluster if section == "UND"} - own) & hidden
    if missing:
        sys.exit("not marked BROOD_API, though brood-cluster needs it:\n" + "\n".join(sorted(missing)))
