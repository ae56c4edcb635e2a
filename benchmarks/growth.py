"""What a project's age costs: the same commands after a short and after a long history."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.bench import listed, requests
from benchmarks.figures import Figures, Plot, Table, Target
from benchmarks.spread import spread

import windlass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench, Side

    from windlass.testing.proxy import Proxy

COMMANDS = {
    "claim": "claim new-{n} --create",
    "complete": "complete new-{n} --note done",
    "next, some ready": "next",
    "next, none ready": "next --label none",
    "send": "send bob hello",
    "inbox --new": "inbox --new",
    "inbox": "inbox",
    "memory set": "memory set a.b {n}",
    "memory get": "memory get a.b",
}
"""What is done often. `{n}` is another number each time."""
WORKERS = 8
READY = 40
"""Steps that are ready after the history, more than are taken."""
MOST = 1.15
"""CPU after the longest history, over CPU after the shortest, where it counts as no slope."""


def run(bench: Bench) -> Figures:
    """On the S3 server (CPU and requests) and on a local store (CPU), projects of 100, 1,000 and (in full) 10,000 of each."""
    sizes = [50, 250] if bench.quick else [100, 1000, 10_000]
    times = bench.times(5, 15)
    tables, targets, plots = [], [], []
    for place in ("S3", "local"):
        proxy = bench.proxy() if place == "S3" else None
        sides = {}
        for size in sizes:
            bench.say(f"{place}: a history of {size:,}")
            store = bench.s3() if proxy else bench.local()
            fill(store, size)
            sides[size] = bench.windlass(bench.through(store, proxy.url) if proxy else store)
            for said in ("claim first", "complete first", "memory get a.b", "send bob hello", "inbox --new", "next", "next --label none"):
                sides[size](*said.split(), ok=(0, 4, 5))
        found = {name: measure(sides, said, times, proxy) for name, said in COMMANDS.items()}
        rows = []
        for name, by_size in found.items():
            cells: list[object] = [name]
            for cpu, counts in by_size.values():
                cells += [spread(cpu, 1000), *([listed(counts)] if proxy else [])]
            slope = median(by_size[sizes[-1]][0]) / median(by_size[sizes[0]][0])
            rows.append([*cells, f"{slope:.2f}"])
            same = by_size[sizes[-1]][1] == by_size[sizes[0]][1]
            goal = f"CPU ≤ {MOST:g} ×" + (", the same requests" if proxy else "")
            reached = f"{slope:.2f} ×" + (", the same" if proxy and same else ", other" if proxy else "")
            targets.append(
                Target(12, f"{name} after {sizes[-1] // sizes[0]} × the history, {place}", goal, reached, slope <= MOST and same)
            )
        columns = ["Command"]
        for size in sizes:
            columns += [f"{size:,}: CPU ms", *(["requests"] if proxy else [])]
        tables.append(Table(f"{place}: after so many steps, messages, broadcasts and versions", [*columns, "slope of CPU"], rows))
        lines = {name: [(float(size), median(cpu) * 1000) for size, (cpu, _) in by_size.items()] for name, by_size in found.items()}
        plots.append(Plot(f"growth-{place.lower()}", f"CPU of a command as the project grows, {place}", "history", "ms", lines, "x"))
    return Figures(tables, targets, NOTES, plots)


NOTES = (
    "A history of N: N steps claimed and completed, N messages to the agent and N broadcasts, all read, N versions of one memory key.",
    "CPU, user and system, of a whole process: wall time on this server follows it. The sizes are measured in turn.",
)


def fill(store: str, size: int) -> None:
    """Make a history through the Python API."""

    def work(worker: int) -> None:
        with windlass.open(store, project="bench", agent=f"worker-{worker}") as project:
            for number in range(worker, size, WORKERS):
                with project.steps.claim(f"old-{number}", create=True) as claim:
                    claim.complete(note="done")
                project.mail.send("alice", f"message {number}")
                project.mail.send("_broadcast", f"news {number}")

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    with windlass.open(store, project="bench", agent="bob") as bob:
        for number in range(size):  # one writer: eight at once would be told that the key changes too fast
            bob.memory.set("a.b", number)
        bob.plan.apply({"steps": [{"name": f"ready-{number}"} for number in range(READY)]})
    with windlass.open(store, project="bench", agent="alice") as alice:
        alice.mail.seen(alice.mail.look(new=True, limit=3 * size))


def measure(sides: Mapping[int, Side], said: str, times: int, proxy: Proxy | None) -> dict[int, tuple[list[float], dict[str, int]]]:
    """CPU of each run and the median run's requests, by size; the sizes in turn."""
    cpu: dict[int, list[float]] = {size: [] for size in sides}
    counts: dict[int, list[dict[str, int]]] = {size: [] for size in sides}
    for number in range(times):
        for size, side in sides.items():
            before = len(proxy.log) if proxy else 0
            cpu[size].append(side(*said.format(n=number).split(), ok=(0, 4, 5)).cpu)
            counts[size].append(requests(list(proxy.log)[before:]) if proxy else {})
    return {size: (cpu[size], sorted(counts[size], key=lambda one: sum(one.values()))[times // 2]) for size in sides}
