"""Walks a folder and says what is in it, by descriptor: no link is followed, nothing outside of the root is looked at."""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata

from windlass.errors import UsageError
from windlass.files.ignore import Rules
from windlass.files.paths import FOLDER, MAX_DEPTH, MAX_PATH, PRIVATE, is_temporary, open_root, said, why_bad_name
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Found(Record):
    """One thing below the root; `kind` is "file", "exec", "link" (kept as a link, `target` its text) or "folder"."""

    path: str
    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    target: str = ""


class Left(Record):
    """Something that was left out or left alone, and why."""

    path: str
    why: str


class Scan(Record):
    """What a folder holds. A folder in `left` was not looked into: what was in there before is unknown, not gone."""

    found: list[Found]
    """Sorted by path."""
    left: list[Left]
    ignored: int
    """Things that rules left out; a whole folder counts once."""
    odd: list[Left]
    """Kept, but could not exist on another system."""


def scan(root: str, *, ignored: bool = True) -> Scan:
    """Everything below `root`, which may itself be a link; `ignored` False pays no heed to ignore files.

    Left out without a word: `.git`, `.windlass`, `.windlass-workspace` and our own temporary files. Raises UsageError.
    """
    walk = _Walk(heed=ignored)
    fd = open_root(root)
    try:
        walk.run(fd)
    except OSError as error:
        raise UsageError(f"cannot read {root}: {said(error)}", "make it readable, or name another") from None
    by_path = _path
    return Scan(
        found=sorted(walk.found, key=by_path), left=sorted(walk.left, key=by_path), ignored=walk.ignored, odd=sorted(walk.odd, key=by_path)
    )


def _path(thing: Found | Left) -> str:
    return thing.path


def found_at(name: str | bytes, folder: int, path: str) -> Found | None:
    """What lies under a name in a folder's descriptor, under that path; None for nothing or for what no tree holds. Raises OSError."""
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = os.readlink(os.fsencode(name), dir_fd=folder).decode() if stat.S_ISLNK(facts.st_mode) else ""
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return _found(path, facts, target)


def _found(path: str, facts: os.stat_result, target: str = "") -> Found | None:
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        kind = "exec" if mode & 0o100 else "file"
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "link"
    else:
        return None
    return Found(
        path=path,
        kind=kind,
        size=0 if kind == "folder" else facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        inode=facts.st_ino,
        target=target,
    )


class _Walk:
    """One walk. Descriptors open at a time: one for each folder on the way down."""

    def __init__(self, *, heed: bool) -> None:
        self.found: list[Found] = []
        self.left: list[Left] = []
        self.odd: list[Left] = []
        self.ignored = 0
        self._heed = heed
        self._all_readable = os.geteuid() == 0

    def run(self, root: int) -> None:
        """Walk it all; takes the descriptor over. Raises OSError for the root only."""
        stack: list[tuple[int, Iterator[tuple[Found, Rules]]]] = []
        try:
            stack.append((root, iter(())))
            stack[-1] = (root, self._look(root, "", Rules()))
            while stack:
                at, folders = stack[-1]
                below = next(folders, None)
                if below is None:
                    os.close(stack.pop()[0])
                    continue
                folder, rules = below
                fd = self._enter(at, folder, len(stack))
                if fd is None:
                    continue
                stack.append((fd, iter(())))
                try:
                    stack[-1] = (fd, self._look(fd, folder.path, rules))
                    self.found.append(folder)
                except OSError as error:
                    self._leave(folder.path, said(error))
        finally:
            for fd, _ in stack:
                os.close(fd)

    def _leave(self, path: str, why: str) -> None:
        self.left.append(Left(path=path, why=why))

    def _enter(self, at: int, folder: Found, depth: int) -> int | None:
        if depth >= MAX_DEPTH:
            self._leave(folder.path, f"it is more than {MAX_DEPTH} folders deep")
            return None
        try:
            return os.open(folder.path.rpartition("/")[2].encode(), FOLDER, dir_fd=at)
        except FileNotFoundError:
            return None
        except NotADirectoryError:  # also for a link, on Linux
            self._leave(folder.path, "it changed during the scan")
        except OSError as error:
            self._leave(folder.path, said(error))
        return None

    def _look(self, folder: int, path: str, rules: Rules) -> Iterator[tuple[Found, Rules]]:
        """Take in what lies in one folder; gives its folders, to be entered. Raises OSError, UsageError."""
        with os.scandir(folder) as entries:
            listed = list(entries)
        if self._heed:
            rules = rules.within(folder, path, {entry.name for entry in listed})
        kept: list[str] = []
        folders: list[tuple[Found, Rules]] = []
        for entry in listed:
            found = self._take(entry, folder, path, rules)
            if found is None:
                continue
            kept.append(found.path.rpartition("/")[2])
            if found.kind == "folder":
                folders.append((found, rules))
            else:
                self.found.append(found)
        self._see_odd(path, kept)
        return iter(folders)

    def _take(self, entry: os.DirEntry[str], folder: int, path: str, rules: Rules) -> Found | None:
        name = entry.name
        if name in PRIVATE or is_temporary(name):
            return None
        if not name.isascii():
            try:
                name = os.fsencode(name).decode()
            except UnicodeDecodeError:
                self._leave(_join(path, os.fsencode(name).decode("utf-8", "backslashreplace")), "its name is not UTF-8")
                return None
        here = _join(path, name)
        try:
            facts = entry.stat(follow_symlinks=False)
            is_folder = stat.S_ISDIR(facts.st_mode)
            if self._heed and rules.ignore(here, folder=is_folder):
                self.ignored += 1
                return None
            why = why_bad_name(name) or self._why_not(entry, facts, folder, here)
            target = os.readlink(name.encode(), dir_fd=folder).decode() if stat.S_ISLNK(facts.st_mode) and not why else ""
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            why = "the target of this link is not UTF-8"
        except OSError as error:
            why = "it changed during the scan" if error.errno == errno.EINVAL else said(error)  # no link any more
        if why:
            self._leave(here, why)
            return None
        return _found(here, facts, target)

    def _why_not(self, entry: os.DirEntry[str], facts: os.stat_result, folder: int, path: str) -> str:
        mode = facts.st_mode
        if len(path) > MAX_PATH // 4 and len(path.encode()) > MAX_PATH:
            return f"its path is longer than {MAX_PATH} bytes"
        if stat.S_ISREG(mode):
            if self._all_readable or mode & 0o444 == 0o444 or os.access(entry.name, os.R_OK, dir_fd=folder, effective_ids=_BY_EFFECTIVE):
                return ""
            return "you may not read it"
        if stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
            return ""
        return f"it is a {_KINDS.get(stat.S_IFMT(mode), 'thing that is no file')}"

    def _see_odd(self, path: str, names: list[str]) -> None:
        seen: dict[str, str] = {}
        for name in sorted(names):
            why = why_odd(name)
            if why:
                self.odd.append(Left(path=_join(path, name), why=why))
            other = seen.setdefault(folded(name), name)
            if other != name:
                self.odd.append(Left(path=_join(path, name), why=f"it differs from {other} only in case or Unicode form"))


_BY_EFFECTIVE = os.access in os.supports_effective_ids
_KINDS = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
_CHARACTERS = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def folded(name: str) -> str:
    """What two names have in common that are one on a system which heeds neither case nor Unicode form."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def why_odd(name: str) -> str:
    """Why a name could not exist on another system; "" where it could."""
    if _CHARACTERS.search(name):
        return "its name has a character that Windows does not take"
    if _DEVICES.match(name):
        return "its name is a device on Windows"
    return "its name ends with a dot or blank, which Windows drops" if name[-1] in ". " else ""


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
