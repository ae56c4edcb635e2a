"""Requests a command, counted at the wire, and what they cost: an agent at work, an agent that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import listed, requests
from benchmarks.figures import Figures, Table, Target
from benchmarks.spread import short

import windlass
from windlass.errors import TimedOut
from windlass.stores.wrappers import Counting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.bench import Bench, Side

    from windlass.testing.proxy import Proxy

PRICES = {"put": 5.0e-6, "list": 5.0e-6, "post": 5.0e-6, "get": 0.4e-6, "head": 0.4e-6, "delete": 0.0}
"""Dollars a request, S3 standard in us-east-1, 2026. A conditional read that is answered "unchanged" costs as much as any."""
HOUR = 3600.0
PEER_PERIOD = 5.0
"""Seconds between the polls of tracecraft's wait-for."""


class Case(NamedTuple):
    """A command of both sides, and the requests that ours may make."""

    name: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    budget: Mapping[str, int]
    by: int = 0
    """Which of two agents runs it."""
    code: int = 0
    """Exit code of both that is right."""
    an_hour: int = 0
    """How often an agent at work runs it in an hour."""


CASES = (
    Case("claim, won", ("claim", "a"), ("claim", "a"), {"put": 1}, an_hour=12),
    Case("claim, lost", ("claim", "a"), ("claim", "a"), {"put": 1, "get": 2}, by=1, code=1),
    Case("memory set, first time", ("memory", "set", "k.a", "1"), ("memory", "set", "k.a", "1"), {"get": 1, "put": 1}),
    Case("memory set, again", ("memory", "set", "k.a", "2"), ("memory", "set", "k.a", "2"), {"get": 1, "put": 2}, an_hour=24),
    Case("memory get", ("memory", "get", "k.a"), ("memory", "get", "k.a"), {"get": 1}, an_hour=48),
    Case("send", ("send", "bob", "hello"), ("send", "bob", "hello"), {"put": 1, "get": 1}, an_hour=24),
    Case("inbox --new, none new", ("inbox", "--new"), ("inbox", "--new"), {"get": 2}, an_hour=60),
    Case("inbox --new, one new", ("inbox", "--new"), ("inbox", "--new"), {"put": 1, "get": 5}, by=1, an_hour=24),
    Case("complete", ("complete", "a", "--note", "done"), ("complete", "a", "--note", "done"), {"put": 1}, an_hour=12),
)


def run(bench: Bench) -> Figures:
    """Counts at a proxy before the server; the waiting hour with its clock wound on, so that every poll of it is made."""
    proxy = bench.proxy()
    store = bench.s3(proxy.url)
    ours = [bench.windlass(store, agent) for agent in ("alice", "bob")]
    theirs = [bench.tracecraft(store, agent) for agent in ("alice", "bob")]
    for side in ours:  # both have acted within this minute, and have looked into their mailbox
        side("send", "alice" if side is ours[1] else "bob", "hello")
        side("claim", f"own-{side.env['WINDLASS_AGENT']}")
    for side in (*ours, *theirs):  # the second finds nothing, and looks for gaps, as every ten minutes
        side("inbox", "--new")
        side("inbox", "--new")
    rows, targets = [], []
    work = [0.0, 0.0]
    for case in CASES:
        mine = count(proxy, ours[case.by], case.ours, (0, 3, 5) if case.code else (0, 5))
        peers = count(proxy, theirs[case.by], case.theirs, (case.code,))
        within = all(case.budget.get(kind, 0) >= number for kind, number in mine.items())
        cost = dollars(mine), dollars(peers)
        work = [sum_ + one * case.an_hour for sum_, one in zip(work, cost, strict=True)]
        rows.append([case.name, listed(mine), listed(case.budget), listed(peers), f"{cost[1] / cost[0]:.1f}"])
        targets.append(Target(4, f"requests: {case.name}", f"≤ {listed(case.budget)}", listed(mine), within))
    work[0] += dollars(PRESENCE) * 60
    waits, share = idle(bench)
    hours = Table(
        "Dollars an agent and hour",
        ["", "Windlass", "$", "tracecraft", "$", "times as much"],
        [
            *waits,
            [
                "at work: " + ", ".join(f"{case.an_hour} × {case.name}" for case in CASES if case.an_hour),
                "",
                f"{work[0]:.6f}",
                "",
                f"{work[1]:.6f}",
                f"{work[1] / work[0]:.1f}",
            ],
        ],
    )
    targets.append(
        Target(4, "an idle hour of waiting for a step and for mail", "≤ 1/10 of tracecraft's dollars", f"1/{share:.0f}", share >= 10)
    )
    commands = Table("Requests a command", ["Command", "Windlass", "its budget", "tracecraft", "dollars, times as much"], rows)
    return Figures([commands, hours], targets, NOTES)


PRESENCE = {"put": 1, "get": 3}
"""Once a minute, of an agent that acts."""
NOTES = (
    "Counted by a proxy before the server. Prices: PUT and LIST $0.005, GET $0.0004 a thousand.",
    "Windlass' hour at work includes presence, once a minute: 1 PUT and 3 GET.",
    "Windlass' waiting is its own code, run for an hour of a clock that is wound on; each request is really made.",
    "tracecraft's waiting is computed: `wait-for` reads each step every 5 s; for mail, which it cannot wait for, `inbox --new` every 5 s.",
    "Waiting for a step alone saves less: Windlass reads as seldom as a wake-up within 5 % of the time waited allows, and no more seldom.",
)


def count(proxy: Proxy, side: Side, arguments: Sequence[str], ok: Sequence[int]) -> dict[str, int]:
    """The requests of one command."""
    before = len(proxy.log)
    side(*arguments, ok=ok)
    return requests(list(proxy.log)[before:])


def dollars(counts: Mapping[str, int]) -> float:
    """What these requests cost."""
    return sum(PRICES[kind] * number for kind, number in counts.items())


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1e9

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def idle(bench: Bench) -> tuple[list[list[object]], float]:
    """Rows for an hour of waiting in vain, and how many times as much tracecraft pays for waiting for a step and for mail."""
    polls = int(HOUR / PEER_PERIOD)
    step = wait(bench, mail=False), {"get": polls}
    mail = wait(bench, mail=True), {"get": polls, "list": 2 * polls}
    rows: list[list[object]] = []
    for name, (mine, peers) in {"waiting for one step": step, "waiting for mail": mail}.items():
        rows.append(
            [name, listed(mine), f"{dollars(mine):.6f}", listed(peers), f"{dollars(peers):.6f}", short(dollars(peers) / dollars(mine))]
        )
    ours, theirs = (sum(dollars(one[side]) for one in (step, mail)) for side in (0, 1))
    rows.append(["both", "", f"{ours:.6f}", "", f"{theirs:.6f}", short(theirs / ours)])
    return rows, theirs / ours


def wait(bench: Bench, *, mail: bool) -> dict[str, int]:
    """The requests of an hour of waiting."""
    clock = Clock()
    with windlass.open(bench.s3(), project="bench", agent="alice") as project:
        project.mail.inbox(new=True)
        world = project.session.world
        counting = world.store = Counting(world.store)
        world._sleep, world._clock = clock.sleep, lambda: clock.now
        try:
            if mail:
                project.mail.inbox(new=True, wait=HOUR)
            else:
                project.steps.wait_for(["none"], timeout=HOUR)
        except TimedOut:
            pass
        assert clock.now >= 1e9 + HOUR
        return counting.counts()
