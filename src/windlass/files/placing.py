"""Downloads of one file: prepared beside the target, put in place whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from windlass.errors import TimedOut, UsageError, WindlassError
from windlass.files.paths import CREATE, PART, TEMPORARY, open_root, read_all, said, unlink, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Staging:
    """A place beside `target` in which its new content, named by `ident`, grows; a killed download finds it again. One at a time.

    `force`: something that is there already is replaced. Raises UsageError, TimedOut (somebody downloads the same), WindlassError.
    """

    def __init__(self, target: str, ident: str, *, force: bool = False) -> None:
        assert ident[:16].isalnum()
        path = target.rstrip("/") or "/"
        if os.path.basename(path) in {"", ".", ".."}:
            path = os.path.abspath(path)
        above, name = os.path.split(path)
        if not name or "\0" in name:
            raise UsageError(f"nothing can be put in the place of {target}", "name a file or folder that does not exist yet")
        self.target = target
        self._name = os.fsencode(name)
        shown = os.fsencode(name)[:200].decode("utf-8", "ignore")  # longer ones share their places, under the lock
        self._temporary = f".{shown}.{ident[:16]}{TEMPORARY}".encode()
        self._force = force
        self._fd = -1
        self._above = open_root(above or ".")
        try:
            self._check_target()
        except BaseException:
            self.close()
            raise

    def _check_target(self) -> None:
        """Refuse early what `publish` would refuse."""
        raise NotImplementedError

    def _facts(self) -> os.stat_result | None:
        """What lies at the target now."""
        try:
            return os.stat(self._name, dir_fd=self._above, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"cannot write {self.target}: {said(error)}", "name another place") from None

    def _lock(self, fd: int) -> bool:
        """Hold the staging place; False where its name means something else by now. Raises TimedOut."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TimedOut(f"another process is putting the same into {self.target}", "wait until it has ended, then look") from None
        except OSError:  # a file system without locks
            pass
        return self._is_ours(fd)

    def _is_ours(self, fd: int) -> bool:
        try:
            there = os.stat(self._temporary, dir_fd=self._above, follow_symlinks=False)
        except FileNotFoundError:
            return False
        here = os.fstat(fd)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def _exists(self) -> UsageError:
        return UsageError(f"{self.target} exists", "name another place, or replace it with --force")

    def _in_the_way(self) -> UsageError:
        above = os.path.dirname(self.target) or "."
        return UsageError(
            f"{os.fsdecode(self._temporary)} in {above} is in the way, and not ours", "remove it, or name another place for the download"
        )

    def _failed(self, error: OSError) -> WindlassError:
        return WindlassError(f"cannot write {self.target}: {said(error)}", "make room or name another place, then run it again")

    def close(self) -> None:
        """Let go. What was not published stays for the next try."""
        for fd in (self._fd, self._above):
            if fd >= 0:
                os.close(fd)
        self._fd = self._above = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class FileStaging(Staging):
    """For one file."""

    _size = 0

    def _check_target(self) -> None:
        facts = self._facts()
        if facts is None:
            return
        if not self._force:
            raise self._exists()
        if not stat.S_ISREG(facts.st_mode) and not stat.S_ISLNK(facts.st_mode):
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "a device, socket or FIFO"
            raise UsageError(f"{self.target} is {what}", "name a file")

    def open_file(self, size: int) -> None:
        """Begin, or go on with what a killed download left; `size` in bytes of the whole."""
        self._size = size
        try:
            for _ in range(100):
                fd = self._open()
                try:
                    if fd >= 0 and self._lock(fd):
                        os.fchmod(fd, 0o600)
                        if os.fstat(fd).st_size > size:
                            os.ftruncate(fd, size)
                        self._fd, fd = fd, -1
                        return
                finally:
                    if fd >= 0:
                        os.close(fd)
        except OSError as error:
            raise self._failed(error) from None
        raise self._in_the_way()

    def _open(self) -> int:
        """A descriptor of the staging file; -1 to try again. Nothing is ever written through a link or into another's file."""
        try:
            return os.open(self._temporary, CREATE, 0o600, dir_fd=self._above)
        except FileExistsError:
            pass
        try:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(self._temporary, flags, dir_fd=self._above)
        except FileNotFoundError:
            return -1
        except OSError:  # a link, a folder, another's
            fd = -1
        if fd >= 0:
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_nlink == 1 and not facts.st_mode & 0o7022:
                return fd
            os.close(fd)
        try:
            os.unlink(self._temporary, dir_fd=self._above)
        except FileNotFoundError:
            pass
        except OSError:
            raise self._in_the_way() from None
        return -1

    def have(self, number: int, size: int) -> bytes | None:
        """What an earlier try left of part `number`, to be verified by the caller; None where it is not whole."""
        try:
            data = read_all(self._fd, size, number * PART)
        except OSError:
            return None
        return data if len(data) == size else None

    def write(self, number: int, data: bytes) -> None:
        """Part `number`, counted from 0; from several threads. Raises WindlassError."""
        try:
            write_all(self._fd, data, number * PART)
        except OSError as error:
            raise self._failed(error) from None

    def publish(self, *, exec: bool = False) -> None:  # noqa: A002
        """Put the whole file in place, with mode 644 or 755 less the umask. Raises UsageError where something is there by now."""
        self._check_target()
        try:
            if os.fstat(self._fd).st_size != self._size:
                raise WindlassError(f"{self.target} is not whole yet", "run it again")
            os.fchmod(self._fd, (0o755 if exec else 0o644) & ~umask())
            os.fsync(self._fd)
            if not self._is_ours(self._fd):
                raise self._in_the_way()
            if self._force:
                os.rename(self._temporary, self._name, src_dir_fd=self._above, dst_dir_fd=self._above)
            else:
                put_new(self._temporary, self._above, self._name, self._above)
            os.fsync(self._above)
        except FileExistsError:
            raise self._exists() from None
        except OSError as error:
            raise self._failed(error) from None


def put_new(temporary: bytes, folder: int, name: bytes, to: int) -> None:
    """Give a file its name where nothing has it, never over something. Raises FileExistsError, OSError."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=to, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
            raise
        os.close(os.open(name, CREATE, 0o600, dir_fd=to))  # a file system without links: take the name, then the place
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=to)
    else:
        unlink(temporary, folder)


def umask() -> int:
    """The umask. Where only setting it tells: to the strictest, so that another thread's file is too private then, never too open."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line[6:], 8) for line in status if line.startswith("Umask:"))
    except (OSError, ValueError, StopIteration):
        mask = os.umask(0o077)
        os.umask(mask)
        return mask
