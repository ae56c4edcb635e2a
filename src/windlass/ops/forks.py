"""Forks: N workspaces that begin with the tree of one, all or none.

Each is written as `forming` under one pending record, and none counts before that record is done: one write decides.
"""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import UsageError, WindlassError
from windlass.ops import pending, registers
from windlass.ops.agents import act
from windlass.ops.registers import Version, Write
from windlass.ops.settling import Over, free, over
from windlass.ops.workspaces import begun, needs, place, refers, start_of
from windlass.protocol import keys
from windlass.protocol.workspaces import Workspace, recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.pending import Upload
    from windlass.ops.workspaces import Started

MOST = 1000
"""Forks at once."""
AT_ONCE = 32
"""Registers under way."""


def fork(actor: Actor, source: str, n: int, prefix: str = "") -> Op[list[Workspace]]:
    """Make PREFIX-1 … PREFIX-n (prefix: the base's name) of a place, all or none. Raises Lost naming what was in the way, UsageError."""
    if not 1 <= n <= MOST:
        raise UsageError(f"{n} forks are not possible", f"ask for 1 to {MOST:,}")
    prefix = prefix or source.partition("@")[0]
    names = [keys.check_name(f"{prefix}-{number}", "workspace") for number in range(1, n + 1)]
    me = yield from act(actor)

    def attempt() -> Op[list[Workspace]]:
        start = yield from start_of(source)
        over_what: dict[str, Version[Workspace] | None] = {}
        for name in (yield from _taken(prefix, names)):
            over_what[name] = yield from free(actor, name)
        trees = [root.tree for root in needs(start) if root.tree]
        upload = yield from pending.begin(me, [keys.workspace(name) for name in names], list(dict.fromkeys(trees)))
        made: list[Version[Workspace]] = []
        try:
            yield from refers(start)
            made = yield from _form(me, names, over_what, start, upload)
            yield from pending.commit(upload)
        except Exception:
            if (yield from pending.abandon(upload.id)):
                yield from pending.give_up(upload)
                raise
            # the last write was not answered, but it landed
        except KeyboardInterrupt:
            if (yield from pending.abandon(upload.id)):
                yield from pending.give_up(upload)
            raise
        yield from _finish(me, made, upload)
        return [entry.doc.but(forming="") for entry in made]

    return (yield from over(attempt, prefix))


def _taken(prefix: str, names: Sequence[str]) -> Op[list[str]]:
    """Those of the names that have a register."""
    there: set[str | None] = set()
    after: str | None = ""
    while after is not None:
        page = yield from fx.page(f"{keys.WORKSPACES}{prefix}-", after)
        there.update(keys.parse_workspace(entry.key) for entry in page.entries)
        after = page.more
    return [name for name in names if name in there]


def _form(
    me: Me, names: Sequence[str], over_what: Mapping[str, Version[Workspace] | None], start: Started, upload: Upload
) -> Op[list[Version[Workspace]]]:
    """Write all registers, none of which counts yet. Raises Over where one came to be meanwhile."""
    fresh: list[tuple[str, Workspace]] = []
    root = start.state.root
    for name in names:
        if over_what.get(name) is None:
            write = Write(id=(yield from fx.new_id()), at=(yield from fx.now()))
            doc = begun(None, name, me, write, root, start, None).but(forming=upload.id, write_id=write.id, seq=1)
            fresh.append((keys.workspace(name), doc))
    made: dict[str, Version[Workspace]] = {}
    for (_, doc), version in zip(fresh, (yield from registers.create_all(fresh, Workspace, "forking")), strict=True):
        if version is None:
            raise Over
        made[doc.name] = Version(doc=doc, version=version)

    def again(name: str) -> Op[None]:
        made[name] = yield from place(me, name, over_what[name], root, start, None, upload.id)

    yield from fx.spread([again(name) for name in names if name not in made], AT_ONCE)
    return [made[name] for name in names]


def _finish(me: Me, made: Sequence[Version[Workspace]], upload: Upload) -> Op[None]:
    """Let each stand for itself, and take the record away that they depended on. What hinders that is left to gc."""

    def one(entry: Version[Workspace]) -> Op[bool]:
        def decide(now: Version[Workspace] | None, write: Write) -> Workspace | None:
            if now is None or now.doc.forming != upload.id:
                return now.doc if now else None
            return recorded(now.doc, "touch", me.agent, write.at, write.id, forming="")

        try:
            yield from registers.update(
                keys.workspace(entry.doc.name), Workspace, decide, known=entry if entry.version else registers.UNKNOWN
            )
        except WindlassError:
            return False
        return True

    if all((yield from fx.spread([one(entry) for entry in made], AT_ONCE))):
        yield from pending.end(upload)
