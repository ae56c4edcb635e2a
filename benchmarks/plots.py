"""Draws plots as SVG, the same bytes for the same figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from pathlib import Path

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "windlass",  # ids that do not change from run to run
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
    }
)
MARKS = "os^Dv*Px"


def draw(plot: dict[str, Any], path: Path) -> None:
    """One `figures.Plot`, as kept in the JSON file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(plot["lines"].items()):
        axes.plot([x for x, _ in points], [y for _, y in points], marker=MARKS[number % len(MARKS)], label=name)
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    if "x" in plot["log"]:
        axes.set_xscale("log")
        axes.set_xticks(sorted({x for points in plot["lines"].values() for x, _ in points}))
        axes.minorticks_off()
    if "y" in plot["log"]:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.set_title(plot["title"], loc="left")
    axes.set_xlabel(plot["x"])
    axes.set_ylabel(plot["y"])
    if len(plot["lines"]) > 1:
        figure.legend(loc="outside right upper")
    figure.savefig(path, metadata={"Date": None, "Creator": None}, transparent=False)
