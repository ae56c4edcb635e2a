"""The workspace register: a named tree of files, its checkpoints, and what of other workspaces it holds already."""

from __future__ import annotations

from windlass.errors import Moved, NotFound, UsageError
from windlass.protocol.codec import Document
from windlass.protocol.keys import check_name, is_blob_name, is_name
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, ClassVar, Self

    from windlass.protocol.codec import Fields
    from windlass.protocol.trees import Entry

KEPT = 64
"""Changes that a workspace's history keeps."""
MAX_CHECKPOINTS = 1000
"""Checkpoints of one workspace."""
MAX_NOTE = 2 * 1024
"""Bytes of a note: all of them lie in one register."""
MAX_LINES = 64
"""States of left lines that a workspace keeps."""
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


class Line(Record):
    """As Merged, of a line that workspace `of` has left: a restore goes on from a checkpoint as one that is `born` anew."""

    of: str
    root: Root
    seq: int
    at_seq: int
    born: int = 0
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            of=f.one_name("of"),
            root=f.record("root", Root.load) or NOTHING,
            seq=f.whole("seq"),
            at_seq=f.whole("at_seq"),
            born=f.whole("born"),
            extra=f.rest(),
        )


class Checkpoint(Record):
    """A tree with a label. `seq`, `born`, `merged`, `lines`: those of the workspace when it was made."""

    root: Root
    by: str = ""
    at: float = 0.0
    seq: int = 0
    note: str = ""
    born: int = 0
    merged: Mapping[str, Merged] = {}
    lines: tuple[Line, ...] = ()
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        return cls(
            root=f.record("root", Root.load) or NOTHING,
            by=f.text("by"),
            at=f.number("at"),
            seq=f.whole("seq"),
            note=f.text("note"),
            born=f.whole("born"),
            merged=f.records_by_name("merged", Merged.load),
            lines=f.records("lines", Line.load),
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
    """Its `seq` when it was made, made anew after a teardown, or restored: states that it had since another `born` are none of this one."""
    ttl: float | None = None
    forming: str = ""
    """The pending record of the fork that makes it: until that is done it does not count."""
    origin: str = ""
    """The workspace that it was forked from."""
    checkpoints: Mapping[str, Checkpoint] = {}
    merged: Mapping[str, Merged] = {}
    lines: tuple[Line, ...] = ()
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
            lines=f.records("lines", Line.load),
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
        return (self.root, *known_roots(self), *(root for one in self.checkpoints.values() for root in (one.root, *known_roots(one))))


def known_roots(one: Workspace | Checkpoint) -> tuple[Root, ...]:
    """The trees of others, and of lines that were left, that are part of it."""
    return (*(known.root for known in one.merged.values()), *(line.root for line in one.lines))


def recorded(workspace: Workspace, event: str, by: str, at: float, write_id: str, note: str = "", **changes: Any) -> Workspace:
    """The workspace after one more change."""
    line = Change(event=event, by=by, at=at, write_id=write_id, seq=workspace.seq + 1, note=note)
    return workspace.but(history=(*workspace.history, line)[-KEPT:], **changes)


def state_of(workspace: Workspace) -> Merged:
    """What it is now, for another to keep."""
    return Merged(root=workspace.root, seq=workspace.seq, at_seq=workspace.seq, born=workspace.born)


def learned(mine: Workspace, other: Workspace, state: Merged, at_seq: int) -> dict[str, Any]:
    """`merged` and `lines` after `state`, one of workspace `other`, came to workspace `mine` as its number `at_seq`.

    All that the other held then comes along, so that what went through a third workspace is known too.
    """
    out, lines = dict(mine.merged), list(mine.lines)
    for third, known in other.merged.items():
        if third == mine.name or known.at_seq > state.seq:
            continue
        before = out.get(third)
        if _is_newer(known, before):
            out[third] = known.but(at_seq=at_seq, via=other.name)
            lines += _left(third, before, known.born)
        elif before is not None and (known.born, known.seq) == (before.born, before.seq):
            out[third] = before.but(via=other.name)
    lines += _left(other.name, out.get(other.name), state.born)
    out[other.name] = state.but(at_seq=at_seq, via="")
    newest = sorted(out, key=lambda one: (out[one].at_seq, one == other.name))[-MAX_MERGED:]
    lines += [line.but(at_seq=at_seq) for line in other.lines if line.of != mine.name and line.at_seq <= state.seq]
    return {"merged": {one: out[one] for one in newest}, "lines": _furthest(lines)}


def _left(name: str, known: Merged | None, born: int) -> list[Line]:
    """What was known of a workspace, where what is known now is of another line of it."""
    if known is None or known.born == born:
        return []
    return [Line(of=name, root=known.root, seq=known.seq, at_seq=known.at_seq, born=known.born)]


def _furthest(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Of each line the furthest state, the newest ones."""
    out: dict[tuple[str, int], Line] = {}
    for line in lines:
        known = out.get((line.of, line.born))
        if known is None or line.seq > known.seq:
            out[line.of, line.born] = line
    return tuple(sorted(out.values(), key=lambda line: line.at_seq)[-MAX_LINES:])


def _is_newer(one: Merged, other: Merged | None) -> bool:
    return other is None or (one.born, one.seq) > (other.born, other.seq)


def restored(now: Workspace, kept: Checkpoint) -> dict[str, Any]:
    """What changes where a workspace goes back to a checkpoint: what came after it is no part of it any more."""
    line = Line(of=now.name, root=kept.root, seq=kept.seq, at_seq=now.seq + 1, born=kept.born)
    return {"root": kept.root, "born": now.seq + 1, "merged": kept.merged, "lines": _furthest([*kept.lines, line])}


def _knows(one: Workspace) -> dict[tuple[str, int], Merged]:
    """Every state that is part of it, its own too, by workspace and `born`."""
    lines = {(line.of, line.born): Merged(root=line.root, seq=line.seq, at_seq=line.at_seq, born=line.born) for line in one.lines}
    return lines | {(name, known.born): known for name, known in one.merged.items()} | {(one.name, one.born): state_of(one)}


def common(into: Workspace, source: Workspace) -> list[Root]:
    """The newest states that both hold: those of which none is surely part of another. Several where both went on from each other.

    A state of a workspace that both know is common as far as the one goes that knows less of it.
    """
    mine, theirs = _knows(into), _knows(source)
    both = {key: min(one, theirs[key], key=lambda known: known.seq) for key, one in mine.items() if key in theirs}

    def older(key: tuple[str, int]) -> bool:
        """Whether another common state holds this one."""
        for knows, self in ((mine, into.name), (theirs, source.name)):
            for other, state in both.items():
                if other == key:
                    continue
                if other[0] == self and knows[key].at_seq <= state.seq and (key[0] != self or key[1] < other[1]):
                    return True
                newest = other[0] == knows[key].via and max(born for name, born in knows if name == other[0]) == other[1]
                if newest and other[0] != key[0] and state.seq == knows[other].seq:
                    return True
        return False

    newest = {both[key].root.tree: both[key].root for key in both if not older(key)}
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
