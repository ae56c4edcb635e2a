"""The processes that die: a parent that has everything imported forks one child for each job, and a child does one thing.

Spoken to in lines of JSON. A job gives the child's id; "go" lets it begin, once strace holds it, and gives how it ended.
What it does is told in a file, line by line, so that what a child said before it was killed is not lost.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

from windlass.digest import sha256_hex
from windlass.effects import Always, IfAbsent, IfMatch, Object
from windlass.errors import PutRefused, PutUnclear, WindlassError
from windlass.stores.local import LocalStore


def main() -> None:
    """Serve until the pipe closes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in sys.stdin:
        job = json.loads(line)
        for module in job.get("modules", ()):
            with suppress(ImportError):
                importlib.import_module(module)
        child = os.fork()
        if not child:
            # a call that nothing else makes: whenever strace comes, its counts are right
            if signal.sigtimedwait({signal.SIGUSR1}, 60) is None:
                os._exit(98)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
            _child(job)
        print(child, flush=True)
        assert sys.stdin.readline() == "go\n"
        os.kill(child, signal.SIGUSR1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(job: dict[str, Any]) -> None:
    out = os.open(job["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    code = 99
    try:
        if "argv" in job:
            code = _command(job, out)
        else:
            code = _calls(job, out)
    except BaseException:  # told to whoever judges
        _say(out, kind="traceback", text=traceback.format_exc())
    finally:
        if job.get("tell_modules"):
            _say(out, kind="modules", names=[name for name in sys.modules if name != "__main__"])
        os._exit(code)


def _say(out: int, **what: Any) -> None:
    os.write(out, json.dumps(what).encode() + b"\n")


def _command(job: dict[str, Any], out: int) -> int:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd in (1, 2):
        os.dup2(os.open(f"{job['out']}.{fd}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    from windlass.drivers import hints
    from windlass.surfaces.cli import main as command

    hints._SWEEPERS = 1  # every run does what else one in so many does: the calls must be the same ones each time
    sys.argv = ["windlass", *job["argv"]]
    try:
        ended: object = command()
    except SystemExit as end:
        ended = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    code = ended if isinstance(ended, int) else 0 if ended is None else 1
    _say(out, kind="exit", code=code)
    return code


def _calls(job: dict[str, Any], out: int) -> int:
    store = LocalStore(job["root"])
    for call in job["calls"]:
        try:
            answer = CALLS[call["do"]](store, call)
        except (WindlassError, PutRefused, PutUnclear) as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            _say(out, kind="error", names=names, text=str(error))
        else:
            _say(out, kind="ack", answer=answer)
    return 0


def _create(store: LocalStore, call: dict[str, Any]) -> str:
    return store.put(call["key"], call["body"].encode(), IfAbsent())


def _replace(store: LocalStore, call: dict[str, Any]) -> str:
    return store.put(call["key"], call["body"].encode(), IfMatch(version=call["version"]))


def _overwrite(store: LocalStore, call: dict[str, Any]) -> str:
    return store.put(call["key"], call["body"].encode(), Always())


def _delete(store: LocalStore, call: dict[str, Any]) -> None:
    store.delete(call["key"])


def _get(store: LocalStore, call: dict[str, Any]) -> str | None:
    found = store.get(call["key"])
    return found.body.decode() if isinstance(found, Object) else None


def _list(store: LocalStore, call: dict[str, Any]) -> list[str]:
    return [entry.key for entry in store.list(call["key"]).entries]


def _folders(store: LocalStore, call: dict[str, Any]) -> list[str]:
    return list(store.folders(call["key"]))


def _count(store: LocalStore, call: dict[str, Any]) -> str:
    """Add one to a register, and make and delete an object, against whoever does the same."""
    while True:
        found = store.get("race/count")
        assert isinstance(found, Object)
        try:
            version = store.put("race/count", b"%d" % (int(found.body) + 1), IfMatch(version=found.version))
            break
        except PutRefused:
            continue
    store.put(call["key"], b"here", IfAbsent())
    store.delete(call["key"])
    return version


def _naive(store: LocalStore, call: dict[str, Any]) -> str:
    """A create as one would write it without thinking."""
    with open(f"{store.root}/{call['key']}=", "xb") as file:
        for line in call["body"].encode().splitlines(keepends=True):
            os.write(file.fileno(), line)
    return sha256_hex(call["body"].encode())


CALLS = {
    "create": _create,
    "replace": _replace,
    "overwrite": _overwrite,
    "delete": _delete,
    "get": _get,
    "list": _list,
    "folders": _folders,
    "count": _count,
    "naive": _naive,
}

if __name__ == "__main__":
    main()
