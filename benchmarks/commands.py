"""What the commands of every day cost, one process each: on S3 beside tracecraft, on a local store, and the floors below both."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import PYTHON, ROOT, rounds
from benchmarks.figures import Figures, Table, Target
from benchmarks.spread import ratio, short, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench import Bench, Side, Spent

FLOORS = ROOT / "benchmarks/floors.py"


class Case(NamedTuple):
    """A command that both sides know; `{n}` is another number each round. `by`: which of two agents runs it."""

    name: str
    said: str
    by: int = 0
    codes: tuple[int, ...] = (0,)
    """Exit codes of either side that are right."""


CASES = (
    Case("claim, won", "claim step-{n}"),
    Case("claim, lost", "claim step-{n}", by=1, codes=(1, 3)),
    Case("complete", "complete step-{n} --note done"),
    Case("send", "send bob hello"),
    Case("memory set", "memory set a.b {n}"),
    Case("memory get", "memory get a.b"),
    Case("inbox --new, none new", "inbox --new", codes=(0, 5)),
)


class Cost(NamedTuple):
    """One command on one kind of store: what its runs spent, and what a bare interpreter did beside them."""

    name: str
    runs: Sequence[Spent]
    bare: Sequence[Spent]

    def over_bare(self, what: str = "wall") -> float:
        """Milliseconds beyond the bare interpreter of the same round, median."""
        more = [getattr(one, what) - getattr(floor, what) for one, floor in zip(self.runs, self.bare, strict=True)]
        return 1000 * float(median(more))

    @property
    def memory(self) -> float:
        """Megabytes resident at most."""
        return median(one.memory for one in self.runs) / 1e6


def ran(side: Side, case: Case, number: int) -> Spent:
    """One command. Raises RuntimeError where it ends otherwise than it should."""
    return side(*case.said.format(n=number).split(), ok=case.codes)


def team(sides: Sequence[Side]) -> Sequence[Side]:
    """Two agents who have acted before, with something in memory and an inbox that was read."""
    for side in sides:
        if side.name == "windlass":
            side("claim", f"first-of-{side.env['WINDLASS_AGENT']}")
        side("memory", "set", "a.b", "0")
        side("send", "bob", "first")
        side("inbox", "--new")
    return sides


def run(bench: Bench) -> Figures:
    """All three sides in turn, a bare interpreter between them."""
    times = bench.times(6, 25)
    store, local = bench.s3(), bench.local()
    home = bench.folder_for("home")
    sides = [
        team([bench.windlass(store, agent) for agent in ("alice", "bob")]),
        team([bench.windlass(local, agent) for agent in ("alice", "bob")]),
        team([bench.tracecraft(store, agent) for agent in ("alice", "bob")]),
    ]

    def bare(_: int) -> Spent:
        return bench.bench_run([str(PYTHON), "-c", "pass"], home)

    s3: list[Cost] = []
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for case in CASES:
        found = rounds(times, bare, *(partial(ran, side[case.by], case) for side in sides))
        for kept, runs in zip((s3, ours, theirs), found[1:], strict=True):
            kept.append(Cost(case.name, runs, found[0]))
    tables = [beside(s3, theirs), alone(ours), floors(bench, store, times)]
    return Figures(tables, targets(s3, ours, theirs), NOTES)


NOTES = (
    "Each command is a process of its own, measured from its start to its end with what the kernel counted for it (wait4).",
    "The three sides and a bare interpreter take turns, so that a slow minute of the machine falls on all alike.",
    "Windlass' agents work in a folder with a .windlass.toml, as `windlass init` leaves it.",
)


def beside(ours: Sequence[Cost], theirs: Sequence[Cost]) -> Table:
    """Both sides on the same server."""
    rows = []
    for us, them in zip(ours, theirs, strict=True):
        walls, cpus = ([[getattr(one, what) for one in side.runs] for side in (us, them)] for what in ("wall", "cpu"))
        rows.append(
            [
                us.name,
                spread(walls[0], 1000),
                spread(walls[1], 1000),
                str(ratio(walls[1], walls[0])),
                spread(cpus[0], 1000),
                spread(cpus[1], 1000),
                str(ratio(cpus[1], cpus[0])),
                short(us.over_bare()),
                f"{us.memory:.1f}",
                f"{them.memory:.1f}",
            ]
        )
    columns = ["Command", "Windlass, ms", "tracecraft, ms", "times as long", "Windlass, CPU ms", "tracecraft, CPU ms", "times as much"]
    return Table("Commands on S3", [*columns, "over a bare interpreter, ms", "Windlass, MB", "tracecraft, MB"], rows)


def alone(ours: Sequence[Cost]) -> Table:
    """The local store, which the peer has none of."""
    rows = [
        [
            one.name,
            spread([spent.wall for spent in one.runs], 1000),
            spread([spent.cpu for spent in one.runs], 1000),
            short(one.over_bare()),
            f"{one.memory:.1f}",
        ]
        for one in ours
    ]
    return Table("Commands on the local store", ["Command", "ms", "CPU ms", "over a bare interpreter, ms", "MB"], rows)


def floors(bench: Bench, store: str, times: int) -> Table:
    """What no command could be quicker than."""
    home = bench.folder_for("home")
    processes = rounds(
        times,
        lambda _: bench.bench_run([str(PYTHON), "-c", "pass"], home),
        lambda _: bench.bench_run([str(PYTHON), str(FLOORS), "put", store, "1"], home),
        lambda _: bench.bench_run([str(PYTHON), str(FLOORS), "link", str(home), "1"], home),
    )
    names = ("a bare interpreter", "a process: one conditional PUT by obstore", "a process: create, fsync and link one file")
    rows: list[list[object]] = [
        [
            name,
            spread([one.wall for one in runs], 1000),
            spread([one.cpu for one in runs], 1000),
            f"{median(r.memory for r in runs) / 1e6:.1f}",
        ]
        for name, runs in zip(names, processes, strict=True)
    ]
    for name, kind, place in (
        ("one conditional PUT by obstore, connected", "put", store),
        ("create, fsync and link one file", "link", str(home)),
    ):
        found = bench.ours("floors.py", kind, place, str(bench.times(100, 400)))
        assert isinstance(found, list)
        rows.append([name, spread(found, 1000), "", ""])
    return Table("Floors", ["What", "ms", "CPU ms", "MB"], rows)


def targets(s3: Sequence[Cost], local: Sequence[Cost], theirs: Sequence[Cost]) -> list[Target]:
    """Rows 1 to 3, each by the command that is furthest from it."""
    found = []
    for what, name in (("wall", "wall"), ("cpu", "CPU")):
        share = {
            us.name: median(getattr(one, what) for one in them.runs) / median(getattr(one, what) for one in us.runs)
            for us, them in zip(s3, theirs, strict=True)
        }
        worst = min(share, key=lambda one: share[one])
        found.append(
            Target(
                1,
                f"{name} time on S3, tracecraft's share of ours, least ({worst})",
                "≥ 5 ×; aim 6 ×",
                f"{share[worst]:.1f} ×",
                share[worst] >= 5,
            )
        )
    for row, kind, costs, most in ((1, "S3", s3, 30.0), (2, "the local store", local, 25.0)):
        late = max(costs, key=lambda one: one.over_bare())
        over = late.over_bare()
        found.append(
            Target(
                row, f"wall time on {kind} over a bare interpreter, most ({late.name})", f"≤ {most:g} ms", f"{over:.1f} ms", over <= most
            )
        )
    large = max((*s3, *local), key=lambda one: one.memory)
    found.append(Target(3, f"resident memory, most ({large.name})", "≤ 25 MB", f"{large.memory:.1f} MB", large.memory <= 25))
    return found
