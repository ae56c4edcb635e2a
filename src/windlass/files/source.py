"""Where the bytes of an upload come from: a file, standard input, memory. Read in parts, so that memory stays bounded."""

from __future__ import annotations

import os
import stat

from windlass.errors import UsageError, WindlassError
from windlass.files.paths import PART, READ, check_path, open_folder, read_all, said
from windlass.files.scan import found_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Protocol, Self

    from windlass.files.scan import Found

    class Source(Protocol):
        """What an upload reads. `size` is in bytes, None where it shows only at the end."""

        part: int

        @property
        def size(self) -> int | None: ...
        def read(self, number: int) -> bytes: ...
        def close(self) -> None: ...


class FileSource:
    """A regular file, whole and unchanged from its opening to its last part. Raises UsageError for anything else.

    `follow`: the path may be a link, since the user named it.
    """

    def __init__(self, path: str, part: int = PART, *, follow: bool = False) -> None:
        flags = READ & ~os.O_NOFOLLOW if follow else READ
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            raise UsageError(f"there is no file {path}", "look at the path") from None
        except (OSError, ValueError) as error:
            why = "it is a link" if not follow and os.path.islink(path) else said(error)
            raise UsageError(f"cannot read {path}: {why}", "name a file that you may read") from None
        self._take(fd, path, part)

    def _take(self, fd: int, path: str, part: int) -> None:
        self._fd = fd
        self._path = path
        self.part = part
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            self.close()
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "no regular file"
            raise UsageError(f"{path} is {what}", "name a regular file")
        self._state = facts.st_size, facts.st_mtime_ns
        self.exec = bool(facts.st_mode & 0o100)

    @classmethod
    def of(cls, root: int, found: Found, part: int = PART) -> Self:
        """A file of a scan, below the root's descriptor, never by way of a link. Raises WindlassError where it changed since."""
        source = cls.__new__(cls)
        source._take(_open_found(root, found), found.path, part)
        if source._state != (found.size, found.mtime_ns):
            source.close()
            raise changed(found.path)
        return source

    @property
    def size(self) -> int:
        """Bytes."""
        return self._state[0]

    def read(self, number: int) -> bytes:
        """Part `number`, counted from 0; b"" beyond the end. Several threads may. Raises WindlassError where the file changed."""
        try:
            data = read_all(self._fd, self.part, number * self.part)
            facts = os.fstat(self._fd)
        except OSError as error:
            raise WindlassError(f"cannot read {self._path}: {said(error)}", "see to the disk, then run it again") from None
        wanted = max(0, min(self.part, self.size - number * self.part))
        if (facts.st_size, facts.st_mtime_ns) != self._state or len(data) != wanted:
            raise changed(self._path)
        return data

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class StreamSource:
    """Bytes that come one after the other, as on standard input."""

    size = None

    def __init__(self, file: BinaryIO, part: int = PART) -> None:
        self.part = part
        self._file = file
        self._next = 0

    def read(self, number: int) -> bytes:
        """The next part, whose number that must be; shorter only at the end. Raises WindlassError."""
        assert number == self._next, "a stream is read in order"
        self._next += 1
        pieces = []
        missing = self.part
        while missing:
            try:
                data = self._file.read(missing)
            except OSError as error:
                raise WindlassError(f"cannot read standard input: {said(error)}", "see to what writes there") from None
            if data is None:
                raise UsageError("standard input does not wait for data", "let it block, or write to a file first")
            if not data:
                break
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def close(self) -> None:
        """Nothing: the stream is its opener's."""


class BytesSource:
    """Bytes at hand."""

    def __init__(self, data: bytes, part: int = PART) -> None:
        self.part = part
        self._data = data

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._data)

    def read(self, number: int) -> bytes:
        """Part `number`, counted from 0; b"" beyond the end."""
        return self._data[number * self.part : (number + 1) * self.part]

    def close(self) -> None:
        """Nothing."""


def read_file(root: int, found: Found) -> bytes:
    """A small file of a scan, below the root's descriptor, never by way of a link. Raises WindlassError where it changed since."""
    with FileSource.of(root, found, max(found.size, 1)) as source:
        return source.read(0)


def is_unchanged(root: int, found: Found) -> bool:
    """Whether a thing of a scan is still as it was then."""
    *folders, name = check_path(found.path)
    try:
        folder = open_folder(root, folders)
        try:
            return found_at(name, folder, found.path) == found
        finally:
            os.close(folder)
    except OSError:
        return False


def changed(path: str) -> WindlassError:
    """What is raised where a file did not stay as it was."""
    return WindlassError(f"{path} changed while it was read", "run it again")


def _open_found(root: int, found: Found) -> int:
    *folders, name = check_path(found.path)
    try:
        folder = open_folder(root, folders)
        try:
            return os.open(name, READ, dir_fd=folder)
        finally:
            os.close(folder)
    except PermissionError as error:
        raise WindlassError(f"cannot read {found.path}: {said(error)}", "make it readable, or let an ignore file name it") from None
    except OSError:  # it is gone, or it or a folder above is a link now
        raise changed(found.path) from None
