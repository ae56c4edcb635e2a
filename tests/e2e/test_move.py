"""A project moves to a bucket in the middle of its plan: nothing is lost, late commands are told, a killed move is run again."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.e2e.cli import Cli

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """
steps:
  design: {title: Design the API}
  build: {title: Build it, needs: [design]}
  test: {title: Test it, needs: [build]}
  docs: {title: Write the manual}
"""

KILLED = """
import os, signal, sys
from windlass.stores.wrappers import Counting

kind, part, left = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))

def count(self, asked, key, call, inner=Counting._count):
    global left
    if asked == kind and part in key:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return inner(self, asked, key, call)

Counting._count = count
from windlass.project import session
plain = session.open_base
session.open_base = lambda *args, **options: Counting(plain(*args, **options))
from windlass.surfaces.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A `windlass` that is killed before its n-th request of a kind to any store, whose key holds some text."""

POINTS = {
    "before the destination is closed": ("put", "demo/windlass.json", 1),
    "before the source tells of the move": ("put", "demo/windlass.json", 2),
    "while steps are frozen": ("put", "demo/steps/", 2),
    "while mailboxes are ended": ("put", "demo/mail/", 2),
    "while objects are copied": ("put", "demo/steps/", 6),
    "while objects are compared": ("get", "demo/steps/", 8),
    "before the destination opens": ("put", "demo/windlass.json", 3),
    "before the source knows that it is done": ("put", "demo/windlass.json", 4),
}
HALF = POINTS["while objects are copied"]


def killed(cli: Cli, store: str, point: tuple[str, str, int]) -> None:
    """A move that is killed there."""
    argv = [sys.executable, "-c", KILLED, point[0], point[1], str(point[2]), "move", store, "--force"]
    done = subprocess.run(argv, cwd=cli.cwd, env=cli.env("ada"), capture_output=True, text=True, check=False)
    assert done.returncode == -9, (done.stdout, done.stderr)


def begun(cli: Cli) -> None:
    """Work is done, held, and still to do; mail is read and unread; memory has a past."""
    cli.ok("plan", "apply", "-", agent="ada", input=PLAN)
    cli.ok("claim", "design", agent="ada")
    (cli.cwd / "api.md").write_text("v1", encoding="utf-8")
    cli.ok("complete", "design", "--note", "API in api.py", "--to", "ben", "--artifact", "api.md", agent="ada")
    cli.ok("artifact", "upload", "api.md", "--input", "design/api.md", agent="ada")
    (cli.cwd / "api.md").write_text("v2", encoding="utf-8")
    cli.ok("artifact", "upload", "api.md", agent="ada")
    cli.ok("memory", "set", "design.contract", "v1", agent="ada")
    cli.ok("memory", "set", "design.contract", "v2", agent="ada")
    cli.ok("inbox", "--new", agent="ben")
    cli.ok("send", "ben", "unread so far", agent="ada")
    cli.ok("claim", "docs", agent="ben")


def finished(cli: Cli, agents: dict[str, str]) -> None:
    """The rest of the plan goes on where the project lives now, by the same agents."""
    inbox = cli.json("inbox", "--new", agent="ben")
    assert [one["text"] for one in inbox["messages"]] == ["unread so far"]
    cli.ok("complete", "docs", agent="ben")
    assert cli.ok("memory", "get", "design.contract", agent="ada").out == "v2\n"
    assert len(cli.json("memory", "history", "design.contract")["versions"]) == 2
    for ref, text in {"design/api.md": "v1", "api.md@1": "v1", "api.md": "v2"}.items():
        assert cli.ok("artifact", "download", ref, "-o", "-", agent="ben").out == text
    assert cli.json("artifact", "lineage", "design/api.md")["edges"] == [{"input": "design/api.md@1", "made": "api.md@1"}]
    cli.ok("artifact", "verify", agent="ben")
    for step, agent in agents.items():
        taken = cli.json("next", agent=agent)
        assert taken["step"]["name"] == step
        cli.ok("complete", step, agent=agent)
    last = cli.run("next", agent="ada")
    assert last.code == 4, last


def fail(cli: Cli, *args: str, agent: str, code: int, **more: str) -> str:
    """What a command that must fail says on stderr."""
    result = cli.run(*args, agent=agent, **more)  # type: ignore[arg-type]
    assert (result.code, result.out) == (code, ""), result
    return result.err


def elsewhere(cli: Cli, store: str) -> Cli:
    """The same home and folder, with another store in the environment."""
    other = object.__new__(Cli)
    other.home, other.cwd, other.store = cli.home, cli.cwd, store
    return other


def test_a_project_moves_to_a_bucket_in_the_middle_of_its_plan(cli: Cli, s3_url: str) -> None:
    begun(cli)
    refused = fail(cli, "move", s3_url, agent="ada", code=3)
    assert "docs (ben)" in refused
    assert "--force" in refused
    moved = cli.json("move", s3_url, "--force", agent="ada")
    assert (moved["to"], moved["late"], moved["left"]) == (s3_url, 0, [])
    assert moved["objects"] > 10

    for args in (
        ["claim", "build"],
        ["claim", "anything", "--create"],
        ["complete", "docs"],
        ["release", "docs"],
        ["next"],
        ["send", "ada", "late"],
        ["inbox", "--new"],
        ["memory", "set", "a", "1"],
        ["memory", "get", "design.contract"],
        ["memory", "list"],
        ["memory", "history", "design.contract"],
        ["artifact", "upload", "api.md"],
        ["artifact", "upload", "api.md", "--name", "new"],
        ["artifact", "upload", "api.md", "--step", "docs"],
        ["artifact", "download", "api.md@1", "-o", "got"],
        ["artifact", "list"],
        ["artifact", "show", "design/api.md"],
        ["artifact", "history", "api.md"],
        ["artifact", "lineage", "api.md"],
        ["artifact", "verify"],
        ["artifact", "delete", "api.md"],
        ["step", "list"],
        ["step", "show", "docs"],
        ["handoff", "design"],
        ["wait-for", "docs"],
        ["plan", "export"],
        ["agents"],
        ["log"],
        ["beat"],
    ):
        said = fail(cli, *args, agent="ben", code=1)
        assert f"this project moved to '{s3_url}'" in said, args
    for look in ("status", "whoami"):
        assert "this project moved to" in cli.ok(look, agent="ben").out
        assert cli.json(look, agent="ben")["moved_to"] == s3_url
    assert f"export WINDLASS_STORE='{s3_url}'" in cli.ok("whoami", agent="ben").out
    facts = json.loads(fail(cli, "next", "--json", agent="ben", code=1))
    assert (facts["error"], facts["to"]) == ("moved", s3_url)

    there = elsewhere(cli, s3_url)
    finished(there, {"build": "ada", "test": "ben"})
    again = cli.ok("move", s3_url, agent="ada")
    assert "the move was complete already" in again.out


def test_the_words_that_a_late_command_is_told_work_in_a_shell(cli: Cli, s3_url: str) -> None:
    begun(cli)
    done = cli.ok("move", s3_url, "--force", agent="ada").out
    told = fail(cli, "next", agent="ada", code=1)
    for text in (done, told):
        found = re.search(r"export WINDLASS_STORE=(.*?)(?: or |$)", text, re.MULTILINE)
        assert found, text
        assert shlex.split(found.group(1)) == [s3_url]
        found = re.search(r"windlass (init --store .*?)(?:   or: .*|$)", text, re.MULTILINE)
        assert found, text
        assert shlex.split(found.group(1)) == ["init", "--store", s3_url]


@pytest.mark.parametrize("point", POINTS)
def test_a_move_that_is_killed_is_finished_by_running_it_again(cli: Cli, s3_url: str, point: str) -> None:
    begun(cli)
    killed(cli, s3_url, POINTS[point])
    cli.ok("move", s3_url, "--force", agent="ada")
    finished(elsewhere(cli, s3_url), {"build": "ada", "test": "ben"})
    assert "moved to" in fail(cli, "next", agent="ben", code=1)


def test_a_killed_move_leaves_nobody_in_doubt(cli: Cli, s3_url: str) -> None:
    begun(cli)
    killed(cli, s3_url, HALF)
    assert "moved to" in fail(cli, "next", agent="ben", code=1)
    half = fail(elsewhere(cli, s3_url), "next", agent="ben", code=1)
    assert "is being moved here" in half
    assert "windlass move" in half


def test_it_moves_back_by_the_same_command(cli: Cli, s3_url: str) -> None:
    begun(cli)
    cli.ok("move", s3_url, "--force", agent="ada")
    there = elsewhere(cli, s3_url)
    there.ok("complete", "docs", agent="ben")
    there.ok("send", "ben", "from the bucket", agent="ada")
    there.ok("move", cli.store, agent="ada")
    assert "moved to" in fail(there, "next", agent="ada", code=1)
    inbox = cli.json("inbox", "--new", agent="ben")
    assert [one["text"] for one in inbox["messages"]] == ["unread so far", "from the bucket"]
    cli.ok("send", "ada", "home again", agent="ben")
    assert [one["text"] for one in cli.json("inbox", "--new", agent="ada")["messages"]][-1] == "home again"
    assert cli.json("next", agent="ada")["step"]["name"] == "build"


def test_another_project_at_the_destination_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    begun(cli)
    other = elsewhere(cli, str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    other.ok("memory", "set", "theirs", "1", agent="zoe")
    assert "at the destination already" in fail(cli, "move", other.store, "--force", agent="ada", code=3)
    cli.ok("complete", "docs", agent="ben")
    assert other.ok("memory", "get", "theirs").out == "1\n"


def test_a_destination_that_cannot_be_used_freezes_nothing(cli: Cli, s3_url: str) -> None:
    begun(cli)
    missing = re.sub(r"s3://[^/]*", "s3://no-such-bucket-here", s3_url)
    fail(cli, "move", missing, "--force", agent="ada", code=1)
    fail(cli, "move", cli.store, "--force", agent="ada", code=2)
    fail(cli, "move", "ftp://x", "--force", agent="ada", code=2)
    cli.ok("complete", "docs", agent="ben")


def test_a_worktree_whose_file_names_the_old_store_is_told_what_to_do(cli: Cli, s3_url: str) -> None:
    """The file goes on naming the old store: each command says where the project is, and `init --store` mends the file."""
    for command in (["git", "init", "-q"], ["git", "config", "user.email", "a@b.c"]):
        subprocess.run(command, cwd=cli.cwd, check=True, capture_output=True)
    plain = {"WINDLASS_STORE": None, "WINDLASS_PROJECT": None}
    cli.ok("init", "--store", "./shared", "--project", "demo", agent="ada", env=plain)
    file = cli.cwd / ".windlass.toml"
    assert "./shared" in file.read_text()
    cli.ok("claim", "design", agent="ada", env=plain)
    cli.ok("complete", "design", "--note", "kept", agent="ada", env=plain)
    cli.ok("move", s3_url, agent="ada", env=plain)
    told = cli.run("handoff", "design", agent="ada", env=plain)
    assert told.code == 1
    hint = re.search(r"run: windlass (init --store .*)", told.err)
    assert hint, told
    mended = cli.run(*shlex.split(hint.group(1)), agent="ada", env=plain)
    assert mended.code == 0, mended
    assert s3_url in file.read_text()
    assert "kept" in cli.ok("handoff", "design", agent="ada", env=plain).out
