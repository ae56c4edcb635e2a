"""Opens a store by its URL. Only the kind that is asked for is imported."""

from __future__ import annotations

import os

from windlass.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windlass.stores.base import Store

_LATER = {"gs": "Google Cloud Storage", "az": "Azure Blob", "hf": "Hugging Face buckets"}

_memories: dict[str, Store] = {}


def open_store(url: str, create: bool = False, options: Mapping[str, str] | None = None) -> Store:
    """The store at a path or URL; `create` makes its directory or bucket, `options` are defaults for the URL's query.

    Raises UsageError for a URL that makes no sense, StoreError where `create` cannot be done.
    """
    return _KINDS[_scheme(url)](url, create, options or {})


def describe(url: str) -> str:
    """The canonical form of a store's URL, free of secrets. Raises UsageError."""
    scheme = _scheme(url)
    if scheme == "s3":
        from windlass.stores.location import parse

        return parse(url).url
    return _path(url) if scheme == "file" else url


def _scheme(url: str) -> str:
    if not url or "\0" in url:
        raise UsageError("the store has no name", "name one: --store PATH or --store s3://bucket/prefix")
    scheme, colon, _ = url.partition("://")
    if not colon:
        return "file"
    scheme = scheme.lower()
    if scheme in _LATER:
        raise UsageError(f"{_LATER[scheme]} ({scheme}://) cannot be used yet", "use s3://, or a directory")
    if scheme not in _KINDS:
        raise UsageError(f"no store is called {scheme}://", "use a path, file://, memory:// or s3://bucket/prefix")
    return scheme


def _path(url: str) -> str:
    if "://" not in url:
        return os.path.abspath(url)
    from urllib.parse import unquote

    host, slash, path = url.partition("://")[2].partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError(f"{url} names no path of this machine", "write file:///PATH")
    if "?" in path or "#" in path:
        raise UsageError(f"{url}: a directory takes no options", "write file:///PATH")
    found = unquote("/" + path)
    if "\0" in found:
        raise UsageError("the store's path holds a NUL character", "write file:///PATH")
    return os.path.abspath(found)


def _local(url: str, create: bool, _options: Mapping[str, str]) -> Store:
    from windlass.stores.local import LocalStore

    path = _path(url)
    return LocalStore.create(path) if create else LocalStore(path)


def _memory(url: str, _create: bool, _options: Mapping[str, str]) -> Store:
    from windlass.stores.memory import MemoryStore

    return _memories.setdefault(url, MemoryStore(url=url))


def _s3(url: str, create: bool, options: Mapping[str, str]) -> Store:
    from windlass.stores.objects import open_s3

    return open_s3(url, create, options)


_KINDS: dict[str, Callable[[str, bool, Mapping[str, str]], Store]] = {"file": _local, "memory": _memory, "s3": _s3}
