"""Names below a root: which ones a tree may have, and how they are opened so that no link leads anywhere else.

A path is text with "/" between its names. Every step is opened relative to the descriptor of the one before, with O_NOFOLLOW.
"""

from __future__ import annotations

import os
import unicodedata
from itertools import count

from windlass.errors import Damaged, UsageError

PART = 4 * 1024 * 1024
"""Bytes: a larger file is read and written in parts of this size."""
MAX_NAME = 255
"""Bytes of one name: what Linux takes, and most others."""
MAX_PATH = 4096
"""Bytes of a path and of a link's target."""
MAX_DEPTH = 256
"""Names in a path: each folder on the way is a descriptor."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: to open a FIFO must not wait for somebody to write into it."""
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

MARK = ".windlass-workspace"
PRIVATE = frozenset({".git", ".windlass", MARK})
"""Never in a tree: git runs programs that `.git` names, and the others are our own."""
TEMPORARY = ".windlass-part"

_numbers = count()


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one of ours under way."""
    return name.startswith(".") and name.endswith(TEMPORARY)


def is_private(name: str) -> bool:
    """Whether no tree may have this name, also not as a system sees it that ignores case, Unicode forms and invisible characters."""
    if not name.startswith(".") and name.isascii():
        return False
    if not name.isascii():
        name = "".join(char for char in unicodedata.normalize("NFC", name) if unicodedata.category(char) != "Cf")
    name = name.casefold()
    return name.rstrip(". ") in PRIVATE or is_temporary(name)


def why_bad_name(name: str) -> str:
    """Why no tree may have this name; "" where it may."""
    if name in {"", ".", ".."}:
        return f"a name in it is {name!r}"
    if "/" in name or "\0" in name:
        return "a name in it has a slash or NUL"
    if is_private(name):
        return f"no tree may have the name {name}"
    try:
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        return "a name in it is not UTF-8"
    return f"a name in it is longer than {MAX_NAME} bytes" if size > MAX_NAME else ""


def check_path(path: str) -> list[bytes]:
    """The names of a path that came from elsewhere, encoded. Raises Damaged for one that could lead out of its root, or run something."""
    names = path.split("/")
    for name in names:
        why = why_bad_name(name)
        if why:
            raise Damaged(path[:MAX_PATH], why)
    encoded = path.encode()
    if len(encoded) > MAX_PATH or len(names) > MAX_DEPTH:
        raise Damaged(path[:80] + "…", f"the path is longer than {MAX_PATH} bytes or {MAX_DEPTH} names")
    return encoded.split(b"/")


def check_target(path: str, target: str) -> bytes:
    """The target of the link `path`, encoded. Raises Damaged for one that no system takes."""
    try:
        encoded = target.encode()
    except UnicodeEncodeError:
        encoded = b""
    if not 0 < len(encoded) <= MAX_PATH or b"\0" in encoded:
        raise Damaged(path, "the target of this link is none")
    return encoded


def leads_out(path: str, target: str) -> bool:
    """Whether the link `path` could lead out of its root, whatever other links are there.

    What climbs after a name counts too: that name may be a link, and the way up from there is another one.
    """
    names = [name for name in target.split("/") if name not in {"", "."}]
    climbs = 0
    while climbs < len(names) and names[climbs] == "..":
        climbs += 1
    return target.startswith("/") or climbs > path.count("/") or ".." in names[climbs:]


def open_root(path: str) -> int:
    """A descriptor of a folder that the user named: it may be a link. Raises UsageError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UsageError(f"there is no folder {path}", "look at the path, or make it first") from None
    except NotADirectoryError:
        raise UsageError(f"{path} is no folder", "name a folder") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot open {path}: {said(error)}", "make it readable, or name another") from None


def open_folder(root: int, names: list[bytes], *, make: bool = False) -> int:
    """A descriptor of the folder `names` below a descriptor, for the caller to close; `make` makes what is missing. Raises OSError."""
    at = os.dup(root)
    for name in names:
        try:
            below = _enter(at, name, make)
        finally:
            os.close(at)
        at = below
    return at


def _enter(at: int, name: bytes, make: bool) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=at)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o755, dir_fd=at)
    except FileExistsError:  # somebody was faster
        pass
    return os.open(name, FOLDER, dir_fd=at)


def create_temporary(folder: int, mode: int = 0o600) -> tuple[int, bytes]:
    """A new file under a name of our own in a folder: its descriptor and name. Raises OSError."""
    while True:
        name = f".{os.getpid()}-{next(_numbers)}{TEMPORARY}".encode()
        try:
            return os.open(name, CREATE, mode, dir_fd=folder), name
        except FileExistsError:  # a killed process had our id
            continue


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write at a place, all of it. Raises OSError."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def read_all(fd: int, size: int, offset: int) -> bytes:
    """Read that many bytes from a place, fewer only at the end. Raises OSError."""
    data = os.pread(fd, size, offset)
    if len(data) in {0, size}:
        return data
    pieces = [data]
    got = len(data)
    while got < size:
        data = os.pread(fd, size - got, offset + got)
        if not data:
            break
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def unlink(name: bytes, folder: int) -> None:
    """Remove a file if it is there and can be."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass


def said(error: OSError | ValueError) -> str:
    """An error's reason in the system's words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
