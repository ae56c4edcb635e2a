"""How surely the doctor refuses stores that lie: examines each liar, and stores that race rarely, again and again.

python -m tests.reliability.lies --times 20 --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.stores.test_probes import LIES, Lie

from windlass.project.doctor import check
from windlass.stores.memory import MemoryStore
from windlass.testing import liars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass.project.doctor import Report
    from windlass.stores.base import Store

CHANCES = (0.5, 0.1, 0.03, 0.01, 0.003)
"""How often a race goes wrong."""
PATIENCE = 0.2


def examine(one: Subject, turn: int) -> Report:
    """One examination of a fresh store."""
    return check(one.make(turn, MemoryStore()), quick=one.quick, patience=PATIENCE)


def main(arguments: Sequence[str]) -> int:
    """1 where the doctor passes a liar that it should know, or refuses an honest store."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.lies", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="examinations of each store")
    parser.add_argument("--out", help="a file for the figures, as JSON")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    rows: list[list[str | int]] = []
    wrong = 0
    for one in subjects():
        reports = [examine(one, turn) for turn in range(options.times)]
        refused = [report for report in reports if not report.safe]
        checks = sorted({finding.name for report in refused for finding in report.broken})
        rows.append([one.name, "quick" if one.quick else "whole", options.times, len(refused), ", ".join(checks)])
        wrong += one.lies is not None and len(refused) != (options.times if one.lies else 0)
        print("  ".join(str(cell) for cell in rows[-1]), flush=True)
    seconds = time.monotonic() - began
    notes = [f"{len(LIES)} stores that lie; {wrong} of them, or of the honest one, judged wrongly at least once"]
    print(notes[0])
    if options.out:
        command = " ".join(["python -m tests.reliability.lies", *arguments])
        columns = ["store", "examination", "examined", "refused", "broken promises"]
        told = {"part": "lies", "command": command, "seconds": round(seconds, 1), "columns": columns, "rows": rows, "notes": notes}
        Path(options.out).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


class Subject(NamedTuple):
    """A kind of store to examine: `make` builds the one of a turn. `lies`: it must be refused; None: it may be."""

    name: str
    make: Callable[[int, Store], Store]
    lies: bool | None
    quick: bool


def subjects() -> list[Subject]:
    """All that is examined."""
    honest = [Subject("honest", lambda turn, store: liars.Liar(store), False, quick) for quick in (True, False)]
    known = [Subject(_name(lie), partial(_lying, lie), True, True) for lie in LIES]
    rare = [
        Subject(f"races wrongly in {chance:.1%}", partial(_racing, chance), None, quick) for quick in (True, False) for chance in CHANCES
    ]
    return [*honest, *known, *rare]


def _name(lie: Lie) -> str:
    return lie.make.__name__ if isinstance(lie.make, type) else "Races on replace"


def _lying(lie: Lie, turn: int, store: Store) -> Store:
    return lie.make(store)


def _racing(chance: float, turn: int, store: Store) -> Store:
    return liars.RacesRarely(store, chance, turn)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
