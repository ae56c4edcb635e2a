"""docs/reliability.md shows the figures that were measured, each with its command and commit, and names what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tools import soak

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


def test_the_page_shows_the_figures_that_were_measured() -> None:
    figures = json.loads((ROOT / "docs/reliability.json").read_text(encoding="utf-8"))
    assert soak.render(PAGE, figures) == PAGE, "run: python -m tools.soak --render"
    assert figures.keys() <= soak.PARTS.keys()
    for part, found in figures.items():
        assert re.fullmatch(r"[0-9a-f]{10}\+?", found["commit"]), part
        assert found["command"].startswith(f"python -m tests.reliability.{soak.PARTS[part][0]}"), part


def test_every_part_of_the_long_run_has_its_place_on_the_page() -> None:
    assert set(re.findall(r"<!-- figures: (\w+) -->", PAGE)) == set(soak.PARTS)
    for module, *_ in soak.PARTS.values():
        assert (ROOT / "tests/reliability" / f"{module}.py").exists() or (ROOT / "tests/reliability" / module / "__main__.py").exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))))
def test_the_files_that_it_names_are_there(path: str) -> None:
    assert (ROOT / path).exists()
