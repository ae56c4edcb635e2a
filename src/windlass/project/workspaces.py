"""The workspaces of a project: trees of files that agents push and pull, keep, fork and merge."""

from __future__ import annotations

import os

from windlass import effects as fx
from windlass.errors import NotFound, UsageError, WindlassError
from windlass.ops import blobs, forks, merging, trees, workspaces
from windlass.project import syncing
from windlass.project.calls import Awaiting, Blocking, looking, named, within
from windlass.protocol.trees import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Literal, Self, TypeAlias

    from windlass.effects import Op
    from windlass.ops.merging import Joined
    from windlass.ops.trees import Difference
    from windlass.ops.workspaces import WorkspaceChanged
    from windlass.project.session import Session
    from windlass.project.syncing import FolderStatus, Pulled, Pushed
    from windlass.protocol.workspaces import Checkpoint, Workspace

    Path: TypeAlias = "str | os.PathLike[str]"

MAX_READ = 64 * 1024 * 1024
"""Bytes of a file that is read into memory as a whole."""


def _text(folder: Path) -> str:
    path = os.fspath(folder)
    if not isinstance(path, str):
        raise UsageError("a path must be text", "decode it: os.fsdecode(path)")
    return path


def _push(session: Session, name: str, folder: Path = ".", *, force: bool = False, note: str = "") -> Op[Pushed]:
    """Set the head to what a folder holds; only what changed is sent, and the folder belongs to the workspace then.

    Raises Lost where the head is not the state that the folder last agreed with: pull first (`force` overwrites it), NotFound, UsageError.
    """
    return syncing.push(session, name, _text(folder), force=force, note=note)


def _pull(session: Session, name: str, folder: Path = ".", *, force: bool = False, links: str = "inside") -> Op[Pulled]:
    """Bring a folder to the head: a missing or empty one as a whole, into any other what changed since it last agreed; what you changed
    stays where the head did not.

    Raises Conflicting, naming paths that changed on both sides, with nothing changed (`force`: the head's version wins). `links`: "all"
    allows symbolic links that lead out of the folder. NotFound, UsageError, Damaged.
    """
    if links not in ("inside", "all"):
        raise UsageError(f"{links!r} says nothing of links", 'use "inside" or "all"')
    return syncing.pull(session, name, _text(folder), force=force, outside=links == "all")


def _status(session: Session, folder: Path = ".") -> Op[FolderStatus]:
    """How a folder differs from the state of its workspace that it last agreed with, and whether the head moved on since.

    Raises UsageError where the folder belongs to no workspace.
    """
    return syncing.status(session, _text(folder))


def _belongs_to(session: Session, folder: Path = ".") -> Op[str | None]:
    """The workspace that a folder belongs to, None for none. Raises UsageError where it is one of another store or project."""
    return syncing.belongs_to(session, _text(folder))


def _show(name: str) -> Op[Workspace]:
    """A workspace as it is: its tree in `root`, its `checkpoints` by label, its `history`. Raises NotFound, Moved."""
    return (yield from workspaces.show(name)).doc


def _checkpoints(name: str) -> Op[Mapping[str, Checkpoint]]:
    """The checkpoints of a workspace by label, oldest first. Raises NotFound."""
    kept = (yield from workspaces.show(name)).doc.checkpoints
    return dict(sorted(kept.items(), key=lambda one: (one[1].seq, one[0])))


# A store that snapshots and forks by itself plugs in at the next three: operations of the same arguments and results, on what it calls
# a snapshot where ours name a tree.


def _checkpoint(session: Session, name: str, label: str, note: str = "") -> Op[WorkspaceChanged]:
    """Keep the present tree under a label: one write, whatever its size. Raises Lost where another tree has the label, NotFound."""
    return workspaces.checkpoint(session.actor, name, label, note)


def _restore(session: Session, name: str, label: str) -> Op[WorkspaceChanged]:
    """Set the head to a checkpoint's tree. What it was is kept as a checkpoint of its own, unless it is one. Raises NotFound."""
    return workspaces.restore(session.actor, name, label)


def _fork(session: Session, source: str, n: int, prefix: str = "") -> Op[list[Workspace]]:
    """Make `PREFIX-1` … `PREFIX-n` (default: the base's name) of a workspace or checkpoint `NAME@LABEL`, all or none."""
    return forks.fork(session.actor, source, n, prefix)


def _diff(name: str, other: str) -> Op[list[Difference]]:
    """What differs between two states (`NAME`, `NAME@LABEL`), file by file: `before` None: added, `after` None: removed. NotFound."""
    return merging.diff(name, other)


def _merge(session: Session, source: str, into: str, *, prefer: Literal["", "ours", "theirs"] = "") -> Op[Joined]:
    """Bring what changed in one workspace into another, against what they have in common.

    `prefer`: where both changed a path, keep that of `into` ("ours") or take that of `source` ("theirs"). Else raises
    Conflicting, naming these paths, with nothing written; UsageError where nothing is common, NotFound.
    """
    return merging.merge(session.actor, source, into, prefer=prefer)


def _teardown(session: Session, name: str, force: bool = False) -> Op[Workspace]:
    """Give a workspace up. Raises Lost where it holds changes that no other has, unless `force`; NotFound."""
    return workspaces.teardown(session.actor, name, force)


def _expire(session: Session, dry_run: bool = False) -> Op[list[str]]:
    """Tear down the workspaces whose `ttl` ran out by the store's clock; their names. `dry_run`: only say which."""
    return workspaces.expire(session.actor, dry_run)


def _read(name: str, path: str) -> Op[bytes]:
    """One file of a workspace or checkpoint (`NAME@LABEL`), up to 64 MiB. Raises NotFound, UsageError for a folder or link, Damaged."""
    entry = yield from trees.at((yield from workspaces.tree_of(name)).tree, path)
    if entry is None:
        raise NotFound(f"{name} has no {path[:200]}", f"see: windlass workspace pull DIR --from {name.partition('@')[0]}", path=path[:200])
    if entry.kind not in (Kind.FILE, Kind.EXEC):
        raise UsageError(f"{path[:200]} in {name} is a {entry.kind.value}", "name a file", path=path[:200])
    if entry.size > MAX_READ:
        raise UsageError(f"{path[:200]} has more than {MAX_READ // 2**20} MiB", "pull the workspace into a folder", path=path[:200])
    if not entry.blob.in_parts:
        return (yield from blobs.read(entry.blob))
    names = yield from blobs.parts_of(entry.blob)
    return b"".join((yield from fx.spread((blobs.fetch(one) for one in names), blobs.AT_ONCE)))


def _make(session: Session, name: str, folder: Path | None, source: str, ttl: float | None) -> Op[Workspace]:
    if folder is not None and source:
        raise UsageError("a workspace begins with one thing only", "give a folder, or another workspace")
    if folder is not None:
        return (yield from syncing.create_from(session, name, _text(folder), ttl)).workspace
    return (yield from workspaces.create(session.actor, name, source=source, ttl=ttl))


def _give_up(session: Session, names: Sequence[str]) -> Op[None]:
    """Tear down all of them, also what nobody else has. Raises the first error once all were tried; those that are gone are fine."""
    failed: list[WindlassError] = []

    def one(name: str) -> Op[None]:
        try:
            yield from workspaces.teardown(session.actor, name, True)
        except NotFound:
            pass
        except WindlassError as error:
            failed.append(error)

    yield from fx.spread((one(name) for name in names), 8)
    if failed:
        raise failed[0]


def _leave(session: Session, names: Sequence[str], error: BaseException | None) -> Op[None]:
    """At the end of a block. An error of the block's own is never hidden by one of the teardown."""
    try:
        yield from _give_up(session, names)
    except WindlassError as problem:
        if error is None:
            raise
        error.add_note(f"windlass: {', '.join(names)} not all torn down: {problem}")


def _merge_into(session: Session, name: str, into: str, *, prefer: Literal["", "ours", "theirs"] = "") -> Op[Joined]:
    """Bring what changed here into another workspace; `prefer` as in `merge`. Raises Conflicting with nothing written, UsageError."""
    return _merge(session, name, into, prefer=prefer)


def _diff_to(session: Session, name: str, other: str) -> Op[list[Difference]]:
    """What another state (`NAME`, `NAME@LABEL`) has otherwise than this workspace, file by file. Raises NotFound."""
    return merging.diff(name, other)


def _read_here(session: Session, name: str, path: str) -> Op[bytes]:
    """One file of the workspace, up to 64 MiB. Raises NotFound, UsageError for a folder or link, Damaged."""
    return _read(name, path)


class _Handled:
    """What both kinds of handle are."""

    push = named(_push, '>>> p.workspaces.create("mine").push("src").added\n(\'api.py\',)')
    pull = named(_pull, '>>> p.workspaces.create("mine", folder="src").pull("copy").added\n(\'api.py\',)')
    checkpoint = named(_checkpoint, '>>> p.workspaces.create("mine").checkpoint("start", note="before the rewrite").again\nFalse')
    restore = named(_restore, '>>> w = p.workspaces.create("mine")\n>>> _ = w.checkpoint("start")\n>>> w.restore("start").again\nTrue')
    diff = named(_diff_to, '>>> [one.path for one in p.workspaces.create("mine").diff("site")]\n[\'index.html\']')
    merge_into = named(_merge_into, '>>> p.workspaces.create("mine", source="site").merge_into("site").paths\n()')
    teardown = named(_teardown, '>>> p.workspaces.create("mine").teardown()')
    read = named(_read_here, '>>> p.workspaces.create("mine", source="site").read("index.html")\nb\'<h1>Hi</h1>\'')

    def _take(self, made: Workspace) -> None:
        self.workspace = made
        """As it was made."""
        self.name: str = made.name


class WorkspaceHandle(_Handled, Blocking):
    """A workspace that was just made. At the end of its `with` block it is torn down, with whatever it holds: merge what you want to keep.

    >>> with p.workspaces.create("scratch", ttl=3600) as w:
    ...     w.push("src")
    """

    def __init__(self, session: Session, made: Workspace) -> None:
        super().__init__(session)
        self._take(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._do(_leave(self._session, [self.name], error))


class AsyncWorkspaceHandle(_Handled, Awaiting):
    """As `WorkspaceHandle`, for `async with`; its methods are awaited."""

    def __init__(self, session: Session, made: Workspace) -> None:
        super().__init__(session)
        self._take(made)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.settle_async(_leave(self._session, [self.name], error))


class Forks:
    """Forks of one workspace, in order. At the end of the `with` block all of them are torn down, with whatever they hold: merge what
    you want to keep inside the block.

    >>> with p.workspaces.fork("site", 3, prefix="try") as attempts:
    ...     attempts[1].merge_into("site")
    """

    def __init__(self, session: Session, made: Sequence[Workspace]) -> None:
        self._session = session
        self._handles = [WorkspaceHandle(session, one) for one in made]

    def __getitem__(self, at: int) -> WorkspaceHandle:
        return self._handles[at]

    def __iter__(self) -> Iterator[WorkspaceHandle]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.run(_leave(self._session, [one.name for one in self._handles], error))


class AsyncForks:
    """As `Forks`, for `async with await p.workspaces.fork(…)`."""

    def __init__(self, session: Session, made: Sequence[Workspace]) -> None:
        self._session = session
        self._handles = [AsyncWorkspaceHandle(session, one) for one in made]

    def __getitem__(self, at: int) -> AsyncWorkspaceHandle:
        return self._handles[at]

    def __iter__(self) -> Iterator[AsyncWorkspaceHandle]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.settle_async(_leave(self._session, [one.name for one in self._handles], error))


class _Calls:
    push = within(_push, '>>> p.workspaces.push("empty", "src").added\n(\'api.py\',)')
    pull = within(_pull, '>>> p.workspaces.pull("site", "copy").added\n(\'index.html\',)')
    status = within(_status, '>>> _ = p.workspaces.pull("site", "copy")\n>>> p.workspaces.status("copy").changed\n()')
    belongs_to = within(_belongs_to, '>>> _ = p.workspaces.pull("site", "copy")\n>>> p.workspaces.belongs_to("copy")\n\'site\'')
    list = looking(workspaces.list_, ">>> [one.name for one in p.workspaces.list()]\n['empty', 'site']")
    show = looking(_show, '>>> p.workspaces.show("site").root.files\n1')
    checkpoint = within(_checkpoint, '>>> p.workspaces.checkpoint("site", "draft", note="before the rewrite").again\nFalse')
    checkpoints = looking(_checkpoints, ">>> list(p.workspaces.checkpoints(\"site\"))\n['first']")
    restore = within(_restore, '>>> p.workspaces.restore("site", "first").again\nTrue')
    diff = looking(_diff, '>>> [one.path for one in p.workspaces.diff("empty", "site")]\n[\'index.html\']')
    merge = within(_merge, '>>> with p.workspaces.fork("site", 2) as attempts:\n...     done = p.workspaces.merge("site-1", "site")')
    teardown = within(_teardown, '>>> p.workspaces.teardown("site", force=True)')
    expire = within(_expire, ">>> p.workspaces.expire()\n[]")
    read = looking(_read, '>>> p.workspaces.read("site@first", "index.html")\nb\'<h1>Hi</h1>\'')


class WorkspacesPart(_Calls, Blocking):
    """`project.workspaces`, blocking."""

    def create(self, name: str, *, folder: Path | None = None, source: str = "", ttl: float | None = None) -> WorkspaceHandle:
        """Make a workspace: empty, of what a folder holds, or from a `source` (`NAME` or `NAME@LABEL`). As a context manager it is torn
        down at the end. `ttl`: seconds after its last change until `expire` takes it. Raises Lost where there is one, UsageError.

        >>> with p.workspaces.create("scratch", folder="src", ttl=3600) as w:
        ...     w.pull("copy").added
        """
        return WorkspaceHandle(self._session, self._do(_make(self._session, name, folder, source, ttl)))

    def fork(self, source: str, n: int, *, prefix: str = "") -> Forks:
        """Make `PREFIX-1` … `PREFIX-n` (default: the base's name) of a workspace or checkpoint `NAME@LABEL`, all or none. As a context
        manager they are torn down at the end, with whatever they hold. Raises Lost naming what is in the way, NotFound, UsageError.

        >>> with p.workspaces.fork("site", 5) as attempts:
        ...     for attempt in attempts:
        ...         attempt.pull(attempt.name)
        ...     attempts[0].merge_into("site")
        """
        return Forks(self._session, self._do(_fork(self._session, source, n, prefix)))


class AsyncWorkspacesPart(_Calls, Awaiting):
    """`project.workspaces`, for async programs: as `WorkspacesPart`, awaited. A `create` or `fork` that is cancelled leaves nothing."""

    async def create(self, name: str, *, folder: Path | None = None, source: str = "", ttl: float | None = None) -> AsyncWorkspaceHandle:
        """Make a workspace: empty, of what a folder holds, or from a `source` (`NAME` or `NAME@LABEL`). As a context manager it is torn
        down at the end. `ttl`: seconds after its last change until `expire` takes it. Raises Lost where there is one, UsageError.

        >>> async with await p.workspaces.create("scratch", folder="src", ttl=3600) as w:
        ...     (await w.pull("copy")).added
        """
        made = await self._session.settle_async(_make(self._session, name, folder, source, ttl), self._undone)
        return AsyncWorkspaceHandle(self._session, made)

    async def fork(self, source: str, n: int, *, prefix: str = "") -> AsyncForks:
        """Make `PREFIX-1` … `PREFIX-n` (default: the base's name) of a workspace or checkpoint `NAME@LABEL`, all or none. As a context
        manager they are torn down at the end, with whatever they hold. Raises Lost naming what is in the way, NotFound, UsageError.

        >>> async with await p.workspaces.fork("site", 5) as attempts:
        ...     await attempts[0].merge_into("site")
        """
        made = await self._session.settle_async(_fork(self._session, source, n, prefix), self._all_undone)
        return AsyncForks(self._session, made)

    def _undone(self, made: Workspace) -> Op[None]:
        return _give_up(self._session, [made.name])

    def _all_undone(self, made: Sequence[Workspace]) -> Op[None]:
        return _give_up(self._session, [one.name for one in made])
