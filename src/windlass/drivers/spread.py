"""Operations side by side on threads, for the blocking driver."""

from __future__ import annotations

from _thread import allocate_lock, get_ident

from windlass.drivers.sync import at_once, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass import effects as fx
    from windlass.drivers.sync import World

NEAR = 4
"""Threads at most where the store is a local disk: files and their syncs overlap, the rest only waits for the interpreter."""


class Abandoned(BaseException):
    """The operation is given up at its next effect, as an interrupt would end it. No operation may catch it."""


class Effort:
    """A spread under way, shared by its threads."""

    def __init__(self, effect: fx.Spread, world: World) -> None:
        self._world = world
        self._ops = iter(effect.ops)
        self._lock = allocate_lock()
        self._outer = world.efforts.get(get_ident())
        self.results: list[Any] = []
        self.failed: list[BaseException] = []

    def work(self) -> None:
        """Run operations until none is left or one failed. Raises only what is no Exception."""
        world, thread = self._world, get_ident()
        outer = world.efforts.get(thread)
        notice = world.notices.pop(thread, None)  # an operation here must not end the wait of the one that spread it
        world.efforts[thread] = self
        try:
            while self._one():
                pass
        except BaseException as error:
            self.failed.append(error)
            if not isinstance(error, Exception):
                raise
        finally:
            if outer is None:
                del world.efforts[thread]
            else:
                world.efforts[thread] = outer
            if notice is not None:
                world.notices[thread] = notice

    def _one(self) -> bool:
        """Run the next operation; False where none is to be begun. Nothing of it is kept but its result."""
        with self._lock:
            if self.failed:
                return False
            op = next(self._ops, None)
            if op is None:
                return False
            at = len(self.results)
            self.results.append(None)
        try:
            self.results[at] = run(op, self._world)
        finally:
            op.close()
        return True

    def stop(self) -> None:
        """Begin nothing more, and give up what is under way."""
        self.failed.append(Abandoned())

    def check(self) -> None:
        """Raises Abandoned where this spread, or one around it, was interrupted."""
        effort: Effort | None = self
        while effort is not None:
            if effort.failed and not all(isinstance(error, Exception) for error in effort.failed):
                raise Abandoned
            effort = effort._outer


def spread(effect: fx.Spread, world: World) -> list[Any]:
    """Carry out a spread: results in order, or the first error once those under way are at their end.

    An interrupt, and whatever else is no Exception, goes before errors; those under way then end at their next effect.
    """
    most = effect.at_once if world.store.capabilities.distant else min(effect.at_once, NEAR)
    if isinstance(effect.ops, (list, tuple)):
        most = min(most, len(effect.ops))
    effort = Effort(effect, world)
    at_once(effort.work, most, effort.stop)
    if effort.failed:
        raise next((error for error in effort.failed if not isinstance(error, Exception)), effort.failed[0])
    return effort.results
