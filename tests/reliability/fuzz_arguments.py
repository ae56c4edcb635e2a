"""Command lines made of the real parsers' own options, with hostile values."""

from __future__ import annotations

import os
from typing import NamedTuple

from hypothesis import strategies as st
from tests.reliability.fuzz_text import texts

from windlass.surfaces.cli.context import load, parser_for
from windlass.surfaces.cli.table import COMMANDS, GROUPS

UNSAFE = ("run", "demo", "doctor", "move", "init")
"""Commands that start processes, take seconds or write wherever they are told to: tried apart."""
KNOWN = ("design", "build", "free", "held", "ann", "bob", "_broadcast", "ann:0", "ann:99", "_broadcast:1", "design.api", "notes", "k1")
"""Words that mean something in the small world."""
COUNTS = (
    "0",
    "1",
    "-1",
    "-0",
    "2",
    "007",
    "1_000",
    "٣",
    "１",
    " 1",
    "1 ",
    "+1",
    "1.0",
    "1e3",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "-inf",
    "infinity",
    "0x10",
    "1e308",
    "1e-320",
    "9" * 15,
    "9" * 16,
    "9" * 400,
    "9" * 5000,
    "99999999999",
    "2147483648",
    "18446744073709551616",
    "",
    "x",
    "1\x00",
    "1d",
    "10m",
    "2h",
    "2026-11-20",
    "2026-11-20T14:30",
    "0001-01-01",
    "9999-12-31T23:59:59+23:59",
    "9" * 12,
    "99999999999.9",
    "1e5w",
    "٣d",
    "0001-01-01T00:00:00-23:59",
)
"""Numbers, spans and times as nobody should write them."""
JSONS = (
    '{"a": 1}',
    "[{}]",
    "[1]",
    "1e999",
    '{"x": 1e999}',
    "NaN",
    '{"x": NaN}',
    "[" * 5000,
    '{"a":' * 300 + "1" + "}" * 300,
    '{"\\ud800": "\\ud800"}',
    "",
    "{",
    "9" * 5000,
    '{"a": 1, "a": 2}',
    "\ufeff{}",
)


def _possible(word: str) -> bool:
    """Whether the system could hand it to a process."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return "\0" not in word


words = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(COUNTS),
    st.sampled_from(JSONS),
    texts.filter(lambda text: "@" not in text[:1]),
    st.binary(max_size=6).map(lambda content: content.decode("utf-8", "surrogateescape")),
    st.sampled_from(
        [
            "@",
            "@@",
            "@@x",
            "@/nonexistent",
            "@/",
            "@\x00",
            "@/dev/null",
            "@/proc/self/mem",
            "-",
            "--",
            "---",
            "-x",
            "--json=1",
            "--=",
            "A" * 100_000,
        ]
    ),
).filter(_possible)
"""One argument."""


class Options(NamedTuple):
    """What one command's parser takes."""

    flags: tuple[str, ...]
    valued: tuple[str, ...]


def options_of(name: str) -> Options:
    """The options of a command, as its parser knows them."""
    actions = [action for action in parser_for(name, load(name))._actions if action.option_strings]
    flags = [flag for action in actions if action.nargs == 0 for flag in action.option_strings]
    return Options(tuple(flags), tuple(flag for action in actions if action.nargs != 0 for flag in action.option_strings))


OPTIONS = {name: options_of(name) for name in COMMANDS}
"""By command."""
_WHERE = ("--store", "--while-pid")


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, ...]:
    """The words after `windlass`."""
    if draw(st.integers(0, 9)) == 0:
        return tuple(
            draw(
                st.lists(st.one_of(words, st.sampled_from([*COMMANDS, *GROUPS])), max_size=4).filter(lambda got: not set(got) & set(UNSAFE))
            )
        )
    name = draw(st.sampled_from([one for one in COMMANDS if one not in UNSAFE]))
    options = OPTIONS[name]
    out: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()) and options.valued:
            flag = draw(st.sampled_from([one for one in options.valued if one not in _WHERE]))
            value = draw(
                st.sampled_from(COUNTS) if flag in ("--limit", "--wait", "--timeout", "--lease", "--watch", "--since", "--epoch") else words
            )
            out += [f"{flag}={value}"] if draw(st.booleans()) else [flag, value]
        else:
            out.append(draw(st.sampled_from([flag for flag in options.flags if flag not in ("--debug", "--follow", "-h", "--help")])))
    at = draw(st.integers(0, len(out)))
    out[at:at] = draw(st.lists(st.sampled_from(KNOWN) | words, max_size=2))
    if draw(st.booleans()):
        out.append("--json")
    return (*name.split(), *out)
