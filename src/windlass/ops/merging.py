"""What differs between workspaces, and the merge of one into another: three-way, against what both have in common."""

from __future__ import annotations

from windlass.errors import Conflicting, Damaged, UsageError
from windlass.ops import pending, trees
from windlass.ops.agents import act
from windlass.ops.settling import Over, change, over, under
from windlass.ops.workspaces import Started, needs, refers, show, tree_of
from windlass.protocol import keys
from windlass.protocol.workspaces import Root, Workspace, common, learned, recorded, state_of
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.pending import Upload
    from windlass.ops.registers import Version, Write
    from windlass.ops.trees import Conflict, Difference
    from windlass.protocol.trees import Entry

NAMED = 100
"""Conflicts that an error names."""


class Joined(Record):
    """What a merge did: the workspace that was merged into, the paths that changed in it; a folder that came or went whole counts as one.

    `again`: it held all of that already.
    """

    workspace: Workspace
    source: str
    paths: tuple[str, ...] = ()
    again: bool = False


def diff(before: str, after: str) -> Op[list[Difference]]:
    """What differs between two places (`NAME` or `NAME@LABEL`), file by file. Raises NotFound."""
    old = yield from tree_of(before)
    new = yield from tree_of(after)
    return (yield from trees.expand((yield from trees.diff(old.tree, new.tree))))


def merge(actor: Actor, source: str, into: str, *, prefer: str = "") -> Op[Joined]:
    """Bring what changed in one workspace into another. Raises Conflicting with nothing written, UsageError where they share nothing.

    `prefer`: what becomes of a path that both changed: "ours" is that of `into`, "theirs" that of `source`; else it is a conflict.
    """
    if prefer not in ("", "ours", "theirs"):
        raise UsageError(f"{prefer!r} is no side of a merge", 'use "ours" or "theirs"')
    if keys.check_name(source, "workspace") == keys.check_name(into, "workspace"):
        raise UsageError("a workspace cannot be merged into itself", "name two")
    me = yield from act(actor)

    def attempt() -> Op[Joined]:
        theirs, ours = (yield from show(source)), (yield from show(into))
        bases = common(ours.doc, theirs.doc)
        if not bases:
            raise UsageError(
                f"{source} and {into} have no state in common", "only forks of one workspace, and a fork and its base, can be merged"
            )
        try:
            edits, conflicts = yield from trees.merge([one.tree for one in bases], ours.doc.root.tree, theirs.doc.root.tree)
        except Damaged:
            yield from _same_still(ours, theirs)
            raise
        if conflicts and not prefer:
            raise _conflicting(source, into, conflicts)
        if prefer == "theirs":
            edits |= {one.path: one.theirs for one in conflicts}
        known = ours.doc.merged.get(source)
        if not edits and known is not None and (known.born, known.root.tree) == (theirs.doc.born, theirs.doc.root.tree):
            return Joined(workspace=ours.doc, source=source, again=True)
        start = Started(of=theirs.doc, state=state_of(theirs.doc))
        return (yield from under(me, [keys.workspace(into)], needs(start), lambda upload: _publish(me, ours, start, edits, upload)))

    return (yield from over(attempt, into))


def _same_still(*looked_at: Version[Workspace]) -> Op[None]:
    """Raises Over where one was changed, so that what it referred to may be gone."""
    for entry in looked_at:
        if (yield from show(entry.doc.name)).version != entry.version:
            raise Over


def _conflicting(source: str, into: str, conflicts: Sequence[Conflict]) -> Conflicting:
    paths = [one.path for one in conflicts]
    told = ", ".join(repr(path[:200]) for path in paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return Conflicting(
        f"{source} and {into} both changed {told}",
        f"nothing was written; settle it in one of both and merge again, or take a side: windlass workspace merge {source} {into} --theirs",
        source=source,
        into=into,
        conflicts=paths[:NAMED],
        count=len(paths),
    )


def _publish(me: Me, ours: Version[Workspace], start: Started, edits: Mapping[str, Entry | None], upload: Upload) -> Op[Joined]:
    yield from refers(start)
    made = (yield from pending.sending(upload, trees.edit(upload, ours.doc.root.tree, edits))) if edits else None
    root = Root.of(made) if made is not None else ours.doc.root

    def decide(now: Workspace, write: Write) -> Workspace:
        if now.root.tree != ours.doc.root.tree or now.born != ours.doc.born or now.merged != ours.doc.merged:
            raise Over
        known = learned(now, start.of, start.state, now.seq + 1)
        return recorded(now, "merge", me.agent, write.at, write.id, start.of.name, root=root, **known)

    now = yield from change(ours.doc.name, ours, decide, lambda: pending.still(upload))
    return Joined(workspace=now.doc.but(name=ours.doc.name), source=start.of.name, paths=tuple(edits))
