"""Folders of files for tests: made from a table, and read back into one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def fill(folder: Path, files: Mapping[str, bytes | str | None]) -> Path:
    """Make files (bytes), links (text) and folders (None) in a folder; a path that ends in `*` is executable."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        here = folder / path.removesuffix("*")
        here.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            here.mkdir(exist_ok=True)
        elif isinstance(content, str):
            here.symlink_to(content)
        else:
            here.write_bytes(content)
            here.chmod(0o755 if path.endswith("*") else 0o644)
    return folder


def held(folder: Path) -> dict[str, bytes | str | None]:
    """What is in a folder, as `fill` takes it; without what is Windlass' own."""
    out: dict[str, bytes | str | None] = {}
    for at, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            here = Path(at) / name
            path = str(here.relative_to(folder))
            if path == ".windlass-workspace":
                continue
            if here.is_symlink():
                out[path] = str(here.readlink())
            elif here.is_dir():
                if not any(here.iterdir()):
                    out[path] = None
            else:
                out[path + ("*" if here.stat().st_mode & 0o100 else "")] = here.read_bytes()
    return out
