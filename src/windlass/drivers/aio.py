"""Runs operations on an event loop: the same operations, with store requests on threads."""

from __future__ import annotations

import asyncio

from windlass import effects as fx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from windlass.drivers.sync import World

    T = TypeVar("T")

_REQUESTS = (fx.Get, fx.Put, fx.Delete, fx.List, fx.Folders)


async def perform(effect: fx.Effect, world: World) -> Any:
    """Carry out one effect. Raises what it raises."""
    if isinstance(effect, fx.Sleep):
        await asyncio.sleep(effect.seconds)
        return None
    if isinstance(effect, fx.Gather):
        return list(await asyncio.gather(*(perform(one, world) for one in effect.effects), return_exceptions=True))
    if isinstance(effect, _REQUESTS):
        return await asyncio.to_thread(world.perform, effect)
    return world.perform(effect)


async def run(op: fx.Op[T], world: World) -> T:
    """Drive an operation to its end. Raises what it raises; a cancelled write may still land."""
    try:
        effect = next(op)
        while True:
            try:
                result = await perform(effect, world)
            except Exception as error:
                effect = op.throw(error)
            else:
                effect = op.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        op.close()
