"""A claim on a local store takes no more instructions than when somebody last noted why: a figure that no busy machine moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks import instructions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(not instructions.available(), reason="valgrind is not installed")
def test_a_claim_takes_no_more_instructions_than_noted(tmp_path: Path) -> None:
    kept = instructions.allowed()
    if kept is None:
        pytest.skip(f"no figure is kept for Python {instructions.VERSION}: python -m benchmarks.instructions --note WHY")
    last, most = kept
    found = instructions.count(tmp_path).quotient
    assert found <= most, f"{found:.2f} where {last:.2f} was noted; if that is worth it: python -m benchmarks.instructions --note WHY"


def test_every_kept_figure_says_why() -> None:
    for notes in instructions.kept().values():
        for note in notes:
            assert note["why"]
            assert float(str(note["quotient"])) > 0
