"""What is known of the files of one folder from an earlier look, so that only what changed is read again. A hint, never the truth."""

from __future__ import annotations

import os

from windlass import jsons
from windlass.digest import sha256_hex
from windlass.files.paths import FOLDER, READ, create_temporary, read_all, unlink, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    from windlass.files.scan import Found

    Known: TypeAlias = tuple[int, int, int, int, str, Any]
    """Size, mtime_ns, ctime_ns, inode and kind of a file as it was found, and what was worked out from its content."""

GRAIN = 2_000_000_000
"""Nanoseconds: a file that changed so shortly before it was hashed may have changed again afterwards without showing it."""
FINE = 100_000_000
"""The same where times have fractions of a second, and come from the clock that times this cache. Systems tick every 1 to 10 ms."""
LARGEST = 256 * 1024 * 1024
"""Bytes of a cache that is believed."""

_MAGIC = b"windlass files 1 "


def known(found: Found, value: Any) -> Known:
    """To be kept: `value`, any JSON, belongs to the file as it was found."""
    return found.size, found.mtime_ns, found.ctime_ns, found.inode, found.kind, value


class Cache:
    """One private file in `folder`, for one folder of the user's and one `scope` (store, project). Never raises.

    `folder` None keeps nothing. A file that is torn, of another scope or root, or not this user's own counts as empty.
    """

    def __init__(self, folder: str | None, scope: str, root: str) -> None:
        self._told = [os.fsencode(text).decode("utf-8", "backslashreplace") for text in (scope, os.path.realpath(root))]
        name = sha256_hex(jsons.dumps(self._told).encode())[:32]
        self._folder = f"{folder}/files" if folder else None
        self._file = f"{name}.json".encode()
        self._known: dict[str, Known] = {}
        self._root = root
        self._alike = False
        """Whether folder and cache lie on one file system, so that one clock stamps both."""
        self._before = 0
        self._now = 0

    def load(self) -> dict[str, Known]:
        """What is known by path. To be called before a file is looked at: from now on counts what changes."""
        self._known, self._before, self._now = {}, 0, 0
        folder = self._open()
        if folder is None:
            return {}
        try:
            self._now = _clock(folder)
            self._alike = _on_one_system(self._root, folder)
            body = self._read(folder)
            if body:
                before, paths, *columns = jsons.loads(body.decode())
                self._known = dict(zip(paths, zip(*columns, strict=True), strict=True))
                self._before = before if isinstance(before, int) else 0
        except (OSError, ValueError, TypeError, RecursionError):
            self._known, self._before = {}, 0
        finally:
            os.close(folder)
        return self._known

    def get(self, found: Found) -> Any:
        """The value of a file that is surely as it was, else None."""
        one = self._known.get(found.path)
        if one is None or one[:-1] != known(found, None)[:-1]:
            return None
        fine = self._alike and found.mtime_ns % 1_000_000_000 and found.ctime_ns % 1_000_000_000
        return one[-1] if max(found.mtime_ns, found.ctime_ns) <= self._before - (FINE if fine else GRAIN) else None

    def save(self, entries: Mapping[str, Known]) -> None:
        """Keep these for the next time, and nothing else; they were found and hashed after `load`."""
        folder = self._open() if self._now else None
        if folder is None:
            return
        try:
            body = jsons.dumps([self._now, list(entries), *zip(*entries.values(), strict=True)], compact=True).encode()
            fd, temporary = create_temporary(folder)
            try:
                write_all(fd, self._head(body) + body, 0)
                os.rename(temporary, self._file, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                unlink(temporary, folder)
                raise
            finally:
                os.close(fd)
        except (OSError, ValueError, TypeError, RecursionError):  # it is worked out again, then
            pass
        finally:
            os.close(folder)

    def _head(self, body: bytes) -> bytes:
        return _MAGIC + jsons.dumps([*self._told, len(body), sha256_hex(body)]).encode() + b"\n"

    def _open(self) -> int | None:
        """The folder of caches, made where there is none; None where it is not this user's alone."""
        if self._folder is None:
            return None
        try:
            _make_folder(self._folder)
            fd = os.open(self._folder, FOLDER)
        except (OSError, ValueError):
            return None
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            os.close(fd)
            return None
        return fd

    def _read(self, folder: int) -> bytes:
        """The body of the file, empty where anything about it is odd. Raises OSError."""
        fd = os.open(self._file, READ, dir_fd=folder)
        try:
            facts = os.fstat(fd)
            if facts.st_mode & 0o170022 != 0o100000 or facts.st_uid != os.geteuid() or facts.st_size > LARGEST:
                return b""
            head, newline, body = read_all(fd, facts.st_size, 0).partition(b"\n")
        finally:
            os.close(fd)
        return body if head + newline == self._head(body) else b""


def _make_folder(folder: str) -> None:
    above = os.path.dirname(folder)
    if not os.path.isdir(above):
        _make_folder(above)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass


def _on_one_system(root: str, folder: int) -> bool:
    try:
        return os.stat(root).st_dev == os.fstat(folder).st_dev
    except (OSError, ValueError):
        return False


def _clock(folder: int) -> int:
    """The time as file systems stamp it, in nanoseconds: that of a file made now. Raises OSError."""
    fd, name = create_temporary(folder)
    try:
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
        unlink(name, folder)
