"""A project made by real operations, and commands run on it in this process: thousands where processes would be dozens."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reliability.fuzz_text import steered, tried
from tests.test_json_doc import ERRORS, Reader

from windlass.drivers import sync
from windlass.effects import Object
from windlass.errors import Damaged, FormatTooNew
from windlass.ops import survey
from windlass.ops.agents import Clock
from windlass.protocol.agents import Agent, Presence
from windlass.protocol.artifacts import Artifact
from windlass.protocol.board import Board
from windlass.protocol.codec import decode
from windlass.protocol.mail import Ack, Cursor, Message, Segment, Sent
from windlass.protocol.memory import Memory
from windlass.protocol.pending import Pending, Sweep
from windlass.protocol.project import Marker
from windlass.protocol.steps import Step
from windlass.protocol.survey import Snapshot
from windlass.protocol.trees import Tree
from windlass.protocol.workspaces import Workspace
from windlass.stores import registry
from windlass.stores.memory import MemoryStore
from windlass.surfaces.cli import main
from windlass.surfaces.cli.table import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from windlass.protocol.codec import Document

PATIENCE = 30.0
"""Seconds after which a command hangs. None takes one."""
CODES = range(8)
"""The exit codes that docs/json-output.md knows."""
KINDS: dict[str, type[Document]] = {
    "windlass.json": Marker,
    "board.json": Board,
    "agents/": Agent,
    "presence/": Presence,
    "clock/": Clock,
    "steps/": Step,
    "memory/": Memory,
    "history/": Memory,
    "mail/": Message,
    "segments/": Segment,
    "cursors/": Cursor,
    "acks/": Ack,
    "sent/": Sent,
    "survey.json": Snapshot,
    "artifacts/": Artifact,
    "versions/": Artifact,
    "workspaces/": Workspace,
    "blobs/": Tree,
    "pending/": Pending,
    "gc.json": Sweep,
}
"""What lies under a key that starts like this."""
REWRITTEN = ("board.json", "survey.json", "presence/", "clock/")
"""Caches, and what its one writer overwrites without looking."""
AGENT = "ann"
NOW = 1_800_000_000.0
"""When the worlds here begin, in seconds since 1970."""


class Hang(BaseException):
    """A command did not end. Nothing may catch it."""


class Result(NamedTuple):
    """What a command came to."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    tty: bool = False

    def __str__(self) -> str:
        return f"windlass {' '.join(self.argv)!r}: exit {self.code}\n--- out\n{self.out[-1500:]!r}\n--- err\n{self.err[-1500:]!r}"


class _Screen(io.TextIOWrapper):
    """An output as the system gives it: UTF-8, strict; `tty`: one that takes colours."""

    def __init__(self, *, tty: bool, errors: str) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def read_all(self) -> str:
        self.flush()
        content: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return content.decode("utf-8", "surrogateescape")


class _Stdin(io.TextIOWrapper):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")


@contextlib.contextmanager
def alarm(seconds: float, error: BaseException) -> Iterator[None]:
    """Raises the error where what is inside has not ended after so long; the outermost one counts."""
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def swift(patience: int = 40) -> Iterator[None]:
    """Waiting moves time instead of spending it, for every session that opens here; after so many waits comes Ctrl-C.

    Looks read and write their snapshot, however few steps there are.
    """
    usual = sync.World.__init__.__defaults__
    assert usual is not None
    now, waits = NOW, 0

    def sleep(seconds: float) -> None:
        nonlocal now, waits
        if not 0 <= seconds < threading.TIMEOUT_MAX:
            time.sleep(seconds)  # says what is wrong with it
        now, waits = now + seconds, waits + 1
        if waits % patience == 0:
            raise KeyboardInterrupt

    few = survey.MANY, survey.NEWS
    sync.World.__init__.__defaults__ = (usual[0], sleep, lambda: now)
    survey.MANY = survey.NEWS = 1
    try:
        yield
    finally:
        sync.World.__init__.__defaults__ = usual
        survey.MANY, survey.NEWS = few


def command(argv: tuple[str, ...], *, tty: bool = False, stdin: bytes = b"") -> Result:
    """Run one command in this process. Its own errors are exit codes; anything else is raised as it is, and so is Hang."""
    tried("commands")
    out, err = _Screen(tty=tty, errors="strict"), _Screen(tty=tty, errors="backslashreplace")
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = _Stdin(stdin), out, err
    try:
        with alarm(PATIENCE, Hang(f"not ended after {PATIENCE:g} s: {argv}")):
            code = main(argv)
    except SystemExit as end:  # argparse, after -h
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
    return Result(argv, code, out.read_all(), err.read_all(), tty)


@contextlib.contextmanager
def alone(folder: Path, **variables: str) -> Iterator[None]:
    """An environment and a current folder of one's own; without a home, so that a machine remembers nothing."""
    before, here = dict(os.environ), os.getcwd()
    kept = {name: value for name, value in before.items() if name in {"PATH", "LANG", "TMPDIR", "PYTHONPATH"}}
    fresh = {"HOME": "/nonexistent", "TZ": "UTC", "WINDLASS_AGENT": AGENT, "WINDLASS_PROJECT": "demo", **variables}
    os.environ.clear()
    os.environ.update({**kept, **fresh})
    os.chdir(folder)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(here)


def judge(result: Result, *, shapes: bool = True) -> None:
    """What holds for every command on whatever input: a documented exit code, a quiet terminal, well-formed JSON."""
    assert result.code in CODES, result
    for stream in (result.out, result.err):
        sign = steered(stream, tty=result.tty)
        assert not sign, f"{sign}\n{result}"
    assert "Traceback" not in result.err, result
    assert "the input is nested too deeply" not in result.err, result  # whoever met it gave up as a whole
    words = [word for word in result.argv if not word.startswith("-")]
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else (words or [""])[0]
    options = result.argv[: result.argv.index("--")] if "--" in result.argv else result.argv
    if "--json" not in options or {"-h", "--help"} & set(options):
        return
    reader = Reader()
    for line in result.out.splitlines():
        document = json.loads(line, parse_constant=_no_json)
        if shapes and name in COMMANDS and (result.code == 0 or name == "ack"):
            reader.command(name, document)
    if result.code:
        report = json.loads(result.err.splitlines()[-1], parse_constant=_no_json) if result.err else None
        if report is None:
            assert name == "doctor", result
        else:
            assert (report["error"], report["exit"]) in ERRORS, result
            assert report["exit"] == result.code, result


def _no_json(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def kind_of(key: str) -> type[Document]:
    """The kind of document that a key calls for."""
    return next(kind for prefix, kind in KINDS.items() if key.startswith(prefix))


def is_damaged(key: str, body: bytes) -> bool:
    """Whether no client may make anything of these bytes."""
    try:
        decode(kind_of(key), key, body)
    except (Damaged, FormatTooNew):
        return True
    return False


class World:
    """One project in memory: `bodies` by key as real operations left them, put back at will."""

    URL = "memory://fuzz"

    def __init__(self) -> None:
        self.store = MemoryStore(clock=lambda: NOW, url=self.URL)
        self.saved: dict[str, Object] = {}

    def run(self, *argv: str, agent: str = AGENT, tty: bool = False, stdin: bytes = b"") -> Result:
        """One command on this store."""
        registry._memories[self.URL] = self.store
        os.environ["WINDLASS_STORE"] = self.URL
        os.environ["WINDLASS_AGENT"] = agent
        return command(argv, tty=tty, stdin=stdin)

    def ok(self, *argv: str, agent: str = AGENT, stdin: bytes = b"") -> Result:
        """One command that must succeed."""
        result = self.run(*argv, agent=agent, stdin=stdin)
        assert result.code == 0, result
        return result

    def save(self) -> None:
        """Remember the project as it is now."""
        self.saved = dict(self.store._objects)

    def restore(self, changes: Mapping[str, bytes] | None = None) -> None:
        """The project as it was saved, but for these bodies."""
        self.store._objects = dict(self.saved)
        for key, body in (changes or {}).items():
            modified = self.saved[f"demo/{key}"].modified if f"demo/{key}" in self.saved else NOW
            self.store._objects[f"demo/{key}"] = Object(key=f"demo/{key}", body=body, version="hostile", modified=modified)

    @property
    def keys(self) -> list[str]:
        """Every key of the saved project, without its name."""
        return sorted(key.removeprefix("demo/") for key in self.saved)

    def body(self, key: str) -> bytes:
        """The bytes of a saved object."""
        return self.saved[f"demo/{key}"].body

    def now(self, key: str) -> bytes | None:
        """The bytes that are there now."""
        found = self.store._objects.get(f"demo/{key}")
        return found.body if found else None

    def check_writes(self, changes: Mapping[str, bytes], result: Result) -> None:
        """Nothing damaged was overwritten, and whatever was written can be read again."""
        for key, body in changes.items():
            if is_damaged(key, body) and not key.startswith(REWRITTEN):
                assert self.now(key) == body, f"{key} was damaged, and was overwritten by\n{result}"
        for key, found in self.store._objects.items():
            inner = key.partition("/")[2]
            if found is not self.saved.get(key) and changes.get(inner) != found.body and not inner.startswith("blobs/"):
                assert not is_damaged(inner, found.body), (
                    f"{inner} was written so that nobody can read it, by\n{result}\n{found.body[-600:]!r}"
                )


PLAN = {
    "steps": {
        "design": {"title": "Design", "description": "Say how.", "acceptance": "It says how.", "priority": 5, "labels": ["api"]},
        "build": {"title": "Build", "needs": ["design"], "max_hold": 90000},
        "check": {"title": "Check", "needs": ["design"], "labels": ["api", "web"]},
        "review": {"title": "Review me"},
        "stuck": {"title": "Stuck"},
        "broken": {},
        "old": {},
        "held": {"needs": ["design"]},
        "free": {"title": "Free to take", "priority": 9},
        "later": {"needs": ["build", "stuck"]},
    }
}


def small(world: World) -> World:
    """Two agents have worked through part of a plan, written to each other and remembered things. One document of each kind."""
    world.ok("plan", "apply", "-", stdin=json.dumps(PLAN).encode())
    world.ok("claim", "design")
    evidence = json.dumps([{"command": "make test", "exit": 0}, {"commit": "abc"}])
    world.ok("complete", "design", "--note", "done\nall of it", "--to", "bob", "--next-action", "build", "--evidence", evidence)
    _with_git(world, "steps/design.json")
    world.ok("claim", "build", agent="bob")
    for step, state in (("review", "--needs-review"), ("stuck", "--blocked"), ("broken", "--failed")):
        world.ok("claim", step)
        world.ok("complete", step, state, "--note", f"about {step}")
    world.ok("step", "cancel", "old", "--note", "not wanted")
    world.ok("claim", "held")
    world.ok("release", "held", "--note", "no time")
    world.ok("claim", "held", "--lease", "900")
    world.ok("memory", "set", "design.api", '{"a": [1, 2.5, null, "x"]}', "--json-value")
    world.ok("memory", "set", "design.api", "second")
    world.ok("memory", "set", "design.api", "third")
    world.ok("memory", "set", "notes", "a note\nof two lines")
    world.ok("memory", "set", "gone", "1")
    world.ok("memory", "delete", "gone")
    world.ok("send", "ann", "hello ann", "--step", "design", agent="bob")
    world.ok("send", "ann", "please ack", "--needs-ack", "--id", "k1", agent="bob")
    world.ok("send", "ann", "an answer", "--reply-to", "ann:0", agent="bob")
    world.ok("send", "_broadcast", "to all", agent="bob")
    world.ok("send", "_broadcast", "to all again")
    world.ok("inbox", "--new", "--limit", "2")
    world.ok("inbox", "--new", agent="bob")
    world.ok("ack", "ann:1")
    world.ok("ack", "_broadcast:0")
    os.makedirs("site/inner", exist_ok=True)
    open("site/empty", "wb").close()
    world.ok("artifact", "upload", "-", "--name", "report", "--meta", "k=v", "--command", "make")
    world.ok("artifact", "upload", "-", "--name", "report", "--meta", "k=w", "--command", "make")
    world.ok("artifact", "upload", "-", "--name", "log", "--step", "held", "--input", "report@1")
    world.ok("artifact", "upload", "site", "--input", "held/log@1")
    world.ok("artifact", "upload", "-", "--name", "gone")
    world.ok("artifact", "delete", "gone")
    os.makedirs("tried/inner", exist_ok=True)
    open("tried/inner/empty", "wb").close()
    world.ok("workspace", "create", "trial", "--from", "./tried", "--ttl", "1h")
    world.ok("workspace", "checkpoint", "trial", "--label", "v1", "--note", "n")
    world.ok("workspace", "fork", "trial", "-n", "2")
    for key, kind in (("pending/abc.json", "pending"), ("gc.json", "gc")):
        world.store.put(f"demo/{key}", f'{{"format":1,"kind":"{kind}","write_id":"a","seq":1}}'.encode(), _always())
    world.ok("beat", agent="cat")
    world.ok("status")
    world.store.put("demo/clock/0123456789abcdef.json", b'{"format":1,"kind":"clock","write_id":"a","seq":0}', _always())
    world.save()
    return world


def _with_git(world: World, key: str) -> None:
    """As if its worker had stood in a git repository."""
    from windlass.effects import Always

    found = world.store._objects[f"demo/{key}"]
    document = json.loads(found.body)
    document["handoff"] |= {"changed_files": ["api.py", "docs/api.md"], "git": {"head": "a" * 40, "branch": "main", "worktree": "/work"}}
    world.store.put(f"demo/{key}", json.dumps(document).encode(), Always())


def _always() -> Any:
    from windlass.effects import Always

    return Always()
