"""Patterns of ignore files, as git's wildmatch has them, as regular expressions over bytes.

No pattern makes a match slow: what a star before another star took is never tried again (it need not be).
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SPECIAL = b"*?[\\"
_CLASSES: dict[bytes, Callable[[str], bool]] = {
    b"alnum": str.isalnum,
    b"alpha": str.isalpha,
    b"blank": lambda char: char in " \t",
    b"cntrl": lambda char: not char.isprintable(),
    b"digit": str.isdigit,
    b"graph": lambda char: char.isprintable() and char != " ",
    b"lower": str.islower,
    b"print": str.isprintable,
    b"punct": lambda char: char.isprintable() and not char.isalnum() and char != " ",
    b"space": lambda char: char in " \t\n\v\f\r",
    b"upper": str.isupper,
    b"xdigit": lambda char: char in "0123456789abcdefABCDEF",
}


class _NeverMatches(Exception):
    """A pattern that git takes for malformed."""


def translate(pattern: bytes, *, paths: bool) -> re.Pattern[bytes] | None:
    """What fully matches the names (with `paths`: the relative paths, in which only `**` crosses a slash) of a pattern; None: nothing."""
    plain = 0
    while plain < len(pattern) and pattern[plain] not in _SPECIAL:
        plain += 1
    try:  # git compares the plain beginning by itself, and a `**` right behind it stands at a beginning
        pieces = _pieces(pattern[plain:], paths=paths)
    except _NeverMatches:
        return None
    return re.compile(re.escape(pattern[:plain]) + _joined(pieces), re.DOTALL)


def _joined(pieces: list[list[bytes]]) -> bytes:
    """Each piece begins with what crosses slashes, but for the first; each part of a piece with a star, but for the first."""
    whole = []
    for piece in pieces:
        closed = [b"(?>%s)" % part for part in piece[1:-1]]
        whole.append(b"".join([piece[0], *closed, *piece[1:][-1:]]))
    return b"".join([whole[0], *(b"(?>%s)" % one for one in whole[1:-1]), *whole[1:][-1:]])


def _pieces(pattern: bytes, *, paths: bool) -> list[list[bytes]]:
    pieces: list[list[bytes]] = [[b""]]
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            end = at
            while pattern[end : end + 1] == b"*":
                end += 1
            rest = pattern[end : end + 2]
            bounded = (at == 0 or pattern[at - 1 : at] == b"/") and (not rest or rest[:1] == b"/" or rest == b"\\/")
            if not (paths and end - at > 1 and bounded):
                pieces[-1].append(b"[^/]*?" if paths else b".*?")
            elif rest[:1] == b"/":
                pieces.append([b"(?:.*?/)??"])
                end += 1
            else:
                pieces.append([b".*?"])
            at = end
            continue
        if char == b"?":
            found, at = b"[^/]" if paths else b".", at + 1
        elif char == b"[":
            found, at = _set(pattern, at + 1, paths=paths)
        elif char == b"\\":
            if at + 1 == len(pattern):
                raise _NeverMatches
            found, at = re.escape(pattern[at + 1 : at + 2]), at + 2
        else:
            found, at = re.escape(char), at + 1
        pieces[-1][-1] += found
    return pieces


def _set(pattern: bytes, at: int, *, paths: bool) -> tuple[bytes, int]:
    """The set that begins behind a bracket, and where the pattern goes on. Raises _NeverMatches."""

    def char(place: int) -> int:
        if place >= len(pattern):
            raise _NeverMatches
        return pattern[place]

    taken: set[int] = set()
    negated = char(at) in b"!^"
    at += negated
    before = 0
    first = True
    while first or char(at) != 93:
        first = False
        here = char(at)
        if here == 92:
            at += 1
            here = char(at)
            taken.add(here)
        elif here == 45 and before and char(at + 1) != 93:
            at += 1
            last = char(at)
            if last == 92:
                at += 1
                last = char(at)
            taken.update(range(before, last + 1))
            here = 0
        elif here == 91 and char(at + 1) == 58:
            end = pattern.find(b"]", at + 2)
            if end < 0:
                raise _NeverMatches
            if end > at + 2 and pattern[end - 1] == 58:
                known = _CLASSES.get(pattern[at + 2 : end - 1])
                if known is None:
                    raise _NeverMatches
                taken.update(code for code in range(128) if known(chr(code)))
                at, here = end, 0
            else:
                taken.add(here)
        else:
            taken.add(here)
        before = here
        at += 1
    if negated:
        taken = set(range(256)) - taken
    if paths:
        taken.discard(47)
    return (b"[%s]" % b"".join(b"\\x%02x" % code for code in sorted(taken)) if taken else b"(?!)"), at + 1
