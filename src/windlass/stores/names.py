"""Which keys a store accepts, and how the local store writes them as file names.

A file name is the segment in lower case; where that loses something, "~" and a hexadecimal bit map of its capitals
follow. Objects end in "=", so that `a` and `a/b` can live side by side. A segment that starts with a dot or holds a "~"
always carries a map: the names that the store keeps for itself (".tmp", ".locks", ".git") are never a key's.
"""

from __future__ import annotations

from windlass.errors import UsageError

MAX_KEY = 1024
MAX_SEGMENT = 200
"""Bytes: with its map and "=" a segment stays under the 255 bytes that file systems allow."""

_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_LOWER = _LETTERS + b"0123456789._-"
_LEGAL = _LOWER + _LETTERS.upper() + b"~/"


def _refuse(key: str, why: str) -> UsageError:
    return UsageError(f"bad key {key[:80]!r}: {why}", "use letters, digits and . _ - ~ between single slashes")


def _legal(text: str) -> bool:
    return text.isascii() and not text.encode().translate(None, _LEGAL)


def check_key(key: str) -> None:
    """Raise UsageError unless `key` is one that every store accepts."""
    if not _legal(key):
        raise _refuse(key, "a character that no key may hold")
    if len(key) > MAX_KEY:
        raise _refuse(key, f"longer than {MAX_KEY} bytes")
    for segment in key.split("/"):
        if not segment.strip("."):
            raise _refuse(key, "a segment is empty or only dots")
        if len(segment) > MAX_SEGMENT:
            raise _refuse(key, f"a segment is longer than {MAX_SEGMENT} bytes")


def check_prefix(prefix: str) -> None:
    """Raise UsageError unless `prefix` can begin a key; the empty one does."""
    if not _legal(prefix) or len(prefix) > MAX_KEY:
        raise _refuse(prefix, "no key begins like this")
    if any(not segment.strip(".") for segment in prefix.split("/")[:-1]):
        raise _refuse(prefix, "a segment is empty or only dots")


def check_folder(prefix: str) -> None:
    """Raise UsageError unless `prefix` is empty or a legal prefix that ends in "/"."""
    check_prefix(prefix)
    if prefix and not prefix.endswith("/"):
        raise _refuse(prefix, 'a folder ends in "/"')


def encode(segment: str) -> str:
    """The name of a segment's folder; its object's adds "="."""
    low = segment.lower()
    if low == segment and segment[0] != "." and "~" not in segment:
        return segment
    return f"{low}~{sum(1 << at for at, char in enumerate(segment) if char != low[at]):x}"


def file_name(key: str) -> str:
    """The path of a key's object below the store's root; for a prefix that ends in "/" that of its folder, with the slash."""
    *above, last = key.split("/")
    return "/".join([*map(encode, above), encode(last) + "=" if last else ""])


def decode(name: str) -> str | None:
    """The segment that `encode` wrote as `name`, or None where it wrote no such name."""
    if name.isascii() and name[:1] != "." and not name.encode().translate(None, _LOWER):
        return name or None
    low, mark, bits = name.rpartition("~")
    if not mark or len(low) > MAX_SEGMENT or not _legal(low) or not low.strip("."):
        return None
    try:
        capitals = int(bits, 16)
    except ValueError:
        return None
    segment = "".join(char.upper() if capitals >> at & 1 else char for at, char in enumerate(low))
    return segment if encode(segment) == name else None
