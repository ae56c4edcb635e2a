"""A claim race: so many agents at once, in threads of one process over one server, all on the same fresh step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from benchmarks.figures import Figures, Plot, Table, Target
from benchmarks.spread import quantile, ratio, short, spread

if TYPE_CHECKING:
    from benchmarks.bench import Bench

AGENTS = (2, 8, 32, 50)


class Races(NamedTuple):
    """Many rounds of one side. Seconds of each winner's claim, seconds until the last agent knew; winners of each round; CPU seconds."""

    latency: list[float]
    over: list[float]
    winners: list[int]
    cpu: list[float]

    @property
    def one_winner(self) -> bool:
        """Whether there was exactly one in every round."""
        return set(self.winners) == {1}

    def add(self, found: object) -> None:
        """What one process measured."""
        assert isinstance(found, dict)
        for name in ("latency", "over", "winners"):
            getattr(self, name).extend(found[name])
        self.cpu.append(found["cpu"])


def run(bench: Bench) -> Figures:
    """Both sides in processes of their own, by turns."""
    blocks, rounds = bench.times(1, 6), bench.times(15, 60)
    store = bench.s3()
    bench.windlass(store)  # the project, without a plan: claiming a step declares it
    rows, targets = [], []
    lines: dict[str, list[tuple[float, float]]] = {}
    for agents in AGENTS:
        bench.say(f"{agents} agents")
        ours, theirs = (Races([], [], [], []) for _ in range(2))
        for block in range(blocks):
            arguments = [store, urlsplit(store).netloc, bench.endpoint, str(agents), str(rounds), f"race-{agents}-{block}"]
            ours.add(bench.ours("racers.py", "windlass", *arguments))
            theirs.add(bench.peer("racers.py", "tracecraft", *arguments))
        tails = [quantile(side.latency, 0.95) for side in (ours, theirs)]
        known = [spread(side.over, 1000) for side in (ours, theirs)]
        cpu = [sum(side.cpu) / (blocks * rounds * agents) * 1000 for side in (ours, theirs)]
        times = ratio(theirs.latency, ours.latency)
        rows.append(
            [
                agents,
                blocks * rounds,
                spread(ours.latency, 1000),
                spread(theirs.latency, 1000),
                str(times),
                short(tails[0] * 1000),
                short(tails[1] * 1000),
                *known,
                *map(short, cpu),
                *("always one" if side.one_winner else "**not always one**" for side in (ours, theirs)),
            ]
        )
        reached = f"{times} × faster, p95 {short(tails[1] / tails[0])} ×" + ("" if ours.one_winner else ", but not always one winner")
        met = times.middle > 1 and tails[0] < tails[1] and ours.one_winner
        targets.append(Target(6, f"claim race, {agents} agents: the winner's p50 and p95", "below tracecraft's, one winner", reached, met))
        for name, side in (("Windlass", ours), ("tracecraft", theirs)):
            for share, what in ((0.5, "p50"), (0.95, "p95")):
                lines.setdefault(f"{name} {what}", []).append((float(agents), quantile(side.latency, share) * 1000))
    columns = ["Agents", "Rounds", "Windlass: winner's ms", "tracecraft", "ratio", "p95 ms", "tracecraft", "all know, ms", "tracecraft"]
    columns += ["CPU ms a claim", "tracecraft", "winners", "tracecraft"]
    plot = Plot("race", "Claim race: the winner's time", "agents at once", "ms", lines)
    return Figures([Table("The winner's claim, and when all knew who it was", columns, rows)], targets, NOTES, [plot])


NOTES = (
    "Each agent is a thread with a handle of its own; a barrier lets all go at once on a step that nobody has claimed.",
    "Time is from the winner's own call until its claim has returned. Median (middle half).",
    "Windlass: `windlass.open(…).steps.claim(…)`. tracecraft: its `S3` class with the calls of its `claim`.",
    "tracecraft wins with two PUTs and loses with a PUT and a GET; a Windlass agent wins with one, and looks whether the holder lives.",
    "From 32 threads on, both sides measure the interpreter's lock of their own process as well.",
)
