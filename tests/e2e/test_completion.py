"""completion: scripts that the shells take, and that know every command and option."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.e2e.cli import Cli

from windlass.surfaces.cli.completion import options_of
from windlass.surfaces.cli.table import COMMANDS, GROUPS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, in a file."""
    world = Cli(tmp_path_factory.mktemp("completion"))
    path = world.home / "windlass.bash"
    path.write_text(world.ok("completion", "bash").out)
    return path


def complete(script: Path, *words: str) -> list[str]:
    """What bash offers for a line that ends in the last of the words."""
    code = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}\n'
        'spec=$(complete -p windlass); fn=${spec##*-F }; "${fn%% *}" windlass "${COMP_WORDS[COMP_CWORD]}" ""\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", str(script), "windlass", *words], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return [word for word in done.stdout.split("\n") if word]


def test_commands_are_offered(script: Path) -> None:
    assert set(complete(script, "")) == {name.split()[0] for name in COMMANDS}
    assert complete(script, "who") == ["whoami"]
    assert set(complete(script, "co")) == {"complete", "completion"}
    assert complete(script, "--store", "s3://x", "who") == ["whoami"]
    assert complete(script, "--json", "doc") == ["doctor"]


@pytest.mark.parametrize("group", GROUPS)
def test_commands_of_two_words_are_offered(script: Path, group: str) -> None:
    assert set(complete(script, group, "")) == {name.split()[1] for name in COMMANDS if name.startswith(f"{group} ")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_offered(script: Path, name: str) -> None:
    wanted = {flag for option in options_of(name)[0] for flag in option.names if flag.startswith("--")}
    assert {"--json", "--help", "--agent"} <= wanted
    assert set(complete(script, *name.split(), "--")) == wanted


def test_values_are_offered_where_they_are_few(script: Path) -> None:
    assert complete(script, "completion", "") == ["bash", "zsh", "fish"]
    assert complete(script, "init", "--backend", "") == ["s3", "hf"]
    assert complete(script, "init", "--backend", "s3", "--buck") == ["--bucket"]


def test_where_any_value_may_stand_none_is_invented(script: Path) -> None:
    assert complete(script, "claim", "--lease", "") == []
    assert complete(script, "--store", "") == []
    assert complete(script, "no-such-command", "") == []


LINES = {
    ("who",): "whoami",
    ("memory", ""): "history",
    ("--store", "x", "cl"): "claim",
    ("claim", "x", "--fo"): "--force",
    ("memory", "set", "--if"): "--if-version",
    ("completion", ""): "fish",
}
STUBS = """
_arguments() { print -rl -- "$@" }
_describe() { print -rl -- ${(P)2} }
_files() { : }
compadd() { print -rl -- "$@" }
compdef() { : }
funcstack=()
source $1; shift; words=(windlass "$@"); CURRENT=$#words; _windlass
"""
"""What zsh's own completion system would be told."""


def with_script(cli: Cli, shell: str) -> tuple[str, Path]:
    """The shell, and its script in a file."""
    text = cli.ok("completion", shell).out
    assert "step-status" in text
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    path = cli.home / f"windlass.{shell}"
    path.write_text(text)
    return found, path


def test_zsh_takes_its_script(cli: Cli) -> None:
    zsh, path = with_script(cli, "zsh")
    done = subprocess.run([zsh, "-n", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for words, wanted in LINES.items():
        done = subprocess.run([zsh, "-f", "-c", STUBS, "zsh", str(path), *words], capture_output=True, text=True)
        assert wanted in done.stdout, words


def test_fish_takes_its_script(cli: Cli) -> None:
    fish, path = with_script(cli, "fish")
    done = subprocess.run([fish, "--no-execute", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for words, wanted in LINES.items():
        code = f"source {path}; complete -C 'windlass {' '.join(words)}'"
        done = subprocess.run([fish, "-N", "-c", code], capture_output=True, text=True, env=cli.env())
        assert done.stderr == ""
        assert wanted in [line.split("\t")[0] for line in done.stdout.splitlines()], words


def test_only_shells_that_it_knows(cli: Cli) -> None:
    result = cli.run("completion", "csh")
    assert result.code == 2
    assert "bash" in result.err
