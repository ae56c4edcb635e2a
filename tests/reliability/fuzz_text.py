"""Hostile texts and values, and what of them may reach a terminal."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

SOAK = float(os.environ.get("WINDLASS_FUZZ", "1"))
"""How many times as many examples; above 1 they are random and not the same each time."""

_ALLOWED = re.compile("\x1b\\[(?:0|1|2|3[1-6])m|\r\x1b\\[K")
"""Our own colours, and a line drawn anew."""
_BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

SIGNS = (
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;title\x07",  # names the window
    "\x1b]52;c;cm0gLXJmIC8=\x07",  # fills the clipboard
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",  # the same escape as one C1 character
    "\x9d0;title\x9c",
    "\x1bP+q544e\x1b\\",  # asks the terminal something: it types the answer
    "\x00",
    "\x07\x08\x08\x7f",
    "safe\rEVIL",
    "\u202egnp.exe\u202c",  # reads right to left
    "\u2066\u2069\u200f\u061c",
    "zero\u200bwidth\ufeff\u2060",
    "\ud800",  # half a character
    "\udcff\udc80",  # bytes that are no UTF-8, as Python carries them
    "\U000e0041\U000e007f",  # tags
    "a\u0301\u0344" + "\u0300" * 40,
    "line\u2028sep\u2029par\x85nel\x0bvt\x0cff",
    "$(touch /tmp/windlass-fuzz-was-here)`id`;'\"\\ & | > < * ? ~ # !",
    "%s%n%d{0}{x!r}${HOME}",
    "--json",
    "-",
    "@/etc/hostname",
    "../../../../etc/passwd",
    '<script>alert(1)</script>]]>"]--><!--',
    "\n[abcdef] designer:0 · data from you · 1s ago\n",
    "\nwindlass: all is well\n",
    "e\u0301\u00e9\ufb01\u212a\u017f",
    "🏴‍☠️" * 3,
    "",
    " ",
    "\t\n",
    "A" * 3000,
)
"""Texts that mean something to a terminal, a shell, a parser or a reader."""

NUMBERS: tuple[Any, ...] = (
    -1, 0, 1, 5, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, -(2**53), 10**30, 10**400, 0.5, -0.0, 1e15, 9e14, -9e14, 1e308, 1e-320, 99_999_999,
    9_999_999_999, 1_800_000_000,
)  # fmt: skip

texts = st.one_of(
    st.sampled_from(SIGNS),
    st.text(max_size=20),
    st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lu"]), max_size=8),
    st.lists(st.sampled_from(SIGNS), min_size=2, max_size=3).map("".join),
)
"""Hostile texts."""


def deep(depth: int, sign: str = "[") -> str:
    """Stands for so many lists (or objects, with "{") within one another, until `encoded` writes them: Python could not."""
    return f"\ue000{depth}{sign}\ue000"


_DEEP = re.compile(r'"\\ue000(\d+)([\[{])\\ue000"')


def encoded(value: Any) -> bytes:
    """As a client of any language may write it."""

    def written(found: re.Match[str]) -> str:
        depth = int(found[1])
        return '{"a":' * depth + "1" + "}" * depth if found[2] == "{" else "[" * depth + "]" * depth

    return _DEEP.sub(written, json.dumps(value)).encode("ascii")


values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    texts,
    st.sampled_from([[], {}, [None], [[]], {"": ""}, [1, "a", None, {}], {"name": "x", "at": "never"}]),
    st.lists(texts, max_size=2),
    st.dictionaries(texts, st.one_of(texts, st.sampled_from(NUMBERS), st.none()), max_size=2),
    st.sampled_from([deep(80), deep(101), deep(300), deep(700), deep(960), deep(101, "{"), deep(400, "{"), deep(940, "{")]),
)
"""JSON values of every type, most of them where they do not belong."""


def steered(text: str, *, tty: bool = False) -> str:
    """The first sign in an output that a terminal would interpret, or nothing. Where it goes to one, our own colours are fine."""
    found = _BAD.search(_ALLOWED.sub("", text) if tty else text)
    return "" if found is None else f"{found.group()!r} in {text[max(0, found.start() - 60) : found.start() + 20]!r}"


_counts = {"inputs": 0, "commands": 0}


def tried(what: str = "inputs") -> None:
    """Count one more, for the soak's figures."""
    _counts[what] += 1


def _report(path: str) -> None:
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{_counts['inputs']} {_counts['commands']}\n")


if "WINDLASS_FUZZ_COUNTS" in os.environ:
    atexit.register(_report, os.environ["WINDLASS_FUZZ_COUNTS"])


def budget(examples: int) -> Callable[[Any], Any]:
    """The same examples each time; in a soak WINDLASS_FUZZ times as many, and others each time. No file is kept."""
    chosen = settings(
        max_examples=max(1, int(examples * SOAK)),
        derandomize=SOAK <= 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        print_blob=True,
    )

    def decorate(test: Any) -> Any:
        inner = test.hypothesis.inner_test

        @functools.wraps(inner)
        def counted(*args: Any, **options: Any) -> None:
            tried()
            inner(*args, **options)

        test.hypothesis.inner_test = counted
        return chosen(test)

    return decorate
