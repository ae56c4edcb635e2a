"""The shared memory of a project."""

from __future__ import annotations

from windlass.ops import memory
from windlass.project.calls import Awaiting, Blocking, acting, looking


class _Calls:
    set = acting(memory.set_, '>>> p.memory.set("design.contract", {"file": "api.py"}, if_version=0).version\n1')
    delete = acting(memory.delete, '>>> p.memory.delete("key")')
    get = looking(memory.get, ">>> p.memory.get(\"key\").value\n'value'")
    list = looking(memory.list_, ">>> [one.key for one in p.memory.list()]\n['key']")
    history = looking(memory.history, ">>> [(one.version, one.value) for one in p.memory.history(\"key\")]\n[(1, 'value')]")


class MemoryPart(_Calls, Blocking):
    """`project.memory`, blocking."""


class AsyncMemoryPart(_Calls, Awaiting):
    """`project.memory`, for async programs: as `MemoryPart`, awaited."""
