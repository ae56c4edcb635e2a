"""Measured figures as blocks of a page: a JSON file keeps them, the page shows them between two marks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parent.parent
LONG = 50
"""Rows from which on a table is folded away."""
BLOCK = re.compile(r"(<!-- figures: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commit(*folders: str) -> str:
    """The commit that is measured, with a plus where files in these folders differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", *folders], capture_output=True, text=True, check=True).stdout
    return head + ("+" if changed else "")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(one) for one in row) + " |" for row in rows]
    return "\n".join(lines)


def folded(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """As `table`, folded away where it is long."""
    shown = table(columns, rows)
    return f"<details><summary>All {len(rows)}</summary>\n\n{shown}\n\n</details>" if len(rows) > LONG else shown


def cell(value: object) -> str:
    """A number with thousands marked; text that breaks no table."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def duration(seconds: float) -> str:
    """Minutes where there are any."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def source(figures: dict[str, Any]) -> str:
    """Where figures come from: command, commit, Python, date, how long it took."""
    took = duration(figures["seconds"])
    return f"`{figures['command']}`, commit {figures['commit']}, Python {figures['python']}, {figures['date']}, {took}."


def render(page: str, block: Callable[[str], str | None]) -> str:
    """The page with each block of figures written anew; None: it was not measured yet."""
    return BLOCK.sub(lambda found: found[1] + (block(found[2]) or "Not measured yet.\n") + found[3], page)


def read(path: Path) -> dict[str, Any]:
    """The figures by part."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(path: Path, figures: dict[str, Any]) -> None:
    """Keep the figures by part."""
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
