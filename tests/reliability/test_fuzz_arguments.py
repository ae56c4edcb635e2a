"""Command lines of any words: a documented exit code and one clear error, never a traceback; waits and spans of any size."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from tests.e2e.cli import Cli
from tests.reliability.fuzz_arguments import COUNTS, JSONS, OPTIONS, lines
from tests.reliability.fuzz_text import budget, steered
from tests.reliability.fuzz_world import World, alone, judge, small, swift

from windlass.surfaces.cli.table import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project in a time that only waits move."""
    with alone(tmp_path_factory.mktemp("arguments")), swift():
        yield small(World())


def run(world: World, argv: tuple[str, ...]) -> int:
    world.restore()
    result = world.run(*argv, stdin=b'{"steps": {"design": {}}}')
    if result.code != 130:  # it was told to wait, and did
        judge(result)
    world.check_writes({}, result)
    return result.code


@budget(400)
@given(argv=lines())
def test_no_command_line_is_a_traceback(world: World, argv: tuple[str, ...]) -> None:
    run(world, argv)


def _somebodys(count: str) -> bool:
    """Whether it may be a process that lives."""
    try:
        return 0 < int(count) < 2**22
    except ValueError:
        return False


SPANS = (
    ("wait-for", "held", "--timeout"),
    ("status", "--json", "--watch"),
    ("inbox", "--wait"),
    ("next", "--label", "none", "--wait"),
    ("claim", "free", "--lease"),
    ("next", "--lease"),
    ("log", "--since"),
    ("log", "--limit"),
    ("inbox", "--limit"),
    ("step", "list", "--limit"),
    ("memory", "history", "notes", "--limit"),
    ("complete", "held", "--epoch"),
    ("release", "held", "--epoch"),
    ("memory", "set", "notes", "v", "--if-version"),
    ("step", "edit", "free", "--priority"),
    ("step", "edit", "free", "--max-hold"),
    ("beat", "--every"),
    ("beat", "--while-pid"),
)


@pytest.mark.parametrize("option", SPANS, ids=" ".join)
def test_no_number_however_odd_is_a_traceback(world: World, option: tuple[str, ...]) -> None:
    for count in COUNTS:
        if option[-1] == "--while-pid" and _somebodys(count):
            continue
        code = run(world, (*option[:-1], f"{option[-1]}={count}"))
        if count in ("nan", "inf", "-inf", "infinity", "1e999", "x", "", "1e308") and option[-1] not in ("--epoch", "--since"):
            assert code == 2, (option, count, code)


@pytest.mark.parametrize("text", JSONS)
def test_no_json_argument_is_a_traceback(world: World, text: str) -> None:
    assert run(world, ("complete", "held", f"--evidence={text}")) in (0, 2)
    assert run(world, ("memory", "set", "notes", "--json-value", "--", text)) in (0, 2)


def test_completion_scripts_hold_nothing_that_a_shell_would_run(world: World) -> None:
    """They are made of the parsers alone, whatever the project holds: the same bytes for an empty and a hostile world."""
    usual = {shell: world.run("completion", shell).out for shell in ("bash", "zsh", "fish")}
    world.restore(dict.fromkeys(world.keys, b"$(touch pwned)`touch pwned`"))
    for shell, script in usual.items():
        again = world.run("completion", shell)
        judge(again)
        assert again.out == script
    assert not os.path.exists("pwned")


def test_what_a_shell_completes_is_not_run(tmp_path: Path) -> None:
    script = subprocess.run([sys.executable, "-m", "windlass", "completion", "bash"], capture_output=True, text=True, check=True).stdout
    code = 'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _windlass; printf "%s\\n" "${COMPREPLY[@]}"'
    for words in (
        ["windlass", "$(touch pwned)"],
        ["windlass", "claim", "`touch pwned`"],
        ["windlass", "--store", "a b;touch pwned", ""],
        ["windlass", "'\"", "*"],
    ):
        done = subprocess.run(
            ["bash", "-c", f"{script}\n{code}", "bash", *words], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert not (tmp_path / "pwned").exists(), (words, done)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_is_quiet(world: World, name: str) -> None:
    result = world.run(*name.split(), "--help")
    judge(result)
    assert result.code == 0
    assert all(flag in result.out for flag in OPTIONS[name].flags)


BYTES = (b"\xff\xfe", b"a\x1b[2J", b"\xed\xa0\x80", b"--\xff", b"\xc3", b"@\xff", "\u202e".encode(), b"A" * 100_000)


@pytest.mark.parametrize("word", BYTES, ids=range(len(BYTES)))
def test_processes_take_arguments_that_are_no_text(tmp_path: Path, word: bytes) -> None:
    cli = Cli(tmp_path)
    for argv in ([b"claim", word], [b"send", b"bob", word], [b"memory", b"set", b"k", word], [word]):
        command = [sys.executable.encode(), b"-m", b"windlass", *argv]
        done = subprocess.run(command, cwd=cli.cwd, env=cli.env("ann"), capture_output=True, timeout=60, check=False)
        out, err = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "surrogateescape")
        assert done.returncode in (0, 1, 2, 4), (argv, err)
        assert "Traceback" not in err, err
        assert not steered(out), out
        assert not steered(err), err
