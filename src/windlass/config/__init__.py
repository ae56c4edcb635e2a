"""Settings: which store, which project, who acts, and what this machine keeps about them.

`settle` answers all of it at once. What few commands need (`trust`, `sandbox_hint` …) is imported at its first use.
"""

from __future__ import annotations

import sys

from windlass.config.settings import Settings, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass.config.files import find_file, trust
    from windlass.config.places import (
        bind_agent,
        bound_agent,
        cache_dir,
        lock_file,
        machine_id,
        remember_store,
        state_dir,
        store_facts,
        unbind_agent,
    )
    from windlass.config.sandbox import network_hint, sandbox_hint
    from windlass.config.write import write_file

__all__ = [
    "Settings",
    "bind_agent",
    "bound_agent",
    "cache_dir",
    "find_file",
    "lock_file",
    "machine_id",
    "network_hint",
    "remember_store",
    "sandbox_hint",
    "settle",
    "state_dir",
    "store_facts",
    "trust",
    "unbind_agent",
    "write_file",
]

_LATER = {"find_file": "files", "trust": "files", "network_hint": "sandbox", "sandbox_hint": "sandbox", "write_file": "write"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"{__name__}.{_LATER.get(name, 'places')}"
    __import__(module)
    return getattr(sys.modules[module], name)
