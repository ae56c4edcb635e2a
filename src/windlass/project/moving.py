"""Moves a project from one store to another."""

from __future__ import annotations

import os

from windlass.errors import UsageError
from windlass.ops import moving
from windlass.ops.moving import Moving
from windlass.project.session import open_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.project.session import Session


def move(source: Session, destination: str, *, force: bool = False, create: bool = False) -> Moving:
    """Copy the project to another store, compare, freeze the source, leave the new address behind. Can be run again after a crash.

    Raises Lost while claims are live (unless `force`) or where the destination holds something else, UsageError, StoreError.
    """
    from windlass.config.settings import absolute
    from windlass.stores.registry import describe

    target = describe(absolute(destination, os.getcwd(), os.environ))
    if target == source.url:
        raise UsageError("the project is there already", "name another store", to=target)
    mover = source.actor.agent
    there = open_session(source.settings.but(store=target, store_why="the destination", embedded=None, options={}), create=create)
    try:
        return _move(source, there, mover, target, force)
    finally:
        there.close()


def _move(source: Session, there: Session, mover: str, target: str, force: bool) -> Moving:
    there.base.folders("")  # an unusable destination is found before anything is frozen
    marker = source.run(moving.announce(mover, target, force))
    if not there.run(moving.prepare(mover, source.project, source.url, marker)):
        return Moving(objects=0, late=0)
    source.run(moving.settle_down(mover))
    copied: set[str] = set()
    late = 0
    for attempt in range(10):
        source.run(moving.freeze(mover, target))
        names = [name for name in source.run(moving.inventory()) if name not in copied]
        if attempt and not names:
            break
        objects = source.run(moving.read_out(names))
        there.run(moving.write_in(objects))
        there.run(moving.compare(objects))
        copied.update(names)
        late += len(names) if attempt else 0
    there.run(moving.open_up(source.url))
    source.run(moving.leave(target))
    return Moving(objects=len(copied), late=late)
