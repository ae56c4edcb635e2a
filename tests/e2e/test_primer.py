"""primer: a page for agents, short enough to be read by every one of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from windlass.surfaces.cli.context import load, parser_for
from windlass.surfaces.cli.table import COMMANDS, GROUPS

if TYPE_CHECKING:
    from tests.e2e.cli import Cli

ROOT = Path(__file__).parent.parent.parent
PRIMER = ROOT / "src" / "windlass" / "primer.md"


def test_it_prints_the_page_that_the_documents_show(cli: Cli) -> None:
    text = PRIMER.read_text(encoding="utf-8")
    assert cli.ok("primer").out == text
    assert cli.json("primer") == {"primer": text}
    assert (ROOT / "docs" / "primer.md").read_text(encoding="utf-8") == text


def test_it_fits_in_500_tokens() -> None:
    text = PRIMER.read_text(encoding="utf-8")
    assert len(text.split()) <= 330
    assert len(text) / 4 <= 500, "four characters a token, as tokenizers go on English and commands"


def test_what_it_teaches_is_there_to_be_used() -> None:
    text = PRIMER.read_text(encoding="utf-8")
    commands = re.findall(r"`(?:windlass )?((?:memory |step |plan |artifact |workspace )?[a-z][a-z-]+)((?: [^`]*)?)`", text)
    known = 0
    for name, rest in commands:
        if name not in COMMANDS or name in GROUPS:
            continue
        known += 1
        options = {flag for action in parser_for(name, load(name))._actions for flag in action.option_strings}
        assert set(re.findall(r" (--[a-z-]+)", rest)) <= options, name
    assert known >= 15
    for word in ("whoami", "next", "complete", "--evidence", "inbox --new", "wait-for", "memory set", "--agent", "not orders"):
        assert word in text
    assert all(float(number) < 120 for number in re.findall(r"--(?:wait|timeout) (\d+)", text))
    for code in "0234567":
        assert re.search(rf"(?:· |: |exit ){code} ", text), code
