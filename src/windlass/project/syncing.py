"""Both ways between a folder of the user's and a workspace: push, pull, and what differs."""

from __future__ import annotations

import os

from windlass import effects as fx
from windlass.errors import Conflicting, Damaged, Lost, UsageError, WindlassError, shell_word
from windlass.files import mark as marks
from windlass.files.folders import FolderStaging, sweep
from windlass.files.update import apply
from windlass.ops import snapshots, workspaces
from windlass.ops.snapshots import Snapshot
from windlass.project import folders
from windlass.project.comparing import odd_in, plan, states_of, tell_apart
from windlass.project.local import Local, agree, belongs_elsewhere, cache_of, keep
from windlass.protocol.trees import Entry
from windlass.protocol.workspaces import NOTHING, Root, Workspace
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from windlass.effects import Op
    from windlass.files.scan import Left
    from windlass.ops.pending import Upload
    from windlass.project.comparing import Plan
    from windlass.project.session import Session

NOWHERE = Snapshot(root="", rows={}, bodies={})
PULL = ".pull.windlass-part"
"""In a folder that is pulled into: where files are prepared, under a name of ours that no scan sees."""
NAMED = 100
"""Conflicts that an error carries."""


class Pushed(Record):
    """A workspace after a push of a folder. `again`: nothing differed. Paths are those of files, links and empty folders."""

    workspace: Workspace
    again: bool
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    ignored: int = 0
    odd: tuple[Left, ...] = ()
    left: tuple[Left, ...] = ()


class Pulled(Record):
    """A folder after a pull. `again`: it held all of that already; `odd`: names in it that could not exist on another system."""

    workspace: Workspace
    folder: str
    again: bool
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    odd: tuple[Left, ...] = ()


class FolderStatus(Record):
    """How a folder differs from `base`, the state of its workspace that it last agreed with. `head`: the state now, None where `problem`
    says why nobody could tell; `moved`: it is another one.
    """

    workspace: str
    folder: str
    base: Root
    head: Root | None
    moved: bool | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    ignored: int
    odd: tuple[Left, ...]
    left: tuple[Left, ...]
    problem: str = ""


def belongs_to(session: Session, folder: str) -> Op[str | None]:
    """The workspace of this project that a folder belongs to, None where it belongs to none. Raises UsageError, Damaged."""
    mark = yield from fx.call(lambda: marks.read(folder) if os.path.isdir(folder) else None)
    if mark is not None and (mark.store, mark.project) != (session.url, session.project):
        raise belongs_elsewhere(mark, folder, True, f"the project {session.project} in {session.url}")
    return mark.workspace if mark is not None else None


def push(session: Session, name: str, folder: str, *, force: bool = False, note: str = "") -> Op[Pushed]:
    """Set a workspace's head to what a folder holds; only what changed is sent. The folder belongs to the workspace then.

    Raises Lost where the head is not the state that the folder last agreed with: pull first (`force` goes on). NotFound, UsageError.
    """
    actor = session.actor
    local = yield from fx.call(lambda: Local(session, folder))
    try:
        base = local.base(name, force=force)
        head, entries, bodies = NOWHERE, dict[str, Entry](), dict[str, bytes]()

        def build(under: Upload, workspace: Workspace) -> Op[Root]:
            nonlocal head, entries, bodies
            head = yield from snapshots.take(workspace.root.tree, local.bodies)
            yield from fx.call(lambda: local.track(head.rows))
            root, entries, bodies = yield from local.send(under, head)
            return root

        done = yield from workspaces.push(actor, name, base, build, force=force, note=note)
        yield from fx.call(lambda: local.agree(done.workspace, bodies))
        return _pushed(local, done.workspace, done.again, head.rows, entries)
    finally:
        local.close()


def _pushed(local: Local, workspace: Workspace, again: bool, before: Mapping[str, Entry], after: Mapping[str, Entry]) -> Pushed:
    scan, apart = local.scan, tell_apart(states_of(before), states_of(after))
    return Pushed(workspace=workspace, again=again, **vars(apart), ignored=scan.ignored, odd=tuple(scan.odd), left=tuple(scan.left))


def create_from(session: Session, name: str, folder: str, ttl: float | None) -> Op[Pushed]:
    """Make a workspace of what a folder holds. The folder belongs to it then, if it belonged to none."""
    actor = session.actor
    local = yield from fx.call(lambda: Local(session, folder))
    try:
        entries, bodies = dict[str, Entry](), dict[str, bytes]()

        def build(under: Upload) -> Op[Root]:
            nonlocal entries, bodies
            root, entries, bodies = yield from local.send(under, NOWHERE)
            return root

        made = yield from workspaces.create(actor, name, ttl=ttl, build=build)
        if local.mark is None:
            yield from fx.call(lambda: local.agree(made, bodies))
        return _pushed(local, made, False, {}, entries)
    finally:
        local.close()


def pull(session: Session, name: str, folder: str, *, force: bool = False, outside: bool = False) -> Op[Pulled]:
    """Bring a folder to a workspace's head. A missing or empty one appears whole or not at all; into any other one what changed since
    it last agreed is merged: your changes stay where the head has none.

    Raises Lost, naming the paths that changed on both sides, with nothing changed (`force`: the head's version wins). `outside`
    allows links that lead out of the folder. NotFound, UsageError, Damaged.
    """
    workspace = (yield from workspaces.show(name)).doc
    if (yield from fx.call(lambda: _is_new(folder))):
        return (yield from workspaces.while_it_stays(workspace, _pull_whole(session, workspace, folder, outside)))
    return (yield from workspaces.while_it_stays(workspace, _pull_into(session, workspace, folder, force, outside)))


def _is_new(folder: str) -> bool:
    """Whether it can be put in place as a whole: it is not there, or an empty one that nobody stands in."""
    if not os.path.lexists(folder):
        return True
    if not os.access(folder, os.R_OK | os.X_OK):
        return False
    real = os.path.realpath(folder).rstrip("/") + "/"
    ours = (os.path.realpath(place) + "/" for place in (".", os.path.expanduser("~")))
    return os.path.isdir(folder) and not os.path.islink(folder) and not os.listdir(folder) and not any(one.startswith(real) for one in ours)


def _ident(tree: str) -> str:
    return tree or "0" * 16


def _pull_whole(session: Session, workspace: Workspace, folder: str, outside: bool) -> Op[Pulled]:
    head = yield from snapshots.take(workspace.root.tree, {})
    folders.check_links(head.rows, outside)
    staging = yield from fx.call(lambda: FolderStaging(folder, _ident(head.root), outside=outside))
    try:
        yield from fx.call(staging.open_folder)
        yield from folders.fill(staging, head.rows)
        yield from fx.call(staging.publish)
    finally:
        staging.close()

    def note() -> None:
        agree(session, folder, workspace)
        cache = cache_of(session, folder)
        cache.load()
        keep(cache, {}, {}, head.bodies)

    yield from fx.call(note)
    apart = tell_apart({}, states_of(head.rows))
    return Pulled(workspace=workspace, folder=folder, again=False, **vars(apart), odd=odd_in(head.rows))


def _pull_into(session: Session, workspace: Workspace, folder: str, force: bool, outside: bool) -> Op[Pulled]:
    local = yield from fx.call(lambda: Local(session, folder))
    try:
        base = yield from _base(local, local.base(workspace.name, force=force))
        head = yield from snapshots.take(workspace.root.tree, {**local.bodies, **base.bodies})
        yield from fx.call(lambda: local.track({**base.rows, **head.rows}))
        differing = [path for path in base.rows.keys() | head.rows.keys() if base.rows.get(path) != head.rows.get(path)]
        sides = yield from local.compare(base.rows, head.rows, differing)
        todo = plan(sides, force=force)
        if todo.clashes:
            raise _clashing(todo, workspace.name)
        folders.check_links({path: head.rows[path] for path in todo.touched if path in head.rows}, outside)
        if not todo.empty:
            yield from _carry_out(local, todo, head, outside)
        yield from fx.call(lambda: sweep(local.path, f".{PULL}"))
        yield from fx.call(lambda: local.agree(workspace, head.bodies))
        done = {path: state for path, state in sides.here.items() if path not in todo.touched}
        done |= {path: sides.after[path] for path in todo.touched if path in sides.after}
        return Pulled(workspace=workspace, folder=folder, again=todo.empty, **vars(tell_apart(sides.here, done)), odd=odd_in(head.rows))
    finally:
        local.close()


def _base(local: Local, root: Root | None) -> Op[Snapshot]:
    """What the folder last agreed with. Where that is gone from the store, nothing: all that differs is in conflict then."""
    try:
        return (yield from snapshots.take((root or NOTHING).tree, local.bodies))
    except Damaged:
        return NOWHERE


def _clashing(todo: Plan, name: str) -> Conflicting:
    count, some = len(todo.clashes), todo.clashes[:NAMED]
    return Conflicting(
        f"{count:,} {'path' if count == 1 else 'paths'} changed both here and in {name}, each in its own way; nothing was changed",
        f"see theirs: windlass workspace pull OTHER-FOLDER --from {name}; or let theirs win: --force",
        workspace=name,
        conflicts=[one.path for one in some],
        ours={one.path: one.ours for one in some},
        theirs={one.path: one.theirs for one in some},
        count=count,
    )


def _carry_out(local: Local, todo: Plan, head: Snapshot, outside: bool) -> Op[None]:
    """Fetch all that is to be written, verified, and only then change the folder. Raises Lost where it changed meanwhile."""
    staging = yield from fx.call(lambda: FolderStaging(f"{local.path}/{PULL}", _ident(head.root)))
    try:
        yield from fx.call(staging.open_folder)
        yield from folders.fill(staging, {path: head.rows[path] for path in todo.writes})
        done = yield from fx.call(lambda: apply(local.path, todo.changes(staging.pieces), outside=outside))
        yield from fx.call(staging.discard)
    finally:
        staging.close()
    kept = [one for one in done.kept if one.why != "it is not empty"]  # a folder that was removed there, with more in it here
    if kept:
        raise Lost(
            f"{kept[0].path} was left as it is: {kept[0].why}" + (f"; and {len(kept) - 1:,} more" if len(kept) > 1 else ""),
            "pull again: what was brought so far stays",
            conflicts=[one.path for one in kept[:NAMED]],
            count=len(kept),
        )


def _forgotten(name: str, folder: str) -> Lost:
    return Lost(
        f"{name} has moved on, and the state of it that {folder} last agreed with is no longer kept",
        f"windlass workspace pull {shell_word(folder)}: what differs is named, nothing is overwritten",
        folder=folder,
    )


def status(session: Session, folder: str) -> Op[FolderStatus]:
    """What differs between a folder and the state of its workspace that it last agreed with, and whether the head moved on since.

    Reads files only where size or times say that they changed. Raises UsageError where the folder belongs to no workspace, Lost where
    gc took the state that it last agreed with.
    """
    local = yield from fx.call(lambda: Local(session, folder))
    try:
        if local.mark is None:
            raise UsageError(
                f"{folder} belongs to no workspace", "windlass workspace push DIR --to NAME, or pull DIR --from NAME", folder=folder
            )
        name = local.mark.workspace
        root = local.base(name, force=False) or NOTHING
        head, problem = None, ""
        try:
            head = (yield from workspaces.show(name)).doc.root
        except WindlassError as error:
            problem = error.message
        try:
            base = yield from snapshots.take(root.tree, local.bodies)
        except Damaged:
            if head is not None and head.tree == root.tree:
                raise
            raise _forgotten(name, folder) from None
        yield from fx.call(lambda: local.track(base.rows))
        sides = yield from local.compare(base.rows, {})
        yield from fx.call(lambda: local.keep(base.bodies))
        apart = tell_apart({path: state for path, state in sides.before.items() if not local.unknown(path)}, sides.here)
        return FolderStatus(
            workspace=name,
            folder=folder,
            base=root,
            head=head,
            moved=head.tree != root.tree if head else None,
            **vars(apart),
            ignored=local.scan.ignored,
            odd=tuple(local.scan.odd),
            left=tuple(local.scan.left),
            problem=problem,
        )
    finally:
        local.close()
