"""Where this machine keeps what Windlass remembers, and the small private files in there."""

from __future__ import annotations

import errno
import os
from itertools import count

from windlass import jsons
from windlass.digest import sha256_hex
from windlass.errors import UsageError, WindlassError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MOST = 65536
_numbers = count()


def home(env: Mapping[str, str]) -> str | None:
    """The user's home directory, or None where there is none that exists."""
    path = env.get("HOME", "")
    if not path:
        try:
            import pwd

            path = pwd.getpwuid(os.getuid()).pw_dir
        except (ImportError, KeyError):
            return None
    return path if os.path.isabs(path) and os.path.isdir(path) else None


def _xdg(env: Mapping[str, str], variable: str, below_home: str) -> str | None:
    base = env.get(variable, "")
    if not os.path.isabs(base):
        found = home(env)
        if found is None:
            return None
        base = f"{found}/{below_home}"
    return f"{base}/windlass"


def data_dir(env: Mapping[str, str]) -> str:
    """Where stores lie outside repositories. Raises UsageError where there is no home directory."""
    found = _xdg(env, "XDG_DATA_HOME", ".local/share")
    if found is None:
        raise UsageError("there is no home directory for a store", "pass --store URL, or set WINDLASS_STORE, HOME or XDG_DATA_HOME")
    return found


def state_dir(env: Mapping[str, str]) -> str:
    """Where bindings, trust and facts about stores are kept; "" where there is no home directory."""
    return _xdg(env, "XDG_STATE_HOME", ".local/state") or ""


def cache_dir(env: Mapping[str, str]) -> str | None:
    """Where hints are kept; None where there is no home directory."""
    return _xdg(env, "XDG_CACHE_HOME", ".cache")


def read_private(path: str) -> dict[str, Any] | None:
    """A small JSON object of this user's own; None where it is missing, odd or somebody else's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o170000 != 0o100000:
            return None
        found = jsons.loads(os.read(fd, _MOST).decode())
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        _shut(fd)
    return found if isinstance(found, dict) else None


def write_private(path: str, value: Mapping[str, Any]) -> None:
    """Replace a small JSON file whole: mode 600, folders made with mode 700. Raises WindlassError."""
    import json

    try:
        make_private(os.path.dirname(path))
        replace_file(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n", 0o600)
    except OSError as error:
        raise WindlassError(
            f"cannot write {path}: {error.strerror}", "make that folder writable, or point XDG_STATE_HOME at one that is"
        ) from None


def replace_file(path: str, body: bytes, mode: int) -> None:
    """Make a file say this, whole and to stay, or leave it as it is. Raises OSError, also where it may not stay."""
    temporary = f"{path}.{os.getpid()}-{next(_numbers)}.tmp"
    _unlink(temporary)  # of a process that had this number before
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            rest = memoryview(body)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
            written = os.fstat(file).st_mtime
        finally:
            _shut(file)
        os.replace(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise
    folder, name = os.path.split(path)
    _sync(folder)
    _sweep(folder, name, written)


def _sync(folder: str) -> None:
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # somebody else's, who let this user write there
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # no folder can be synced there
            raise
    finally:
        _shut(opened)


def _sweep(folder: str, name: str, now: float) -> None:
    """Remove what processes that were killed more than an hour ago left of this file, as far as that works."""
    try:
        for other in os.listdir(folder):
            if other.startswith(f"{name}.") and other.endswith(".tmp"):
                path = f"{folder}/{other}"
                if now - os.lstat(path).st_mtime > 3600:
                    _unlink(path)
    except OSError:
        return


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _shut(file: int) -> None:
    try:
        os.close(file)
    except OSError:  # it is given back all the same, and what had to last was synced
        pass


def make_private(folder: str) -> None:
    """Make a folder and those above it, mode 700 where they are new, to stay. Raises OSError."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    if above and above != folder:
        make_private(above)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    _sync(above)


def _needed(state: str) -> str:
    if not state:
        raise UsageError("there is no home directory to remember this in", "set HOME or XDG_STATE_HOME")
    return state


def _binding(state: str, folder: str) -> str:
    return f"{state}/bindings/{sha256_hex(os.fsencode(folder))[:32]}.json"


def bind_agent(state: str, folder: str, agent: str) -> None:
    """Remember that commands in this worktree (or, outside git, folder and below) act as `agent`."""
    folder = os.path.realpath(folder)
    write_private(_binding(_needed(state), folder), {"folder": folder, "agent": agent})


def unbind_agent(state: str, folder: str) -> None:
    """Forget the binding of this folder, where there is one."""
    try:
        os.unlink(_binding(state, os.path.realpath(folder)))
    except OSError:
        pass


def bound_agent(state: str, folder: str) -> str | None:
    """The agent that this very folder (a real path) is bound to, or None."""
    found = read_private(_binding(state, folder)) if state else None
    agent = found.get("agent") if found and found.get("folder") == folder else None
    return agent if isinstance(agent, str) and agent else None


def _store_file(state: str, url: str) -> str:
    return f"{state}/stores/{sha256_hex(os.fsencode(url))[:32]}.json"


def store_facts(state: str, url: str) -> dict[str, Any]:
    """What this machine knows of a store, such as {"etag": "unquoted"}; {} when nothing."""
    found = read_private(_store_file(state, url)) if state else None
    facts = found.get("facts") if found and found.get("url") == url else None
    return facts if isinstance(facts, dict) else {}


def remember_store(state: str, url: str, facts: Mapping[str, Any]) -> None:
    """Keep facts about a store on this machine; they are merged with those known. Never pass a secret."""
    merged = {**store_facts(state, url), **facts}
    write_private(_store_file(_needed(state), url), {"url": url, "facts": merged})


def lock_file(state: str, *scope: str) -> str | None:
    """The file by which this account's processes keep apart what they do in `scope`; None where none can be made."""
    if not state:
        return None
    folder = f"{state}/locks"
    try:
        make_private(folder)
    except OSError:
        return None
    return f"{folder}/{sha256_hex(os.fsencode(chr(10).join(scope)))[:32]}"


def machine_id() -> str:
    """16 hex digits that stay the same for this machine, host name and account."""
    return sha256_hex(f"{machine_seed()}\n{os.uname().nodename}\n{os.getuid()}".encode())[:16]


def machine_seed() -> str:
    """What tells this machine from others: /etc/machine-id, else the host name."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, "rb") as file:
                found = file.read(64).decode("ascii").strip()
        except (OSError, ValueError):
            continue
        if found:
            return found
    return os.uname().nodename
