"""Where a command's start goes: `python -X importtime` of a local claim, by module."""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.bench import PYTHON
from benchmarks.figures import Figures, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.bench import Bench

SHOWN = 12
"""Modules of the longest import that are listed."""
INTERPRETER, LIBRARY, OURS = "the interpreter itself, with site", "the standard library", "Windlass"


def parse(output: str) -> dict[str, tuple[str, float]]:
    """Of each imported module its group and the microseconds of its own."""
    found: dict[str, tuple[str, float]] = {}
    started = False
    for line in output.splitlines():
        if not line.startswith("import time:") or "self [us]" in line:
            continue
        own, _, name = line.removeprefix("import time:").split("|")
        name = name.strip()
        group = OURS if name.split(".")[0] == "windlass" else LIBRARY if started else INTERPRETER
        found[name] = group, float(own)
        started = started or name == "site"
    return found


def middle(runs: Sequence[Mapping[str, tuple[str, float]]]) -> dict[str, tuple[str, float]]:
    """Of each module the median over all runs."""
    return {name: (group, median(one[name][1] for one in runs if name in one)) for name, (group, _) in runs[0].items()}


def run(bench: Bench) -> Figures:
    """A warm claim, some times over."""
    side = bench.windlass(bench.local())
    side("claim", "first")
    program = "from windlass.__main__ import entry; entry()"
    runs = []
    for number in range(bench.times(9, 25)):
        command = [str(PYTHON), "-X", "importtime", "-c", program, "claim", f"step-{number}"]
        runs.append(parse(bench.spend(command, side.env, side.folder).output))
    found = middle(runs)
    groups: dict[str, list[float]] = defaultdict(list)
    for group, own in found.values():
        groups[group].append(own)
    rows = [[group, len(groups[group]), f"{sum(groups[group]) / 1000:.1f}"] for group in (INTERPRETER, LIBRARY, OURS)]
    longest = sorted(((own, name) for name, (group, own) in found.items() if group != INTERPRETER), reverse=True)[:SHOWN]
    return Figures(
        [
            Table("What `windlass claim` imports, local store", ["Whose", "Modules", "ms"], rows),
            Table("The longest imports of it", ["Module", "ms of its own"], [[f"`{name}`", f"{own / 1000:.2f}"] for own, name in longest]),
        ],
        notes=[f"Python {sys.version.split()[0]}, `-X importtime`, medians; measuring makes imports slower by about a half."],
    )
