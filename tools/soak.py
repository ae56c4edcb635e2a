"""Runs the long parts of the reliability programme and writes their figures into docs/reliability.md.

python -m tools.soak [PART…]        run (all parts unless named), then render
python -m tools.soak --render       only write docs/reliability.md anew from docs/reliability.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools import page
from tools.page import ROOT

FIGURES = ROOT / "docs/reliability.json"
PAGE = ROOT / "docs/reliability.md"
PARTS: dict[str, list[str]] = {
    "exploration": ["exploration"],
    "simulation": ["simulation", "--seeds", "150", "--jobs", "2"],
    "meetings": ["simulation", "--size", "small", "--seeds", "3000", "--jobs", "2"],
    "files": ["simulation_files", "--seeds", "400", "--jobs", "2"],
    "histories": ["histories", "--minutes", "20"],
    "commands": ["commands", "--rounds", "60"],
    "crashes": ["crashes"],
    "power": ["power"],
    "lies": ["lies", "--times", "40"],
    "bugs": ["bugs"],
    "fuzz": ["fuzz"],
}
"""Each a module of tests.reliability, with the options of the long run."""


def run(module: str, options: list[str]) -> tuple[int, dict[str, Any] | None]:
    """One module: its exit code and its figures."""
    measured = page.commit("src", "tests")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"tests.reliability.{module}", *options, "--out", str(out)]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode
        if not out.exists():
            return code, None
        figures: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    shown = " ".join(["python -m", f"tests.reliability.{module}", *options])
    return code, figures | {"command": shown, "commit": measured, "python": platform.python_version(), "date": time.strftime("%Y-%m-%d")}


def show(figures: dict[str, Any]) -> str:
    """A part's figures as Markdown."""
    notes = [f"- {note}" for note in figures.get("notes", ())]
    return "\n".join([page.folded(figures["columns"], figures["rows"]), "", *notes, *([""] if notes else []), page.source(figures), ""])


def render(text: str, figures: dict[str, Any]) -> str:
    """The page with each part's figures written anew."""
    return page.render(text, lambda part: show(figures[part]) if part in figures else None)


def main() -> int:
    """Exit code 1 where a part found something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="those alone")
    parser.add_argument("--render", action="store_true", help="run nothing")
    options = parser.parse_args()
    failed = []
    for part in [] if options.render else options.parts or PARTS:
        print(f"— {part}", flush=True)
        code, found = run(PARTS[part][0], PARTS[part][1:])
        if code:
            failed.append(part)
        if found is not None:  # read anew: another run may have written meanwhile
            page.write(FIGURES, page.read(FIGURES) | {part: found})
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), page.read(FIGURES)), encoding="utf-8")
    if failed:
        print(f"found something: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
