"""Odd things on disk: in a store's directory, among the hints, where locks lie. Nothing hangs, nothing outside is touched."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reliability.fuzz_text import SIGNS, budget, encoded, values
from tests.reliability.fuzz_world import alone, command, judge

from windlass.drivers.hints import FileHints, MemoryHints
from windlass.effects import Always
from windlass.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOKS = (("status",), ("log", "--all"), ("memory", "list"), ("inbox",), ("step", "list"), ("agents",), ("plan", "export"))
ACTS = (
    ("claim", "a"),
    ("memory", "set", "k", "v"),
    ("memory", "set", "new.key", "v"),
    ("send", "bob", "x"),
    ("complete", "a"),
    ("inbox", "--new"),
    ("beat",),
    ("next",),
)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # a socket's path has to be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


ODD: dict[str, Callable[[Path], None]] = {
    "a folder": lambda path: path.mkdir(),
    "a full folder": lambda path: (path / "x" / "y").mkdir(parents=True),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to a folder elsewhere": lambda path: path.symlink_to("/etc"),
    "a link to a file elsewhere": lambda path: path.symlink_to("/etc/passwd"),
    "a link to endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "a FIFO": _fifo,
    "a socket": _socket,
    "a terabyte of holes": _sparse,
    "an empty file": lambda path: path.touch(),
}
"""What may lie where a file or folder of ours should."""


@contextlib.contextmanager
def instead(path: Path, make: Callable[[Path], None]) -> Iterator[None]:
    """Something odd in a place, then what was there again."""
    aside = path.with_name(f"{path.name}.aside-of-the-test")
    there = os.path.lexists(path)
    if there:
        path.rename(aside)
    make(path)
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if there:
            aside.rename(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a project in it."""
    work = tmp_path_factory.mktemp("places")
    root = work / "store"
    root.mkdir()
    with alone(work, WINDLASS_STORE=str(root)):
        for argv in (
            ("claim", "a"),
            ("claim", "b"),
            ("complete", "b"),
            ("memory", "set", "k", "v"),
            ("memory", "set", "k", "w"),
            ("send", "ann", "x"),
            ("send", "_broadcast", "x"),
        ):
            assert command(argv).code == 0
        yield root


def snapshot(root: Path) -> dict[str, bytes]:
    """Every object's bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*=")) if path.is_file() and not path.is_symlink()}


PLACES = (
    "demo/steps/a.json=",
    "demo/memory/k.json=",
    "demo/mail/ann/0000000000.json=",
    "demo/agents/ann.json=",
    "demo/windlass.json=",
    "demo/board.json=",
    "demo/survey.json=",
    "demo/steps",
    "demo/memory",
    "demo/mail",
    "demo/presence/ann",
    "demo/history",
    "demo",
    ".tmp",
    ".locks",
    ".locks/00",
    "demo/steps/new.json=",
)


@pytest.mark.parametrize("what", ODD)
def test_odd_things_in_a_store_are_said_or_passed_over_and_never_waited_for(store: Path, what: str) -> None:
    for number, place in enumerate(PLACES):
        path = store / place
        before = snapshot(store)
        with instead(path, ODD[what]):
            for argv in (*LOOKS[number % 3 :: 3], *ACTS[number % 4 :: 4]):
                result = command(argv)
                judge(result)
                assert "/etc" not in result.out, result
        for key, content in before.items():  # what was aside comes back as it was
            if key.startswith(place):
                assert (store / key).read_bytes() == content
    for argv in LOOKS:
        assert command(argv).code == 0, argv


def test_a_link_to_a_whole_document_elsewhere_is_not_followed(store: Path, tmp_path: Path) -> None:
    for place, argv in (("demo/memory/k.json=", ("memory", "get", "k")), ("demo/steps/a.json=", ("step-status", "a"))):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes((store / place).read_bytes())
        assert command(argv).code == 0
        for link in (lambda path, to=elsewhere: path.symlink_to(to), lambda path: path.symlink_to(path.name + ".aside-of-the-test")):
            with instead(store / place, link):
                result = command(argv)
                judge(result)
                assert result.code == 1, result


def test_names_that_no_key_has_are_passed_over(store: Path) -> None:
    before = {argv: command((*argv, "--json")).out for argv in (("step", "list"), ("memory", "list"))}
    steps = os.fsencode(store / "demo" / "steps")
    made = []
    for name in (
        b"\xff\xfe=",
        b"x",
        b"x=",
        b"A=",
        b"a.json",
        b"a~zz=",
        b"a~1=",
        b"~=",
        b"=",
        b"..=",
        b"...=",
        b"a\nb=",
        b"\x1b[2J=",
        b"a.json==",
        b"\xe2\x80\xae=",
        b"c.json~0=",
        b"C.json=",
    ):
        path = os.path.join(steps, name)
        if not os.path.lexists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            made.append(path)
    for argv in LOOKS:
        judge(command(argv))
    for argv, shown in before.items():
        assert command((*argv, "--json")).out == shown
    for path in made:
        os.unlink(path)


def test_a_root_that_is_no_folder_is_said(tmp_path: Path) -> None:
    with alone(tmp_path):
        for what, make in ODD.items():
            place = tmp_path / what.replace(" ", "-")
            make(place)
            if place.is_dir():
                continue
            for argv in (("status",), ("claim", "a"), ("memory", "get", "k")):
                result = command((*argv, "--store", str(place)))
                judge(result)
                assert result.code == 1, (what, result)


# Hints


@pytest.fixture
def remembering(tmp_path: Path) -> Iterator[Path]:
    """A project on a machine that remembers; the folder of its hints."""
    (tmp_path / "store").mkdir()
    (tmp_path / "work").mkdir()
    with alone(tmp_path / "work", WINDLASS_STORE=str(tmp_path / "store"), HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache")):
        for argv in (
            ("claim", "a"),
            ("claim", "b"),
            ("complete", "b"),
            ("memory", "set", "k", "v"),
            ("send", "ann", "x"),
            ("status",),
            ("inbox", "--new"),
            ("agents",),
        ):
            assert command(argv).code == 0
        yield tmp_path / "cache/windlass"


def hints(folder: Path) -> list[Path]:
    """The files of all hints."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def answers() -> list[object]:
    """What looking tells, but for times."""
    shown: list[object] = []
    for argv in (("step", "list"), ("memory", "list"), ("step-status", "a"), ("plan", "export")):
        result = command((*argv, "--json"))
        judge(result)
        shown.append(json.loads(result.out))
    status = json.loads(command(("status", "--json")).out)
    return [*shown, status["counts"], [one["agent"] for one in status["agents"]]]


def test_hints_of_any_content_cost_requests_and_nothing_else(remembering: Path) -> None:
    wanted = answers()
    kept = {path: path.read_bytes() for path in hints(remembering)}
    assert len(kept) > 5
    others = list(kept.values())
    for number, (path, content) in enumerate(kept.items()):
        for odd in (
            b"",
            b"\0" * 100,
            content[:-1],
            content + b"x",
            content.replace(b"1", b"2"),
            content.replace(b"in_progress", b"complete"),
            others[number - 1],
            b"windlass hint 1 []\n",
            os.urandom(50),
            b"x" * 9_000_000,
        ):
            path.write_bytes(odd)
            assert answers() == wanted
        path.write_bytes(content)


@pytest.mark.parametrize("what", ODD)
def test_odd_things_among_the_hints_are_passed_over(remembering: Path, what: str) -> None:
    wanted = answers()
    for path in [*hints(remembering)[::3], remembering]:
        with instead(path, ODD[what]):
            assert answers() == wanted
            assert command(("claim", "a", "--json")).code == 0


SAID = ("incarnation", "planned", "seen_at", "own_modified", "short", "ann", "steps", "shape")
"""Fields of hints that are JSON objects."""


@budget(12)
@given(data=st.data())
def test_no_hint_with_a_right_checksum_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What a hint says may be old or wrong; then conditional writes and reads find it out."""
    root = tmp_path_factory.mktemp("hints")
    (root / "store").mkdir()
    (root / "work").mkdir()
    with alone(root / "work", WINDLASS_STORE=str(root / "store"), HOME=str(root), XDG_CACHE_HOME=str(root / "cache")):
        for argv in (("claim", "a"), ("send", "ann", "x"), ("status",), ("inbox", "--new")):
            assert command(argv).code == 0
        for path in hints(root / "cache/windlass"):
            head, _, body = path.read_bytes().partition(b"\n")
            scope, name, *_ = json.loads(head.removeprefix(b"windlass hint 1 "))
            how, field, value = data.draw(st.integers(0, 3)), data.draw(st.sampled_from(SAID)), data.draw(values)
            if how == 0:
                body = body[: len(body) * data.draw(st.integers(0, 100)) // 100]
            elif how == 1:
                body = data.draw(
                    st.binary(max_size=20)
                    | st.sampled_from([b"[]", b"{}", b"1", b"9" * 10, b"-1", *(sign.encode("utf-8", "replace") for sign in SIGNS)])
                )
            elif body[:1] == b"{":
                whole = json.loads(body)
                inner = whole["columns"] if "shape" in whole else whole
                name_of_row = field if field in inner else next(iter(inner), field)
                row = inner.get(name_of_row)
                at = min(2, len(row) - 1) if isinstance(row, list) and row and how == 2 else None
                inner[name_of_row] = value if at is None else [*row[:at], value, *row[at + 1 :]]
                body = encoded(whole)
            FileHints(str(root / "cache/windlass"), scope).remember(name, body)
        for act in (*LOOKS, *ACTS):
            judge(command(act))


def test_every_object_is_still_what_it_was_for_a_machine_that_remembers_nothing(store: Path) -> None:
    local = LocalStore(str(store))
    local.put("demo/steps/zz.json", b"{", Always())
    for look in LOOKS:
        judge(command(look))
    local.delete("demo/steps/zz.json")
    assert MemoryHints().recall("x") is None
