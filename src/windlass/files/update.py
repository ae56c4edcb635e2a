"""Brings a folder of the user's to a new state, change by change; what is not as the caller expects is left alone and named."""

from __future__ import annotations

import errno
import os

from windlass.errors import UsageError
from windlass.files.paths import check_path, check_target, create_temporary, leads_out, open_folder, open_root, said, unlink, write_all
from windlass.files.placing import put_new, umask
from windlass.files.scan import Left, found_at
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from windlass.files.scan import Found


class Write(Record):
    """A file with this content, in place of `expected`. Large content comes in pieces, asked for one by one.

    `expected` None: in place of nothing, or of what a `Delete` among the same changes removes.
    """

    path: str
    content: bytes | Iterable[bytes]
    exec: bool = False
    expected: Found | None = None


class MakeLink(Record):
    """A link, in place of `expected`."""

    path: str
    target: str
    expected: Found | None = None


class SetExec(Record):
    """A file may be run, or not."""

    path: str
    exec: bool
    expected: Found


class MakeFolder(Record):
    """A folder; one that is there already is fine."""

    path: str


class Delete(Record):
    """Nothing in place of `expected`; a folder only goes once it is empty."""

    path: str
    expected: Found


if TYPE_CHECKING:
    Change: TypeAlias = Write | MakeLink | SetExec | MakeFolder | Delete


class Applied(Record):
    """How many changes were made, and which were not, and why."""

    done: int
    kept: list[Left]


def apply(root: str, changes: Iterable[Change], *, sync: bool = False, outside: bool = False) -> Applied:
    """Make the changes below `root`: deletions first, deepest first, then folders, files and, last, links. Never through a link.

    `sync` waits for each file to be on the disk; `outside` allows links that lead out of the root.
    Raises Damaged for a path that no tree may have and UsageError for a link that could lead out, before anything is changed.
    """
    ordered = sorted(changes, key=_order)
    for change in ordered:
        check_path(change.path)
        if isinstance(change, MakeLink):
            check_target(change.path, change.target)
            if not outside and leads_out(change.path, change.target):
                raise UsageError(
                    f"the link {change.path} could lead out of the folder: {change.target}",
                    "allow it with --links all, if you trust its author",
                )
    fd = open_root(root)
    kept = []
    try:
        mask = umask()
        for change in ordered:
            why = _attempt(fd, change, mask, sync)
            if why:
                kept.append(Left(path=change.path, why=why))
    finally:
        os.close(fd)
    return Applied(done=len(ordered) - len(kept), kept=kept)


def _order(change: Change) -> tuple[int, int, str]:
    if isinstance(change, Delete):
        return 0, -change.path.count("/"), change.path
    stage = 1 if isinstance(change, MakeFolder) else 3 if isinstance(change, MakeLink) else 2
    return stage, change.path.count("/"), change.path


def _attempt(root: int, change: Change, mask: int, sync: bool) -> str:
    """Make one change; why not, or ""."""
    *folders, name = check_path(change.path)
    try:
        if isinstance(change, MakeFolder):
            os.close(open_folder(root, [*folders, name], make=True))
            return ""
        folder = open_folder(root, folders, make=not isinstance(change, Delete | SetExec))
        try:
            return _change(folder, name, change, mask, sync)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            return "something that is no folder is in its place, or in that of one above it"
        return said(error)


def _change(folder: int, name: bytes, change: Write | MakeLink | SetExec | Delete, mask: int, sync: bool) -> str:
    if isinstance(change, Delete):
        return _delete(folder, name, change)
    if isinstance(change, SetExec):
        return _set_exec(folder, name, change, mask)
    why = _moved_on(folder, name, change.path, change.expected)  # before content is written for nothing, and again afterwards
    if why:
        return why
    if isinstance(change, MakeLink):
        temporary = _temporary_link(folder, check_target(change.path, change.target))
    else:
        temporary = _temporary_file(folder, change, mask, sync)
    try:
        why = _moved_on(folder, name, change.path, change.expected)
        if why:
            return why
        if change.expected is not None:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            put_new(temporary, folder, name, folder)
    except FileExistsError:
        return "something is there by now"
    finally:
        unlink(temporary, folder)
    return ""


def _moved_on(folder: int, name: bytes, path: str, expected: Found | None) -> str:
    """Why what is there is not what the caller expects; "" where it is."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return "" if expected is None else "it is gone"
    if expected is None:
        return "something is there by now"
    there = found_at(name, folder, path)
    if there is not None and there.kind == expected.kind == "folder":
        return ""
    return "" if there == expected else "it changed meanwhile"


def _delete(folder: int, name: bytes, change: Delete) -> str:
    why = _moved_on(folder, name, change.path, change.expected)
    if why == "it is gone":
        return ""
    if why:
        return why
    if change.expected.kind != "folder":
        os.unlink(name, dir_fd=folder)
        return ""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return "it is not empty"
        raise
    return ""


def _set_exec(folder: int, name: bytes, change: SetExec, mask: int) -> str:
    why = _moved_on(folder, name, change.path, change.expected)
    if why:
        return why
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        facts = os.fstat(fd)
        if facts.st_ino != change.expected.inode or change.expected.kind not in {"file", "exec"}:
            return "it changed meanwhile"
        mode = facts.st_mode & 0o777
        # as chmod does it: who may read may run
        os.fchmod(fd, mode | (mode & 0o444) >> 2 & ~mask | 0o100 if change.exec else mode & ~0o111)
    finally:
        os.close(fd)
    return ""


def _temporary_file(folder: int, change: Write, mask: int, sync: bool) -> bytes:
    fd, name = create_temporary(folder)
    try:
        at = 0
        for piece in (change.content,) if isinstance(change.content, bytes) else change.content:
            write_all(fd, piece, at)
            at += len(piece)
        os.fchmod(fd, _mode(folder, change, mask))
        if sync:
            os.fsync(fd)
    except BaseException:
        unlink(name, folder)
        raise
    finally:
        os.close(fd)
    return name


def _mode(folder: int, change: Write, mask: int) -> int:
    """644 or 755 less the umask; no more than the file that is replaced allowed others."""
    mode = (0o755 if change.exec else 0o644) & ~mask
    if change.expected is None or change.expected.kind not in {"file", "exec"}:
        return mode
    before = os.stat(change.path.rpartition("/")[2].encode(), dir_fd=folder, follow_symlinks=False).st_mode
    return mode & (before | (before & 0o444) >> 2 | 0o700)


def _temporary_link(folder: int, target: bytes) -> bytes:
    while True:
        fd, name = create_temporary(folder)  # a name that nobody has
        os.close(fd)
        unlink(name, folder)
        try:
            os.symlink(target, name, dir_fd=folder)
        except FileExistsError:
            continue
        return name
