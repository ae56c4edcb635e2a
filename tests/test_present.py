"""What is printed cannot move a terminal, whatever somebody wrote."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from windlass.surfaces.present import clean

REMOVED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
SHOWN = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def wanted(text: str) -> str:
    """The rule as it is written down: no control characters but tab and newline, no half characters; bidirectional ones as escapes."""
    return SHOWN.sub(lambda found: f"\\u{ord(found.group()):04x}", REMOVED.sub("", text.replace("\r\n", "\n")))


def test_every_character_there_is() -> None:
    assert not [hex(code) for code in range(0x110000) if clean(chr(code)) != wanted(chr(code))]


@given(st.text(alphabet=st.characters(categories=("Cc", "Cf", "Cs", "Zs", "Ll"))))
def test_any_text(text: str) -> None:
    assert clean(text) == wanted(text)
