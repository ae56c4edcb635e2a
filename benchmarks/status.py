"""`status` of small and large projects: the very first look, the first from a machine, a second one, one after ten steps changed."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from benchmarks.bench import PYTHON, ROOT, listed, requests
from benchmarks.figures import Figures, Plot, Table, Target
from benchmarks.spread import ratio, spread

import windlass
from windlass.effects import Always
from windlass.protocol import keys
from windlass.stores.registry import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.bench import Bench, Side, Spent

CHANGED = 10
VERY_FIRST, FIRST, SECOND, LATER = LOOKS = ("very first look", "first look of a machine", "second look", f"{CHANGED} changed")
WORKERS = 8


class Found(NamedTuple):
    """One side's looks at one project, by what kind of look."""

    ours: dict[str, list[Spent]]
    theirs: list[Spent]
    floor: list[Spent]
    requests: dict[str, str]


def run(bench: Bench) -> Figures:
    """Both sides by turns on the S3 server, ours on the local store too; half of the steps are complete, twenty are being worked on."""
    sizes = [100, 1000] if bench.quick else [100, 1000, 10_000]
    rows: list[Sequence[object]] = []
    near: list[Sequence[object]] = []
    targets: list[Target] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        bench.say(f"{size:,} steps")
        found, local = on_s3(bench, size), looks(bench, bench.local(), size, bench.times(3, 15))
        for look in LOOKS:
            walls = [one.wall for one in found.ours[look]]
            faster = ratio([one.wall for one in found.theirs], walls)
            cpu = [one.cpu for one in found.ours[look]]
            rows.append([f"{size:,}, {look}", found.requests[look], spread(walls, 1000), spread(cpu, 1000), str(faster)])
            near.append([f"{size:,}, {look}", *(spread([getattr(one, what) for one in local[look]], 1000) for what in ("wall", "cpu"))])
            if size == 1000 and look in (VERY_FIRST, FIRST):
                targets.append(Target(8, f"status, {look}, at 1,000 steps", "≥ 8 × faster", f"{faster} ×", faster.middle >= 8))
            if look == SECOND and size == sizes[-1]:
                what = f"status, second look at {size:,} steps"
                targets.append(Target(8, what, "under 500 ms", f"{spread(walls, 1000)} ms", median(walls) < 0.5))
            lines.setdefault(f"Windlass, {look}", []).append((float(size), median(walls) * 1000))
        for what, runs in (("floor", found.floor), ("tracecraft", found.theirs)):
            walls, cpu = [one.wall for one in runs], [one.cpu for one in runs]
            times = "" if runs is found.theirs else str(ratio([one.wall for one in found.theirs], walls))
            rows.append([f"{size:,}, {what}", found.requests.get(what, ""), spread(walls, 1000), spread(cpu, 1000), times])
            lines.setdefault(what, []).append((float(size), median(walls) * 1000))
    tables = [
        Table("`status` on S3", ["Steps", "requests", "wall ms", "CPU ms", "tracecraft takes times as long"], rows),
        Table("`status` on the local store", ["Steps", "wall ms", "CPU ms"], near),
    ]
    return Figures(tables, targets, NOTES, [Plot("status", "status of a project, S3", "steps", "ms", lines)])


NOTES = (
    "Very first look: nobody has looked yet, so every step is read, and a snapshot of them is left in the store.",
    "First look of a machine: it remembers nothing of the project, and finds the snapshot that another one left, of the steps as they are.",
    "What changed since such a snapshot was written is read one by one.",
    "A second look reads what changed since the first.",
    "tracecraft reads every step at each look, one after the other.",
    "It knows claimed steps only, of two objects each, and has as many of those; about half of Windlass' steps are still pending.",
    "Floor: a process that lists the steps and reads each with obstore on 32 threads, and does nothing with them.",
    "The server answers one request after the other: a very first look cannot be quicker there than it takes to answer so many reads.",
)


def on_s3(bench: Bench, size: int) -> Found:
    """Both sides by turns, then each kind of look once through a proxy that counts."""
    store = bench.s3()
    peer = bench.tracecraft(store)
    fill_peer(store, size)
    theirs: list[Spent] = []
    floor: list[Spent] = []
    place = urlsplit(store)
    bare = [str(PYTHON), str(ROOT / "benchmarks/reads.py"), place.netloc, bench.endpoint, f"{place.path.strip('/')}/bench/steps"]
    home = bench.folder_for("home")

    def between() -> None:
        theirs.append(peer("status"))
        floor.append(bench.bench_run(bare, home))

    times = bench.times(3, 15) if size < 10_000 else bench.times(1, 3)
    ours = looks(bench, store, size, times, between)
    proxy = bench.proxy()
    counts: dict[str, str] = {}
    through = bench.through(store, proxy.url)
    counted = bench.windlass(through, "counting")
    for look in LOOKS:
        prepare(store, counted, look, "for the count")
        proxy.log.clear()
        counted("status")
        counts[look] = listed(requests(list(proxy.log)))
    other = bench.tracecraft(through, "counting")
    proxy.log.clear()
    other("status")
    counts["tracecraft"] = listed(requests(list(proxy.log)))
    return Found(ours, theirs, floor, counts)


def looks(bench: Bench, store: str, size: int, times: int, between: Callable[[], object] = lambda: None) -> dict[str, list[Spent]]:
    """Fill a store and look at it; `between` is done once a round, so that a slow minute of the machine falls on all alike."""
    fill(store, size)
    side = bench.windlass(store)
    found: dict[str, list[Spent]] = {look: [] for look in LOOKS}
    for number in range(times):
        between()
        for look in LOOKS:
            prepare(store, side, look, f"round {number}")
            found[look].append(side("status"))
    return found


def prepare(store: str, side: Side, look: str, what: str) -> None:
    """Make it that kind of look: forget what this machine knows, take the snapshot away, or change some steps."""
    if look in (VERY_FIRST, FIRST):
        shutil.rmtree(Path(side.env["HOME"]) / ".cache", ignore_errors=True)
    if look == VERY_FIRST:
        open_store(store).delete(f"bench/{keys.SURVEY}")
    if look == LATER:
        change(store, what)


def fill(store: str, size: int) -> None:
    """Half of the steps complete, twenty at most in progress, the rest pending, every other one of them with a need."""
    steps = [
        {"name": f"step-{n:05}", "title": f"Make part {n} of the thing work as it should", "description": "What is to be done. " * 5}
        | {"needs": [f"step-{n - 1:05}"] if n > size / 2 and n % 2 else [], "priority": n % 5, "labels": ["backend"]}
        for n in range(size)
    ]
    with windlass.open(store, project="bench", agent="planner", create=True) as planner:
        planner.plan.apply({"steps": steps})

    def work(worker: int) -> None:
        with windlass.open(store, project="bench", agent=f"worker-{worker}") as project:
            for n in range(worker, size // 2, WORKERS):
                project.steps.claim(f"step-{n:05}").complete(note="done")
            for n in range(size // 2 + worker * 2, size // 2 + min(20, size // 10), WORKERS * 2):
                project.steps.try_claim(f"step-{n:05}")

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))


def change(store: str, what: str) -> None:
    """Somebody else changes ten steps."""
    with windlass.open(store, project="bench", agent="editor") as editor:
        for n in range(CHANGED):
            editor.steps.edit(f"step-{n:05}", description=what)


def fill_peer(store: str, size: int) -> None:
    """The same work in the objects that tracecraft's `claim` and `complete` write; it has no steps that nobody claimed yet."""
    place = urlsplit(store)
    prefix = place.path.strip("/").replace("/", "-") + "-tracecraft"
    bucket = open_store(f"s3://{place.netloc}?{place.query}")

    def put(number: int) -> None:
        state = "complete" if number < size // 2 else "in_progress"
        at = "2026-01-01T00:00:00+00:00"
        for name, said in (
            ("claim", {"agent": "worker", "claimed_at": at}),
            ("status", {"status": state, "agent": "worker", "started_at": at}),
        ):
            bucket.put(f"{prefix}/steps/step-{number:05}/{name}.json", json.dumps(said, indent=2).encode(), Always())

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(put, range(size)))
