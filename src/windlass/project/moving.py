"""Moves a project from one store to another."""

from __future__ import annotations

import os

from windlass.errors import Lost, UsageError, WindlassError
from windlass.ops import moving
from windlass.ops.moving import Moving
from windlass.project.session import open_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol, TypeVar

    from windlass.effects import Entry, Op
    from windlass.project.session import Session
    from windlass.protocol.project import Marker

    T = TypeVar("T")

    class Side(Protocol):
        """The project in one of the two stores."""

        @property
        def url(self) -> str: ...
        def run(self, op: Op[T]) -> T: ...


ROUNDS = 10
"""Passes over the source before a move gives up on writes that keep coming."""
PORTION, PORTION_BYTES = 512, 32 * 1024 * 1024
"""Objects held in memory at once, and their bytes."""


def move(source: Session, destination: str, *, force: bool = False, create: bool = False) -> Moving:
    """Copy the project to another store, compare, freeze the source, leave the new address behind. Can be run again after a crash.

    Raises Lost while claims are live (unless `force`) or where the destination holds something else, UsageError, StoreError.
    """
    from windlass.config.settings import absolute
    from windlass.stores.registry import describe

    target = describe(absolute(destination, os.getcwd(), os.environ))
    if target == source.url:
        raise UsageError("the project is there already", "name another store", to=target)
    there = open_session(source.settings.but(store=target, store_why="the destination", embedded=None, options={}), create=create)
    try:
        return transfer(source, there, source.project, source.actor.agent, force=force)
    finally:
        there.close()


def transfer(source: Side, there: Side, project: str, mover: str, *, force: bool) -> Moving:
    """The whole move. Nothing is written where the project may not leave, or the destination holds something else."""
    to = there.url
    leaving = source.run(moving.may_leave(to, force=force))
    if leaving.moved_to is not None and not leaving.moving:
        return Moving(to=to)
    arriving = there.run(moving.prepare(project, source.url, leaving))
    source.run(moving.announce(to, arriving.moves[-1]))
    if arriving.arriving_from is None:
        source.run(moving.leave())
        return Moving(to=to)
    source.run(moving.settle_down(mover))
    copied: dict[str, str] = {}
    unread: set[str] = set()
    late = 0
    for attempt in range(ROUNDS):
        stays = source.run(moving.freeze(mover, to))
        there_are = source.run(moving.inventory(stays))
        names = [name for name, entry in there_are.items() if copied.get(name) != entry.mark and name not in unread]
        if not names and attempt:
            break
        # from the last slot down: in a store that it comes back to, what ended a mailbox goes when all that follows is there
        names.reverse()
        for some in _portions(names, there_are):
            objects, large = source.run(moving.read_out(some))
            if not _copy(there, objects, arriving):
                return Moving(to=to)
            unread.update(large)
            late += len(objects) if attempt else 0
            copied.update((name, there_are[name].mark) for name, _ in objects)
    else:
        raise WindlassError("the project goes on changing while it is moved", "stop what writes to it, then run the same move again")
    if len(arriving.moves) > 1:
        there.run(moving.reopen_logs())
    there.run(moving.open_up(arriving, source.run(moving.marker()).planned))
    source.run(moving.leave())
    return Moving(to=to, objects=len(copied), late=late, left=tuple(sorted(unread)))


def _portions(names: Sequence[str], listed: Mapping[str, Entry]) -> Iterator[list[str]]:
    """The keys, in order, as many at a time as fit into memory."""
    some: list[str] = []
    size = 0
    for name in names:
        if some and (len(some) == PORTION or size + listed[name].size > PORTION_BYTES):
            yield some
            some, size = [], 0
        some.append(name)
        size += listed[name].size
    if some:
        yield some


def _copy(there: Side, objects: Sequence[tuple[str, bytes]], arriving: Marker) -> bool:
    """Copy and compare; False where another run of this move was faster, and work goes on at the destination. Raises Lost."""
    different = there.run(moving.write_in(objects, arriving)) or there.run(moving.compare(objects))
    if not different:
        return True
    if not there.run(moving.is_closed(arriving)):
        return False
    what = f"{len(different)} objects at the destination differ, the first is {different[0]}"
    raise Lost(what, "empty the destination, or choose another; then run the same move again", keys=different[:20])
