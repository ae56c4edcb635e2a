"""Workspaces: named trees of files. A head moves only by compare-and-set on the register, so no push loses another's work."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Damaged, FormatTooNew, Lost, Moved, NotFound, UsageError
from windlass.ops import pending, registers
from windlass.ops.agents import act, own_time
from windlass.ops.settling import Over, change, free, over, settled, under
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN
from windlass.protocol.codec import check_text, decode
from windlass.protocol.workspaces import (
    MAX_CHECKPOINTS,
    MAX_NOTE,
    NOTHING,
    Checkpoint,
    Merged,
    Root,
    Workspace,
    existing,
    known_roots,
    learned,
    parse_place,
    recorded,
    restored,
    state_of,
)
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.pending import Upload
    from windlass.ops.registers import Version, Write

    T = TypeVar("T")

AT_ONCE = 64
"""Reads in flight."""


class WorkspaceChanged(Record):
    """A workspace after a write; `again`: it was so already, nothing was written."""

    workspace: Workspace
    again: bool = False


class WorkspaceListed(Record):
    """One workspace in a listing; `modified` is the store's time of its last change. `workspace` None: damaged, `why` says how."""

    name: str
    modified: float
    workspace: Workspace | None
    why: str = ""


class Started(Record):
    """A state that something begins with: the workspace as it was then, and what of it counts as known."""

    of: Workspace
    state: Merged


def show(name: str) -> Op[Version[Workspace]]:
    """A workspace as it is. Raises NotFound, Moved, StoreError."""
    found = yield from settled(name)
    try:
        existing(found.doc if found else None, name)
    except NotFound:
        raise (yield from _no_such(name)) from None
    assert found is not None
    return found


def _no_such(name: str) -> Op[NotFound]:
    from difflib import get_close_matches

    page = yield from fx.page(keys.WORKSPACES)
    names = [one for one in (keys.parse_workspace(entry.key) for entry in page.entries) if one and one != name]
    near = []
    for one in get_close_matches(name, names, n=6, cutoff=0.5):
        try:
            found = yield from settled(one)
        except (Damaged, FormatTooNew):
            continue
        near += [one] if found is not None and not found.doc.deleted else []
    hint = f"did you mean {', '.join(near)}?" if near else f"see: windlass workspace list; make it: windlass workspace create {name}"
    return NotFound(f"there is no workspace {name}", hint, workspace=name, near=near)


def tree_of(place: str) -> Op[Root]:
    """The tree of `NAME`, or of its checkpoint `NAME@LABEL`. Raises NotFound, UsageError."""
    return (yield from start_of(place)).state.root


def start_of(place: str) -> Op[Started]:
    """The state that a place names. Raises NotFound, UsageError."""
    name, label = parse_place(place)
    workspace = (yield from show(name)).doc
    if not label:
        return Started(of=workspace, state=state_of(workspace))
    kept = _checkpoint_of(workspace, label)
    then = workspace.but(root=kept.root, seq=kept.seq, born=kept.born, merged=kept.merged, lines=kept.lines)
    return Started(of=then, state=state_of(then))


def _checkpoint_of(workspace: Workspace, label: str) -> Checkpoint:
    kept = workspace.checkpoints.get(label)
    if kept is None:
        there = sorted(workspace.checkpoints)
        told = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
        raise NotFound(
            f"workspace {workspace.name} has no checkpoint {label}",
            f"it has {told}" if there else f"make one: windlass workspace checkpoint {workspace.name} --label {label}",
            workspace=workspace.name,
            labels=there,
        )
    return kept


def list_() -> Op[list[WorkspaceListed]]:
    """Every workspace that counts, by name."""
    out: list[WorkspaceListed] = []
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(keys.WORKSPACES, after)
        wanted = {entry.key: name for entry in page.entries if (name := keys.parse_workspace(entry.key))}
        modified = {entry.key: entry.modified for entry in page.entries}
        for start in range(0, len(wanted), AT_ONCE):
            some = list(wanted)[start : start + AT_ONCE]
            for key, found in zip(some, (yield from fx.gather([fx.Get(key=key) for key in some])), strict=True):
                one = yield from _listed(wanted[key], found, modified[key])
                out += [one] if one is not None else []
        after = page.more
    return sorted(out, key=lambda one: one.name)


def _listed(name: str, found: fx.Object | Exception | None, modified: float) -> Op[WorkspaceListed | None]:
    try:
        if isinstance(found, Exception):
            raise found
        if found is None:
            return None
        workspace, modified = decode(Workspace, found.key, found.body).but(name=name), found.modified
        if workspace.forming:
            now = yield from settled(name)
            if now is None:
                return None
            workspace, modified = now.doc, now.modified
    except (Damaged, FormatTooNew) as error:
        return WorkspaceListed(name=name, modified=modified, workspace=None, why=str(error))
    if workspace.moved_to is not None:
        raise Moved(workspace.moved_to)
    return None if workspace.deleted else WorkspaceListed(name=name, modified=modified, workspace=workspace)


def check_ttl(ttl: float | None) -> float | None:
    """Seconds. Raises UsageError."""
    if ttl is not None and not 1 <= ttl <= 1e10:
        raise UsageError(f"a ttl of {ttl:g} s is not possible" if abs(ttl) < 1e15 else "no such ttl is possible", "use seconds, at least 1")
    return ttl


def create(
    actor: Actor, name: str, *, source: str = "", ttl: float | None = None, build: Callable[[Upload], Op[Root]] | None = None
) -> Op[Workspace]:
    """Make a workspace: empty, from a place (`NAME` or `NAME@LABEL`), or of what `build` sends. Raises Lost where there is one."""
    keys.check_name(name, "workspace")
    check_ttl(ttl)
    if source and build is not None:
        raise UsageError("a workspace begins with one thing only", "give files, or another workspace")
    me = yield from act(actor)

    def attempt() -> Op[Workspace]:
        start = (yield from start_of(source)) if source else None
        entry = yield from free(actor, name)
        if start is None and build is None:
            return (yield from place(me, name, entry, NOTHING, None, ttl)).doc

        def work(upload: Upload) -> Op[Workspace]:
            if start is not None:
                yield from refers(start)
            root = (
                start.state.root
                if start is not None
                else (yield from pending.sending(upload, build(upload)))
                if build is not None
                else NOTHING
            )
            return (yield from place(me, name, entry, root, start, ttl)).doc

        return (yield from under(me, [keys.workspace(name)], needs(start), work))

    return (yield from over(attempt, name))


def needs(start: Started | None) -> tuple[Root, ...]:
    """The trees that a workspace refers to which begins like this."""
    return () if start is None else (start.state.root, *known_roots(start.of))


def refers(start: Started) -> Op[None]:
    """Make sure that what is held in a pending record was still referred to then. Raises Over, NotFound."""
    now = (yield from show(start.of.name)).doc
    there = {root.tree for root in now.roots}
    if any(root.tree and root.tree not in there for root in needs(start)):
        raise Over


def begun(before: Workspace | None, name: str, me: Me, write: Write, root: Root, start: Started | None, ttl: float | None) -> Workspace:
    """A fresh workspace, over what is left of one of that name."""
    seq = before.seq + 1 if before is not None else 1
    fresh = Workspace(
        name=name,
        seq=seq - 1,
        created_by=me.agent,
        created_at=write.at,
        born=seq,
        ttl=ttl,
        history=before.history if before is not None else (),
        extra=before.extra if before is not None else {},
    )
    if start is None:
        return recorded(fresh, "create", me.agent, write.at, write.id, root=root)
    known = learned(fresh, start.of, start.state, seq)
    return recorded(fresh, "fork", me.agent, write.at, write.id, start.of.name, root=root, origin=start.of.name, **known)


def place(
    me: Me, name: str, entry: Version[Workspace] | None, root: Root, start: Started | None, ttl: float | None, forming: str = ""
) -> Op[Version[Workspace]]:
    """Write the register of a fresh workspace over `entry`, which does not count. Raises Over where another was faster."""

    def decide(now: Version[Workspace] | None, write: Write) -> Workspace:
        if (now.version if now else None) != (entry.version if entry else None):
            raise Over
        return begun(now.doc if now else None, name, me, write, root, start, ttl).but(forming=forming)

    made = yield from registers.update(keys.workspace(name), Workspace, decide, known=entry)
    assert made is not None
    return made


def push(
    actor: Actor,
    name: str,
    base: Root | None,
    build: Callable[[Upload, Workspace], Op[Root]],
    *,
    force: bool = False,
    note: str = "",
) -> Op[WorkspaceChanged]:
    """Set the head to what `build` sends, if the head is still `base` (None: empty). Raises Lost where it moved on.

    `build` may rely on every blob of the head of the workspace that it is given; it runs again where the head was moved (with `force`).
    """
    check_text(note, "note", MAX_NOTE)
    me = yield from act(actor)
    wanted = base.tree if base is not None else ""

    def attempt() -> Op[WorkspaceChanged]:
        known = yield from show(name)
        if not force and known.doc.root.tree != wanted:
            raise moved_on(known.doc)

        def work(upload: Upload) -> Op[WorkspaceChanged]:
            root = yield from while_it_stays(known.doc, pending.sending(upload, build(upload, known.doc)))
            return (yield from _publish(me, known, upload, root, force=force, note=note))

        return (yield from under(me, [keys.workspace(name)], (), work))

    return (yield from over(attempt, name))


def _publish(me: Me, known: Version[Workspace], upload: Upload, root: Root, *, force: bool, note: str) -> Op[WorkspaceChanged]:
    again = False

    def decide(now: Workspace, write: Write) -> Workspace:
        nonlocal again
        again = now.root.tree == root.tree
        if again:
            return now
        if now.root.tree != known.doc.root.tree or now.born != known.doc.born:
            raise Over if force else moved_on(now)
        return recorded(now, "push", me.agent, write.at, write.id, note, root=root)

    now = yield from change(known.doc.name, known, decide, lambda: pending.still(upload))
    return WorkspaceChanged(workspace=now.doc.but(name=known.doc.name), again=again)


def while_it_stays(known: Workspace, op: Op[T]) -> Op[T]:
    """What reads a workspace's head. Raises Lost, not Damaged, where the head is another one by now: gc may have taken what it was."""
    try:
        return (yield from op)
    except Damaged:
        now = yield from settled(known.name)
        if now is not None and (now.doc.root.tree, now.doc.born, now.doc.deleted) == (known.root.tree, known.born, False):
            raise
        raise moved_on(now.doc if now is not None else known) from None


def moved_on(workspace: Workspace) -> Lost:
    """The error of a push onto a head that is not its base."""
    last = next((change for change in reversed(workspace.history) if change.event not in ("touch", "checkpoint")), None)
    return Lost(
        f"workspace {workspace.name} was changed meanwhile" + (f" by {last.by} ({last.event})" if last else ""),
        "take that in first: windlass workspace pull; or overwrite it: --force",
        workspace=workspace.name,
    )


def checkpoint(actor: Actor, name: str, label: str, note: str = "") -> Op[WorkspaceChanged]:
    """Keep the present tree under a label. Raises Lost where another tree has it."""
    keys.check_name(label, "checkpoint")
    check_text(note, "note", MAX_NOTE)

    def decide(me: Me, now: Workspace, write: Write) -> Workspace:
        kept = now.checkpoints.get(label)
        if kept is not None and kept.root.tree == now.root.tree:
            return now
        if kept is not None:
            raise Lost(f"workspace {name} has another checkpoint {label}", "choose another label", workspace=name, label=label)
        return recorded(now, "checkpoint", me.agent, write.at, write.id, label, checkpoints=_with(now, label, me, write, note))

    return (yield from _simple(actor, name, decide))


def _with(now: Workspace, label: str, me: Me, write: Write, note: str) -> dict[str, Checkpoint]:
    if len(now.checkpoints) >= MAX_CHECKPOINTS:
        raise UsageError(
            f"workspace {now.name} has {MAX_CHECKPOINTS} checkpoints, which is the limit", "go on in a fork of it: windlass workspace fork"
        )
    made = Checkpoint(root=now.root, by=me.agent, at=write.at, seq=now.seq, note=note, born=now.born, merged=now.merged, lines=now.lines)
    return {**now.checkpoints, label: made}


def restore(actor: Actor, name: str, label: str) -> Op[WorkspaceChanged]:
    """Go back to a checkpoint: what was merged since then can be merged again. The head before is kept as a checkpoint unless it is one.

    Raises NotFound.
    """
    keys.check_name(label, "checkpoint")

    def decide(me: Me, now: Workspace, write: Write) -> Workspace:
        kept = _checkpoint_of(now, label)
        if kept.root.tree == now.root.tree:
            return now
        checkpoints = now.checkpoints
        if now.root.tree and all(one.root.tree != now.root.tree for one in checkpoints.values()):
            number = 1
            while f"before-restore-{number}" in checkpoints:
                number += 1
            checkpoints = _with(now, f"before-restore-{number}", me, write, f"before {label} was restored")
        return recorded(now, "restore", me.agent, write.at, write.id, label, checkpoints=checkpoints, **restored(now, kept))

    return (yield from _simple(actor, name, decide))


def _simple(actor: Actor, name: str, decide: Callable[[Me, Workspace, Write], Workspace]) -> Op[WorkspaceChanged]:
    """One read and one conditional write of a register that refers to no tree that it did not refer to before."""
    me = yield from act(actor)

    def attempt() -> Op[WorkspaceChanged]:
        known = yield from show(name)
        again = False

        def whether(now: Workspace, write: Write) -> Workspace:
            nonlocal again
            after = decide(me, now, write)
            again = after is now
            return after

        now = yield from change(name, known, whether)
        return WorkspaceChanged(workspace=now.doc.but(name=name), again=again)

    return (yield from over(attempt, name))


def teardown(actor: Actor, name: str, force: bool = False) -> Op[Workspace]:
    """Give a workspace up. Raises Lost where it holds what no other has, unless `force`."""

    def decide(me: Me, now: Workspace, write: Write) -> Workspace:
        if not force and now.root.tree and now.root.tree not in kept:
            raise Lost(
                f"workspace {name} holds changes that no other workspace has",
                f"keep them: windlass workspace merge {name} INTO; or give them up: windlass workspace teardown {name} --force",
                workspace=name,
            )
        return torn_down(now, "teardown", me, write)

    kept: set[str] = set()
    if not force:
        mine = (yield from show(name)).doc
        got = [other for other, one in mine.merged.items() if one.root.tree == mine.root.tree]
        for other in dict.fromkeys((*([mine.origin] if mine.origin else []), *got)):
            if mine.root.tree in kept:
                break
            found = yield from settled(other)
            if found is not None and not found.doc.deleted:
                kept |= {found.doc.root.tree} | ({found.doc.merged[name].root.tree} if name in found.doc.merged else set())
                kept |= {mine.merged[other].root.tree} if other in got and mine.merged[other].born == found.doc.born else set()
    return (yield from _simple(actor, name, decide)).workspace


def torn_down(now: Workspace, event: str, me: Me, write: Write) -> Workspace:
    """The workspace without anything that it referred to."""
    return recorded(now, event, me.agent, write.at, write.id, root=NOTHING, checkpoints={}, merged={}, deleted=True)


def expire(actor: Actor, dry_run: bool = False) -> Op[list[str]]:
    """Tear down those whose `ttl` ran out by the store's clock; their names.

    The store's time is learned before each workspace is read, so that one that is changed meanwhile is spared.
    """
    me = yield from act(actor)
    now = yield from own_time(actor)
    out: list[str] = []
    for one in (yield from list_()):
        if one.workspace is None or one.workspace.ttl is None or now - one.modified <= one.workspace.ttl + MARGIN:
            continue
        if dry_run or (yield from _expire(me, one.name, now)):
            out.append(one.name)
    return out


def _expire(me: Me, name: str, own: float) -> Op[bool]:
    judged = yield from settled(name)
    if judged is None or judged.doc.deleted or judged.doc.moved_to is not None or judged.doc.ttl is None:
        return False
    if own - judged.modified <= judged.doc.ttl + MARGIN:
        return False
    gone = False

    def decide(now: Version[Workspace] | None, write: Write) -> Workspace | None:
        nonlocal gone
        gone = now is not None and now.version == judged.version
        return torn_down(now.doc.but(forming=""), "expire", me, write) if now is not None and gone else now.doc if now else None

    yield from registers.update(keys.workspace(name), Workspace, decide, known=judged)
    return gone
