"""A directory as a store: a hard link creates, a rename under a lock replaces, and bytes are synced before they are seen.

Every component is opened relative to its folder's descriptor and follows no symbolic link, so nothing outside is touched.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from binascii import crc32

from windlass.digest import sha256_hex
from windlass.effects import Entry, IfAbsent, IfMatch, Object, Page, Unchanged
from windlass.errors import Indeterminate, PutRefused, PutUnclear, StoreError, StoreMissing, Unavailable
from windlass.stores.base import Capabilities
from windlass.stores.files import (
    DENIED,
    FULL,
    ODD,
    exists,
    failure,
    make_folders,
    open_folder,
    own_folder,
    place,
    read,
    read_file,
    scan,
    shut,
    status_of,
    sync_folder,
    walk_from,
)
from windlass.stores.names import check_folder, check_key, check_prefix, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from windlass.effects import Condition

STRIPES = 64
LOCK_WAIT = 30.0
"""Seconds: a lock is held for about a millisecond, so after this its holder is stopped or hangs."""
LEFTOVER_AGE = 3600.0
"""Seconds after which a temporary file must be a crash's."""

_STAGE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_DEFINITE = (*FULL, *DENIED, *ODD, errno.ENOENT, errno.EXDEV, errno.ENAMETOOLONG)


class LocalStore:
    """Objects as files under `root`, which must exist. For threads, and for processes whose locks reach each other."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.url = self.root
        self.capabilities = Capabilities(change_notice=self.root, distant=False)
        self._swept = False

    @classmethod
    def create(cls, root: str) -> Self:
        """The store in `root`, made where there is none yet. Raises StoreReadOnly, StoreFull or another StoreError."""
        store = cls(root)
        try:
            make_folders(store.root)
        except OSError as error:
            raise failure(store.root, error, writing=True) from error
        return store

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        """The object; its version is the SHA-256 of its bytes."""
        check_key(key)
        root = self._open_root()
        try:
            body, modified = read(root, key)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(self.root, error, key) from error
        finally:
            shut(root)
        version = sha256_hex(body)
        if version == unless:
            return Unchanged(key=key)
        return Object(key=key, body=body, version=version, modified=modified)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        """Write durably. A create that loses, loses before it writes anything."""
        check_key(key)
        root = self._open_root()
        try:
            if isinstance(condition, IfAbsent) and exists(root, key):
                raise PutRefused(key)
            staging = own_folder(root, ".tmp")
            try:
                temporary = _stage(staging, body)
                try:
                    self._sweep(staging, temporary)
                    _publish(root, key, staging, temporary, condition)
                finally:
                    _forget(staging, temporary)
            finally:
                shut(staging)
        except OSError as error:
            raise failure(self.root, error, key, writing=True) from error
        finally:
            shut(root)
        return sha256_hex(body)

    def delete(self, key: str) -> None:
        """Remove the object, and the folders that this leaves empty."""
        check_key(key)
        root = self._open_root()
        try:
            if _remove(root, key):
                _prune(root, key)
        except FileNotFoundError:
            return
        except OSError as error:
            raise failure(self.root, error, key, writing=True) from error
        finally:
            shut(root)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """Scans each folder that can hold an answer once; versions are empty, since they would cost a read each."""
        check_prefix(prefix)
        entries: list[Entry] = []
        root = self._open_root()
        try:
            for key, found in walk_from(root, prefix, after):
                if len(entries) == limit:
                    return Page(entries=tuple(entries), more=entries[-1].key)
                try:
                    status = found.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                entries.append(Entry(key=key, version="", size=status.st_size, modified=status.st_mtime))
        except OSError as error:
            raise failure(self.root, error, prefix) from error
        finally:
            shut(root)
        return Page(entries=tuple(entries), more=None)

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Folders without an object, left by a crash, do not count."""
        check_folder(prefix)
        root = self._open_root()
        try:
            folder = open_folder(root, prefix.split("/")[:-1])
            try:
                names = [path[len(prefix) : -1] for path, _ in scan(folder, prefix, prefix, "") if path.endswith("/")]
            finally:
                shut(folder)
            return tuple(name for name in names if next(walk_from(root, f"{prefix}{name}/", ""), None))
        except OSError as error:
            if error.errno in (errno.ENOENT, *ODD):
                return ()
            raise failure(self.root, error, prefix) from error
        finally:
            shut(root)

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _open_root(self) -> int:
        try:  # the root itself may be reached through a symbolic link: the user chose it
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise StoreMissing(f"there is no store in {self.root}", f"run: windlass init --store {self.root}") from None
        except OSError as error:
            raise failure(self.root, error) from error

    def _sweep(self, staging: int, fresh: str) -> None:
        """Once for each store object: remove what writers that crashed left behind, which is older than a `fresh` file by the
        store's clock; ours may be off, and others' files are in use.
        """
        if self._swept:
            return
        self._swept = True
        now = os.stat(fresh, dir_fd=staging, follow_symlinks=False).st_mtime
        with os.scandir(staging) as found:
            for entry in found:
                try:
                    if now - entry.stat(follow_symlinks=False).st_mtime > LEFTOVER_AGE:
                        os.unlink(entry.name, dir_fd=staging)
                except OSError:  # somebody else swept it, or it is no file of ours
                    continue


def _stage(staging: int, body: bytes) -> str:
    """Write `body` durably under a fresh name."""
    name = f"{os.getpid()}-{os.urandom(8).hex()}"
    file = os.open(name, _STAGE, 0o666, dir_fd=staging)
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except BaseException:
        _forget(staging, name)
        raise
    finally:
        shut(file)
    return name


def _forget(staging: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=staging)
    except OSError:  # a rename consumed it; or the next sweep gets it
        pass


def _publish(root: int, key: str, staging: int, temporary: str, condition: Condition) -> None:
    for _ in range(100):
        try:
            try:
                folder, name = place(root, key, make=not isinstance(condition, IfMatch))
            except FileNotFoundError:
                if isinstance(condition, IfMatch):
                    raise PutRefused(key) from None
                raise
            try:
                if isinstance(condition, IfAbsent):
                    _link(root, key, staging, temporary, folder, name)
                else:
                    _replace(root, key, staging, temporary, folder, name, condition)
                _settle(folder, key)
            finally:
                shut(folder)
        except FileNotFoundError:  # a delete pruned a folder after it was opened
            continue
        return
    raise StoreError(f"{key}: its folder keeps disappearing", "nothing was written")


def _settle(folder: int, key: str) -> None:
    """Not PutUnclear: whoever reads back would find the write, and call it done while it may not outlast a power failure."""
    try:
        sync_folder(folder)
    except OSError as error:
        what = f"{key} is written, but may not last: {error.strerror}"
        raise Indeterminate(what, "check the disk, then look: windlass status", key=key) from error


def _link(root: int, key: str, staging: int, temporary: str, folder: int, name: str) -> None:
    lock = _lock(root, key)  # a link needs none, but a writer that may not link has to look before it renames
    try:
        os.utime(temporary, dir_fd=staging)  # the store's clock tells when an object appeared, not when its bytes were staged
        try:
            os.link(temporary, name, src_dir_fd=staging, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise PutRefused(key) from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise _unless_definite(error, key) from error
            if status_of(folder, name):
                raise PutRefused(key) from None
            _rename(staging, temporary, folder, name, key)
    finally:
        _unlock(lock)


def _replace(root: int, key: str, staging: int, temporary: str, folder: int, name: str, condition: Condition) -> None:
    lock = _lock(root, key)
    try:
        if isinstance(condition, IfMatch):
            try:
                body, _ = read_file(folder, name, key)
            except FileNotFoundError:
                raise PutRefused(key) from None
            if sha256_hex(body) != condition.version:
                raise PutRefused(key)
        os.utime(temporary, dir_fd=staging)
        # a listing shows no version, so a replace must show in the time, whatever the clock; but a write without
        # a condition is how one learns the time
        before = status_of(folder, name) if isinstance(condition, IfMatch) else None
        if before:
            fresh = os.stat(temporary, dir_fd=staging, follow_symlinks=False)
            if fresh.st_mtime_ns <= before.st_mtime_ns:  # a coarse or turned-back clock
                os.utime(temporary, ns=(fresh.st_atime_ns, before.st_mtime_ns + 1000), dir_fd=staging)
        _rename(staging, temporary, folder, name, key)
    finally:
        _unlock(lock)


def _rename(staging: int, temporary: str, folder: int, name: str, key: str) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=staging, dst_dir_fd=folder)
    except OSError as error:
        raise _unless_definite(error, key) from error


def _unless_definite(error: OSError, key: str) -> Exception:
    """The error itself where it says that nothing happened, else PutUnclear: a network file system may have done it."""
    return error if error.errno in _DEFINITE else PutUnclear(f"{key}: {error}")


def _remove(root: int, key: str) -> bool:
    """Whether it was there. Once nothing shows, nothing may come back: so the folder is synced even where another deleted it."""
    folder, name = place(root, key)
    try:
        there = status_of(folder, name) is not None
        if there:
            _unlink(root, key, folder, name)
        try:
            sync_folder(folder)
        except OSError as error:
            raise Unavailable(f"{key}: deleted, but perhaps not for good: {error.strerror}", "delete it again") from error
    finally:
        shut(folder)
    return there


def _unlink(root: int, key: str, folder: int, name: str) -> None:
    lock = _lock(root, key)
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno in _DEFINITE:
            raise
        raise Unavailable(f"{key}: {error.strerror}", "delete it again") from error
    finally:
        _unlock(lock)


def _prune(root: int, key: str) -> None:
    """Remove the folders that a delete left empty; whatever hinders that."""
    above = key.split("/")[:-1]
    try:
        while above:
            *above, last = above
            folder = open_folder(root, above)
            try:
                os.rmdir(encode(last), dir_fd=folder)
            finally:
                shut(folder)
    except OSError:  # not empty, or somebody else was faster
        return


def _lock(root: int, key: str) -> int:
    """Hold the key's stripe, for the caller to unlock. Raises Unavailable after LOCK_WAIT."""
    locks = own_folder(root, ".locks")
    try:
        file = os.open(f"{crc32(key.encode()) % STRIPES:02}", _LOCK, 0o666, dir_fd=locks)
    finally:
        shut(locks)
    pause, waited = 0.0002, 0.0
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if waited > LOCK_WAIT:
                    raise Unavailable(f"another process has kept a lock of this store for {LOCK_WAIT:.0f} s", "end that process") from None
            time.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, 0.02)
    except BaseException:
        shut(file)
        raise


def _unlock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a process forked meanwhile shares the descriptor
    except OSError:  # a network's lock service; closing does it too
        pass
    shut(file)
