"""Runs the long parts of the reliability programme and writes their figures into docs/reliability.md.

python tools/soak.py [PART…]        run (all parts unless named), then render
python tools/soak.py --render       only write docs/reliability.md anew from docs/reliability.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs/reliability.json"
PAGE = ROOT / "docs/reliability.md"
PARTS: dict[str, list[str]] = {
    "exploration": ["exploration"],
    "simulation": ["simulation", "--seeds", "150", "--jobs", "2"],
    "meetings": ["simulation", "--size", "small", "--seeds", "3000", "--jobs", "2"],
    "histories": ["histories", "--minutes", "20"],
    "commands": ["commands", "--rounds", "60"],
    "crashes": ["crashes"],
    "power": ["power"],
    "lies": ["lies", "--times", "40"],
    "bugs": ["bugs"],
    "fuzz": ["fuzz"],
}
"""Each a module of tests.reliability, with the options of the long run."""
LONG = 50
"""Rows from which on a table is folded away."""
BLOCK = re.compile(r"(<!-- figures: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commit() -> str:
    """The commit that is measured, with a plus where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "src", "tests"], capture_output=True, text=True, check=True).stdout
    return head + ("+" if changed else "")


def run(module: str, options: list[str]) -> tuple[int, dict[str, Any] | None]:
    """One module: its exit code and its figures."""
    measured = commit()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"tests.reliability.{module}", *options, "--out", str(out)]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode
        if not out.exists():
            return code, None
        figures: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    shown = " ".join(["python -m", f"tests.reliability.{module}", *options])
    return code, figures | {"command": shown, "commit": measured, "python": platform.python_version(), "date": time.strftime("%Y-%m-%d")}


def table(figures: dict[str, Any]) -> str:
    """A part's figures as Markdown."""
    lines = ["| " + " | ".join(figures["columns"]) + " |", "|" + "---|" * len(figures["columns"])]
    lines += ["| " + " | ".join(cell(one) for one in row) + " |" for row in figures["rows"]]
    if len(figures["rows"]) > LONG:
        lines = [f"<details><summary>All {len(figures['rows'])}</summary>", "", *lines, "", "</details>"]
    notes = [f"- {note}" for note in figures.get("notes", ())]
    took = duration(figures["seconds"])
    where = f"`{figures['command']}`, commit {figures['commit']}, Python {figures['python']}, {figures['date']}, {took}."
    return "\n".join([*lines, "", *notes, *([""] if notes else []), where, ""])


def cell(value: object) -> str:
    """A number with thousands marked; text that breaks no table."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def duration(seconds: float) -> str:
    """Minutes where there are any."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def render(page: str, figures: dict[str, Any]) -> str:
    """The page with each block of figures written anew."""
    return BLOCK.sub(lambda found: found[1] + (table(figures[found[2]]) if found[2] in figures else "Not measured yet.\n") + found[3], page)


def read() -> dict[str, Any]:
    """The figures by part."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    return found


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
            FIGURES.write_text(json.dumps(read() | {part: found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")
    if failed:
        print(f"found something: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
