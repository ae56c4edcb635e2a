"""Whole commands, killed or failed at each system call that touches the store, the home directory or the worktree."""

from __future__ import annotations

import json
import os
import shutil
import time
import tomllib
from typing import TYPE_CHECKING, NamedTuple

from tests.reliability.crashes import KILL, Ended, Nursery, Point, Tally, Verdict, again, faults, points, struck

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODES = range(8)
"""The documented exit codes."""


class Command(NamedTuple):
    """A command, those that came before it, and a look at whether it took effect."""

    name: str
    argv: tuple[str, ...]
    landed: Callable[[Home], bool]
    before: tuple[tuple[str, ...], ...] = (("memory", "set", "warm", "1"),)
    embedded: bool = False
    """Without WINDLASS_STORE, in a repository."""
    in_steps: bool = False
    """An error may leave a part of it, which does no harm; the same command again does the rest."""


class Home:
    """A home directory, a repository and a store, made anew from a template for each run."""

    def __init__(self, folder: Path, nursery: Nursery, command: Command) -> None:
        self.root = folder / "world"
        self._template = folder / "template"
        self._nursery = nursery
        self.command = command
        self._made = self._build()
        modules = next(line["names"] for line in self.run(*command.argv, tell=True).said if line["kind"] == "modules")
        nursery.run({"root": str(self.root), "calls": [], "modules": modules})

    def _build(self) -> float:
        for place in (self.root, self._template):
            shutil.rmtree(place, ignore_errors=True)
        for path in ("home", "work/.git/objects", "work/.git/refs", "store"):
            (self.root / path).mkdir(parents=True)
        (self.root / "work/.git/HEAD").write_text("ref: refs/heads/main\n")
        for argv in self.command.before:
            assert self.run(*argv).code == 0, argv
        shutil.copytree(self.root, self._template)
        return time.monotonic()

    def fresh(self) -> None:
        """The world as it was before, and not so long ago that the agent gives a sign of life, whose calls come once a minute."""
        if time.monotonic() - self._made > 20:
            self._made = self._build()
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root)

    def run(self, *argv: str, strace: tuple[str, ...] | None = None, tell: bool = False) -> Ended:
        """One command to its end."""
        home = self.root / "home"
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "WINDLASS_PROJECT": "demo", "WINDLASS_AGENT": "ann"}
        if not self.command.embedded:
            env["WINDLASS_STORE"] = str(self.root / "store")
        argv = tuple(word.replace("{store}", str(self.root / "store")) for word in argv)
        return self._nursery.run({"argv": argv, "env": env, "cwd": str(self.root / "work"), "tell_modules": tell}, strace)

    def json(self, *argv: str) -> object:
        """The document of a command; None where it fails."""
        ended = self.run(*argv, "--json")
        return json.loads(ended.out) if ended.code == 0 else None

    def points(self) -> list[Point]:
        """Where it can be hit."""
        self.fresh()
        ended = self.run(*self.command.argv, strace=())
        assert ended.code == 0, ended
        assert self.command.landed(self)
        return [point for point in points(ended.trace, str(self.root)) if point.call not in {"getcwd", "chdir"}]

    def hit(self, point: Point, fault: str) -> Verdict:
        """One fault at one point."""
        return again(lambda: self._hit(point, fault))

    def _hit(self, point: Point, fault: str) -> Verdict:
        self.fresh()
        ended = self.run(*self.command.argv, strace=("-e", f"trace={point.call}", "-e", point.inject(fault)))
        if not struck(ended.trace, point, str(self.root)):
            return Verdict("missed", (f"the fault met another call, or none: {ended}",))
        return self._judge(ended, fault)

    def _judge(self, ended: Ended, fault: str) -> Verdict:
        wrong: list[str] = []
        landed = self.command.landed(self)
        outcome = "done" if ended.code == 0 else "killed" if ended.code == -9 else f"exit {ended.code}"
        wrong += [line["text"] for line in ended.said if line["kind"] == "traceback"]
        if ended.code not in CODES and not (ended.code == -9 and fault == KILL):
            wrong.append(f"ended with {ended.code}")
        if "Traceback" in ended.err or "Exception ignored" in ended.err:
            wrong.append(f"a traceback: {ended.err[-300:]}")
        if ended.code == 0 and not landed and fault != "EACCES":  # a repository that one may not read is none
            wrong.append("after done it has no effect")
        if ended.code in range(1, 7) and landed and not self.command.in_steps:
            wrong.append(f"it has taken effect and says: {ended.err.strip()}")
        wrong += self._tidy()
        again = self.run(*self.command.argv)
        if again.code != 0 or not self.command.landed(self):
            wrong.append(f"the next process cannot do it: {again.err.strip()}")
        return Verdict(outcome, tuple(wrong))

    def _tidy(self) -> list[str]:
        left = [str(path.relative_to(self.root)) for path in self.root.rglob("*.tmp") if path.name != ".tmp"]
        return [f"more than one leftover: {left}"] if len(left) > 1 else []


def _step(home: Home) -> dict[str, object]:
    found = home.json("step", "show", "s1")
    step = found["step"] if isinstance(found, dict) else {}
    assert isinstance(step, dict)
    return step


def _value(home: Home) -> bool:
    found = home.json("memory", "get", "k")
    assert isinstance(found, dict)
    assert found["value"] in {"old", "new"}
    return bool(found["value"] == "new")


def _embedded(home: Home) -> bool:
    """Whether the store in the repository is whole; the next command must make it so wherever it is not."""
    folder = home.root / "work" / ".windlass"
    whole = _reads(folder / ".gitignore", "*\n") and _reads(folder / "store/.git/HEAD", "ref: refs/heads/none\n")
    return whole and (folder / "store/.git/refs").is_dir()


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _configured(home: Home) -> bool:
    """Whether the file says it all, and is trusted. It is never half a file."""
    path = home.root / "work" / ".windlass.toml"
    if not path.exists():
        return False
    values = tomllib.loads(path.read_text())
    assert values.get("store"), values
    bindings = list((home.root / "home/.local/state/windlass/bindings").glob("*.json"))
    trusted = list((home.root / "home/.local/state/windlass/trusted").glob("*.json"))
    for file in (*bindings, *trusted):
        json.loads(file.read_text())
    return values == {"store": str(home.root / "store"), "project": "demo"} and bool(bindings) and bool(trusted)


COMMANDS = (
    Command("claim", ("claim", "s1"), lambda home: _step(home).get("status") == "in_progress"),
    Command(
        "complete",
        ("complete", "s1", "--note", "done"),
        lambda home: _step(home).get("status") == "complete",
        (("claim", "s1"),),
    ),
    Command("memory set", ("memory", "set", "k", "new"), _value, (("memory", "set", "k", "old"),)),
    Command("send", ("send", "bob", "hello"), lambda home: home.run("message", "bob:0").code == 0),
    Command("init", ("init",), _embedded, (), embedded=True, in_steps=True),
    Command("init --store", ("init", "--store", "{store}", "--agent", "ann"), _configured, (), embedded=True, in_steps=True),
)


def sweep_command(home: Home, tally: Tally, wanted: Callable[[Point, str], bool] = lambda point, fault: True) -> None:
    """Every fault at every point of one command."""
    for point in home.points():
        for fault in faults(point):
            if wanted(point, fault):
                tally.add(home.command.name, fault, str(point), home.hit(point, fault))
