"""What a power failure may leave of a directory: a model of a disk that keeps nothing but what was synced.

`Recorder` stands for the module `os` in the code under test, carries everything out and keeps a log. At any point of the
log the disk may hold, independently, for each name any of its values since its folder was last synced, and for each file
its bytes as last synced, or all of them, or some, or zeros. That is all that POSIX promises, and less than any journal does.
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType, ModuleType

Tree = dict[str, bytes | None]
"""Relative paths: a file's bytes, or None for a folder."""


class Entry(NamedTuple):
    """A name in a folder now means that file or folder, or nothing."""

    folder: int
    name: str
    what: int | None


class Bytes(NamedTuple):
    """A file's whole content now."""

    file: int
    body: bytes


class Sync(NamedTuple):
    """What was done to a file or folder so far will last."""

    what: int


class Note(NamedTuple):
    """Something that the program under test said, at this point."""

    text: Any


class Killed(BaseException):
    """The process is no more."""


class Recorder:
    """`os` for a program that works below `base`; everything else passes through.

    `deaf` names the places in the code whose syncs do nothing. The change number `die_at` is not made, nor any after it.
    What is in folders called `dull` is kept as it is: whether they last matters, not whether each name in them does.
    """

    def __init__(self, base: Path, deaf: frozenset[str] = frozenset(), die_at: int = 0, dull: tuple[str, ...] = (".tmp", ".locks")) -> None:
        self.base = os.path.realpath(base)
        self.log: list[Entry | Bytes | Sync | Note] = []
        self.places: set[str] = set()
        self.folders: set[int] = set()
        self.dull: set[int] = set()
        self._dull = dull
        self._deaf = deaf
        self._ids: dict[int, int] = {}
        self._next = 0
        self._left = die_at
        self._dead = False
        self._open: set[int] = set()
        self.top = self._known(self.base)
        for path, folders, files in os.walk(self.base):
            for name in [*folders, *files]:
                what = self._known(f"{path}/{name}")
                self.log.append(Entry(self._known(path), name, what))
                if name in files:
                    self.log += [Bytes(what, Path(path, name).read_bytes()), Sync(what)]
            self.log.append(Sync(self._known(path)))
        self.start = len(self.log)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def note(self, text: Any) -> None:
        """Keep in the log that the program said something."""
        self.log.append(Note(text))

    def revive(self) -> None:
        """The next process begins: what the killed one had open is closed, and with that its locks are free."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        self._dead, self._left = False, 0

    def _known(self, path: str | int, fresh: bool = False) -> int:
        facts = os.stat(path) if isinstance(path, str) else os.fstat(path)
        if fresh or facts.st_ino not in self._ids:
            self._ids[facts.st_ino] = self._next
            self._next += 1
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        if os.path.basename(path) in self._dull:
            self.dull.add(self._ids[facts.st_ino])
        found = self._ids[facts.st_ino]
        if facts.st_mode & 0o170000 == 0o040000:
            self.folders.add(found)
        return found

    def _place(self, path: Any, dir_fd: int | None) -> tuple[int, str] | None:
        """The folder that a path is about, and the name in there; None outside the base."""
        if not isinstance(path, str):
            path = os.fsdecode(path)
        folder, name = os.path.split(path)
        if dir_fd is not None:
            above = os.readlink(f"/proc/self/fd/{dir_fd}")
            where = os.path.join(above, folder)
        else:
            where = folder or "."
        where = os.path.realpath(where)
        if where != self.base and not where.startswith(self.base + "/"):
            return None
        return self._known(where), name

    def _change(self) -> None:
        if self._dead:
            raise Killed
        if self._left:
            self._left -= 1
            if not self._left:
                self._dead = True
                raise Killed

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = self._place(path, dir_fd) if flags & os.O_CREAT else None
        if self._dead:
            raise Killed
        there = place is not None and _there(path, dir_fd)
        if place and (not there or flags & os.O_TRUNC):
            self._change()
        fd = os.open(path, flags, mode, dir_fd=dir_fd)
        self._open.add(fd)
        if place and not there:
            self.log.append(Entry(*place, self._known(fd, fresh=True)))
        if place and (not there or flags & os.O_TRUNC):
            self.log.append(Bytes(self._known(fd), b""))
        return fd

    def dup(self, fd: int) -> int:
        new = os.dup(fd)
        self._open.add(new)
        return new

    def close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    def write(self, fd: int, body: Any) -> int:
        self._change()
        done = os.write(fd, body)
        self._wrote(fd)
        return done

    def pwrite(self, fd: int, body: Any, at: int) -> int:
        self._change()
        done = os.pwrite(fd, body, at)
        self._wrote(fd)
        return done

    def _wrote(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.startswith(self.base + "/"):
            self.log.append(Bytes(self._known(fd), Path(path).read_bytes()))

    def fsync(self, fd: int) -> None:
        self._change()
        place = _caller()
        self.places.add(place)
        if place not in self._deaf:
            self.log.append(Sync(self._known(fd)))

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._change()
        os.mkdir(path, mode, dir_fd=dir_fd)
        if place := self._place(path, dir_fd):
            made = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
            self.log.append(Entry(*place, self._known(made, fresh=True)))
            os.close(made)

    def makedirs(self, path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        above = os.path.dirname(path)
        if not os.path.isdir(above):
            self.makedirs(above, exist_ok=True)
        try:
            self.mkdir(path, mode)
        except FileExistsError:
            if not exist_ok or not os.path.isdir(path):
                raise

    def link(
        self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        self._change()
        os.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        if place := self._place(dst, dst_dir_fd):
            self.log.append(Entry(*place, self._id_of(dst, dst_dir_fd)))

    def rename(self, src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._change()
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        if place := self._place(dst, dst_dir_fd):
            self.log.append(Entry(*place, self._id_of(dst, dst_dir_fd)))
        if place := self._place(src, src_dir_fd):
            self.log.append(Entry(*place, None))

    replace = rename

    def _id_of(self, path: Any, dir_fd: int | None) -> int:
        fd = os.open(path, os.O_RDONLY, dir_fd=dir_fd)
        try:
            return self._known(fd)
        finally:
            os.close(fd)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._change()
        os.unlink(path, dir_fd=dir_fd)
        if place := self._place(path, dir_fd):
            self.log.append(Entry(*place, None))

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._change()
        os.rmdir(path, dir_fd=dir_fd)
        if place := self._place(path, dir_fd):
            self.log.append(Entry(*place, None))


def _there(path: Any, dir_fd: int | None) -> bool:
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _caller() -> str:
    """The functions of the code under test that lead to a call, the innermost last."""
    names: list[str] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and f"{os.sep}windlass{os.sep}" in frame.f_code.co_filename.rpartition("src")[2] and len(names) < 3:
        names.insert(0, frame.f_code.co_name)
        frame = frame.f_back
    return " > ".join(names)


@contextmanager
def recorded(recorder: Recorder, *modules: ModuleType) -> Iterator[Recorder]:
    """Let these modules work on the recorder."""
    before = [vars(module)["os"] for module in modules]
    for module in modules:
        vars(module)["os"] = recorder
    try:
        yield recorder
    finally:
        for module, real in zip(modules, before, strict=True):
            vars(module)["os"] = real


class Crash(NamedTuple):
    """A disk after power came back: what was said before it failed, and a tree that it may hold."""

    at: int
    said: tuple[Any, ...]
    tree: Tree


def crashes(recorder: Recorder, seed: int = 0, most: int = 4096) -> Iterator[Crash]:
    """Every crash after the start, and every distinct tree that each may leave; of more than `most` combinations, a sample."""
    said: list[Any] = []
    values: dict[tuple[int, str], list[int | None]] = {}
    bodies: dict[int, list[bytes]] = {}
    chance = random.Random(seed)
    for at, event in enumerate(recorder.log, 1):
        match event:
            case Entry(folder, name, what):
                values.setdefault((folder, name), [None]).append(what)
            case Bytes(file, body):
                bodies.setdefault(file, [b""]).append(body)
            case Sync(what):
                for place in values:
                    if place[0] == what:
                        values[place] = values[place][-1:]
                if what in bodies:
                    bodies[what] = bodies[what][-1:]
            case Note(text):
                said.append(text)
        if at >= recorder.start:
            for tree in _trees(recorder, values, bodies, chance, most):
                yield Crash(at, tuple(said), tree)


def _trees(
    recorder: Recorder,
    values: Mapping[tuple[int, str], list[int | None]],
    bodies: Mapping[int, list[bytes]],
    chance: random.Random,
    most: int,
) -> Iterator[Tree]:
    places = [(place, history[-1:] if place[0] in recorder.dull else list(dict.fromkeys(history))) for place, history in values.items()]
    files = [(file, _torn(history)) for file, history in bodies.items()]
    options = [choices for _, choices in places] + [choices for _, choices in files]
    count = 1
    for choices in options:
        count *= len(choices)
    combinations: Any = product(*options) if count <= most else ([chance.choice(choices) for choices in options] for _ in range(most))
    seen = set()
    for chosen in combinations:
        entries: dict[int, dict[str, int]] = {}
        for ((folder, name), _), what in zip(places, chosen, strict=False):
            if what is not None:
                entries.setdefault(folder, {})[name] = what
        contents = {file: body for (file, _), body in zip(files, chosen[len(places) :], strict=True)}
        tree: Tree = {}
        _grow(tree, "", recorder.top, entries, contents, recorder.folders)
        sign = frozenset(tree.items())
        if sign not in seen:
            seen.add(sign)
            yield tree


def _torn(history: list[bytes]) -> list[bytes]:
    """What a file may hold: as synced (nothing, where it never was), as it is, half of it, or zeros where its bytes should be."""
    now = history[-1]
    if len(history) == 1:
        return [now]
    return list(dict.fromkeys([*history, now[: len(now) // 2], bytes(len(now))]))


def _grow(tree: Tree, path: str, folder: int, entries: dict[int, dict[str, int]], contents: Mapping[int, bytes], folders: set[int]) -> None:
    for name, what in entries.get(folder, {}).items():
        if what in folders:
            tree[f"{path}{name}"] = None
            _grow(tree, f"{path}{name}/", what, entries, contents, folders)
        else:
            tree[f"{path}{name}"] = contents.get(what, b"")


def build(tree: Tree, base: Path) -> None:
    """Make the tree on a real disk."""
    for path, body in tree.items():  # a folder comes before what it holds
        if body is None:
            (base / path).mkdir()
        else:
            (base / path).write_bytes(body)


def killed_everywhere(run: Callable[[int], Recorder | None], limit: int = 400) -> Iterator[Recorder]:
    """Run a program again and again, killed at its first change, its second, until it gets through (None)."""
    for at in range(1, limit):
        recorder = run(at)
        if recorder is None:
            return
        yield recorder
    raise AssertionError("the program never got through")


if __name__ == "__main__":
    from tests.reliability.crash_soak import power_main

    sys.exit(power_main())
