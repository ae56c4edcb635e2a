"""Many agents, one bucket. `windlass.open(store, project=…, agent=…)` is the door; names load when they are first used."""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass import aio, records
    from windlass.errors import (
        AccessDenied,
        ClaimLost,
        Conflicting,
        Damaged,
        Fenced,
        FormatTooNew,
        Indeterminate,
        Lost,
        Moved,
        NotFound,
        NothingLeft,
        NothingReady,
        StoreError,
        StoreFull,
        StoreMissing,
        StoreReadOnly,
        TimedOut,
        Unavailable,
        Unidentified,
        Unmet,
        Unsafe,
        UsageError,
        VersionMoved,
        WindlassError,
    )
    from windlass.project import Project
    from windlass.project import open_project as open

__all__ = [
    "AccessDenied",
    "ClaimLost",
    "Conflicting",
    "Damaged",
    "Fenced",
    "FormatTooNew",
    "Indeterminate",
    "Lost",
    "Moved",
    "NotFound",
    "NothingLeft",
    "NothingReady",
    "Project",
    "StoreError",
    "StoreFull",
    "StoreMissing",
    "StoreReadOnly",
    "TimedOut",
    "Unavailable",
    "Unidentified",
    "Unmet",
    "Unsafe",
    "UsageError",
    "VersionMoved",
    "WindlassError",
    "aio",
    "open",
    "records",
]

_PROJECT = {"Project": "Project", "open": "open_project"}
_MODULES = ("aio", "records")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import enum  # noqa: F401 (so that the states in records are real enumerations in every program)
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"windlass.{name}")
    home = import_module("windlass.project" if name in _PROJECT else "windlass.errors")
    found: object = getattr(home, _PROJECT.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
