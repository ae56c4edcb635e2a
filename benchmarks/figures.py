"""What a part of the benchmarks reports: tables, targets, plots. Goes into docs/benchmarks.json as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Table(NamedTuple):
    """A table of the page; cells are numbers or text that is ready to be shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


class Target(NamedTuple):
    """One figure that was to be reached. `row`: its line in the list of targets (1 to 15)."""

    row: int
    what: str
    goal: str
    reached: str
    met: bool


class Plot(NamedTuple):
    """A picture of the page, docs/benchmarks/NAME.svg: lines by legend, each a list of points."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    log: str = "xy"
    """The axes that are logarithmic."""


class Figures(NamedTuple):
    """All that a part found out."""

    tables: Sequence[Table]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
