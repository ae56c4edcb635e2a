"""How many instructions `windlass claim` takes on a local store: a figure that a busy machine cannot move.

python -m benchmarks.instructions                 count, and compare with what is kept
python -m benchmarks.instructions --note WHY      keep the figure of today, with the reason why it changed

Kept is the quotient of what the command takes beyond a bare interpreter and of what `import json, argparse` takes beyond
it: so another machine or build moves it little. benchmarks/instructions.json has a list for each minor version of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figures import Figures, Table

if TYPE_CHECKING:
    from benchmarks.bench import Bench

ROOT = Path(__file__).parent.parent
KEPT = Path(__file__).with_suffix(".json")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
GROWTH = 0.10
"""As a share: what a change may add without a note."""
OTHER_BUILD = 0.25
"""The same where the kept figure is another build's, which has other modules built in."""
CLAIM = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); from windlass.__main__ import entry; entry()"


NOTES = (
    "Counted by valgrind's callgrind. The quotient: what the claim takes beyond a bare interpreter by what `import json, argparse` takes.",
    f"A test fails when it grows by more than {GROWTH:.0%} without a note in benchmarks/instructions.json.",
)


class Counted(NamedTuple):
    """Instructions of three processes."""

    bare: int
    library: int
    claim: int

    @property
    def quotient(self) -> float:
        """What is kept."""
        return (self.claim - self.bare) / (self.library - self.bare)


def available() -> bool:
    """Whether there is anything to count with."""
    return shutil.which("valgrind") is not None


def count(folder: Path) -> Counted:
    """Count, in an empty folder: a project with a settings file, and an agent who has acted before. Raises RuntimeError."""
    work = folder / "work"
    work.mkdir()
    (work / ".windlass.toml").write_text('store = "./store"\nproject = "demo"\n', encoding="utf-8")
    (work / "store").mkdir()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "WINDLASS_AGENT": "worker",
    }
    programs = (["pass"], ["import json, argparse"], [CLAIM, "claim", "second"])
    for warm in (programs[1], [CLAIM, "claim", "first"]):
        _run([sys.executable, "-S", "-c", *warm], work, env)
    counts = []
    for program in programs:
        said = _run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-S", "-c", *program], work, env)
        found = re.search(r"Collected : (\d+)", said)
        if found is None:
            raise RuntimeError(f"valgrind counted nothing:\n{said}")
        counts.append(int(found[1]))
    return Counted(*counts)


def _run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stderr


def kept() -> dict[str, list[dict[str, object]]]:
    """All notes by minor version, oldest first."""
    found: dict[str, list[dict[str, object]]] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return found


def allowed() -> tuple[float, float] | None:
    """The newest kept quotient for this Python, and the largest that is no growth; None where none is kept."""
    notes = kept().get(VERSION)
    if not notes:
        return None
    last = float(str(notes[-1]["quotient"]))
    return last, last * (1 + (GROWTH if notes[-1]["python"] == sys.version else OTHER_BUILD))


def keep(counted: Counted, why: str) -> None:
    """Add a note."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    note = {
        "quotient": round(counted.quotient, 4),
        "instructions": counted._asdict(),
        "date": time.strftime("%Y-%m-%d"),
        "after": head.stdout.strip(),
        "python": sys.version,
        "why": why,
    }
    notes = kept()
    notes.setdefault(VERSION, []).append(note)
    KEPT.write_text(json.dumps(dict(sorted(notes.items())), indent=1) + "\n", encoding="utf-8")


def run(bench: Bench) -> Figures:
    """The figure of today beside those that are kept."""
    rows: list[list[object]] = [
        [version, note["date"], f"{float(str(note['quotient'])):.2f}", note["why"]] for version, notes in kept().items() for note in notes
    ]
    if not available():
        return Figures(
            [Table("Instructions of a local claim", ["Python", "Kept on", "Quotient", "Why"], rows)], notes=["valgrind is missing."]
        )
    found = count(bench.folder_for("instructions"))
    rows.append([VERSION, "now", f"{found.quotient:.2f}", "measured in this run"])
    processes = ("a bare interpreter", found.bare), ("+ import json, argparse", found.library), ("windlass claim, local store", found.claim)
    millions = [[name, f"{instructions / 1e6:.1f}"] for name, instructions in processes]
    return Figures(
        [
            Table(
                "Instructions of a local claim",
                ["Process, without site", "Million instructions"],
                millions,
            ),
            Table("How that changed", ["Python", "Kept on", "Quotient", "Why"], rows),
        ],
        notes=NOTES,
    )


def main() -> None:
    """Count, compare, keep where a note is given."""
    parser = argparse.ArgumentParser(description="Instructions of a local claim.")
    parser.add_argument("--note", metavar="WHY", help="keep the figure, with the reason why it changed")
    note = parser.parse_args().note
    with tempfile.TemporaryDirectory() as folder:
        found = count(Path(folder))
    print(f"Python {VERSION}: {found}, quotient {found.quotient:.4f}; kept: {allowed()}")
    if note:
        keep(found, note)


if __name__ == "__main__":
    main()
