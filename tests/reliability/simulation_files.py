"""Simulates agents that upload, delete, push, fork, merge and tear down while gc runs every now and then, in every weather.

python -m tests.reliability.simulation_files --seed 7 --trace         one seed, every event
python -m tests.reliability.simulation_files --seeds 2000 --jobs 2 --out figures.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.ops import uploaders
from tests.reliability.references import ROOMS, names_of
from tests.reliability.simulation import Ground, weather_of

from windlass import effects as fx
from windlass.errors import Damaged, Fenced, Indeterminate, NotFound, Unavailable, WindlassError
from windlass.ops import agents, artifacts, blobs, forks, merging, steps, trees, workspaces
from windlass.ops.agents import Actor
from windlass.ops.gc import gc
from windlass.protocol import keys
from windlass.protocol.agents import Keeper
from windlass.protocol.artifacts import Ref
from windlass.protocol.pending import State
from windlass.protocol.trees import Entry, Kind
from windlass.testing.simulate import EPOCH, FINE, Fate, Simulation, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.effects import Object, Op
    from windlass.testing.simulate import Machine, Process, Request, Task

HOURS = 1.5
AGENTS = 8
MACHINES = 4
CONTENTS = [b"content %d" % number for number in range(10)]
"""Few, so that what one deletes another uploads again."""
ARTIFACTS = ("a", "b", "c")
WORKSPACES = ("w", "v", "u")
STEP = "s"
GRACES = (0.0, 0.0, 60.0, 600.0)


class Violation(AssertionError):
    """Something that must not be; `key` is the object concerned."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(what)
        self.key = key


class Stormy(Simulation):
    """A simulation in which a deletion without an answer may have landed, or lands late."""

    def _spoil(self, task: Task, request: Request, index: int, up: float, down: float, fate: Fate) -> None:
        if isinstance(request, fx.Delete) and self.random.random() < 0.5:
            self.counts["late deletions"] += 1
            late = self.weather.latest ** self.random.random()
            self.after(up + late, self._perform, task, request)
            fate = Fate.UNREACHABLE
        super()._spoil(task, request, index, up, down, fate)


class Watcher(Watch):
    """Sees every write and deletion: whatever a register that counts refers to must be there at any time."""

    def __init__(self) -> None:
        self.sim: Simulation
        self.team: Team

    def look(self, key: str) -> bytes | None:
        """An object's bytes."""
        found = self.sim.store.get(key)
        return None if found is None else found.body  # type: ignore[union-attr]

    def landed(self, task: Task, put: fx.Put, before: Object | None, after: Object) -> None:
        commits = put.key.startswith("pending/") and b'"done"' in put.body
        if commits or put.key.startswith(ROOMS):
            for key in self.registers() if commits else [put.key]:
                for name in self.names(key):
                    if self.look(keys.blob(name)) is None:
                        raise Violation(
                            key, f"{task.name} writes {put.key}, and {key} refers to {name[:8]}….{name[65:]}, which is not there"
                        )

    def deleted(self, task: Task, key: str) -> None:
        name = keys.parse_blob(key)
        if name is not None:
            self.sim.counts["blobs deleted"] += 1
            for register in self.registers():
                if name in self.names(register):
                    raise Violation(register, f"{task.name} deletes {name[:8]}….{name[65:]}, to which {register} refers")

    def registers(self) -> list[str]:
        """Keys of all that can refer to blobs."""
        return [entry.key for prefix in ROOMS for entry in self.sim.store.list(prefix, "", 100_000).entries]

    def names(self, key: str) -> frozenset[str]:
        """What a register refers to, as far as it counts."""
        return frozenset(names_of(key, self.look))

    def ended(self, process: Process, *, crashed: bool) -> None:
        process.owner.over(crashed)

    def paused(self, process: Process) -> None:
        self.team.paused(process)


class Team:
    """Agents that share artifacts, workspaces and a step. `calm`: nobody begins anything new."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.calm = False
        self.machines = [sim.machine(f"m{number}", sim.random.choice((0.0, 0.3, -45.0, 3600.0))) for number in range(MACHINES)]
        self.members = [Member(self, f"agent{number}", self.machines[number % MACHINES]) for number in range(AGENTS)]

    def begin(self) -> None:
        for member in self.members:
            self.sim.after(self.sim.random.uniform(0, 30), member.live)

    def paused(self, process: Process) -> None:
        """A pause as long as that is what gc takes for death."""
        if process.paused_until - self.sim.now > min(grace for grace in GRACES if grace):
            self.sim.counts["pauses beyond a grace period"] += 1


class Member:
    """One agent through all its lives."""

    def __init__(self, team: Team, name: str, home: Machine) -> None:
        self.team, self.sim, self.name, self.home = team, team.sim, name, home
        self.random = team.sim.random
        self.lives = 0
        self.actor = Actor(agent=name, machine=home.name, host=home.name, keeper=Keeper.PYTHON)
        self.task: Task | None = None

    def live(self) -> None:
        """Begin a life."""
        self.lives += 1
        self.task = self.sim.spawn(f"{self.name}.{self.lives}", self.home, self._life(), self)

    def over(self, crashed: bool) -> None:
        """A life is over; another follows, unless all is quiet."""
        if crashed:
            assert self.task is not None
            self.sim.counts["died in " + str(self.task.note)] += 1
        if not self.team.calm:
            self.sim.after(self.random.uniform(1.0, 300.0), self.live)

    def _life(self) -> Op[None]:
        yield from self._tried("start", agents.start_new(self.actor))
        while not self.team.calm:
            what = self.random.choices(list(DEEDS), [often for often, _ in DEEDS.values()])[0]
            if not (yield from self._tried(what, DEEDS[what][1](self))):
                return
            yield from fx.sleep(self.random.expovariate(1 / 20))

    def _tried(self, what: str, op: Op[Any]) -> Op[bool]:
        """Do something; False where a newer life acts."""
        if self.task is not None:
            self.task.note = what
        try:
            yield from op
            self.sim.counts[f"done: {what}"] += 1
        except Indeterminate:
            self.sim.counts["indeterminate"] += 1
        except Fenced:
            return False
        except WindlassError as error:
            self.sim.counts[f"refused: {type(error).__name__}"] += 1
            if isinstance(error, Damaged) and what == "gc":  # others may be late readers of what nothing refers to any more
                raise Violation(error.key, f"{self.name} was told, at its {what}, that {error}") from None
            if "gave it up" in str(error):
                self.sim.counts["uploads given up by gc"] += 1
        return True

    def some(self) -> dict[str, bytes]:
        """Some files."""
        return {f"f{number}": self.random.choice(CONTENTS) for number in self.random.sample(range(5), self.random.randint(1, 4))}

    def workspace(self) -> str:
        """A workspace, or a fork of one."""
        name = self.random.choice(WORKSPACES)
        return name if self.random.random() < 0.6 else f"{name}-{self.random.randint(1, 2)}"

    # What it does.

    def upload(self) -> Op[Any]:
        return uploaders.upload(self.actor, self.random.choice(ARTIFACTS), self.random.choice(CONTENTS))

    def upload_folder(self) -> Op[Any]:
        files = self.some()

        def content(under: Any) -> Op[Any]:
            root = yield from uploaders.tree(under, files)
            return Entry(kind=Kind.FOLDER, name=root.tree, size=root.bytes, files=root.files)

        return artifacts.upload(self.actor, self.random.choice(ARTIFACTS), content)

    def upload_to_step(self) -> Op[Any]:
        content = self.random.choice(CONTENTS)
        yield from steps.claim(self.actor, STEP, force=self.random.random() < 0.3)
        yield from uploaders.upload(self.actor, self.random.choice(ARTIFACTS), content, STEP)
        yield from steps.release(self.actor, STEP)

    def delete(self) -> Op[Any]:
        return artifacts.delete(self.actor, Ref(step=STEP if self.random.random() < 0.3 else "", name=self.random.choice(ARTIFACTS)))

    def push(self) -> Op[Any]:
        return uploaders.push(self.actor, self.workspace(), self.some())

    def fork(self) -> Op[Any]:
        return forks.fork(self.actor, self.random.choice(WORKSPACES), 2)

    def teardown(self) -> Op[Any]:
        return workspaces.teardown(self.actor, self.workspace(), force=True)

    def checkpoint(self) -> Op[Any]:
        return workspaces.checkpoint(self.actor, self.workspace(), f"l{self.random.randint(1, 9)}")

    def restore(self) -> Op[Any]:
        return workspaces.restore(self.actor, self.workspace(), f"l{self.random.randint(1, 9)}")

    def merge(self) -> Op[Any]:
        name = self.random.choice(WORKSPACES)
        return merging.merge(self.actor, f"{name}-{self.random.randint(1, 2)}", name)

    def gc(self) -> Op[Any]:
        return gc(self.actor, grace=self.random.choice(GRACES), wait=self.random.choice((0.0, 10.0, 60.0)))

    def look(self) -> Op[Any]:
        """Read an artifact: what is current is whole, or it is not current any more."""
        ref = Ref(step="", name=self.random.choice(ARTIFACTS))
        version = yield from artifacts.show(ref)
        for _ in range(10):
            try:
                entry = version.entry
                yield from (trees.walk(entry.name) if entry.kind is Kind.FOLDER else blobs.read(entry.blob))
                return
            except NotFound:
                raise
            except Unavailable:
                raise
            except WindlassError as error:
                again = yield from artifacts.show(ref)
                if again == version:
                    raise Violation(keys.artifact(ref.name), f"current and not whole: {error}") from None
                version = again


DEEDS: dict[str, tuple[float, Callable[[Member], Op[Any]]]] = {
    "upload": (5, Member.upload), "upload a folder": (3, Member.upload_folder), "upload to a step": (2, Member.upload_to_step),
    "delete": (5, Member.delete), "push": (6, Member.push), "fork": (5, Member.fork), "teardown": (5, Member.teardown),
    "checkpoint": (2, Member.checkpoint), "restore": (1, Member.restore), "merge": (2, Member.merge), "gc": (6, Member.gc),
    "look": (3, Member.look),
}  # fmt: skip


class Report(NamedTuple):
    """What became of one seed."""

    seed: int
    hash: str
    seconds: float
    requests: int
    counts: Counter[str]
    violation: str = ""


def simulate(seed: int, hours: float = HOURS, show: Callable[[str], None] | None = None) -> Report:
    """Run one seed to its end, after so many hours of trouble."""
    began = time.process_time()
    watcher = Watcher()
    sim = Stormy(seed, Ground, weather_of(seed), watch=watcher, whole=seed % 3 == 0)
    sim.show = show
    team = Team(sim)
    watcher.sim, watcher.team = sim, team
    violation = ""

    def settle() -> None:
        sim.set_weather(FINE)
        team.calm = True

    sim.after(hours * 3600, settle)
    team.begin()
    try:
        if not sim.run(EPOCH + 40 * 3600):
            raise Violation("", "somebody is still at work")
        _last(sim, watcher)
    except Exception as error:
        import traceback

        key = getattr(error, "key", "")
        trace = "" if isinstance(error, Violation) else "".join(traceback.format_exception(error))
        last = "  ".join([line for line in sim.events if key in line][-20:])
        violation = f"seed {seed}, {sim.now - EPOCH:.3f} s: {error}\n{trace}last events of {key or 'all'}:\n  {last}"
        violation += f"replay: python -m tests.reliability.simulation_files --seed {seed} --trace\n"
    return Report(seed, sim.hash, time.process_time() - began, sim.requests, sim.counts, violation)


class Last:
    """The one who cleans up in the end."""

    def over(self, crashed: bool) -> None:
        """Nothing follows."""


def _last(sim: Simulation, watcher: Watcher) -> None:
    """Two runs of gc leave what is referred to, whole, and nothing else; and no record of an upload but of those given up."""
    actor = Actor(agent="last", machine="m-last", host="m-last")
    machine = sim.machine("m-last")
    for _ in range(2):
        sim.run(sim.now + 120.0)
        sim.spawn("last", machine, gc(actor, grace=0.0), Last())
        sim.run(sim.now + 3600.0)
    there = {keys.parse_blob(entry.key) for entry in sim.store.list("blobs/", "", 100_000).entries}
    wanted = {name for key in watcher.registers() for name in watcher.names(key)}
    if there != wanted:
        raise Violation("blobs/", f"{len(there - wanted)} blobs too many, {len(wanted - there)} too few")
    for entry in sim.store.list("pending/", "", 100_000).entries:
        state = json.loads(watcher.look(entry.key) or b"{}").get("state", "open")
        if state != State.ABANDONED.value:
            raise Violation(entry.key, f"a record is left that is {state}")


FLOORS = {
    "blobs deleted": 1, "uploads given up by gc": 4, "crashes": 1, "died in gc": 2, "died in upload": 2, "died in fork": 2,
    "pauses beyond a grace period": 2, "late deletions": 4, "late puts landed": 1, "indeterminate": 4, "refused: TimedOut": 1,
    "refused: Lost": 1, **{f"done: {deed}": 2 for deed in DEEDS},
}  # fmt: skip
"""What a batch must have met at least once in so many seeds."""


def too_quiet(counts: Counter[str], seeds: int) -> list[str]:
    """What happened too rarely in a batch for it to mean anything."""
    return [f"{what}: {counts[what]} in {seeds} seeds" for what, every in FLOORS.items() if counts[what] < max(1, seeds // every)]


def batch(seeds: Sequence[int], jobs: int) -> tuple[list[Report], Counter[str]]:
    """Many seeds, and what they met together."""
    counts: Counter[str] = Counter()
    reports = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for report in pool.imap_unordered(simulate, seeds):
            reports.append(report)
            counts.update(report.counts)
            if report.violation:
                print(report.violation, flush=True)
    return reports, counts


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.simulation_files", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: show every event")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--out", metavar="FILE", help="write the figures there, as JSON")
    args = parser.parse_args(argv)
    if args.seed is not None:
        report = simulate(args.seed, show=sys.stdout.write if args.trace else None)  # type: ignore[arg-type]
        print(json.dumps(dict(sorted(report.counts.items())), indent=1))
        print(report.violation or f"every promise held, {report.seconds:.1f} s")
        return bool(report.violation)
    began = time.monotonic()
    reports, counts = batch(range(args.first, args.first + args.seeds), args.jobs)
    quiet = too_quiet(counts, args.seeds)
    violations = [report.seed for report in reports if report.violation]
    rows: list[list[object]] = [
        ["seeds", len(reports)],
        ["violations", len(violations)],
        ["simulated hours", round(len(reports) * HOURS)],
        ["requests", sum(report.requests for report in reports)],
    ]
    rows += [[what, counts[what]] for what in sorted(counts) if not what.startswith(("put:", "other:", "storm:"))]
    for row in rows:
        print(f"{row[0]:60} {row[1]}")
    for line in quiet:
        print(f"too rare: {line}")
    if args.out:
        figures = {
            "part": "files",
            "seconds": round(time.monotonic() - began, 1),
            "columns": ["what", "how many"],
            "rows": rows,
            "notes": [
                f"each seed: {AGENTS} agents on {MACHINES} machines, {HOURS:g} h of trouble, then two quiet runs of gc",
                *(f"too rare: {line}" for line in quiet),
                *(f"violation in seed {seed}" for seed in violations),
            ],
        }
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return bool(quiet or violations)


if __name__ == "__main__":
    sys.exit(main())
