"""Kinds of option values that several commands take."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

SHOWN = 20
"""Entries of a list shown without being asked for more."""
LONGEST = 1e9
"""Seconds: no span of time may be longer, and what waits could not count it."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """A span of time, not negative. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LONGEST:
        raise _mistake(f"{text!r} is no number of seconds")
    return value


def span(text: str) -> float:
    """A span of time in seconds, as `90`, `45s`, `90m`, `24h` or `7d`. Raises ArgumentTypeError."""
    number, unit = (text[:-1], text[-1:]) if text[-1:].isalpha() else (text, "s")
    try:
        value = float(number) * _UNITS[unit.lower()]
    except (KeyError, ValueError):
        value = -1.0
    if not 0 <= value <= LONGEST:
        raise _mistake(f"{text!r} is no span of time: write 90, 45s, 90m, 24h or 7d")
    return value


def count(text: str) -> int:
    """A whole number, not negative. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _mistake(f"{text!r} is no whole number")
    return int(text)


def _mistake(text: str) -> Exception:
    from argparse import ArgumentTypeError

    return ArgumentTypeError(text)


def names(given: Iterable[str]) -> tuple[str, ...]:
    """Names given one by one or joined by commas, each once; an empty one gives none."""
    return tuple(dict.fromkeys(name.strip() for one in given for name in one.split(",") if name.strip()))


def add_limit(parser: ArgumentParser, what: str) -> None:
    """`--limit N`, where 0 means all."""
    parser.add_argument("--limit", type=count, default=SHOWN, metavar="N", help=f"{what} to show (default {SHOWN}, 0 for all)")
