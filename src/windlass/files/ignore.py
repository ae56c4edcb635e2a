"""Rules for what a scan leaves out, written and meant as git has them.

They lie in a folder's `.windlassignore`; where it has none, its `.gitignore` counts.
"""

from __future__ import annotations

import os
import stat

from windlass.errors import UsageError
from windlass.files.paths import READ, read_all, said
from windlass.files.wildmatch import translate
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Container

OURS = ".windlassignore"
GITS = ".gitignore"
LARGEST = 1024 * 1024
"""Bytes of one file of rules."""


class Rule(Record):
    """One line: whether what it matches is kept, is for folders only, and is matched by its name alone or by its path."""

    keep: bool
    folders: bool
    by_name: bool
    pattern: re.Pattern[bytes]


class Rules:
    """What counts in one folder: the lists of rules of this folder and of those above it, up to the root."""

    def __init__(self, lists: tuple[tuple[int, list[Rule]], ...] = ()) -> None:
        self._lists = lists
        """Innermost first, the last line of each first; the number is what to cut from a path to get it relative to the list's folder."""

    def within(self, folder: int, path: str, names: Container[str]) -> Rules:
        """What counts in the folder of this descriptor, path ("" is the root) and content. Raises UsageError for rules it cannot read."""
        for file in (OURS, GITS):
            if file in names:
                rules = parse(_read(folder, file, path))
                return Rules(((len(path.encode()) + 1 if path else 0, rules), *self._lists)) if rules else self
        return self

    def ignore(self, path: str, *, folder: bool) -> bool:
        """Whether the rules leave out this file or folder, whose own folder they do not."""
        if not self._lists:
            return False
        whole = path.encode()
        name = whole[whole.rfind(b"/") + 1 :]
        for cut, rules in self._lists:
            for rule in rules:
                if (folder or not rule.folders) and rule.pattern.fullmatch(name if rule.by_name else whole[cut:]):
                    return not rule.keep
        return False


def _read(folder: int, file: str, path: str) -> bytes:
    """The text of a file of rules, empty where it vanished. What cannot be read may have named secrets: that is an error."""
    where = f"{path}/{file}" if path else file
    hint = f"mend it, or put {OURS} in its place"
    try:
        fd = os.open(file, READ, dir_fd=folder)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UsageError(f"cannot read the rules in {where}: {said(error)}", hint) from None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
            raise UsageError(f"{where} is no file of at most {LARGEST} bytes", hint)
        return read_all(fd, LARGEST, 0)
    except OSError as error:
        raise UsageError(f"cannot read the rules in {where}: {said(error)}", hint) from None
    finally:
        os.close(fd)


def parse(text: bytes) -> list[Rule]:
    """The rules of a text, the last one first, since it decides; a line that git takes for malformed is none."""
    rules = []
    for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.startswith(b"#"):
            continue
        line = _without_blanks(line.removesuffix(b"\r"))
        keep = line.startswith(b"!")
        line = line[keep:]
        folders = line.endswith(b"/")
        line = line[: len(line) - folders]
        by_name = b"/" not in line
        pattern = translate(line if by_name else line.removeprefix(b"/"), paths=not by_name) if line else None
        if pattern is not None:
            rules.append(Rule(keep=keep, folders=folders, by_name=by_name, pattern=pattern))
    return rules[::-1]


def _without_blanks(line: bytes) -> bytes:
    """Without blanks at the end, but for one that a backslash keeps."""
    bare = line.rstrip(b" ")
    kept = bare.removesuffix(b"\\") if len(bare) < len(line) else bare
    odd = (len(bare) - len(bare.rstrip(b"\\"))) % 2
    return bare + b" " if kept != bare and odd else bare
