#!/usr/bin/env python3
"""report.py JSON DOCS: the figures of a run, as tables in DOCS/benchmarks.md and as a plot, DOCS/benchmarks.svg.

The tables go between the two marks of the file; what stands around them is written by hand.
"""
import json
import statistics
import sys
from pathlib import Path

import pygal
from pygal.style import CleanStyle

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TITLES = {
    "start": "Start",
    "relay": "Round trips and bulk",
    "load": "A Kawasaki LOAD",
    "memory": "Memory",
    "growth": "What grows with tunnels × services × connections of each",
    "idle": "Idle",
}
# What the plot shows: where more is better, and where less is.
PLOT = [
    "down, 1 connection",
    "up, 1 connection",
    "down, 16 connections",
    "up, 16 connections",
    "added to 1 B, p50",
    "added to 512 B, p50",
    "added to 2960 B, p50",
    "CPU down, 1 connection",
    "CPU up, 1 connection",
]


def shown(value):
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def ratio(row, to):
    agent, other = row["values"].get("agent"), row["values"].get(to)
    if not agent or not other:
        return None
    return statistics.median(a / b for a, b in zip(agent, other))


def table(rows):
    ways = [way for way in ("agent", "loop", "reference", "straight", "limit") if any(way in row["values"] for row in rows)]
    against = [way for way in ("loop", "reference", "limit") if way in ways]
    head = ["", "unit", *ways, *(f"agent / {way}" for way in against)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 2 + "--:|" * (len(head) - 2)]
    for row in rows:
        values = [row["values"].get(way) for way in ways]
        medians = [shown(statistics.median(v)) if v else "" for v in values]
        ratios = [shown(ratio(row, way)) for way in against]
        lines.append("| " + " | ".join([row["name"], row["unit"], *medians, *ratios]) + " |")
    return "\n".join(lines)


def plot(rows, machine, path):
    chart = pygal.HorizontalBar(
        style=CleanStyle(font_family="sans-serif"), width=900, height=520, js=[], show_legend=True,
        title="cellgate beside a bare loop of TLS and TCP (1 is the loop)", x_title=machine, range=None, include_x_axis=True,
        print_values=True, value_formatter=lambda value: f"{value:.2f}", truncate_label=-1, truncate_legend=-1, pretty_print=True,
        no_prefix=True, disable_xml_declaration=True,
    )
    known = {row["name"]: row for row in rows}
    names = [name for name in PLOT if name in known]
    chart.x_labels = [f"{name} ({known[name]['unit']})" for name in names]
    more = [ratio(known[name], "loop") if known[name]["unit"] == "MB/s" else None for name in names]
    less = [ratio(known[name], "loop") if known[name]["unit"] != "MB/s" else None for name in names]
    chart.add("more is better", more)
    chart.add("less is better", less)
    path.write_text(chart.render() + "\n")


def main():
    run, docs = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    page = docs / "benchmarks.md"
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    parts = [f"{run['machine']}; medians of {run['rounds']} interleaved rounds, ratios by round."]
    for group, title in TITLES.items():
        rows = [row for row in run["rows"] if row["group"] == group]
        if rows:
            parts.append(f"### {title}\n\n{table(rows)}")
    page.write_text(before + BEGIN + "\n" + "\n\n".join(parts) + "\n" + END + after)
    plot(run["rows"], run["machine"], docs / "benchmarks.svg")


if __name__ == "__main__":
    main()
