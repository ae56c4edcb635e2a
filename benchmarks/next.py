"""Finding work: `next` until a plan is done. The peer has no such thing."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figures import Figures, Plot, Table, Target
from benchmarks.pulling import DISTANCE, WORK, pulled
from benchmarks.spread import quantile, short

if TYPE_CHECKING:
    from benchmarks.bench import Bench

FLAT = 1.5
"""Times as much, at most, from the smallest plan to the largest."""
WASTE = 0.5
"""Writes in vain for each claim, at most, where at least as many steps are ready as there are agents."""


class Real(NamedTuple):
    """A plan done on a real store."""

    size: int
    seconds: float
    requests: float
    wasted: float


def run(bench: Bench) -> Figures:
    """On the server, on a local store, and in virtual time at a bucket's distance."""
    tables, targets, plots = [], [], []
    costs: dict[str, list[tuple[float, float]]] = {}
    speeds: dict[str, list[tuple[float, float]]] = {}
    rows: list[list[object]] = []
    for where in ("S3", "local"):
        for agents in (1, 50):
            done = [_real(bench, where, "flat", size, agents, rows) for size in _sizes(bench)]
            costs[f"{where}, {agents}"] = [(float(one.size), one.requests) for one in done]
            speeds[f"{where}, {agents}"] = [(float(one.size), one.size / one.seconds) for one in done]
            targets.append(_flat(f"requests a step, {where}, {agents} at once", [one.requests for one in done]))
            targets.append(_flat(f"time a step, {where}, {agents} at once", [one.seconds / one.size for one in done]))
            if agents > 1:
                targets.append(
                    _waste(f"{where}, all ready, five steps an agent or more", max(one.wasted for one in done if one.size > 4 * agents))
                )
        for shape in ("mixed", "layers", "chains"):
            _real(bench, where, shape, bench.times(150, 500), 50, rows)
    columns = ["Store", "Plan", "Steps", "Agents", "steps/s", "wasted writes a claim", "requests a step", "GET", "PUT", "LIST"]
    tables.append(Table("`next` and `complete` until a plan is done, without any work in between", columns, rows))
    tables.append(_virtual(bench, targets))
    plots.append(Plot("next-requests", "Finding work: requests a step", "steps", "requests a step", costs, log="x"))
    plots.append(Plot("next-speed", "Finding work: steps a second", "steps", "steps/s", speeds, log="x"))
    return Figures(tables, targets, NOTES, plots)


def _sizes(bench: Bench) -> tuple[int, ...]:
    return (100, 400) if bench.quick else (100, 1000, 10_000)


def _real(bench: Bench, where: str, shape: str, size: int, agents: int, rows: list[list[object]]) -> Real:
    bench.say(f"{where}: {shape}, {size} steps, {agents} agents")
    store = bench.s3() if where == "S3" else bench.local()
    bench.windlass(store)
    found = bench.ours("pullers.py", store, shape, str(size), str(agents))
    assert isinstance(found, dict)
    assert found["done"] == size, found
    kinds = [found[kind] / size for kind in ("get", "put", "list")]
    wasted = (found["lost_claims"] + found["lost_boards"]) / size
    rows.append([where, shape, size, agents, *map(short, [size / found["seconds"], wasted, sum(kinds), *kinds])])
    return Real(size, found["seconds"], sum(kinds), wasted)


def _virtual(bench: Bench, targets: list[Target]) -> Table:
    """Exact figures at a distance, with work to do."""
    rows: list[list[object]] = []
    sizes = _sizes(bench)
    cases = [("flat", size, agents) for agents in (1, 50) for size in sizes]
    cases += [(shape, bench.times(200, 1000), 50) for shape in ("mixed", "layers", "chains")]
    for shape, size, agents in cases:
        bench.say(f"virtual time: {shape}, {size} steps, {agents} agents")
        found = pulled(shape, size, agents)
        low, middle, high = (quantile(found.trips, share) for share in (0.05, 0.5, 0.95))
        speed, busy = size / found.seconds, found.seconds * agents / size / WORK
        each = [found.wasted, *(found.each(*kinds) for kinds in (("get", "put", "list", "delete"), ("get",), ("put",), ("list",)))]
        rows.append([shape, size, agents, *map(short, [speed, busy, *each]), f"{middle:g} ({low:g}–{high:g})"])
        if agents > 1 and shape != "chains" and size > agents:
            targets.append(_waste(f"a bucket {DISTANCE * 1000:g} ms away, {shape}, {size:,} steps", found.wasted))
        if agents == 1 and size == sizes[0]:
            targets.append(Target(11, "round trips of a warm `next`, nobody in the way", "3", f"{middle:g}", middle <= 3))
    columns = ["Plan", "Steps", "Agents", "steps/s", "time by work alone", "wasted writes a claim", "requests a step", "GET", "PUT", "LIST"]
    title = (
        f"The same with {WORK:g} s of work a step, {DISTANCE * 1000:g} ms from the store, each agent on a machine of its own (simulated)"
    )
    return Table(title, [*columns, "round trips of `next`"], rows)


def _flat(what: str, values: list[float]) -> Target:
    grown = max(later / earlier for earlier, later in pairwise(values))
    grown = max(grown, values[-1] / values[0])
    return Target(9, f"`next`: {what}, from the smallest plan to the largest", f"≤ {FLAT:g} ×", f"{short(grown)} ×", grown <= FLAT)


def _waste(what: str, wasted: float) -> Target:
    return Target(9, f"`next`: wasted writes a claim, 50 at once, {what}", f"≤ {WASTE:g}", short(wasted), wasted <= WASTE)


NOTES = (
    "Agents keep what they remember in memory here; a process of its own would also write it to files.",
    "tracecraft has no such command: its agents choose from `status` and claim by name.",
    "flat: all steps are ready at once; mixed: the same with four priorities.",
    "layers: each step needs two of the layer before, 100 wide; chains: 60 chains, so few steps are ready at a time.",
    "A wasted write is a claim or a write of the board that lost to somebody else's.",
    "Requests a step are all: `next`, `complete`, the board, waiting at the end, and each agent's look at everything.",
    "Agents are threads of one process on the server and on the local store: their speed is that of one interpreter.",
)
