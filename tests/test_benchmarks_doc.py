"""docs/benchmarks.md shows the figures that were measured, each with its command and commit, and every target."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from benchmarks import __main__ as tool

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
FIGURES = json.loads((ROOT / "docs/benchmarks.json").read_text(encoding="utf-8"))


def test_the_page_shows_the_figures_that_were_measured() -> None:
    assert tool.render(PAGE, FIGURES) == PAGE, "run: make bench-full, or python -m benchmarks --render"
    for part, found in FIGURES.items():
        assert re.fullmatch(r"[0-9a-f]{10}\+?", found["commit"]), part
        assert found["command"] == f"python -m benchmarks --full {part}"


def test_every_part_has_its_place_on_the_page() -> None:
    assert set(re.findall(r"<!-- figures: (\w+) -->", PAGE)) == {"targets", *tool.PARTS}


@pytest.mark.parametrize("part", tool.PARTS)
def test_each_part_can_be_run(part: str) -> None:
    assert (ROOT / "benchmarks" / f"{part}.py").exists()


def test_each_plot_of_the_page_is_there() -> None:
    names = set(re.findall(r"\]\(benchmarks/([\w-]+)\.svg\)", PAGE))
    assert names == {path.stem for path in (ROOT / "docs/benchmarks").glob("*.svg")}
