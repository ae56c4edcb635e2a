"""Simulates whole projects, seed by seed: twenty agents for hours of store time, faults, crashes and pauses, every promise checked.

python -m tests.reliability.simulation --seed 7 --trace          one seed, every event
python -m tests.reliability.simulation --seeds 2000 --jobs 2 --out figures.json
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import sys
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.reliability.simulation_agents import Team
from tests.reliability.simulation_checks import Ledger, Violation

from windlass.effects import Always, Entry, IfAbsent, Object, Page, Unchanged
from windlass.errors import PutRefused
from windlass.stores.memory import MemoryStore
from windlass.testing.simulate import EPOCH, FINE, Fate, Simulation, Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.effects import Condition

DRAIN = 12 * 3600.0
"""Seconds of store time after the last trouble within which the plan must be finished."""


class Size(NamedTuple):
    """How big a world is; `hours` of trouble."""

    agents: int
    steps: int
    machines: int
    hours: float


SIZES = {"small": Size(6, 24, 4, 0.4), "medium": Size(10, 60, 6, 1.0), "large": Size(20, 240, 9, 2.0)}


class Ground(MemoryStore):
    """The store in memory with versions that are hashes of the content, as several real ones have; its keys are kept sorted."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._sorted: list[str] = []
        self._entries: dict[str, Entry] = {}

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        found = self._objects.get(key)
        return Unchanged(key=key) if found is not None and found.version == unless else found

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        now = self._objects.get(key)
        if not isinstance(condition, Always):
            wanted = None if isinstance(condition, IfAbsent) else condition.version
            if (now.version if now else None) != wanted:
                raise PutRefused(key)
        if now is None:
            insort(self._sorted, key)
        version = sha256(body).hexdigest()[:24]
        self._objects[key] = made = Object(key=key, body=body, version=version, modified=self._clock())
        self._entries[key] = Entry(key=key, version=version, size=len(body), modified=made.modified)
        return version

    def delete(self, key: str) -> None:
        if self._objects.pop(key, None) is not None:
            del self._sorted[bisect_left(self._sorted, key)], self._entries[key]

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        keys = self._sorted
        start = max(bisect_left(keys, prefix), bisect_right(keys, after))
        end = bisect_left(keys, prefix + "\x7f", start)
        chosen = keys[start : min(end, start + limit)]
        return Page(entries=tuple(self._entries[key] for key in chosen), more=chosen[-1] if start + limit < end else None)


class Report(NamedTuple):
    """What became of one seed."""

    seed: int
    size: str
    hash: str
    seconds: float
    hours: float
    drained: float
    """Seconds of store time from the end of trouble to the end of the plan."""
    requests: int
    counts: Counter[str]
    violation: str = ""


def weather_of(seed: int) -> Weather:
    """The conditions of a seed: from a fast store with rare trouble to a slow one in bad hands."""
    random = Random(f"weather {seed}")
    often = random.choice((0.0, 0.3, 1.0, 1.0, 3.0))
    calm = Weather()
    return Weather(
        puts={fate: odds * often for fate, odds in calm.puts.items()},
        others={fate: odds * often for fate, odds in calm.others.items()},
        latency=random.choice((0.004, 0.03, 0.03, 0.3, 1.0)),
        patience=random.choice((2.0, 20.0, 60.0)),
        latest=random.choice((30.0, 600.0, 3600.0)),
        storm_gap=random.choice((150.0, 600.0)),
        storm_length=random.choice((10.0, 60.0, 240.0)),
        crash=random.choice((0.0, 0.0005, 0.002)),
        pause=random.choice((0.0, 0.0005, 0.001)),
        pause_length=random.choice((30.0, 300.0, 1200.0)),
    )


def simulate(seed: int, size: str = "medium", show: Callable[[str], None] | None = None) -> Report:
    """Run one seed to its end. Whatever goes wrong is in the report, with the last events of the object concerned."""
    world = SIZES[size]
    ledger = Ledger()
    sim = Simulation(seed, Ground, weather_of(seed), watch=ledger, whole=seed % 3 == 0)
    sim.show = show
    ledger.sim = sim
    team = Team(sim, ledger, size=world.agents, steps=world.steps, machines=world.machines)
    collecting = gc.isenabled()
    gc.collect()  # the run before
    gc.disable()  # a run makes little garbage in circles, and much that lives
    began = time.process_time()
    calm = EPOCH + world.hours * 3600

    def settle() -> None:
        sim.set_weather(FINE)
        team.settle()

    sim.after(world.hours * 3600, settle)
    team.begin()
    violation = ""
    try:
        over = sim.run(calm + DRAIN)
        if not over:
            raise Violation("steps/", f"the plan was not finished {DRAIN / 3600:.0f} h after the last fault: {_left(ledger)}")
        readers = team.last_look()
        sim.run(sim.now + 3600.0)
        ledger.end(readers)
    except Exception as error:  # any error of an operation is a finding
        violation = _story(seed, size, sim, error)
    finally:
        if collecting:
            gc.enable()
    counts = sim.counts + ledger.counts
    return Report(seed, size, sim.hash, time.process_time() - began, ledger.hours(), sim.now - calm, sim.requests, counts, violation)


def _left(ledger: Ledger) -> str:
    states = Counter(doc.get("status", "pending") for key, doc in ledger.docs.items() if key.startswith("steps/"))
    return ", ".join(f"{n} {state}" for state, n in sorted(states.items()))


def _story(seed: int, size: str, sim: Simulation, error: Exception) -> str:
    import traceback

    key = getattr(error, "key", "")
    last = [line for line in sim.events if key in line][-20:]
    trace = "" if isinstance(error, Violation) else "".join(traceback.format_exception(error))
    return (
        f"seed {seed}, {sim.now - EPOCH:.3f} s: {type(error).__name__}: {error}\n{trace}"
        f"last events of {key or 'all'}:\n  {'  '.join(last)}"
        f"replay: python -m tests.reliability.simulation --seed {seed} --size {size} --trace\n"
    )


def too_quiet(counts: Counter[str], seeds: int) -> list[str]:
    """What happened too rarely in a batch for it to mean anything: less often than once in so many seeds."""
    total = totals(counts)
    return [f"{what}: {total[what]} in {seeds} seeds" for what, every in FLOORS.items() if total[what] < max(1, seeds // every)]


def totals(counts: Counter[str]) -> Counter[str]:
    """Counts with the sums that people want to see."""
    out = Counter(counts)
    for name, n in counts.items():
        kind, _, what = name.partition(": ")
        if what == "unclear":
            out["indeterminate"] += n
        elif kind == "put":
            out["write faults"] += n
            out["ambiguous answers to writes"] += n if what != Fate.UNREACHABLE.value else 0
        elif kind == "other":
            out["read faults"] += n
        elif name.startswith("takeovers"):
            out["takeovers"] += n
        elif name.startswith("restarts"):
            out["restarts"] += n
    out["fenced refusals"] = counts["refused: Fenced"] + counts["refused: ClaimLost"]
    return out


FLOORS = {
    **{f"put: {fate.value}": 1 for fate in Fate if fate is not Fate.WELL},
    "read faults": 1, "late puts landed": 1, "late puts landed after their process died": 10, "late puts refused": 4, "crashes": 1,
    "restarts in place": 1, "restarts elsewhere": 2, "restarts without hints": 6, "agents gone for good": 12,
    "pauses beyond the lease": 2, "replaced while paused": 3, "takeovers after the lease": 1, "takeovers after the longest hold": 10,
    "takeovers by a newer incarnation": 6, "takeovers by force": 20, "forced finishes": 20, "refused: Fenced": 2, "refused: ClaimLost": 1,
    "refused: VersionMoved": 6, "indeterminate": 20, "messages seen": 1, "messages seen twice": 30,
}  # fmt: skip
"""What a batch must have met at least once in so many seeds."""


SHOWN = (
    "write faults", "ambiguous answers to writes", "read faults", "crashes", "restarts", "pauses", "pauses beyond the lease", "takeovers",
    "fenced refusals", "indeterminate", "late puts landed", "late puts landed after their process died", "messages seen",
    "messages seen twice",
)  # fmt: skip
"""What the table shows first."""


def _one(job: tuple[int, str, bool]) -> tuple[Report, bool]:
    """One seed, and whether a second run of it was another one."""
    seed, size, replay = job
    report = simulate(seed, size)
    return report, replay and simulate(seed, size).hash != report.hash


class Batch(NamedTuple):
    """Many seeds."""

    reports: list[Report]
    replayed: int
    diverged: list[int]
    seconds: float

    @property
    def counts(self) -> Counter[str]:
        """Everything that was counted, over all seeds."""
        out: Counter[str] = Counter()
        for report in self.reports:
            out.update(report.counts)
        return out


def batch(seeds: Sequence[int], size: str, jobs: int, every: int) -> Batch:
    """Run many seeds, each `every`th twice, in several processes."""
    began = time.monotonic()
    work = [(seed, size, bool(every) and n % every == 0) for n, seed in enumerate(seeds)]
    reports: list[Report] = []
    diverged: list[int] = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for report, other in pool.imap_unordered(_one, work):
            reports.append(report)
            if report.violation:
                _print(report.violation + "\n")
            if other:
                diverged.append(report.seed)
                _print(f"seed {report.seed}: the second run was another one\n")
            if len(reports) % max(1, len(seeds) // 20) == 0:
                _print(f"{len(reports)} of {len(seeds)} seeds, {time.monotonic() - began:.0f} s\n")
    return Batch(reports, sum(job[2] for job in work), diverged, time.monotonic() - began)


def table(done: Batch) -> list[list[str | int | float]]:
    """The figures."""
    reports, total = done.reports, totals(done.counts)
    slowest = max(reports, key=lambda one: one.seconds)
    cpu = sum(one.seconds for one in reports)
    rows: list[list[str | int | float]] = [
        ["seeds", len(reports)],
        ["violations", sum(bool(one.violation) for one in reports)],
        ["seeds run twice", done.replayed],
        ["replay divergences", len(done.diverged)],
        ["simulated hours", round(sum(one.hours for one in reports))],
        ["requests", sum(one.requests for one in reports)],
        ["requests per CPU second", round(sum(one.requests for one in reports) / cpu)],
        ["longest way from the last fault to the finished plan, minutes", round(max(one.drained for one in reports) / 60)],
        ["slowest seed", f"{slowest.seed} ({slowest.seconds:.1f} s)"],
    ]
    rows += [[what, total[what]] for what in SHOWN]
    rows += [[name, n] for name, n in sorted(done.counts.items()) if name.startswith(("put:", "other:", "takeovers", "storm:"))]
    return rows


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: show every event")
    parser.add_argument("--size", choices=SIZES, default="large", help="how many agents, steps and hours (default: large)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--replay", type=int, default=10, metavar="N", help="run each Nth seed twice and compare (default: 10; 0: none)")
    parser.add_argument("--out", metavar="FILE", help="write the figures there, as JSON")
    args = parser.parse_args(argv)
    if args.seed is not None:
        report = simulate(args.seed, args.size, _print if args.trace else None)
        print(json.dumps({**report._asdict(), "counts": dict(sorted(report.counts.items())), "violation": ""}, indent=1))
        print(report.violation or "every promise held")
        return bool(report.violation)
    done = batch(range(args.first, args.first + args.seeds), args.size, args.jobs, args.replay)
    rows, quiet = table(done), too_quiet(done.counts, args.seeds)
    for row in rows:
        print(f"{row[0]:70} {row[1]}")
    for line in quiet:
        print(f"too rare: {line}")
    if args.out:
        world = SIZES[args.size]
        options = f"--size {args.size} --first {args.first} --seeds {args.seeds} --jobs {args.jobs}"
        figures = {
            "part": "simulation",
            "command": f"python -m tests.reliability.simulation {options}",
            "seconds": round(done.seconds, 1),
            "columns": ["what", "how many"],
            "rows": rows,
            "notes": [
                f"each seed: {world.agents} agents, {world.machines} machines, {world.steps} steps and more, {world.hours:g} h of trouble",
                *(f"too rare: {line}" for line in quiet),
                *(f"violation in seed {one.seed}" for one in done.reports if one.violation),
            ],
        }
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return bool(quiet or done.diverged or any(one.violation for one in done.reports))


if __name__ == "__main__":
    sys.exit(main())
