"""Trees: folders as documents named by their content, folder by folder, so that equal folders are one object.

A large folder is split into leaves by a rule that looks at the names and rows only, never at how the folder came to be:
a change of one file makes one leaf, the branch above it and the folders above that.
"""

from __future__ import annotations

from binascii import crc32

from windlass.choice import Choice
from windlass.errors import Damaged
from windlass.protocol.blobs import Blob, checked, digest_of
from windlass.protocol.codec import Document
from windlass.protocol.keys import is_blob_name
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields

LEAF = 1000
"""Entries that a folder may have before it is split."""
SPLIT = 512
"""Entries of a leaf in the mean."""
MAX_LEAF = 1024 * 1024
"""Bytes, roughly, after which a folder is split, or a new leaf begins, whatever the names."""
MAX_TARGET = 4096
"""Bytes of a symbolic link's target."""
MAX_FILE_NAME = 255
"""Bytes of a name in a folder, as UTF-8."""
MAX_DEPTH = 100
"""Folders within one another."""
RESERVED = (".git", ".windlass", ".windlass-workspace")
"""Names that no tree may hold, in any case of letters: whoever unpacks it would run what is in them, or mix it up with its own."""


class Kind(Choice):
    """What an entry of a folder is."""

    FILE = "file"
    EXEC = "exec"
    LINK = "link"
    FOLDER = "folder"


_LETTERS = {"f": Kind.FILE, "x": Kind.EXEC, "l": Kind.LINK, "d": Kind.FOLDER}
_KINDS = {kind.value: letter for letter, kind in _LETTERS.items()}


class Entry(Record):
    """One entry of a folder. Of a folder: `name` is its tree (empty for an empty folder), `size` and `files` what is below it."""

    kind: Kind
    size: int = 0
    sha: str = ""
    name: str = ""
    offset: int | None = None
    files: int = 1
    target: str = ""

    @property
    def blob(self) -> Blob:
        """A file's content."""
        return Blob(sha=self.sha, size=self.size, name=self.name, offset=self.offset)

    def same(self, other: Entry | None) -> bool:
        """Whether both surely are the same, wherever they lie; of folders, only as far as their trees show it."""
        if other is None or self.kind is not other.kind:
            return False
        if self.kind is Kind.FOLDER:
            return digest_of(self.name) == digest_of(other.name)
        return (self.sha, self.target) == (other.sha, other.target)


def file_entry(blob: Blob, *, executable: bool = False) -> Entry:
    """The entry of a file with that content."""
    return Entry(kind=Kind.EXEC if executable else Kind.FILE, **vars(blob))


def link_entry(target: str) -> Entry:
    """The entry of a symbolic link."""
    return Entry(kind=Kind.LINK, target=target)


EMPTY_FOLDER = Entry(kind=Kind.FOLDER, files=0)


def row(entry: Entry) -> list[Any]:
    """An entry as a tree holds it: `[kind, …]`, with `f` file, `x` executable file, `l` link, `d` folder."""
    letter = _KINDS[entry.kind.value]
    if letter == "l":
        return [letter, entry.target]
    if letter == "d":
        return [letter, entry.name, entry.size, entry.files]
    out: list[Any] = [letter, entry.sha, entry.size]
    if entry.offset is not None:
        return [*out, entry.name, entry.offset]
    return out if entry.name in ("", entry.sha + ".0") else [*out, entry.name]


def entry_of(found: object) -> Entry:
    """The entry that a row says. Raises ValueError."""
    match found:
        case ["f" | "x" as letter, sha, size, *where] if len(where) <= 2:
            name = where[0] if where else f"{sha}.0" if size else ""
            return Entry(kind=_LETTERS[letter], **checked(sha, size, name, where[1] if len(where) == 2 else None))
        case ["l", str(target)] if target and "\0" not in target and _bytes(target) <= MAX_TARGET:
            return Entry(kind=Kind.LINK, target=target)
        case ["d", str(name), int(size), int(files)] if size >= 0 and files >= 0 and (is_blob_name(name) or not (name or size or files)):
            return Entry(kind=Kind.FOLDER, name=name, size=size, files=files)
    raise ValueError("an entry that is none")


def _bytes(text: str) -> int:
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValueError("a name or target that is not Unicode") from None


def why_not(name: str) -> str:
    """Why no folder of a tree may have an entry of that name; empty where it may."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return "no file can have this name"
    if name.lower() in RESERVED:
        return "the name is reserved"
    try:
        return "" if _bytes(name) <= MAX_FILE_NAME else f"the name has more than {MAX_FILE_NAME} bytes"
    except ValueError:
        return "the name is not Unicode"


class Tree(Document):
    """A folder, or a leaf of one: `entries` by name; or the branch of a large one: `leaves`, each `[first name, tree]`."""

    KIND: ClassVar[str] = "tree"

    entries: Mapping[str, Any] = {}
    leaves: tuple[Any, ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(entries=f.mapping("entries"), leaves=tuple(f.anything("leaves") or ()))


def entries_of(tree: Tree, key: str) -> dict[str, Entry]:
    """What a folder or leaf holds, by name. Raises Damaged."""
    try:
        for name in tree.entries:
            if problem := why_not(name):
                raise ValueError(f"{name[:80]!r}: {problem}")
        return {name: entry_of(found) for name, found in tree.entries.items()}
    except ValueError as error:
        raise Damaged(key, str(error)) from None


def leaves_of(tree: Tree, key: str) -> list[tuple[str, str]]:
    """First name and tree of each leaf of a branch, in order. Raises Damaged."""
    out: list[tuple[str, str]] = []
    for found in tree.leaves:
        match found:
            case [str(first), str(name)] if is_blob_name(name) and (not out or out[-1][0] < first):
                out.append((first, name))
            case _:
                raise Damaged(key, "a leaf that is none")
    return out


def split(entries: Mapping[str, Entry]) -> Iterator[dict[str, Entry]]:
    """A folder's entries as its leaves, one where it is small; sorted by name, which is by UTF-8 bytes too."""
    names = sorted(entries)
    if len(names) <= LEAF and sum(_weight(name, entries[name]) for name in names) <= MAX_LEAF:
        yield {name: entries[name] for name in names}
        return
    leaf: dict[str, Entry] = {}
    weight = 0
    for name in names:
        more = _weight(name, entries[name])
        if leaf and (crc32(name.encode()) % SPLIT == 0 or weight + more > MAX_LEAF):
            yield leaf
            leaf, weight = {}, 0
        leaf[name] = entries[name]
        weight += more
    yield leaf


def _weight(name: str, entry: Entry) -> int:
    """Bytes that an entry may have in a tree, at most."""
    return 6 * (len(name) + len(entry.target)) + 200


def totals(entries: Sequence[Entry]) -> tuple[int, int]:
    """Bytes and files (links too) of a folder."""
    return sum(entry.size for entry in entries), sum(entry.files for entry in entries)
