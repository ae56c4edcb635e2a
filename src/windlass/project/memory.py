"""The shared memory of a project."""

from __future__ import annotations

from windlass.ops import memory
from windlass.project.calls import Awaiting, Blocking, acting, looking


class _Calls:
    set = acting(memory.set_)
    delete = acting(memory.delete)
    get = looking(memory.get)
    list = looking(memory.list_)
    history = looking(memory.history)


class MemoryPart(_Calls, Blocking):
    """`project.memory`, blocking."""


class AsyncMemoryPart(_Calls, Awaiting):
    """`project.memory`, for async programs."""
