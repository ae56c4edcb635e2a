"""Runs operations on an event loop: the same operations, with store requests on threads."""

from __future__ import annotations

import asyncio

from windlass import effects as fx
from windlass.drivers.sync import called
from windlass.errors import WindlassError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from windlass.drivers.notice import Notice
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
        await _sleep(effect.seconds, stop)
        return None
    if isinstance(effect, fx.Gather):
        return list(await asyncio.gather(*(perform(one, world) for one in effect.effects), return_exceptions=True))
    if isinstance(effect, fx.Call):
        return await _call(effect, world)
    if isinstance(effect, fx.Spread):
        return await _spread(effect, world, stop)
    if isinstance(effect, _REQUESTS):
        return await asyncio.get_running_loop().run_in_executor(world.pool(), world.perform, effect)
    return world.perform(effect)


async def _call(effect: fx.Call, world: World) -> Any:
    """On a thread. Where it is cancelled, work that was begun comes to its end first: it holds files."""
    only = [effect]  # a thread lets go of what it was given only after it has told of the end; of what it takes, before
    task = world.pool().submit(lambda: called(only.pop()))
    end = asyncio.wrap_future(task)
    try:
        return await asyncio.shield(end)
    except asyncio.CancelledError:
        if not task.cancel():
            await asyncio.wait([end])
        raise


async def _spread(effect: fx.Spread, world: World, stop: asyncio.Event | None) -> list[Any]:
    """As tasks. Where it is cancelled, they are cancelled and awaited."""
    ops = iter(effect.ops)
    results: list[Any] = []
    failed: list[BaseException] = []

    async def work() -> None:
        try:
            while not failed and (op := next(ops, None)) is not None:
                at = len(results)
                results.append(None)
                results[at] = await run(op, world, stop)
        except BaseException as error:
            failed.append(error)
            raise

    await asyncio.gather(*(work() for _ in range(max(1, effect.at_once))), return_exceptions=True)
    if failed:
        raise failed[0]
    return results


async def _sleep(seconds: float, stop: asyncio.Event | None) -> None:
    if stop is None:
        await asyncio.sleep(seconds)
        return
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
    raise _Stopped


async def _pause(effect: fx.Sleep, notice: Notice, world: World, stop: asyncio.Event | None) -> None:
    """As `Notice.pause`, on the event loop."""
    from windlass.drivers.notice import SETTLE

    loop = asyncio.get_running_loop()
    if await loop.run_in_executor(world.pool(), notice.set_up, effect.until):
        return
    until = loop.time() + effect.seconds
    while (left := until - loop.time()) > 0:
        if not await _told(notice.fileno(), left, stop) or notice.changed():
            return
        await _sleep(min(SETTLE, left), stop)


async def _told(file: int, seconds: float, stop: asyncio.Event | None) -> bool:
    """Whether the file (-1: none) becomes readable within so many seconds."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    try:
        loop.add_reader(file, told.set)
    except (NotImplementedError, ValueError, OSError):  # a loop that watches no files, or no file
        await _sleep(seconds, stop)
        return False
    waiting = [asyncio.ensure_future(event.wait()) for event in (told, stop) if event is not None]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(file)
        for one in waiting:
            one.cancel()
    if stop is not None and stop.is_set():
        raise _Stopped
    return told.is_set()


async def run(op: fx.Op[T], world: World, stop: asyncio.Event | None = None) -> T:
    """Drive an operation to its end. Raises what it raises; a cancelled write may still land."""
    notice: Notice | None = None
    try:
        effect = next(op)
        while True:
            try:
                if isinstance(effect, fx.Sleep) and effect.until and (notice := notice or world.notice()) is not None:
                    await _pause(effect, notice, world, stop)
                    result = None
                else:
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
        if notice is not None:
            notice.close()


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
