"""Round trips in sequence: commands through a proxy that makes each request take 30 ms longer, as a real bucket's distance does."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import rounds
from benchmarks.figures import Figures, Table, Target
from benchmarks.spread import ratio, spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.bench import Bench, Side, Spent

    from windlass.testing.proxy import Entry, Proxy

DELAY = 0.03
"""Seconds."""
STEPS = 1000
PAGES = STEPS // 1000
"""Of a listing."""


FIRST = "status, first look of a machine, after another one's"


class Case(NamedTuple):
    """A command that both sides know; `{n}` is another number each round. `most`: round trips that ours may take."""

    name: str
    said: str
    most: int
    by: int = 0
    """Which of two agents runs it."""
    codes: tuple[int, ...] = (0,)
    """Exit codes of either side that are right."""


CASES = (
    Case("claim, won", "claim step-{n}", 1),
    Case("claim, lost", "claim step-{n}", 3, by=1, codes=(1, 3)),
    Case("complete", "complete step-{n} --note done", 2),
    Case("memory set", "memory set a.b {n}", 3),
    Case("memory get", "memory get a.b", 1),
    Case("send", "send bob hello", 1),
    Case("inbox --new, none new", "inbox --new", 1, codes=(0, 5)),
)


class Far:
    """Runs commands behind the proxy and keeps how many round trips each took in sequence."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.trips: list[int] = []

    def run(self, side: Side, said: str, number: int, codes: Sequence[int] = (0,)) -> Spent:
        """One command, which must end with one of these exit codes."""
        before = len(self.proxy.log)
        spent = side(*said.format(n=number).split(), ok=codes)
        self.trips.append(in_sequence(list(self.proxy.log)[before:]))
        return spent


def in_sequence(entries: Iterable[Entry]) -> int:
    """The longest chain of requests of which each began after the one before was answered; a request begins a delay before its answer."""
    chain, last = 0, 0.0
    for end in sorted(entry.time for entry in entries):
        if end - DELAY >= last:
            chain, last = chain + 1, end
    return chain


def run(bench: Bench) -> Figures:
    """The commands of both sides in turn, then the looks of ours at a large project."""
    times = bench.times(3, 15)
    proxy = bench.proxy(DELAY)
    store = bench.s3(proxy.url)
    ours = [bench.windlass(store, agent) for agent in ("alice", "bob")]
    theirs = [bench.tracecraft(store, agent) for agent in ("alice", "bob")]
    for side in ours:
        side("claim", f"first-of-{side.env['WINDLASS_AGENT']}")
    for side in (*ours, *theirs):
        side("memory", "set", "a.b", "0")
        side("send", "bob", "first")
        side("inbox", "--new")
    rows: list[Sequence[object]] = []
    targets = []
    for case in CASES:
        far = Far(proxy), Far(proxy)
        runs = [partial(one.run, sides[case.by], case.said, codes=case.codes) for one, sides in zip(far, (ours, theirs), strict=True)]
        found = rounds(times, *runs)
        walls = [[one.wall for one in kept] for kept in found]
        trips = [median(one.trips) for one in far]
        rows.append(
            [case.name, f"{trips[0]:g}", spread(walls[0], 1000), f"{trips[1]:g}", spread(walls[1], 1000), str(ratio(walls[1], walls[0]))]
        )
        targets.append(target(case.name, case.most, trips[0]))
    title = "Commands at 30 ms a request"
    commands = Table(title, ["Command", "Windlass, round trips", "ms", "tracecraft, round trips", "ms", "times as long"], rows)
    large, more = looks(bench, proxy, times)
    return Figures([commands, large], [*targets, *more], NOTES)


NOTES = (
    "Round trips in sequence: the longest chain of requests, each begun after the one before was answered, as the proxy saw them.",
    "A process opens its connection anew: over TLS to a real bucket that is two round trips more for each command, on both sides.",
)


def target(name: str, most: int, trips: float) -> Target:
    """Round trips that a command may take, and those it takes."""
    return Target(11, f"round trips in sequence: {name}", f"≤ {most}", f"{trips:g}", trips <= most)


def looks(bench: Bench, proxy: Proxy, times: int) -> tuple[Table, list[Target]]:
    """`next`, and `status` of 1,000 steps."""
    store = bench.s3()
    plan = bench.folder_for("plan") / "plan.yaml"
    plan.write_text("steps:\n" + "".join(f"- name: s{number:04}\n" for number in range(STEPS)), encoding="utf-8")
    bench.windlass(store)("plan", "apply", str(plan))
    store = bench.through(store, proxy.url)
    alice = bench.windlass(store)
    alice("next")
    alice("status")
    fresh = [bench.windlass(store, "carol") for _ in range(min(times, 5))]
    rows: list[Sequence[object]] = []
    targets = []
    for name, said, most in (("next", "next", 3), ("status, second look", "status", PAGES + 2), (FIRST, "status", PAGES + 2)):
        far = Far(proxy)
        first = name == FIRST
        found = [far.run(fresh[number] if first else alice, said, number) for number in range(len(fresh) if first else times)]
        trips = median(far.trips)
        rows.append([name, f"{trips:g}", spread([one.wall for one in found], 1000)])
        targets.append(target(name, most, trips))
    return Table(f"Looking around among {STEPS:,} steps, at 30 ms a request", ["Command", "Windlass, round trips", "ms"], rows), targets
