#!/usr/bin/env python3
"""Runs the benchmarks of benchmarks.py: us, the peers that are installed, and the physical limit, in one run.

The contestants of a benchmark take turns, round after round, so that whatever else the machine does meanwhile is shared
by all of them; the figure of each is the median of its rounds. Prints a table and writes results.json.
"""

import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import platform
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys

from benchmarks import BENCHMARKS, Benchmark, Contestant

HERE = pathlib.Path(__file__).resolve().parent
# Ten thousand children have to do with this many descriptors.
DESCRIPTORS = 20_000


class Missing(Exception):
    """The contestant is not installed."""


class Failed(Exception):
    """The contestant is not built, ended with an error, printed no figure, or took too long."""


class Runner:
    def __init__(self, build_dir: pathlib.Path, quick: bool):
        self.programs = build_dir / "bench"
        self.size = 0 if quick else 1
        self.outputs = {}  # (round, argv) -> values; a run that measures several ids serves them all

    def argv(self, contestant: Contestant) -> list[str]:
        words = [word.format(n=contestant.n[self.size], build=self.programs)
                 for word in shlex.split(contestant.command)]
        interpreter = {".py": "/usr/bin/python3", ".js": "node", ".rb": "ruby"}.get(pathlib.Path(words[0]).suffix)
        if interpreter is None:
            words[0] = str(self.programs / words[0])
            if not os.access(words[0], os.X_OK):
                raise Failed("not built; `./dev bench` installs and builds what it needs")
            return words
        found = shutil.which(interpreter)
        if found is None:
            raise Missing(f"no {interpreter}")
        return [found, str(HERE / "peers" / words[0]), *words[1:]]

    def value(self, benchmark: Benchmark, contestant: Contestant, round_: int) -> float:
        argv = tuple(self.argv(contestant))
        values = self.outputs.get((round_, argv)) or values_in(run(argv, contestant.timeout))
        if "value" not in values:
            self.outputs[round_, argv] = values
        for key in [contestant.key] if contestant.key else [benchmark.id, "value"]:
            if key in values:
                return float(values[key])
        raise Failed(f"no value for {contestant.key or benchmark.id} in {values}")


def run(argv: tuple[str, ...], timeout: int) -> str:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        process.communicate()
        raise Failed(f"took longer than {timeout} s: {shlex.join(argv)}") from None
    except BaseException:
        kill_group(process.pid)
        raise
    if process.returncode != 0:
        kill_group(process.pid)
        raise Failed(f"exit code {process.returncode}: {shlex.join(argv)}\n{err.strip()[-2000:]}")
    return out


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def values_in(output: str) -> dict[str, float]:
    try:
        if '"benchmarks"' in output:
            nanoseconds = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
            return {one["name"]: one["cpu_time"] * nanoseconds[one["time_unit"]]
                    for one in json.loads(output)["benchmarks"] if "error_message" not in one}
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError, KeyError):
        raise Failed(f"no figure in the output: {output[-500:]!r}") from None


class Entry:
    """One contestant's line in the table."""

    def __init__(self, role: str, name: str, contestant: Contestant):
        self.role, self.name, self.contestant = role, name, contestant
        self.values: list[float] = []
        self.problem = ""
        self.failed = False

    @property
    def median(self):
        return None if self.problem or not self.values else statistics.median(self.values)

    @property
    def spread(self) -> str:
        if len(self.values) < 2 or not self.median:
            return ""
        return f"±{(max(self.values) - min(self.values)) / 2 / abs(self.median) * 100:.0f}%"


def measure(runner: Runner, benchmark: Benchmark, rounds: int) -> list[Entry]:
    entries = [Entry("brood", "brood", benchmark.brood)]
    entries += [Entry("peer", name, contestant) for name, contestant in benchmark.peers.items()]
    entries += [Entry("limit", name, contestant) for name, contestant in benchmark.limit.items()]
    for round_ in range(rounds):
        for entry in entries:
            if entry.problem or round_ >= entry.contestant.rounds:
                continue
            try:
                entry.values.append(runner.value(benchmark, entry.contestant, round_))
            except Missing as missing:
                entry.problem = f"skipped: {missing}"
            except Failed as failure:
                entry.problem, entry.failed = f"FAILED: {failure}", True
    return entries


def figure(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def show(benchmark: Benchmark, entries: list[Entry]) -> None:
    ours = entries[0].median
    print(f"\n{benchmark.id}  ({benchmark.unit}, {benchmark.better} is better)")
    for entry in entries:
        role = entry.role if entry.role != "brood" else ""
        start = f"  {role:<6}{entry.name:<44}"
        if entry.problem:
            print(start + entry.problem.replace("\n", "\n        "))
            continue
        ratio = ""
        if entry.role != "brood" and ours and entry.median:
            ratio = f"{ours / entry.median if benchmark.better == 'higher' else entry.median / ours:.2f} x"
        print(f"{start}{figure(entry.median):>12}  {entry.spread:>6}  {ratio:>10}")
    sys.stdout.flush()


def result(benchmark: Benchmark, entries: list[Entry], machine: str) -> dict:
    def medians(role: str) -> dict[str, float]:
        return {entry.name: entry.median for entry in entries if entry.role == role and entry.median is not None}

    return {"id": benchmark.id, "unit": benchmark.unit, "better": benchmark.better, "brood": entries[0].median,
            "peers": medians("peer"), "limit": medians("limit"), "machine": machine}


def write_results(path: pathlib.Path, measured: dict[str, dict]) -> None:
    """Replaces what was measured now, keeps the rest."""
    kept = {}
    if path.exists():
        kept = {one["id"]: one for one in json.loads(path.read_text())}
    kept.update(measured)
    order = [benchmark.id for benchmark in BENCHMARKS]
    known = [kept[id_] for id_ in order if id_ in kept]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("[\n" + ",\n".join("  " + json.dumps(one) for one in known) + "\n]\n")
    temporary.replace(path)


def first_line(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def compiler_of(build_dir: pathlib.Path) -> str:
    try:
        information = build_dir / "meson-info"
        targets = json.loads((information / "intro-targets.json").read_text())
        options = json.loads((information / "intro-buildoptions.json").read_text())
        compiler = next(group["compiler"] for target in targets for group in target["target_sources"]
                        if group.get("language") == "cpp")
        buildtype = next(option["value"] for option in options if option["name"] == "buildtype")
        return f"{first_line(*compiler, '--version')}, {buildtype}"
    except (OSError, ValueError, KeyError, StopIteration):
        return "unknown"


def machine_name() -> str:
    with open("/proc/cpuinfo") as info:
        models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} x {models[0] if models else platform.machine()}, {memory:.0f} GiB"


def show_machine(build_dir: pathlib.Path, quick: bool, rounds: int) -> None:
    print(f"machine   {machine_name()}")
    print(f"kernel    {platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}")
    print(f"compiler  {compiler_of(build_dir)}")
    peers = [first_line("/usr/bin/python3", "--version"), first_line("node", "--version").replace("v", "node ", 1)]
    print(f"peers     {', '.join(peer for peer in peers if peer) or 'none that are interpreted'}")
    print(f"date      {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, load {os.getloadavg()[0]:.2f}")
    print(f"run       {'quick' if quick else 'full'}: medians of {rounds} rounds; ± is half the range; "
          "\"2.00 x\" means that brood is twice as good")


def limit_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if limit < DESCRIPTORS:
        print(f"note: only {limit} descriptors are allowed here; 10,000 children need up to {DESCRIPTORS}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", nargs="*", help="ids, parts of ids, or patterns such as 'queue.*'")
    parser.add_argument("--build-dir", type=pathlib.Path, required=True, help="where Meson built the benchmarks")
    parser.add_argument("--quick", action="store_true", help="three rounds of small runs")
    parser.add_argument("--rounds", type=int, help="how many rounds (3 with --quick, 5 without)")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results.json", help="where to write the results")
    parser.add_argument("--list", action="store_true", help="print the ids and end")
    args = parser.parse_args()

    chosen = [benchmark for benchmark in BENCHMARKS
              if not args.filter or any(part in benchmark.id or fnmatch.fnmatch(benchmark.id, part)
                                        for part in args.filter)]
    if not chosen:
        parser.error("no benchmark has such an id; --list shows them")
    if args.list:
        print("\n".join(benchmark.id for benchmark in chosen))
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the contestant is ended too
    rounds = args.rounds or (3 if args.quick else 5)
    build_dir = args.build_dir.resolve()
    limit_descriptors()
    show_machine(build_dir, args.quick, rounds)
    runner = Runner(build_dir, args.quick)
    machine = f"{machine_name()}, {platform.system()} {platform.release()}"
    failures = []
    for benchmark in chosen:
        entries = measure(runner, benchmark, rounds)
        show(benchmark, entries)
        write_results(args.output, {benchmark.id: result(benchmark, entries, machine)})
        failures += [f"{benchmark.id}: {entry.name}" for entry in entries if entry.failed]
    print(f"\nwrote {args.output}")
    if failures:
        print("failed: " + "; ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
