"""The long forms: every fault at every call of every scenario and command, pairs of kills, and invented stories that lose power."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.reliability.crash_commands import COMMANDS, Home, sweep_command
from tests.reliability.crashes import CHANGING, SCENARIOS, Bench, Nursery, Tally, sweep, why_not
from tests.reliability.power_stories import STORIES, Story, invented, judged, recorders

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
COLUMNS = ["operation", "fault", "points", "recovered", "torn", "acknowledged but lost"]


def _tried(name: str) -> tuple[dict[tuple[str, str], Counter[str]], list[str]]:
    """All of one scenario, command or pair of kills."""
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        folder = Path(os.path.realpath(place))
        with Nursery(folder / "nursery") as nursery:
            for scenario in SCENARIOS:
                if scenario.name == name:
                    sweep(Bench(folder, nursery, scenario), tally)
                if f"{scenario.name}, twice" == name:
                    _twice(Bench(folder, nursery, scenario), tally)
            for command in COMMANDS:
                if command.name == name:
                    sweep_command(Home(folder, nursery, command), tally)
    return tally.rows, tally.violations


def _twice(bench: Bench, tally: Tally) -> None:
    points = [point for point in bench.points() if point.call in CHANGING and "O_RDONLY" not in point.about]
    for first in points:
        for second in points:
            verdict = bench.hit_twice(first, second)
            tally.add(f"{bench.scenario.name}, twice", "KILL, KILL", f"{first} and {second}", verdict)


def crashes_main() -> int:
    """Every fault at every system call. Exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser("python -m tests.reliability.crashes", description=crashes_main.__doc__)
    parser.add_argument("--only", action="append", help="one scenario or command by its name")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if reason := why_not(Path(place)):
            print(reason, file=sys.stderr)
            return 1
    pairs = [f"{scenario.name}, twice" for scenario in SCENARIOS if scenario.name in {"create in new folders", "replace", "delete"}]
    every = [*(command.name for command in COMMANDS), *(scenario.name for scenario in SCENARIOS), *pairs]
    names = options.only or every
    started = time.monotonic()
    rows: list[list[Any]] = []
    violations: list[str] = []
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name, (counted, wrong) in zip(names, pool.map(_tried, names), strict=True):
            _progress(f"{name}: {sum(row['points'] for row in counted.values())} points, {len(wrong)} wrong", wrong)
            rows += [[*key, row["points"], row["recovered"], row["torn"], row["lost"]] for key, row in counted.items()]
            violations += wrong
    total = [sum(row[column] for row in rows) for column in range(2, 6)]
    rows = [*by_operation(rows), ["all", "", *total]]
    return _write(options.out, "crash points of the local store", started, COLUMNS, rows, violations)


def power_main() -> int:
    """Power failures of told and invented stories, alone and after the death of a process. Exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser("python -m tests.reliability.power", description=power_main.__doc__)
    parser.add_argument("--stories", type=int, default=40, help="how many are invented")
    parser.add_argument("--seed", type=int, default=1, help="of the first invented story")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out")
    options = parser.parse_args()
    started = time.monotonic()
    stories = [*STORIES, *(invented(seed) for seed in range(options.seed, options.seed + options.stories))]
    rows: list[list[Any]] = []
    violations: list[str] = []
    made = [0, 0, 0]
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for story, (runs, states, wrong) in zip(stories, pool.map(_lost_power, stories), strict=True):
            _progress(f"{story.name}: {runs} runs, {states} states, {len(wrong)} wrong", wrong)
            violations += wrong
            if story in STORIES:
                rows.append([story.name, runs, states, len(wrong)])
            else:
                made = [before + now for before, now in zip(made, (runs, states, len(wrong)), strict=True)]
    rows.append([f"{options.stories} invented, seeds from {options.seed}", *made])
    columns = ["story", "runs (one for each change at which a process is killed)", "different disks after power came back", "wrong"]
    return _write(options.out, "power failures of the local store", started, columns, rows, violations)


def _lost_power(story: Story) -> tuple[int, int, list[str]]:
    runs = states = 0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        for recorder in recorders(Path(place), story):
            found = judged(recorder, story, Path(place, "after"))
            runs, states = runs + 1, states + found.states
            wrong += found.wrong
    return runs, states, wrong


def _progress(line: str, wrong: Iterable[str]) -> None:
    print(line, flush=True)
    for one in list(wrong)[:10]:
        print(f"  {' '.join(one.split())[:400]}", file=sys.stderr)


def by_operation(rows: list[list[Any]]) -> list[list[Any]]:
    """One row an operation, with how many points of which fault it had."""
    grouped: dict[str, list[list[Any]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return [
        [name, ", ".join(f"{row[1]} {row[2]}" for row in some), *(sum(row[column] for row in some) for column in range(2, 6))]
        for name, some in grouped.items()
    ]


def _write(out: str | None, part: str, started: float, columns: list[str], rows: list[list[Any]], violations: list[str]) -> int:
    seconds = round(time.monotonic() - started, 1)
    document = {
        "part": part,
        "command": " ".join(["python -m", f"tests.reliability.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "seconds": seconds,
        "columns": columns,
        "rows": rows,
        "notes": [f"{len(violations)} violations", *violations[:100]],
    }
    if out:
        Path(out).write_text(json.dumps(document, indent=1))
    print(f"{rows[-1]}; {len(violations)} violations in {seconds} s")
    return 1 if violations else 0
