"""Choosing or making a store and a project."""

from __future__ import annotations

import os

from windlass import effects as fx
from windlass.drivers.hints import NoHints
from windlass.drivers.sync import World, run
from windlass.errors import StoreMissing, Unsafe, UsageError, WindlassError
from windlass.project.session import open_base
from windlass.protocol import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.config import Settings
    from windlass.effects import Op
    from windlass.project.doctor import Report, Tell
    from windlass.stores.base import Store

LOOKED_AT = 256
"""Folders of a store that are looked at for projects."""


def store_url(backend: str | None, bucket: str, endpoint: str | None) -> str:
    """The store that a bucket's name and endpoint mean. Raises UsageError."""
    if "://" in bucket:
        raise UsageError(f"--bucket takes a bucket's name, not {bucket!r}", f"write: --store {bucket}")
    if backend == "hf":
        return f"hf://{bucket}"
    if not endpoint:
        return f"s3://{bucket}"
    from urllib.parse import quote

    return f"s3://{bucket}?endpoint={quote(endpoint, safe=':/')}"


def check_url(store: str) -> None:
    """Raises UsageError for a URL that no store could be opened by, or that holds a secret: such a one must not be shown."""
    if "://" in store:
        from windlass.stores.registry import describe

        describe(store)


def prepare(settings: Settings, *, create_bucket: bool = False) -> tuple[str, ...]:
    """Make the store where that is asked for, and give the projects in it. Raises StoreError, UsageError."""
    store = settings.store
    if store.startswith("memory:"):
        raise UsageError("memory:// lasts as long as one process", "name a directory or s3://bucket/prefix")
    local = "://" not in store or store.startswith("file:")
    if local and not settings.store_why.startswith("the default"):
        from windlass.stores.registry import describe

        above = os.path.dirname(describe(store))
        if not os.path.isdir(above):
            raise StoreMissing(f"there is no directory {above}", f"make it first: mkdir -p '{above}'")
    base = open_base(settings, create=local or create_bucket)
    try:
        return projects(base)
    finally:
        base.close()


def projects(base: Store) -> tuple[str, ...]:
    """The projects in a store."""
    return run(_projects(), World(base, NoHints()))


def _projects() -> Op[tuple[str, ...]]:
    folders = (yield fx.Folders(prefix=""))[:LOOKED_AT]
    names = []
    for name in folders:
        try:
            keys.check_name(name, "project")
        except WindlassError:  # somebody else's folder
            continue
        names.append(name)
    found = yield from fx.gather([fx.Get(key=f"{name}/{keys.MARKER}") for name in names])
    return tuple(name for name, one in zip(names, found, strict=True) if isinstance(one, fx.Object))


def vet(settings: Settings, *, accept: bool, tell: Tell = lambda what, done, total: None) -> Report:
    """Race the store briefly and remember on this machine how that went. Raises Unsafe for one that fails and is not accepted."""
    from windlass.config import remember_store
    from windlass.project.doctor import examine

    report = examine(settings, quick=True, tell=tell)
    if not report.safe and not accept:
        first = report.broken[0].text
        raise Unsafe(
            f"{report.url} is not safe: {first}",
            "see all of it: windlass doctor; choose another store, or take the risk: --accept-unsafe",
            broken=[one.name for one in report.broken],
        )
    if settings.state_dir:
        remember_store(settings.state_dir, settings.store, {"safe": report.safe, "unsafe_accepted": not report.safe})
    return report
