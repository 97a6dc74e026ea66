"""Draw a run: `plot_run.py FILE.png < run.json`, by an interpreter that has matplotlib."""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

COLOURS = colormaps["tab10"].colors
BAR_INCHES = 0.2


def main(run: dict[str, Any], file: str) -> None:
    """Draw a row for each measure that has a window: work per second of CPU, and latency."""
    measures = {
        name: measure
        for name, measure in run["measures"].items()
        if all(
            "p50_us" in sample["details"]
            for server in measure["servers"].values()
            for sample in server["rounds"]
        )
    }
    names = list(dict.fromkeys(name for measure in measures.values() for name in measure["servers"]))
    heights = [len(measure["servers"]) * BAR_INCHES + 0.55 for measure in measures.values()]
    figure = Figure(figsize=(13, sum(heights) + 1.1), layout="constrained")
    axes = figure.subplots(len(measures), 2, squeeze=False, height_ratios=heights)
    for row, measure in zip(axes, measures.values(), strict=True):
        colours = [COLOURS[names.index(name) % len(COLOURS)] for name in measure["servers"]]
        draw_throughput(row[0], measure, colours)
        draw_latency(row[1], measure, colours)
    axes[0][0].set_title("done per second of server CPU: median, lowest and highest round", fontsize=10)
    axes[0][1].set_title("latency in ms at the throughput of the run: bar to p50, mark at p99", fontsize=10)
    machine = run["machine"]
    figure.suptitle(
        f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, "
        f"{run['settings']['rounds']} rounds of {run['settings']['seconds']:g} s",
        fontsize=11,
    )
    figure.savefig(file, dpi=110)


def draw_throughput(axes: Any, measure: dict[str, Any], colours: list[Any]) -> None:
    """Draw a bar for each server, with its spread over the rounds."""
    rounds = [
        [each["details"]["count"] / each["details"]["server_cpu_seconds"] for each in server["rounds"]]
        for server in measure["servers"].values()
    ]
    values = [median(each) for each in rounds]
    spread = [
        [value - min(each) for value, each in zip(values, rounds, strict=True)],
        [max(each) - value for value, each in zip(values, rounds, strict=True)],
    ]
    bars = axes.barh(list(measure["servers"]), values, color=colours, xerr=spread, height=0.8)
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=6, fontsize=8)
    axes.set_xlim(0, max(max(each) for each in rounds) * 1.25)
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    axes.set_ylabel(
        measure["title"].replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=9, labelpad=12
    )
    finish(axes)


def draw_latency(axes: Any, measure: dict[str, Any], colours: list[Any]) -> None:
    """Draw a bar to the median latency of each server and a mark at its 99th percentile."""
    names = list(measure["servers"])
    middle, high = (
        [
            median(each["details"][key] for each in server["rounds"]) / 1000
            for server in measure["servers"].values()
        ]
        for key in ("p50_us", "p99_us")
    )
    axes.barh(names, middle, color=colours, height=0.8, alpha=0.55)
    axes.scatter(high, names, color=colours, marker="|", s=120, linewidths=3)
    for name, p50, p99 in zip(names, middle, high, strict=True):
        axes.annotate(
            f"{p50:,.2f} / {p99:,.2f}",
            (p99, name),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda _value, _place: "")
    axes.set_xlim(min(middle) / 3, max(high) * 4)
    finish(axes)


def finish(axes: Any) -> None:
    """Set what both kinds have in common: the first server on top, and little ink."""
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(json.load(sys.stdin), sys.argv[1])
