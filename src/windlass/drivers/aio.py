"""Runs operations on an event loop: the same operations, with store requests on threads."""

from __future__ import annotations

import asyncio

from windlass import effects as fx
from windlass.errors import WindlassError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from windlass.drivers.sync import World

    T = TypeVar("T")

_REQUESTS = (fx.Get, fx.Put, fx.Delete, fx.List, fx.Folders)
_undoing: set[asyncio.Future[None]] = set()
"""The loop itself does not keep tasks alive."""


class _Stopped(Exception):
    """The operation was given up at a pause."""


async def perform(effect: fx.Effect, world: World, stop: asyncio.Event | None = None) -> Any:
    """Carry out one effect; a pause ends where `stop` is set. Raises what it raises."""
    if isinstance(effect, fx.Sleep):
        if stop is None:
            await asyncio.sleep(effect.seconds)
            return None
        try:
            await asyncio.wait_for(stop.wait(), effect.seconds)
        except TimeoutError:
            return None
        raise _Stopped
    if isinstance(effect, fx.Gather):
        return list(await asyncio.gather(*(perform(one, world) for one in effect.effects), return_exceptions=True))
    if isinstance(effect, _REQUESTS):
        return await asyncio.get_running_loop().run_in_executor(world.pool(), world.perform, effect)
    return world.perform(effect)


async def run(op: fx.Op[T], world: World, stop: asyncio.Event | None = None) -> T:
    """Drive an operation to its end. Raises what it raises; a cancelled write may still land."""
    try:
        effect = next(op)
        while True:
            try:
                result = await perform(effect, world, stop)
            except _Stopped:
                raise
            except Exception as error:
                effect = op.throw(error)
            else:
                effect = op.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        op.close()


async def settle(op: fx.Op[T], world: World, undo: Callable[[T], fx.Op[object]] | None = None) -> T:
    """As `run`, for what must not be left half done.

    Where the caller is cancelled, the operation goes on to its end or its next pause, and `undo` takes back what it came
    to; only then is the cancellation raised. A second one is raised at once, and the rest goes on by itself.
    """
    stop = asyncio.Event()
    task = asyncio.ensure_future(run(op, world, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        rest = asyncio.ensure_future(_undone(task, world, undo))
        _undoing.add(rest)
        rest.add_done_callback(_undoing.discard)
        await asyncio.shield(rest)
        raise


async def _undone(task: asyncio.Future[T], world: World, undo: Callable[[T], fx.Op[object]] | None) -> None:
    try:
        value = await task
        if undo is not None:
            await run(undo(value), world)
    except (WindlassError, _Stopped):  # it came to nothing; what cannot be undone runs out by itself
        return
