"""What the operations of workspaces share: which registers count, and changes of them that start over where others were faster."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import Lost
from windlass.ops import pending, registers
from windlass.ops.agents import own_time
from windlass.protocol import keys
from windlass.protocol.agents import MARGIN
from windlass.protocol.pending import Pending, State
from windlass.protocol.workspaces import Workspace, existing
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.pending import Upload
    from windlass.ops.registers import Version, Write
    from windlass.protocol.workspaces import Root

    T = TypeVar("T")

TRIES = 8
"""Times that an operation starts over because others changed what it builds on."""
SILENT = 60.0
"""Seconds after which a fork that did not come to its end is given up by whoever wants one of its names."""


class Over(Exception):
    """What an operation builds on was changed by others: it starts over."""


def settled(name: str) -> Op[Version[Workspace] | None]:
    """The register; None where there is none, or only what a fork was still making, or what is left of one that was given up."""
    found = yield from look(name)
    return found.entry if found.making is None else None


class Found(Record):
    """A register as it stands. `making`: the record of the fork that was still making it, or was given up; such a one does not count."""

    entry: Version[Workspace] | None
    making: Pending | None = None
    since: float = 0.0
    """The store's time of that record."""


GONE = Pending(state=State.ABANDONED)


def look(name: str) -> Op[Found]:
    """A register, and whether it counts. Raises Lost, StoreError."""
    for _ in range(TRIES):
        found = yield from registers.fetch(keys.workspace(name), Workspace)
        if found is None:
            return Found(entry=None)
        found = found.but(doc=found.doc.but(name=name))  # whatever it says itself
        if not found.doc.forming:
            return Found(entry=found)
        fork = yield from registers.fetch(keys.pending(found.doc.forming), Pending)
        if fork is not None:
            return Found(entry=found) if fork.doc.state is State.DONE else Found(entry=found, making=fork.doc, since=fork.modified)
        now = yield from fx.read(keys.workspace(name))
        if now is not None and now.version == found.version:
            return Found(entry=found, making=GONE)
        # it was finished since, and its record taken away
    raise _too_fast(name)


def _too_fast(name: str) -> Lost:
    return Lost(f"workspace {name} changes faster than it can be read", "try again in a moment", workspace=name)


def change(
    name: str,
    known: Version[Workspace],
    decide: Callable[[Workspace, Write], Workspace],
    still: Callable[[], Op[object]] | None = None,
) -> Op[Version[Workspace]]:
    """Change a workspace that was settled. `still` runs before a write that is based on another state than `known`.

    Raises what both raise, NotFound, Moved, Over where a fork has begun to make it anew, Lost, Indeterminate, StoreError.
    """

    def settle(entry: Version[Workspace] | None, write: Write) -> Workspace:
        workspace = existing(entry.doc if entry else None, name)
        assert entry is not None
        if workspace.forming and workspace.forming != known.doc.forming:
            raise Over
        after = decide(workspace.but(name=name, forming=""), write)
        return entry.doc if after.history == workspace.history else after  # nothing was recorded, so nothing changes

    def before(entry: Version[Workspace]) -> Op[None]:
        if still is not None and entry.version != known.version:
            yield from still()

    now = yield from registers.update(keys.workspace(name), Workspace, settle, known=known, before=before)
    assert now is not None
    return now


def under(me: Me, targets: Iterable[str], holds: Iterable[Root], work: Callable[[Upload], Op[T]]) -> Op[T]:
    """Do something under a pending record that holds these trees. Raises what `work` raises."""
    upload = yield from pending.begin(me, tuple(targets), tuple(dict.fromkeys(root.tree for root in holds if root.tree)))
    return (yield from pending.under(upload, work(upload)))


def over(attempt: Callable[[], Op[T]], name: str) -> Op[T]:
    """Do it again as long as others change what it builds on."""
    for conflict in range(TRIES):
        try:
            return (yield from attempt())
        except Over:
            yield from registers.back_off(conflict)
    raise _too_fast(name)


def free(actor: Actor, name: str) -> Op[Version[Workspace] | None]:
    """What a fresh workspace of that name takes the place of. Raises Lost where there is one, or a fork is just making it, Moved.

    A fork that has been silent for long is given up: then nothing of it counts, whatever it still writes.
    """
    found = yield from look(name)
    if found.entry is None:
        return None
    if found.making is None and not found.entry.doc.deleted:
        existing(found.entry.doc, name)
        raise Lost(f"there is a workspace {name} already", f"choose another name, or: windlass workspace teardown {name}", workspace=name)
    if found.making is not None and found.making.state is State.OPEN:
        if (yield from own_time(actor)) - found.since <= SILENT + MARGIN:
            raise Lost(
                f"{found.making.agent} is just making workspace {name}", "try again in a minute, or choose another name", workspace=name
            )
        if not (yield from pending.abandon(found.entry.doc.forming)):
            raise Over
    return found.entry
