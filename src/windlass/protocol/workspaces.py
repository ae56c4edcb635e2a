"""The workspace register: a named tree of files, its checkpoints, and what of other workspaces it holds already."""

from __future__ import annotations

from windlass.errors import Moved, NotFound, UsageError
from windlass.protocol.codec import Document
from windlass.protocol.keys import check_name, is_blob_name, is_name
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields
    from windlass.protocol.trees import Entry

KEPT = 64
"""Changes that a workspace's history keeps."""
MAX_CHECKPOINTS = 1000
"""Checkpoints of one workspace."""
MAX_NOTE = 2 * 1024
"""Bytes of a note: all of them lie in one register."""
MAX_MERGED = 256
"""States of others that a workspace keeps: those that it got longest ago are forgotten first."""


class Root(Record):
    """A whole tree: the name of its folder's object (empty for an empty one), the files (links too) in it and their bytes."""

    tree: str = ""
    files: int = 0
    bytes: int = 0
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        tree = f.text("tree")
        if tree and not is_blob_name(tree):
            raise ValueError("tree names no blob")
        return cls(tree=tree, files=f.whole("files"), bytes=f.whole("bytes"), extra=f.rest())

    @classmethod
    def of(cls, folder: Entry) -> Self:
        """The tree that a folder's entry stands for."""
        return cls(tree=folder.name, files=folder.files, bytes=folder.size)


NOTHING = Root()


class Checkpoint(Record):
    """A tree with a label. `seq`: the workspace's when it was made."""

    root: Root
    by: str = ""
    at: float = 0.0
    seq: int = 0
    note: str = ""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        root = f.record("root", Root.load)
        return cls(root=root or NOTHING, by=f.text("by"), at=f.number("at"), seq=f.whole("seq"), note=f.text("note"), extra=f.rest())


class Merged(Record):
    """A state of another workspace that this one holds, by fork or by merge. `seq`, `born`: the other's then; `at_seq`: this one's.

    `via`: the workspace whose fork or merge brought it along; empty where it is the other itself.
    """

    root: Root
    seq: int
    at_seq: int
    born: int = 0
    via: str = ""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            root=f.record("root", Root.load) or NOTHING,
            seq=f.whole("seq"),
            at_seq=f.whole("at_seq"),
            born=f.whole("born"),
            via=f.text("via"),
            extra=f.rest(),
        )


class Change(Record):
    """One accepted write. `event`: create, fork, push, checkpoint, restore, merge, teardown, expire, touch, move."""

    event: str
    by: str
    at: float
    write_id: str
    seq: int
    note: str = ""
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            event=f.text("event"),
            by=f.text("by"),
            at=f.number("at"),
            write_id=f.text("write_id"),
            seq=f.whole("seq"),
            note=f.text("note"),
            extra=f.rest(),
        )


class Workspace(Document):
    """Register of one workspace, never deleted: a torn down one keeps counting. `ttl` in seconds since its last change."""

    KIND: ClassVar[str] = "workspace"

    name: str = ""
    root: Root = NOTHING
    created_by: str = ""
    created_at: float = 0.0
    born: int = 0
    """Its `seq` when it was made, or made anew after a teardown: states of the one before are none of this one."""
    ttl: float | None = None
    forming: str = ""
    """The pending record of the fork that makes it: until that is done it does not count."""
    origin: str = ""
    """The workspace that it was forked from."""
    checkpoints: Mapping[str, Checkpoint] = {}
    merged: Mapping[str, Merged] = {}
    deleted: bool = False
    moved_to: str | None = None
    history: tuple[Change, ...] = ()

    @classmethod
    def load(cls, f: Fields) -> Self:
        forming, origin = f.text("forming"), f.text("origin")
        if not all(is_name(name) for name in (forming, origin) if name):
            raise ValueError("forming or origin is no name")
        return cls(
            name=f.text("name"),
            root=f.record("root", Root.load) or NOTHING,
            created_by=f.text("created_by"),
            created_at=f.number("created_at"),
            born=f.whole("born"),
            ttl=f.maybe_number("ttl"),
            forming=forming,
            origin=origin,
            checkpoints=f.records_by_name("checkpoints", Checkpoint.load),
            merged=f.records_by_name("merged", Merged.load),
            deleted=f.flag("deleted"),
            moved_to=f.maybe_text("moved_to"),
            history=f.records("history", Change.load),
        )

    def wrote(self, write_id: str, seq: int) -> bool | None:
        if any(change.write_id == write_id for change in self.history):
            return True
        return False if self.seq <= seq or (self.history and self.history[0].seq <= seq) else None

    @property
    def roots(self) -> tuple[Root, ...]:
        """Every tree that must stay because of it."""
        if self.deleted:
            return ()
        return (self.root, *(one.root for one in self.checkpoints.values()), *(one.root for one in self.merged.values()))


def recorded(workspace: Workspace, event: str, by: str, at: float, write_id: str, note: str = "", **changes: Any) -> Workspace:
    """The workspace after one more change."""
    line = Change(event=event, by=by, at=at, write_id=write_id, seq=workspace.seq + 1, note=note)
    return workspace.but(history=(*workspace.history, line)[-KEPT:], **changes)


def state_of(workspace: Workspace) -> Merged:
    """What it is now, for another to keep."""
    return Merged(root=workspace.root, seq=workspace.seq, at_seq=workspace.seq, born=workspace.born)


def learned(mine: Mapping[str, Merged], name: str, other: Workspace, state: Merged, at_seq: int) -> dict[str, Merged]:
    """What is known of others after `state`, one of workspace `other`, came to workspace `name` as its number `at_seq`.

    All that the other held then comes along, so that what went through a third workspace is known too.
    """
    out = dict(mine)
    for third, known in other.merged.items():
        if third == name or known.at_seq > state.seq:
            continue
        if _is_newer(known, out.get(third)):
            out[third] = known.but(at_seq=at_seq, via=other.name)
        elif (known.born, known.seq) == (out[third].born, out[third].seq):
            out[third] = out[third].but(via=other.name)
    out[other.name] = state.but(at_seq=at_seq, via="")
    newest = sorted(out, key=lambda one: (out[one].at_seq, one == other.name))[-MAX_MERGED:]
    return {one: out[one] for one in newest}


def _is_newer(one: Merged, other: Merged | None) -> bool:
    return other is None or (one.born, one.seq) > (other.born, other.seq)


def common(into: Workspace, source: Workspace) -> list[Root]:
    """The newest states that both hold: those of which none is surely part of another. Several where both went on from each other.

    A state of a workspace that both know is common as far as the one goes that knows less of it.
    """
    mine = {**into.merged, into.name: state_of(into)}
    theirs = {**source.merged, source.name: state_of(source)}
    both = {
        name: min(one, theirs[name], key=lambda known: known.seq)
        for name, one in mine.items()
        if name in theirs and one.born == theirs[name].born
    }

    def older(name: str) -> bool:
        """Whether another common state holds this one."""
        for knows, self in ((mine, into.name), (theirs, source.name)):
            if name != self and self in both and knows[name].at_seq <= both[self].seq:
                return True
            via = knows[name].via
            if via and via != name and via in both and via in knows and both[via].seq == knows[via].seq:
                return True
        return False

    newest = {both[name].root.tree: both[name].root for name in both if not older(name)}
    return list(newest.values())


def existing(workspace: Workspace | None, name: str) -> Workspace:
    """The workspace. Raises NotFound where there is none or it was torn down, Moved."""
    if workspace is not None and workspace.moved_to is not None:
        raise Moved(workspace.moved_to)
    if workspace is None or workspace.deleted:
        raise NotFound(f"there is no workspace {name}", "see: windlass workspace list", workspace=name)
    return workspace


def parse_place(text: str) -> tuple[str, str]:
    """`NAME` or `NAME@LABEL`: workspace and label (empty for its present state). Raises UsageError."""
    name, at, label = text.partition("@")
    if at and not label:
        raise UsageError(f"{text[:80]!r} names no checkpoint", "write NAME@LABEL; see: windlass workspace checkpoints NAME")
    return check_name(name, "workspace"), check_name(label, "checkpoint") if at else ""
