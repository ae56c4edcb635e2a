"""What is written into a folder that is being prepared. It comes from somebody else: each path is checked, no link is followed."""

from __future__ import annotations

import errno
import os
import stat
from _thread import allocate_lock

from windlass.errors import Damaged, UsageError, WindlassError
from windlass.files.paths import (
    CREATE,
    FOLDER,
    PART,
    READ,
    check_path,
    check_target,
    leads_out,
    open_folder,
    read_all,
    said,
    write_all,
)
from windlass.files.placing import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_REOPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Building(Staging):
    """A staging folder's content, added by one thread or several; `_fd` is the folder.

    `outside` makes links that lead out of the folder as they are; otherwise they are refused.
    Raises Damaged for a path that no tree may have, or two that are one here; WindlassError where writing fails.
    """

    def __init__(self, target: str, ident: str, *, force: bool = False, outside: bool = False) -> None:
        self._outside = outside
        self._resumed = False
        self._kinds: dict[str, str] = {}
        """Of all paths added, and their folders."""
        self._inodes: dict[tuple[int, int], str] = {}
        self._open: dict[str, tuple[int, int]] = {}
        """Descriptor and size of the files between `add_file` and `finish_file`."""
        self._links: dict[str, bytes] = {}
        self._lock_kinds = allocate_lock()
        super().__init__(target, ident, force=force)

    def _folder(self, path: str) -> int:
        """A descriptor of a folder in here, made where it is missing; for the caller to close."""
        at = os.dup(self._fd)
        here = ""
        for name in path.split("/") if path else ():
            here = f"{here}/{name}" if here else name
            try:
                below = self._enter(at, name.encode(), here)
            finally:
                os.close(at)
            at = below
        return at

    def _enter(self, at: int, name: bytes, path: str) -> int:
        known = path in self._kinds
        if not known:
            try:
                os.mkdir(name, 0o755, dir_fd=at)
            except FileExistsError:
                pass
        try:
            fd = os.open(name, FOLDER, dir_fd=at)
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise self._collision(path, at, name) from None
            raise
        if not known:
            try:
                self._register(path, "folder", os.fstat(fd))
            except BaseException:
                os.close(fd)
                raise
        return fd

    def _register(self, path: str, kind: str, facts: os.stat_result) -> None:
        with self._lock_kinds:
            other = self._inodes.setdefault((facts.st_dev, facts.st_ino), path)
            if other != path:
                raise _both(path, other)
            if kind == "file" and path in self._kinds:
                raise Damaged(path, "the tree has this path twice")
            self._kinds[path] = kind

    def _collision(self, path: str, at: int, name: bytes) -> Damaged:
        try:
            facts = os.stat(name, dir_fd=at, follow_symlinks=False)
            return _both(path, self._inodes.get((facts.st_dev, facts.st_ino), "something else"))
        except OSError:
            return _both(path, "something else")

    def add_folder(self, path: str) -> None:
        """A folder, and those above it."""
        check_path(path)
        try:
            os.close(self._folder(path))
        except OSError as error:
            raise self._failed(error) from None

    def add_file(self, path: str, size: int, *, exec: bool = False) -> None:  # noqa: A002
        """Begin a file, or go on with it: open until `finish_file`, so no more than some hundred at a time."""
        fd = self._create(path, exec)
        try:
            if os.fstat(fd).st_size > size:
                os.ftruncate(fd, size)
        except OSError as error:
            os.close(fd)
            raise self._failed(error) from None
        self._open[path] = fd, size

    def put_file(self, path: str, data: bytes, *, exec: bool = False) -> None:  # noqa: A002
        """A small file, all at once."""
        fd = self._create(path, exec)
        try:
            os.ftruncate(fd, len(data))
            write_all(fd, data, 0)
        except OSError as error:
            raise self._failed(error) from None
        finally:
            os.close(fd)

    def _create(self, path: str, executable: bool) -> int:
        name = check_path(path)[-1]
        if path in self._kinds or path in self._links:
            raise Damaged(path, "the tree has this path twice")
        mode = 0o755 if executable else 0o644
        try:
            folder = self._folder(path.rpartition("/")[0])
            try:
                fd = self._create_in(folder, name, path, mode)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed(error) from None
        try:
            self._register(path, "file", os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _create_in(self, folder: int, name: bytes, path: str, mode: int) -> int:
        try:
            return os.open(name, CREATE, mode, dir_fd=folder)
        except FileExistsError:
            if not self._resumed:
                raise self._collision(path, folder, name) from None
        try:
            fd = os.open(name, _REOPEN, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.EISDIR, errno.ELOOP}:
                raise self._collision(path, folder, name) from None
            raise
        facts = os.fstat(fd)
        if (facts.st_dev, facts.st_ino) not in self._inodes and bool(facts.st_mode & 0o100) != (mode == 0o755):
            os.close(fd)
            os.unlink(name, dir_fd=folder)
            return os.open(name, CREATE, mode, dir_fd=folder)
        return fd

    def left(self, path: str, size: int) -> bytes | None:
        """What an earlier try left of a small file that is not added yet, to be verified by the caller; None where it is not whole."""
        if not self._resumed:
            return None
        *folders, name = check_path(path)
        try:
            folder = open_folder(self._fd, folders)
            try:
                fd = os.open(name, READ, dir_fd=folder)
            finally:
                os.close(folder)
            try:
                data = read_all(fd, size + 1, 0)
            finally:
                os.close(fd)
        except OSError:
            return None
        return data if len(data) == size else None

    def pieces(self, path: str) -> Iterator[bytes]:
        """What was written of a file, in parts, as long as it is not published. Raises OSError."""
        *folders, name = check_path(path)
        folder = open_folder(self._fd, folders)
        try:
            fd = os.open(name, READ, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            at = 0
            while data := read_all(fd, PART, at):
                yield data
                at += len(data)
        finally:
            os.close(fd)

    def have(self, path: str, offset: int, size: int) -> bytes | None:
        """What an earlier try left of a file that was added, to be verified by the caller; None where it is not whole."""
        try:
            data = read_all(self._open[path][0], size, offset)
        except OSError:
            return None
        return data if len(data) == size else None

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Bytes of a file that was added, from several threads."""
        try:
            write_all(self._open[path][0], data, offset)
        except OSError as error:
            raise self._failed(error) from None

    def finish_file(self, path: str) -> None:
        """The end of a file: all of it was written."""
        fd, size = self._open.pop(path)
        try:
            if os.fstat(fd).st_size != size:
                raise WindlassError(f"{path} in {self.target} is not whole yet", "run it again")
        finally:
            os.close(fd)

    def add_link(self, path: str, target: str) -> None:
        """A link, made after all files, so that nothing is written through it. Raises UsageError for one that could lead out."""
        check_path(path)
        encoded = check_target(path, target)
        if not self._outside and leads_out(path, target):
            raise UsageError(
                f"the link {path} could lead out of the folder: {target}", "allow it with --links all, if you trust its author"
            )
        if path in self._kinds or path in self._links:
            raise Damaged(path, "the tree has this path twice")
        above = path.rpartition("/")[0]
        if above:
            self.add_folder(above)
        self._links[path] = encoded

    def _make_links(self) -> None:
        for path, target in self._links.items():
            above, _, name = path.rpartition("/")
            folder = self._folder(above)
            try:
                os.symlink(target, name.encode(), dir_fd=folder)
            except FileExistsError:
                raise self._collision(path, folder, name.encode()) from None
            finally:
                os.close(folder)

    def close(self) -> None:
        """Let go. What was not published stays for the next try."""
        for fd, _ in self._open.values():
            os.close(fd)
        self._open.clear()
        super().close()

    def _remove_others(self, known: dict[str, str] | None) -> None:
        """Remove what no download of ours made, or, of those that are known, what is none of them."""
        _sweep(self._fd, "", known)


def remove(name: bytes, folder: int) -> None:
    """Remove a file, a link or a folder with all that is in it, through no link. Raises WindlassError."""
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            import shutil

            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise WindlassError(f"cannot remove what was there before, now {os.fsdecode(name)}: {said(error)}", "remove it") from None


def _sweep(folder: int, path: str, known: dict[str, str] | None) -> None:
    """Remove from a staging folder what no download of ours made, or, of those that are known, what is none of them."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        name = os.fsencode(entry.name)
        here = f"{path}/{entry.name}" if path else entry.name
        facts = entry.stat(follow_symlinks=False)
        is_folder = stat.S_ISDIR(facts.st_mode)
        ours = facts.st_uid == os.geteuid() and not facts.st_mode & (0o022 if is_folder else 0o7022)
        if known is not None and here not in known:
            ours = False
        if ours and is_folder:
            fd = os.open(name, FOLDER, dir_fd=folder)
            try:
                _sweep(fd, here, known)
            finally:
                os.close(fd)
        elif not ours or not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            remove(name, folder)


def _both(path: str, other: str) -> Damaged:
    return Damaged(path, f"{other} has the same name on this file system")
