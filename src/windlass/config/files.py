"""Reads `.windlass.toml` and decides whether a store that it names may be used."""

from __future__ import annotations

import os

from windlass import jsons
from windlass.config import places, where
from windlass.config.settings import absolute
from windlass.digest import sha256_hex
from windlass.errors import UsageError, WindlassError
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LARGEST = 65536
_KNOWN = ("store", "project", "lease")
_RULES = 1
"""To be raised with any change of what a file may say: what was read by other rules is read again."""


class FileSettings(Record):
    """What one file says. `sha256` is that of the whole file: trust ends with any change."""

    path: str
    sha256: str
    store: str
    project: str
    lease: float | None

    def allowed_store(self, state: str, repository: where.Repository | None, env: Mapping[str, str]) -> str:
        """The store named here. Raises UsageError where it needs trust and has none."""
        folder = os.path.dirname(self.path)
        store = absolute(self.store, folder, env)
        if not _harmless(store, folder, repository) and not _trusted(self, state):
            raise UsageError(
                f"{self.path} sends this project's data to {without_query(store)}, and you have not trusted it",
                "read the file, then run: windlass trust",
                path=self.path,
            )
        return store


def find_file(env: Mapping[str, str], cwd: str) -> FileSettings | None:
    """The `.windlass.toml` that counts for a folder, trusted or not. Raises UsageError for a bad one."""
    folder = os.path.realpath(cwd)
    for place in where.config_folders(folder, where.discover(folder), lambda: places.home(env)):
        if os.path.lexists(f"{place}/{where.CONFIG_NAME}"):
            return read_file(f"{place}/{where.CONFIG_NAME}")
    return None


def trust(path: str, state: str) -> FileSettings:
    """Allow the store that this file names, as long as the file stays as it is. Raises UsageError."""
    found = read_file(path)
    if not state:
        raise UsageError("there is no home directory to remember trust in", "set HOME or XDG_STATE_HOME, or pass --store")
    places.write_private(_trust_file(found.path, state), {"path": found.path, "sha256": found.sha256})
    return found


def read_file(path: str, cache: str | None = None) -> FileSettings:
    """Read and check one file. Raises UsageError that names the file and the key.

    `cache`: a folder that keeps what the file's very bytes were found to say, since the parser costs a command 8 ms.
    """
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))  # a link is judged where it lies
    body = _read(path)
    sha256 = sha256_hex(body)
    values = _recall(cache, sha256)
    if values is None:
        values = _parse(path, body)
        _remember(cache, sha256, values)
    lease = values.get("lease")
    return FileSettings(
        path=path,
        sha256=sha256,
        store=values.get("store", ""),
        project=values.get("project", ""),
        lease=None if lease is None else float(lease),
    )


def _parse(path: str, body: bytes) -> dict[str, Any]:
    """What a file says, checked. Raises UsageError."""
    import tomllib

    try:
        values = tomllib.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}", "mend it, or remove it") from None
    if "agent" in values:
        raise UsageError(f"{path}: agent does not belong in a shared file", "remove it; for this worktree run: windlass init --agent NAME")
    for key, value in values.items():
        if key not in _KNOWN:
            raise UsageError(f"{path}: unknown key {key[:60]!r}", f"known are {', '.join(_KNOWN)}")
        if key == "lease":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
                raise UsageError(f"{path}: lease is no number of seconds", "write for example: lease = 900")
        elif not isinstance(value, str) or not value:
            raise UsageError(f"{path}: {key} is no text", f'write for example: {key} = "…"')
    return values


def _cached(cache: str, sha256: str) -> str:
    return f"{cache}/settings/{sha256[:32]}.json"


def _seal(sha256: str, said: str) -> str:
    return sha256_hex(f"{_RULES} {sha256} {said}".encode())


def _recall(cache: str | None, sha256: str) -> dict[str, Any] | None:
    """What a file of these bytes was found to say, where that was kept whole. It depends on nothing else: it cannot be out of date."""
    kept = places.read_private(_cached(cache, sha256)) if cache else None
    said = kept.get("said") if kept else None
    if not kept or not isinstance(said, str) or kept.get("seal") != _seal(sha256, said):
        return None
    values: dict[str, Any] = jsons.loads(said)
    return values


def _remember(cache: str | None, sha256: str, values: dict[str, Any]) -> None:
    if cache:
        said = jsons.dumps(values)
        try:
            places.write_private(_cached(cache, sha256), {"said": said, "seal": _seal(sha256, said)})
        except WindlassError:  # it is read again, then
            pass


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if os.fstat(fd).st_mode & 0o170000 != 0o100000:
                raise UsageError(f"{path} is not a regular file", "remove it")
            body = os.read(fd, _LARGEST + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "make it readable, or remove it") from None
    if len(body) > _LARGEST:
        raise UsageError(f"{path} is larger than {_LARGEST} bytes", "mend it, or remove it")
    return body


def _harmless(store: str, folder: str, repository: where.Repository | None) -> bool:
    """Whether a store lies inside the repository's own worktrees but not its git directory, or outside git in the file's folder."""
    if store == "memory://":
        return True
    path = store[7:] if store.startswith("file:///") and not set(store) & set("?#%") else store
    if "://" in path:
        return False
    real = os.path.realpath(path)
    if repository is None:
        return _inside(real, folder)
    if _inside(real, repository.common) or ".git" in real.lower().split("/"):
        return False
    return any(root is not None and _inside(real, root) for root in (repository.worktree, repository.main))


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _trust_file(path: str, state: str) -> str:
    return f"{state}/trusted/{sha256_hex(os.fsencode(path))[:32]}.json"


def _trusted(file: FileSettings, state: str) -> bool:
    found = places.read_private(_trust_file(file.path, state)) if state else None
    return found is not None and found.get("path") == file.path and found.get("sha256") == file.sha256


def without_query(store: str) -> str:
    """A store as shown in messages: no options and no user name."""
    plain = store.partition("?")[0]
    scheme, sep, rest = plain.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if sep else plain
