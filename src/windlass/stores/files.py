"""Files and folders by key, relative to the descriptor of a store's root, following no symbolic link. Errors are OSErrors."""

from __future__ import annotations

import errno
import os
import stat

from windlass.errors import AccessDenied, Damaged, StoreError, StoreFull, StoreReadOnly, Unavailable, WindlassError
from windlass.stores.base import MAX_OBJECT
from windlass.stores.names import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
ODD = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
"""Something that is no file or folder of ours is in the way."""

_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def failure(root: str, error: OSError, key: str = "", writing: bool = False) -> WindlassError:
    """What an operating system's error on the store in `root` means; nothing was written."""
    what = f"{root}: {os.strerror(error.errno) if error.errno else error}"
    if error.errno in FULL:
        return StoreFull(what, "free some space or raise the quota, then try again")
    if error.errno in DENIED:
        if writing:
            return StoreReadOnly(what, "allow writes there, or choose another store with WINDLASS_STORE")
        return AccessDenied(what, "allow reads there, or choose another store with WINDLASS_STORE")
    if error.errno in ODD:
        why = "a symbolic link or another kind of file is in its place"
        return Damaged(key, why) if key else StoreError(f"{root}: {why}", "remove it")
    return StoreError(what, "nothing was written") if writing else Unavailable(what, "try again")


def shut(descriptor: int) -> None:
    """Close it. It is given back whatever the system answers, and what had to last was synced before: no error says anything."""
    try:
        os.close(descriptor)
    except OSError:
        pass


def sync_folder(folder: int) -> None:
    """Make its entries last, where the file system can say so. Raises OSError."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def open_folder(root: int, segments: list[str], make: bool = False) -> int:
    """A descriptor of the folder, for the caller to close; with `make` it is there to stay. Raises OSError."""
    folder, above = os.dup(root), os.dup(root)
    try:
        for segment in segments:
            name = encode(segment)
            try:
                inner = os.open(name, _FOLDER, dir_fd=folder)
            except FileNotFoundError:
                if not make:
                    raise
                settle(folder, above)
                inner = _make_folder(folder, name)
            shut(above)
            folder, above = inner, folder
        if make and segments:
            settle(folder, above)
    except BaseException:
        shut(folder)
        raise
    finally:
        shut(above)
    return folder


def settle(folder: int, above: int) -> None:
    """Make a folder last before anything is put in it; `above` is the one it lies in. Raises OSError.

    Whoever made it may have been killed before its sync. What is not empty was settled by those who put something there.
    """
    if is_empty(folder):
        sync_folder(above)


def is_empty(folder: int) -> bool:
    """Whether nothing is in there, nor ever was where that is plain to see: a folder over one block has grown."""
    facts = os.fstat(folder)
    if facts.st_size > max(facts.st_blksize, 4096):
        return False
    with os.scandir(folder) as found:
        return next(found, None) is None


def _make_folder(parent: int, name: str) -> int:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        pass
    return os.open(name, _FOLDER, dir_fd=parent)


def own_folder(root: int, name: str) -> int:
    """One of the folders that the store keeps for itself. A power failure may take it: nothing in it has to last."""
    try:
        return os.open(name, _FOLDER, dir_fd=root)
    except FileNotFoundError:
        if is_empty(root):
            _settle_root(root)
        return _make_folder(root, name)


def _settle_root(root: int) -> None:
    try:
        above = os.open("..", _FOLDER, dir_fd=root)
    except PermissionError:  # somebody else made the root there
        return
    try:
        sync_folder(above)
    finally:
        shut(above)


def sync_path(path: str) -> None:
    """Make a folder's entries last, unless it is one that this user may not read. Raises OSError."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        sync_folder(folder)
    finally:
        shut(folder)


def make_folders(path: str) -> None:
    """Make a folder and those above it, all to stay. Raises OSError."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folders(above)
    try:
        if not os.listdir(above):  # whoever made it may have been killed before its sync
            sync_path(os.path.dirname(above))
    except PermissionError:
        pass
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def place(root: int, key: str, make: bool = False) -> tuple[int, str]:
    """The descriptor of the key's folder, for the caller to close, and the name of its file."""
    *above, last = key.split("/")
    return open_folder(root, above, make), encode(last) + "="


def exists(root: int, key: str) -> bool:
    try:
        folder, name = place(root, key)
    except FileNotFoundError:
        return False
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    finally:
        shut(folder)
    return True


def status_of(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def read(root: int, key: str) -> tuple[bytes, float]:
    folder, name = place(root, key)
    try:
        return read_file(folder, name, key)
    finally:
        shut(folder)


def read_file(folder: int, name: str, key: str) -> tuple[bytes, float]:
    file = os.open(name, _READ, dir_fd=folder)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(key, "it is not a regular file")
        if status.st_size > MAX_OBJECT:
            raise Damaged(key, f"{status.st_size} bytes are more than any object of Windlass has")
        body = os.read(file, status.st_size + 1)
        while len(body) < status.st_size:  # a large read may come in pieces
            piece = os.read(file, status.st_size - len(body))
            if not piece:
                break
            body += piece
        return body, status.st_mtime
    finally:
        shut(file)


def walk_from(root: int, prefix: str, after: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        folder = open_folder(root, prefix.split("/")[:-1])
    except OSError as error:
        if error.errno in (errno.ENOENT, *ODD):
            return
        raise
    try:
        yield from _walk(folder, prefix[: prefix.rfind("/") + 1], prefix, after)
    finally:
        shut(folder)


def _walk(folder: int, base: str, prefix: str, after: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Keys and their files in the order of the whole keys, since a folder sorts as its name with the slash."""
    for path, entry in scan(folder, base, prefix, after):
        if not path.endswith("/"):
            yield path, entry
            continue
        try:
            inner = os.open(entry.name, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, *ODD):
                continue
            raise
        try:
            yield from _walk(inner, path, prefix, after)
        finally:
            shut(inner)


def scan(folder: int, base: str, prefix: str, after: str) -> list[tuple[str, os.DirEntry[str]]]:
    """The folder's objects and (with a slash) folders that can hold a key wanted, sorted. Anything else is not ours."""
    wanted = []
    with os.scandir(folder) as found:
        for entry in found:
            is_object = entry.name.endswith("=")
            segment = decode(entry.name[:-1] if is_object else entry.name)
            if segment is None:
                continue
            path = base + segment if is_object else f"{base}{segment}/"
            if not path.startswith(prefix) or (path <= after and not (not is_object and after.startswith(path))):
                continue
            if entry.is_file(follow_symlinks=False) if is_object else entry.is_dir(follow_symlinks=False):
                wanted.append((path, entry))
    wanted.sort(key=lambda item: item[0])
    return wanted
