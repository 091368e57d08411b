#!/usr/bin/env python3
"""report.py JSON DOCS: the figures of tests/fleet, a line of JSON each, as a table in DOCS/fleet.md and as a plot,
DOCS/fleet.svg.

The table goes between the two marks of the file; what stands around it is written by hand.
"""
import json
import sys
from pathlib import Path

import pygal
from pygal.style import CleanStyle

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
# In the order of the table.
NAMES = [
    "broker, unreachable",
    "broker, answers 0x88",
    "broker, cuts all at once",
    "broker, quota 500",
    "broker, with a tunnel's backoff",
    "tunnels, unreachable",
    "tunnels, 3,000 a second let in",
]
# What the plot shows, and the quota beside it.
PLOT = ["broker, unreachable", "broker, answers 0x88", "broker, with a tunnel's backoff"]
QUOTA = 3000
GATEWAYS = 100_000
# The seconds of the plot, before and behind the end of the outage: its last two minutes and what follows.
FROM, TO, STEP = -120, 180, 1


def row(run):
    half, most, nearly, last = run["within"]
    return (
        f"| {run['name']} | {run['peak_knocks']:,} | {run['turned_away']:,} | {half:.0f} s | {most:.0f} s "
        f"| {nearly:.0f} s | {last:.0f} s | {run['peak_tries']:,} |"
    )


def table(runs):
    head = "| | at the service, most in a second | turned away by the quota | 50 % back | 95 % | 99 % | all | begun, most in a second |"
    return "\n".join([head, "|---|" + "--:|" * 7, *(row(runs[name]) for name in NAMES)])


def rates(run):
    """Requests a second at the service, over each step of the plot."""
    at = run["returned"]
    seconds = range(FROM, TO, STEP)
    return [(second, sum(run["knocks"][at + second : at + second + STEP]) / STEP) for second in seconds]


def share(run):
    """Who is back, in per cent of the fleet."""
    at, back, points = run["returned"], 0, []
    for second in range(TO):
        back += run["back"][at + second]
        if second % STEP == 0:
            points.append((second, 100 * back / GATEWAYS))
    return points


def plot(runs, path):
    chart = pygal.XY(
        style=CleanStyle(font_family="sans-serif"), width=900, height=520, js=[], show_dots=False, stroke_style={"width": 2},
        title="100,000 gateways whose broker was away for ten minutes", x_title="seconds from its return",
        y_title="CONNECT a second (left), % of the fleet back (right)", legend_at_bottom=True, legend_at_bottom_columns=2,
        truncate_legend=-1, no_prefix=True, disable_xml_declaration=True, xrange=(FROM, TO), range=(0, 10_000),
        secondary_range=(0, 100), x_labels=list(range(FROM, TO + 1, 30)), y_labels=list(range(0, 10_001, 1000)),
    )
    for name in PLOT:
        chart.add(name, rates(runs[name]))
    chart.add("what AWS takes of an account", [(FROM, QUOTA), (TO, QUOTA)])
    chart.add("% back: broker, unreachable", share(runs["broker, unreachable"]), secondary=True)
    path.write_text(chart.render(is_unicode=True) + "\n")


def main():
    lines = Path(sys.argv[1]).read_text().splitlines()
    runs = {run["name"]: run for run in map(json.loads, lines)}
    docs = Path(sys.argv[2])
    page = docs / "fleet.md"
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(before + BEGIN + "\n" + table(runs) + "\n" + END + after)
    plot(runs, docs / "fleet.svg")


if __name__ == "__main__":
    main()
