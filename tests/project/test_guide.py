"""The page for Python users: every example on it runs, in order, in a fresh folder; every name on it exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import windlass

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_run_in_order(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, object] = {"__name__": "example"}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), scope)
    assert capsys.readouterr().out.splitlines() == [
        "3 steps to do",
        "design → API in api.py",
        "designer design is complete: API in api.py",
        "read it: windlass handoff design",
        "design.contract is at version 2, set by designer, not 1",
        "[{'file': 'api2.py'}, {'file': 'api.py'}]",
        "['build/api.py', 'build/dist']",
        "b'{\"version\": 1}' (('schema.json@1', 'build/api.py@1'),)",
        "merged style.css",
        "/* attempt 1 */ ['site']",
        "2 done",
    ]
    ready = scope["ready"]
    assert callable(ready)
    with windlass.open("./store", project="demo", agent="planner") as p:
        assert ready(p) == []


def test_the_errors_it_names_exist() -> None:
    named = re.findall(r"`([A-Z][A-Za-z]+)`", PAGE)
    assert named
    for name in named:
        assert issubclass(getattr(windlass, name), windlass.WindlassError)
