"""What registers refer to, told from the raw objects by a reader of its own: whoever counts must find all of it there, and whole."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from windlass.protocol import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Look = Callable[[str], bytes | None]

PART = 4 * 1024 * 1024
ROOMS = ("artifacts/", "steps/", "versions/", "workspaces/")
"""Where registers are that refer to blobs."""


_parsed = lru_cache(20_000)(json.loads)
"""Nobody changes what it returns."""


def _read(key: str, look: Look) -> Any:
    body = look(key)
    return {} if body is None else _parsed(body)


def _published(key: str, look: Look) -> list[Any]:
    """The versions of artifacts that a register or an archived object holds, unless they are deleted."""
    doc = _read(key, look)
    found = doc.get("artifacts", {}).values() if key.startswith("steps/") else [doc.get("current")]
    return [one for one in found if one and not one.get("deleted")]


def is_published(artifact: str, look: Look) -> bool:
    """Whether an artifact of no step is there, and not deleted."""
    return bool(_published(keys.artifact(artifact), look))


def counts(workspace: str, look: Look, of: str = "") -> bool:
    """Whether a workspace (`of`: that was forked from that one) is there: not torn down, and not one of a fork that is not done."""
    doc = _read(keys.workspace(workspace), look)
    if not doc or doc.get("deleted") or (of and doc.get("origin") != of):
        return False
    return not doc.get("forming") or _read(keys.pending(doc["forming"]), look).get("state") == "done"


def names_of(key: str, look: Look) -> Iterator[str]:
    """The blobs that a register needs, one that does not count none. Of a tree that is not there the name comes, and nothing below it."""
    if key.startswith("workspaces/"):
        if counts(keys.parse_workspace(key) or "", look):
            doc = _read(key, look)
            roots = [
                doc.get("root", {}),
                *(one.get("root", {}) for kind in ("checkpoints", "merged") for one in doc.get(kind, {}).values()),
            ]
            for root in roots:
                if root.get("tree"):
                    yield from _below(root["tree"], look)
        return
    if (place := keys.parse_artifact_version(key)) is not None:
        step, name, number = place
        live = _read(keys.step(step), look).get("artifacts", {}).get(name) if step else _read(keys.artifact(name), look).get("current")
        if not live or number < live.get("first", 1):
            return
    for one in _published(key, look):
        yield from _of_row(one["content"], look)


def _below(tree: str, look: Look) -> Iterator[str]:
    yield tree
    doc = _read(keys.blob(tree), look)
    for row in doc.get("entries", {}).values():
        yield from _of_row(row, look)
    for _, leaf in doc.get("leaves", ()):
        yield from _below(leaf, look)


def _of_row(row: Any, look: Look) -> Iterator[str]:
    kind = row[0]
    if kind == "d" and row[1]:
        yield from _below(row[1], look)
    elif kind in ("f", "x") and row[2]:
        name = row[3] if len(row) > 3 else f"{row[1]}.0"
        yield name
        if row[2] > PART:
            yield from _read(keys.blob(name), look).get("parts", ())


def check(artifacts: Sequence[str], workspaces: Sequence[str], look: Look) -> None:
    """Raises AssertionError where something that these refer to is not there, or not whole, or an older version is not."""
    for name in artifacts:
        current = _read(keys.artifact(name), look).get("current")
        for number in range(current.get("first", 1), current["version"]) if current else ():
            assert look(keys.artifact_version("", name, number)) is not None, f"version {number} of {name} is lost"
            _check_register(keys.artifact_version("", name, number), look)
        _check_register(keys.artifact(name), look)
    for name in workspaces:
        _check_register(keys.workspace(name), look)


def _check_register(key: str, look: Look) -> None:
    for name in names_of(key, look):
        body = look(keys.blob(name))
        assert body is not None, f"{key} refers to {name[:8]}….{name[65:]}, which is not there"
        assert sha256(body).hexdigest() == name[:64], f"{key} refers to {name}, which is damaged"
