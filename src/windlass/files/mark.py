"""The file `.windlass-workspace`: which workspace a folder holds, and in which state it last agreed with it."""

from __future__ import annotations

import os

from windlass import jsons
from windlass.errors import Damaged, WindlassError
from windlass.files.paths import MARK, READ, create_temporary, open_root, read_all, said, unlink, write_all
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 4 * 1024 * 1024
"""Bytes of a mark."""


class Mark(Record):
    """Where a folder belongs. It says so, no more: whoever can write to the folder can write this file, so never send to its `store`
    on its word alone.
    """

    store: str
    project: str
    workspace: str
    base: dict[str, Any]


def read(root: str) -> Mark | None:
    """The mark of a folder, None where it has none. Raises Damaged, UsageError."""
    where = f"{root.rstrip('/')}/{MARK}"
    folder = open_root(root)
    try:
        fd = os.open(MARK, READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(where, said(error)) from None
    finally:
        os.close(folder)
    try:
        facts = os.fstat(fd)
        if facts.st_mode & 0o170000 != 0o100000 or facts.st_uid != os.geteuid() or facts.st_size > LARGEST:
            raise _damaged(where, f"it is no file of your own of at most {LARGEST} bytes")
        told = jsons.loads(read_all(fd, LARGEST, 0).decode())
    except OSError as error:
        raise _damaged(where, said(error)) from None
    except (ValueError, RecursionError):
        raise _damaged(where, "it is not JSON") from None
    finally:
        os.close(fd)
    if isinstance(told, dict) and told.get("format") == 1:
        texts = [told.get(name) for name in ("store", "project", "workspace")]
        base = told.get("base")
        if all(isinstance(text, str) for text in texts) and isinstance(base, dict):
            store, project, workspace = map(str, texts)
            return Mark(store=store, project=project, workspace=workspace, base=base)
    raise _damaged(where, "it does not name a workspace as this version writes it")


def write(root: str, mark: Mark) -> None:
    """Mark a folder, whole or not at all. Raises UsageError, WindlassError."""
    told = {"format": 1, "store": mark.store, "project": mark.project, "workspace": mark.workspace, "base": mark.base}
    body = jsons.dumps(told).encode() + b"\n"
    assert len(body) <= LARGEST
    folder = open_root(root)
    try:
        fd, temporary = create_temporary(folder)
        try:
            write_all(fd, body, 0)
            os.fsync(fd)
            os.rename(temporary, MARK, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            unlink(temporary, folder)
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise WindlassError(f"cannot write {root.rstrip('/')}/{MARK}: {said(error)}", "see to the folder, then run it again") from None
    finally:
        os.close(folder)


def _damaged(where: str, why: str) -> Damaged:
    error = Damaged(where, why)
    error.hint = "remove it, then pull the workspace into the folder again; files that differ are named, not overwritten"
    return error
