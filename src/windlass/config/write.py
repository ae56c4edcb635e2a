"""Writes `.windlass.toml`: store and project, never a credential."""

from __future__ import annotations

import os
import re

from windlass.config import places, where
from windlass.config.files import FileSettings, find_file, read_file, trust
from windlass.errors import UsageError, WindlassError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def write_file(env: Mapping[str, str], folder: str, worktree: str | None, values: Mapping[str, str]) -> tuple[FileSettings, bool]:
    """Make the file that counts for `folder` say these values, and trust it on this machine; whether that changed it.

    It lies in the worktree's root, or in `folder` outside git; one that lies nearer is changed in its place.
    Raises UsageError, WindlassError.
    """
    path = f"{worktree or folder}/{where.CONFIG_NAME}"
    nearest = find_file(env, folder)
    if worktree and nearest and nearest.path.startswith(worktree.rstrip("/") + "/"):
        path = nearest.path
    before = read_file(path) if os.path.lexists(path) else None
    wanted = dict(values)
    if "store" in wanted:
        wanted["store"] = _relative(wanted["store"], os.path.dirname(path))
    changed = before is None or any(getattr(before, key) != value for key, value in wanted.items())
    if changed:
        _write(path, _text(path if before else None, wanted))
    state = places.state_dir(env)
    return trust(path, state) if state else read_file(path), changed


def _relative(store: str, folder: str) -> str:
    """A store within the file's own folder moves with it."""
    inside = "://" not in store and store.startswith(folder.rstrip("/") + "/")
    return f"./{os.path.relpath(store, folder)}" if inside else store


def _text(path: str | None, wanted: Mapping[str, str]) -> str:
    """The file's text with the wanted values; what else it says stays."""
    import tomllib

    text = ""
    if path is not None:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    old = tomllib.loads(text)
    for key, value in reversed(list(wanted.items())):  # new lines go on top
        line = f"{key} = {_quoted(value)}"
        text, found = re.subn(rf"^[ \t]*{key}[ \t]*=.*$", lambda _, line=line: line, text, count=1, flags=re.MULTILINE)  # type: ignore[misc]
        if not found:
            text = f"{line}\n{text}"
    try:
        if tomllib.loads(text) == {**old, **wanted}:
            return text
    except ValueError:  # a value over several lines was cut
        pass
    return "".join(f"{key} = {_quoted(value) if isinstance(value, str) else value}\n" for key, value in {**old, **wanted}.items())


def _quoted(value: str) -> str:
    import json

    if any(0xD800 <= ord(c) <= 0xDFFF or c == "\x7f" for c in value):
        raise UsageError(f"{value!r} cannot be written to {where.CONFIG_NAME}", "choose another place, or set WINDLASS_STORE")
    return json.dumps(value, ensure_ascii=False)


def _write(path: str, text: str) -> None:
    try:
        places.replace_file(path, text.encode(), 0o644)
    except OSError as error:
        raise WindlassError(f"cannot write {path}: {error.strerror}", "make that folder writable, or set WINDLASS_STORE") from None
