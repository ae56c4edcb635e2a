"""What a machine remembers of a project between commands. Losing it costs requests, never correctness."""

from __future__ import annotations

import os
import time
from itertools import count

from windlass import jsons
from windlass.digest import sha256_hex

LARGEST = 8 * 1024 * 1024
"""Bytes: larger hints are neither kept nor believed."""

_MAGIC = b"windlass hint 1 "
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFTOVER_AGE = 3600.0
"""Seconds after which a temporary file must be a crash's."""
_SWEEPERS = 64
"""One process in so many sweeps: a look through the folder costs more than a hint."""
_numbers = count()


class NoHints:
    """Remembers nothing."""

    def recall(self, name: str) -> bytes | None:
        """None."""
        return None

    def remember(self, name: str, body: bytes | None) -> None:
        """Nothing."""


class MemoryHints:
    """Remembers as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def recall(self, name: str) -> bytes | None:
        """What was remembered last under this name."""
        return self._kept.get(name)

    def remember(self, name: str, body: bytes | None) -> None:
        """Keep a body, or forget with None."""
        if body is None:
            self._kept.pop(name, None)
        else:
            self._kept[name] = body


class FileHints:
    """One private file for each name under FOLDER/<hash of scope>/; never raises.

    `scope` says whose hints these are (store, project); `folder` None remembers nothing. A file with another scope,
    name or checksum, or that is not a regular file of this user's own, counts as missing.
    """

    def __init__(self, folder: str | None, scope: str) -> None:
        self._scope = scope
        self._folder = f"{folder}/{sha256_hex(os.fsencode(scope))[:32]}" if folder else None

    def _file(self, name: str) -> str:
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "~" for c in name)
        return f"{plain[:80]}~{sha256_hex(os.fsencode(name))[:24]}"

    def _head(self, name: str, body: bytes) -> bytes:
        told = [self._scope, name, len(body), sha256_hex(body)]
        return _MAGIC + jsons.dumps(told).encode() + b"\n"

    def recall(self, name: str) -> bytes | None:
        """What was remembered last under this name, or None where anything about it is odd."""
        if self._folder is None:
            return None
        try:
            folder = os.open(self._folder, _FOLDER)
        except OSError:
            return None
        try:
            fd = os.open(self._file(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except (OSError, ValueError):
            return None
        finally:
            _shut(folder)
        try:
            facts = os.fstat(fd)
            if facts.st_mode & 0o170022 != 0o100000 or facts.st_uid != os.geteuid() or facts.st_size > LARGEST:
                return None
            found = os.read(fd, facts.st_size + 1)
        except OSError:
            return None
        finally:
            _shut(fd)
        head, newline, body = found.partition(b"\n")
        return body if head + newline == self._head(name, body) else None

    def remember(self, name: str, body: bytes | None) -> None:
        """Keep a body, or forget with None; silently nothing where that is impossible."""
        if self._folder is None:
            return
        try:
            folder = self._open(body is not None)
        except OSError:
            return
        try:
            if body is None or len(body) > LARGEST // 2:
                _unlink(self._file(name), folder)
            else:
                self._replace(self._file(name), self._head(name, body) + body, folder)
        except ValueError:
            return
        finally:
            _shut(folder)

    def _open(self, make: bool) -> int:
        assert self._folder
        try:
            return os.open(self._folder, _FOLDER)
        except FileNotFoundError:
            if not make:
                raise
        _make_folder(self._folder)
        return os.open(self._folder, _FOLDER)

    def _replace(self, file: str, content: bytes, folder: int) -> None:
        number = next(_numbers)
        temp = f".{os.getpid()}-{number}.tmp"
        try:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
            try:
                if os.write(fd, content) != len(content):
                    raise OSError("short write")
            finally:
                _shut(fd)
            os.rename(temp, file, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            # A hint that could not be replaced may be older than what its caller knows now.
            _unlink(file, folder)
            _unlink(temp, folder)
        if number == 0 and os.getpid() % _SWEEPERS == 0:
            _sweep(folder)


def _make_folder(folder: str) -> None:
    above = os.path.dirname(folder)
    if not os.path.isdir(above):
        _make_folder(above)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass


def _sweep(folder: int) -> None:
    now = time.time()
    try:
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(".tmp"):
                age = now - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                if age > _LEFTOVER_AGE:
                    _unlink(name, folder)
    except OSError:  # somebody else swept it: later, then
        return


def _shut(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:  # it is given back all the same
        pass


def _unlink(file: str, folder: int) -> None:
    try:
        os.unlink(file, dir_fd=folder)
    except OSError:
        pass
