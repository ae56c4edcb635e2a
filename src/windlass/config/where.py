"""Finds the git repository around a folder by reading its files; git itself is never run."""

from __future__ import annotations

import errno
import os
import stat

from windlass.digest import sha256_hex
from windlass.errors import StoreError
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG_NAME = ".windlass.toml"

_LONGEST_NAME = 128
_SHARED = ("core.bare", "core.worktree", "extensions.worktreeconfig", "remote.origin.url")


class Repository(Record):
    """A repository as seen from a folder. All paths are absolute and real."""

    worktree: str | None
    """The root of the worktree around the folder; None in a bare repository."""
    main: str | None
    """The root of the main worktree; None where the repository is bare or keeps its git directory apart."""
    gitdir: str
    """The git directory of this worktree: its HEAD is here."""
    common: str
    """The git directory that all worktrees share."""
    origin: str
    """The URL of the remote called origin, or ""."""

    @property
    def title(self) -> str:
        """What people would call it: the last segment of origin, else the main folder's name."""
        folder = self.main or (os.path.dirname(self.common) if self.common.endswith("/.git") else self.common)
        return legal(_last_segment(self.origin)) or legal(_last_segment(folder)) or "repository"


def discover(folder: str) -> Repository | None:
    """The repository that `folder` (a real path) is in, or None."""
    here = folder
    while True:
        dot_git = f"{here}/.git" if here != "/" else "/.git"
        gitdir = _read_gitdir(here, dot_git)
        if gitdir is not None:
            if not here.endswith("/.windlass/store"):  # the store's own .git only keeps `git clean` away
                return _repository(here, gitdir)
        elif _is_gitdir(here):
            return _repository(None, here)
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above


def _read_gitdir(here: str, dot_git: str) -> str | None:
    try:
        fd = os.open(dot_git, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        _check(dot_git, error)
        return None
    try:
        text = os.read(fd, 8192)
    except IsADirectoryError:
        return os.path.realpath(dot_git) if _is_gitdir(dot_git) else None
    except OSError as error:
        _check(dot_git, error)
        return None
    finally:
        try:
            os.close(fd)
        except OSError:  # it is given back all the same
            pass
    if not text.startswith(b"gitdir: "):
        return None
    gitdir = os.path.realpath(os.path.join(here, os.fsdecode(text[8:].rstrip(b"\r\n"))))
    return gitdir if os.path.lexists(f"{gitdir}/HEAD") else None


def _is_gitdir(path: str) -> bool:
    try:
        os.lstat(f"{path}/HEAD")
        return stat.S_ISDIR(os.stat(f"{path}/objects").st_mode) and stat.S_ISDIR(os.stat(f"{path}/refs").st_mode)
    except OSError as error:
        _check(path, error)
        return False


def _check(path: str, error: OSError) -> None:
    """A disk that cannot say is no folder outside git: there another store would be taken for this one. Raises StoreError."""
    if error.errno in (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENOSPC, errno.ETIMEDOUT):
        raise StoreError(f"cannot read {path}: {os.strerror(error.errno)}", "try again, or set WINDLASS_STORE")


def _repository(worktree: str | None, gitdir: str) -> Repository:
    shared = _read_line(f"{gitdir}/commondir")
    common = os.path.realpath(os.path.join(gitdir, shared)) if shared else gitdir
    config = read_git_config(f"{common}/config")
    if _is_true(config.get("extensions.worktreeconfig")):
        config.update(read_git_config(f"{common}/config.worktree"))
    main = _main_worktree(common, config)
    if worktree is None and main is not None and gitdir == common:
        worktree = main
    elif main is None and worktree is not None and f"{worktree}/.git" == common:
        worktree = None
    return Repository(worktree=worktree, main=main, gitdir=gitdir, common=common, origin=config.get("remote.origin.url", ""))


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() in ("true", "yes", "on", "1", "")


def _main_worktree(common: str, config: dict[str, str]) -> str | None:
    # The answer may depend on nothing but the common directory, or worktrees would disagree.
    if "core.worktree" in config:
        return os.path.realpath(os.path.join(common, config["core.worktree"]))
    if _is_true(config.get("core.bare")):
        return None
    return os.path.dirname(common) if common.endswith("/.git") else None


def _read_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(8192).rstrip(b"\r\n"))
    except OSError:
        return ""


def read_git_config(path: str) -> dict[str, str]:
    """The few settings of a git config file that matter here, names in lower case; {} where it cannot be read."""
    try:
        with open(path, "rb") as file:
            text = os.fsdecode(file.read(1 << 20))
    except OSError:
        return {}
    found: dict[str, str] = {}
    section = ""
    for line in text.replace("\\\n", "").splitlines():
        line = line.strip()
        if line.startswith("["):
            head, _, line = line[1:].partition("]")
            name, _, sub = head.partition(" ")
            section = f"{name.strip().lower()}.{sub.strip()[1:-1]}" if sub else name.strip().lower()
            line = line.strip()
        if not line or line[0] in "#;":
            continue
        key, _, value = line.partition("=")
        full = f"{section}.{key.strip().lower()}"
        if full in _SHARED and not (full == "remote.origin.url" and full in found):
            found[full] = _plain(value.strip())
    return found


def _plain(value: str) -> str:
    """A git config value without quotes, escapes and comments."""
    if '"' not in value and "\\" not in value and "#" not in value and ";" not in value:
        return value
    out = []
    quoted = False
    characters = iter(value)
    for c in characters:
        if c == '"':
            quoted = not quoted
        elif c == "\\":
            c = next(characters, "")
            out.append({"n": "\n", "t": "\t", "b": "\b"}.get(c, c))
        elif c in "#;" and not quoted:
            break
        else:
            out.append(c)
    return "".join(out).strip()


def _last_segment(place: str) -> str:
    """`repo` of https://host/a/repo.git/?x, host:a/repo.git, /a/repo and the like."""
    place = place.partition("?")[0].partition("#")[0].rstrip("/").removesuffix("/.git").removesuffix(".git")
    return place.replace(":", "/").replace("\\", "/").rpartition("/")[2]


def legal(text: str, room: int = _LONGEST_NAME) -> str:
    """The nearest legal name of at most `room` characters; "" when nothing legal is left."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else " " for c in text)
    return "-".join(plain.split()).lstrip("._-")[:room].rstrip("-")


def folder_project(folder: str) -> str:
    """The project of a folder outside git: its name and six hex digits of its real path's hash."""
    return f"{legal(os.path.basename(folder), _LONGEST_NAME - 7) or 'folder'}-{sha256_hex(os.fsencode(folder))[:6]}"


def config_folders(folder: str, repository: Repository | None, home: Callable[[], str | None]) -> Iterator[str]:
    """Where to look for CONFIG_NAME, nearest first: up to the worktree's root, then the main worktree.

    Outside git: up to the home directory, and never above it, where others may leave files.
    """
    top = (repository.worktree if repository else home()) or folder
    here = folder
    yield here
    if here.startswith(top.rstrip("/") + "/"):
        while here != top:
            here = os.path.dirname(here)
            yield here
    if repository and repository.main and repository.main != here:
        yield repository.main
