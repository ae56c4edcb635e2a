"""The default store of a git repository: a folder that git neither shows, nor stashes, nor adds, nor cleans away."""

from __future__ import annotations

import errno
import os
import stat

from windlass.errors import StoreError
from windlass.stores.files import failure, shut, sync_path

_IGNORE = b"*\n"
_EXCLUDE = b"/.windlass/\n"


def prepare_embedded(folder: str, git_common_dir: str | None = None) -> str:
    """Make or mend the folder (`…/.windlass`) and give the store's root in it; a few `lstat`s where all is well.

    `git_common_dir` is where the repository keeps info/exclude. Raises StoreReadOnly, StoreFull, StoreError.
    """
    root = os.path.join(folder, "store")
    nested = os.path.join(root, ".git")
    ignore = os.path.join(folder, ".gitignore")
    try:
        if not (_is_folder(folder) and _is_folder(root) and _is_folder(os.path.join(nested, "refs")) and _exists(ignore)):
            _make(folder, root, nested, ignore)
            if git_common_dir:
                _exclude(git_common_dir)
    except OSError as error:
        raise failure(root, error, writing=True) from error
    return root


def _exists(path: str) -> bool:
    return _kind(path) is not None


def _is_folder(path: str) -> bool:
    """Raises StoreError for anything else that is in its place: a clone may bring a link that leads elsewhere."""
    kind = _kind(path)
    if kind is not None and not stat.S_ISDIR(kind):
        raise StoreError(f"{path} is a link or a file where the store's folder belongs", "remove it, or set WINDLASS_STORE")
    return kind is not None


def _kind(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _make(folder: str, root: str, nested: str, ignore: str) -> None:
    """Each last thing is synced before the next one is made: where refs is, all is, whoever was killed at it or lost power."""
    _folder(folder)
    _write(ignore, _IGNORE)  # first, so that git never sees the rest
    # `git clean -fdx` removes what is ignored, but not a nested repository; this is the least that it takes for one
    for path in (root, nested, os.path.join(nested, "objects")):
        _folder(path)
    _write(os.path.join(nested, "HEAD"), b"ref: refs/heads/none\n")
    _folder(os.path.join(nested, "refs"))


def _folder(path: str) -> None:
    if not _is_folder(path):
        try:
            os.mkdir(path)
        except FileExistsError:  # another process of ours is at it too
            pass
    sync_path(os.path.dirname(path))


def _write(path: str, content: bytes) -> None:
    """Raises OSError. A file that says less, or zeros, was begun before a kill or a power failure; one that says more is the user's."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        if content.startswith(os.read(file, len(content) + 1).rstrip(b"\0")) and os.pwrite(file, content, 0) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        shut(file)
    sync_path(os.path.dirname(path))


def _exclude(common_dir: str) -> None:
    """Best effort: keeps git quiet between a `git clean` that took .gitignore and the next command that brings it back."""
    path = os.path.join(common_dir, "info", "exclude")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            before = os.read(file, 1 << 20)
            if _EXCLUDE.strip() not in before.splitlines():
                os.write(file, (b"" if not before or before.endswith(b"\n") else b"\n") + _EXCLUDE)
        finally:
            shut(file)
    except OSError:  # sandboxes keep .git read-only; .gitignore does the work
        return
