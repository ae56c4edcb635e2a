"""Content and where it lies: objects named by the SHA-256 of their bytes, and by the gc epoch in which they were created.

A name is created once and, after gc deleted it, never again: gc run n deletes only names of epochs before n, and whatever
is created from then on has epoch n. So a delete that is late meets nothing that anybody refers to.
"""

from __future__ import annotations

from windlass.protocol.codec import Document, Fields
from windlass.protocol.keys import is_blob_name, is_digest
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

PART = 4 * 1024 * 1024
"""Bytes of one object at most; larger content is an index of parts of this size. No store reads a larger object."""
MAX_PARTS = 50_000
"""Parts of one content: 195 GiB."""
PACKED = 64 * 1024
"""Bytes: content up to this size may lie in a pack together with others."""
PACK = 1024 * 1024
"""Bytes of one pack at most."""
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The SHA-256 of nothing, which needs no object."""


def blob_name(digest: str, epoch: int) -> str:
    """The name of an object."""
    return f"{digest}.{epoch}"


def digest_of(name: str) -> str:
    """The SHA-256 that an object's bytes must have."""
    return name.partition(".")[0]


def epoch_of(name: str) -> int:
    """The gc epoch in which the object was created."""
    return int(name.partition(".")[2])


class Blob(Record):
    """Some content: its SHA-256 and size, and the object that holds it.

    `size` up to PART: `name` is the object itself, or with `offset` a pack in which it begins there. Larger: `name` is an index of
    parts. Empty content lies nowhere.
    """

    sha: str
    size: int
    name: str = ""
    offset: int | None = None

    @classmethod
    def load(cls, f: Fields) -> Self:
        """Raises ValueError."""
        return cls(**checked(f.text("sha"), f.whole("size"), f.text("name"), f.maybe_whole("offset")))

    @property
    def in_parts(self) -> bool:
        """Whether the object is an index."""
        return self.size > PART


def checked(sha: object, size: object, name: object, offset: object) -> dict[str, Any]:
    """The fields of a Blob. Raises ValueError where they cannot be."""
    if not is_digest(sha) or not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= PART * MAX_PARTS:
        raise ValueError("no SHA-256 or no size")
    if size == 0:
        if sha != EMPTY or name or offset is not None:
            raise ValueError("empty content that is not empty")
    elif not is_blob_name(name):
        raise ValueError("no name of a blob")
    elif offset is not None:
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0 or offset + size > PACK or size > PACKED:
            raise ValueError("a place that no pack has")
    elif size <= PART and digest_of(str(name)) != sha:
        raise ValueError("the name of other content")
    return {"sha": sha, "size": size, "name": name, "offset": offset}


class Index(Document):
    """The objects that hold content larger than PART, in order: all of PART bytes but the last."""

    KIND: ClassVar[str] = "index"

    size: int = 0
    parts: tuple[str, ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        size, parts = f.whole("size"), f.texts("parts")
        if len(parts) != -(-size // PART) or len(parts) > MAX_PARTS or not all(map(is_blob_name, parts)):
            raise ValueError("the parts do not make up the size")
        return cls(size=size, parts=parts)
