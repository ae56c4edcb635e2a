"""Puts flags, environment, files and defaults together into one Settings."""

from __future__ import annotations

import os

from windlass.config import places, where, who
from windlass.errors import UsageError
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Settings(Record):
    """Where, what and who, and for each the reason in words."""

    store: str
    """A URL or an absolute path."""
    store_why: str
    embedded: str | None = None
    """PATH/.windlass where the store is a git repository's own, PATH/.windlass/store."""
    git_common_dir: str | None = None
    worktree: str | None = None
    """The root of the worktree around the current folder."""
    folder: str
    """The current folder's real path."""
    project: str
    project_why: str
    agent: str | None = None
    agent_why: str
    incarnation: int | None = None
    """Set by `windlass run` for its children."""
    lease: float | None = None
    """Seconds; None leaves it to the protocol's default."""
    state_dir: str
    """"" where there is no home directory."""
    cache_dir: str | None = None
    options: Mapping[str, Any]
    """What this machine remembers of the store."""

    @property
    def binding_folder(self) -> str:
        """What `init --agent` binds: the worktree, or the current folder outside git."""
        return self.worktree or self.folder


def settle(flags: Mapping[str, str | None], env: Mapping[str, str], cwd: str) -> Settings:
    """Decide everything. `flags` may hold store, project and agent. Raises UsageError for what is wrong or not trusted."""
    folder = os.path.realpath(cwd)
    repository = where.discover(folder)
    state = places.state_dir(env)
    config = _file(folder, repository, env)

    store, store_why, embedded = _store(flags, env, folder, repository, config, state)
    project, project_why = _given(flags, env, "project")
    if not project and config and config.project:
        project, project_why = config.project, config.path
    if not project:
        if repository is None:
            project, project_why = where.folder_project(folder), "the folder's name and a hash of its path"
        else:
            project, project_why = repository.title, "the git repository's name"
    agent: str | None
    agent, agent_why = _given(flags, env, "agent")
    if not agent:
        agent, agent_why = who.unnamed(env, folder, repository.worktree if repository else None, state)
    lease = _lease(env)
    return Settings(
        store=store,
        store_why=store_why,
        embedded=embedded,
        git_common_dir=repository.common if repository else None,
        worktree=repository.worktree if repository else None,
        folder=folder,
        project=project,
        project_why=project_why,
        agent=agent,
        agent_why=agent_why,
        incarnation=_incarnation(env) if agent and agent == env.get("WINDLASS_AGENT") else None,
        lease=lease if lease is not None else config.lease if config else None,
        state_dir=state,
        cache_dir=places.cache_dir(env),
        options=places.store_facts(state, store) if "://" in store else {},
    )


def _given(flags: Mapping[str, str | None], env: Mapping[str, str], what: str) -> tuple[str, str]:
    value = flags.get(what)
    if value is not None:
        if not issubclass(type(value), str):
            raise UsageError(f"the {what} is no text", "pass a string")
        if not value:
            raise UsageError(f"--{what} is empty", "is a shell variable unset?")
        return value, f"--{what}"
    variable = f"WINDLASS_{what.upper()}"
    return env.get(variable, ""), variable


def _store(
    flags: Mapping[str, str | None],
    env: Mapping[str, str],
    folder: str,
    repository: where.Repository | None,
    config: FileSettings | None,
    state: str,
) -> tuple[str, str, str | None]:
    store, why = _given(flags, env, "store")
    if store:
        return absolute(store, folder, env), why, None
    if config and config.store:
        return config.allowed_store(state, repository, env), config.path, None
    if repository is None:
        return f"{places.data_dir(env)}/store", "the default outside git", None
    if repository.main is None:
        return f"{repository.common}/windlass/store", "the default in a bare git repository", None
    embedded = f"{repository.main}/.windlass"
    for path in (embedded, f"{embedded}/store"):
        if os.path.islink(path):  # a clone may carry a link to anywhere
            raise UsageError(f"{path} is a symbolic link", "remove it, or name the store by --store or WINDLASS_STORE")
    return f"{embedded}/store", "the default in a git repository", embedded


def absolute(store: str, folder: str, env: Mapping[str, str]) -> str:
    """A URL as it is, a path made absolute and plain."""
    if "://" in store:
        return store
    if store == "~" or store.startswith("~/"):
        found = places.home(env)
        if found is None:
            raise UsageError(f"{store}: there is no home directory", "use an absolute path")
        store = found + store[1:]
    return os.path.normpath(os.path.join(folder, store))


def _file(folder: str, repository: where.Repository | None, env: Mapping[str, str]) -> FileSettings | None:
    for place in where.config_folders(folder, repository, lambda: places.home(env)):
        if os.path.lexists(f"{place}/{where.CONFIG_NAME}"):
            from windlass.config.files import read_file

            return read_file(f"{place}/{where.CONFIG_NAME}", places.cache_dir(env))
    return None


def _lease(env: Mapping[str, str]) -> float | None:
    text = env.get("WINDLASS_LEASE", "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"WINDLASS_LEASE={text!r} is no number of seconds", "set it to a number such as 900")
    return seconds


def _incarnation(env: Mapping[str, str]) -> int | None:
    text = env.get("WINDLASS_INCARNATION", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"WINDLASS_INCARNATION={text!r} is no number", "unset it: only `windlass run` sets it")
    return int(text)


if TYPE_CHECKING:
    from windlass.config.files import FileSettings
