#!/usr/bin/env python3
"""Draws results.json with gnuplot: docs/charts/*.svg. `./dev bench --charts`.

spawn.svg, programs.svg    starts a second over the parent's heap
alive.svg                  children alive over time
messages.svg               messages a second over their size
GROUP.svg                  everything of that group beside peers and limit, as multiples of ours

What was measured on another machine than most of the file is left out: a chart names one machine.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
OURS, PEERS, LIMIT = "#c1121f", ["#33658a", "#86bbd8", "#6a994e", "#bc6c25", "#7b2cbf", "#588b8b", "#8d99ae"], "#222222"


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def gnuplot(path, height, commands):
    script = [f"set terminal svg size 900,{height} dynamic font 'Helvetica,13' background '#ffffff'",
              f"set output {quoted(str(path))}", "set encoding utf8", "set termoption noenhanced", *commands]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
    print(path)


def data_block(name, rows):
    return [f"${name} << EOD", *("\t".join(str(word) for word in row) for row in rows), "EOD"]


def contestants(result):
    """(role, name, value), ours first."""
    yield "brood", "brood", result["brood"]
    for role in "peers", "limit":
        for name, value in result[role].items():
            yield role, name, value


def draw_lines(path, machine, title, x_title, y_title, x_labels, series, log_y=True):
    """series: (role, name) -> values in the order of x_labels, None where there is none."""
    commands = [f"set title {quoted(title)}", f"set xlabel {quoted(x_title + chr(10) + machine)}",
                f"set ylabel {quoted(y_title)}", "set key outside right top Left reverse spacing 1.2",
                "set grid ytics lc rgb '#dddddd'", "set border 3", "set tics nomirror", "set datafile missing '?'",
                f"set xrange [-0.15:{len(x_labels) - 0.85}]",
                "set xtics (" + ", ".join(f"{quoted(label)} {i}" for i, label in enumerate(x_labels)) + ")"]
    if log_y:
        commands += ["set logscale y", "set format y '%.0s %c'"]
    plots, peer = [], 0
    # A peer with one point is no line; it stands in the chart of its group.
    series = {who: values for who, values in series.items() if who[0] != "peers" or values.count(None) < len(values) - 1}
    for number, ((role, name), values) in enumerate(series.items()):
        commands += data_block(f"d{number}", [(i, "?" if value is None else value) for i, value in enumerate(values)])
        style = f"lc rgb '{OURS}' lw 3 pt 7"
        if role == "limit":
            style = f"lc rgb '{LIMIT}' lw 1.5 dt 2 pt 2"
        elif role == "peers":
            style = f"lc rgb '{PEERS[peer % len(PEERS)]}' lw 1.5 pt {5 + peer % 4}"
            peer += 1
        shown = f"limit: {name}" if role == "limit" else name
        plots.append(f"$d{number} using 1:2 with linespoints {style} ps 0.7 title {quoted(shown)}")
    gnuplot(path, 460, [*commands, "plot " + ", \\\n ".join(plots)])


def over(results, ids, factors=None):
    """The series of several benchmarks side by side, for those that were measured."""
    series = collections.defaultdict(lambda: [None] * len(ids))
    for column, id_ in enumerate(ids):
        for role, name, value in contestants(results[id_]) if id_ in results else ():
            if value is not None:
                series[role, name][column] = value * (factors[column] if factors else 1)
    return series


def draw_alive(path, machine, result):
    """From the first start to ten thousand; what is measured is the end of the line."""
    commands = ["set title '10,000 children alive'", f"set xlabel {quoted('seconds from the first start' + chr(10) + machine)}",
                "set ylabel 'children'", "set key bottom right Left reverse", "set grid lc rgb '#dddddd'", "set border 3",
                "set tics nomirror", "set xrange [0:*]", "set yrange [0:10500]"]
    plots, peer = [], 0
    for number, (role, name, value) in enumerate(contestants(result)):
        commands += data_block(f"d{number}", [(0, 0), (value, 10000)])
        colour, dash = OURS, 1
        if role != "brood":
            colour, dash = (LIMIT, 2) if role == "limit" else (PEERS[peer], 1)
            peer += role == "peers"
        shown = f"{'limit: ' if role == 'limit' else ''}{name}, {figure(value)} s"
        plots.append(f"$d{number} using 1:2 with linespoints lc rgb '{colour}' dt {dash} lw 2 pt 7 ps 0.6 title {quoted(shown)}")
    gnuplot(path, 420, [*commands, "plot " + ", ".join(plots)])


def draw_group(path, machine, name, results):
    """One row for each contestant, on a logarithmic scale of multiples of ours; to the right is better."""
    rows = []  # (label, value or None, colour, point)
    for result in results:
        rows.append((f"{result['id']}, {result['unit']}", None, LIMIT, 0))
        for role, contestant, value in contestants(result):
            if not value or not result["brood"]:
                continue
            ratio = value / result["brood"] if result["better"] == "higher" else result["brood"] / value
            colour = {"brood": OURS, "peers": PEERS[0], "limit": LIMIT}[role]
            shown = f"{'limit: ' if role == 'limit' else ''}{contestant}  {figure(value)}"
            rows.append((shown, ratio, colour, {"brood": 7, "peers": 5, "limit": 9}[role]))
    tics = ", ".join(f"{quoted(label)} {-i}" for i, (label, *_) in enumerate(rows))
    points = [(ratio, -i, point, "0x" + colour[1:]) for i, (_, ratio, colour, point) in enumerate(rows) if ratio is not None]
    heads = [-i + 0.5 for i, row in enumerate(rows) if row[1] is None]
    commands = [f"set title {quoted(name + ': multiples of ours, to the right is better')}",
                f"set xlabel {quoted(machine)}", "set logscale x", "set format x '%g x'", "set border 1", "unset key",
                "set xtics nomirror", f"set ytics ({tics}) scale 0", f"set yrange [{-len(rows) + 0.4}:0.8]",
                "set grid xtics lc rgb '#dddddd'", f"set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '{OURS}' lw 1",
                *(f"set arrow from graph 0, first {y} to graph 1, first {y} nohead lc rgb '#bbbbbb' lw 0.5" for y in heads),
                *data_block("points", points)]
    plot = "plot $points using 1:2:(0.9):3:4 with points ps var pt var lc rgb var"
    gnuplot(path, 90 + 19 * len(rows), [*commands, plot])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results.json")
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parent / "docs" / "charts")
    given = parser.parse_args()
    if not given.results.exists():
        sys.exit(f"there is no {given.results}; ./dev bench makes it")
    measured = [one for one in json.loads(given.results.read_text()) if one.get("brood")]
    if not measured:
        sys.exit(f"{given.results} holds no figure of ours")
    machine = collections.Counter(one.get("machine", "an unnamed machine") for one in measured).most_common(1)[0][0]
    results = {one["id"]: one for one in measured if one.get("machine", "an unnamed machine") == machine}
    given.output.mkdir(parents=True, exist_ok=True)

    heaps = ["empty", "1 GiB"]
    for file, title, ids in (
            ("spawn", "Children that run a function", ["spawn.function.concurrent", "spawn.function.heap_1gib"]),
            ("programs", "Children that run /bin/true", ["spawn.program", "spawn.program.heap_1gib"])):
        if all(id_ in results for id_ in ids):
            draw_lines(given.output / f"{file}.svg", machine, title, "heap of the parent", "started, ended and reaped a second",
                       heaps, over(results, ids))
    if "children.live_10000" in results:
        draw_alive(given.output / "alive.svg", machine, results["children.live_10000"])
    sizes = ["queue.64B.1p1c", "queue.1KiB.1p1c", "queue.1MiB.1p1c"]
    if all(id_ in results for id_ in sizes):
        draw_lines(given.output / "messages.svg", machine, "Queue, one producer and one consumer", "size of a message",
                   "messages a second", ["64 B", "1 KiB", "1 MiB"], over(results, sizes, [1, 1, 1e9 / 2**20]))
    groups = collections.defaultdict(list)
    for id_, result in results.items():
        groups[id_.split(".")[0]].append(result)
    for group, members in groups.items():
        draw_group(given.output / f"group-{group}.svg", machine, group, members)


if __name__ == "__main__":
    main()
