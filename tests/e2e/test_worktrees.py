"""Four worktrees of one repository, and no configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.terminals import ORPHAN, TERMINAL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.cli import Cli

NOTHING_SET: dict[str, str | None] = {"WINDLASS_STORE": None, "WINDLASS_PROJECT": None}
NAMES = ("architect", "builder", "reviewer", "tester")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def worktrees(cli: Cli) -> list[Path]:
    """The main worktree and three linked ones."""
    main = cli.cwd / "product"
    main.mkdir()
    git(main, "init", "-q")
    (main / "api.py").write_text("x = 1\n")
    git(main, "add", "-A")
    git(main, "commit", "-q", "-m", "start")
    others = [cli.cwd / f"tree{n}" for n in (1, 2, 3)]
    for other in others:
        git(main, "worktree", "add", "-q", "--detach", str(other))
    return [main, *others]


def test_four_worktrees_share_one_store_and_have_four_agents(cli: Cli, worktrees: list[Path]) -> None:
    for name, folder in zip(NAMES, worktrees, strict=True):
        done = cli.run("init", "--agent", name, cwd=folder, env=NOTHING_SET)
        assert done.code == 0, done
    for name, folder in zip(NAMES, worktrees, strict=True):
        claimed = cli.json("claim", f"{name}-work", cwd=folder, env=NOTHING_SET)
        assert claimed["agent"] == name
        assert claimed["step"]["claim"]["git"]["worktree"] == str(folder.resolve())
    inner = worktrees[2] / "deep" / "inside"
    inner.mkdir(parents=True)
    status = cli.json("status", cwd=inner, env=NOTHING_SET)
    assert sorted(one["agent"] for one in status["agents"]) == sorted(NAMES)
    lost = cli.run("claim", "architect-work", cwd=inner, env=NOTHING_SET)
    assert (lost.code, "already claimed by architect" in lost.err) == (3, True)
    assert (worktrees[0] / ".windlass" / "store").is_dir()
    assert not any((folder / ".windlass").exists() for folder in worktrees[1:])
    assert all(git(folder, "status", "--porcelain", "--ignored=no") == "" for folder in worktrees[:2])


def test_the_store_lives_through_git_clean(cli: Cli, worktrees: list[Path]) -> None:
    main = worktrees[0]
    cli.ok("memory", "set", "design.contract", "api.py", agent="architect", cwd=main, env=NOTHING_SET)
    for _ in range(2):
        git(main, "clean", "-fdxq")
        kept = cli.ok("memory", "get", "design.contract", agent="architect", cwd=worktrees[1], env=NOTHING_SET)
        assert kept.out == "api.py\n"
        assert git(main, "status", "--porcelain") == ""
        git(main, "add", "-A")
        assert git(main, "status", "--porcelain") == ""


def typed(cli: Cli, folder: Path, line: str) -> str:
    """What comes of a line typed in a fresh terminal."""
    command = [sys.executable, "-c", ORPHAN, sys.executable, "-c", TERMINAL, line]
    env = cli.env(more={**NOTHING_SET, "NO_COLOR": "1"})
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False).stdout


def test_two_that_nobody_named_are_two(cli: Cli, worktrees: list[Path]) -> None:
    windlass = f"{sys.executable} -m windlass"
    line = f"{windlass} claim one; setsid -w {windlass} release one; {windlass} claim one; (setsid {windlass} claim two & wait)"
    first = re.findall(r"as (shell-\w+)", typed(cli, worktrees[1], line))
    second = typed(cli, worktrees[1], f"{windlass} claim one; {windlass} claim three")
    assert len(first) == 4
    assert len(set(first)) == 1, "one agent's commands were taken for several"
    assert f"one is already claimed by {first[0]}" in second
    (other,) = re.findall(r"three claimed, as (shell-\w+)", second)
    assert other != first[0]


def test_without_a_terminal_and_a_name_nobody_acts(cli: Cli, worktrees: list[Path]) -> None:
    command = [sys.executable, "-c", ORPHAN, sys.executable, "-m", "windlass", "claim", "one"]
    done = subprocess.run(
        command, cwd=worktrees[1], env=cli.env(more=NOTHING_SET), capture_output=True, text=True, timeout=120, check=False
    )
    assert "--agent" in done.stderr
    assert cli.run("step", "show", "one", cwd=worktrees[1], env=NOTHING_SET).code == 4


def test_in_a_private_process_namespace_the_right_agent_or_none(cli: Cli, worktrees: list[Path]) -> None:
    private = ["unshare", "-p", "-f", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare -p is not permitted here")
    windlass = f"{sys.executable} -m windlass"
    inside = " ".join(private)
    out = typed(
        cli, worktrees[1], f"{windlass} claim one; {inside} {windlass} claim two; echo code=$?; {inside} {windlass} claim two --agent named"
    )
    assert re.search(r"one claimed, as shell-\w+", out)
    assert "code=2" in out
    assert "two claimed, as named" in out
    done = cli.run("init", "--agent", "bound", cwd=worktrees[2], env=NOTHING_SET)
    assert done.code == 0, done
    out = typed(cli, worktrees[2], f"{inside} {windlass} claim three")
    assert "three claimed, as bound" in out


@pytest.mark.parametrize(
    ("tool", "setting"),
    [
        ("CLAUDECODE", '"additionalDirectories": ["{}"]'),
        ("CODEX_THREAD_ID", 'writable_roots = ["{}"]'),
        (None, "WINDLASS_STORE"),
    ],
)
def test_a_read_only_main_worktree_is_answered_by_the_setting(cli: Cli, worktrees: list[Path], tool: str | None, setting: str) -> None:
    main = worktrees[0]
    mount = f"mount --bind {main} {main} && mount -o remount,ro,bind {main}"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("a read-only mount is not permitted here")
    for prepared in (False, True):
        if prepared:
            cli.ok("memory", "set", "a", "1", agent="builder", cwd=main, env=NOTHING_SET)
        env = cli.env("builder", {**NOTHING_SET, **({tool: "x1"} if tool else {})})
        command = f"{mount} && exec {sys.executable} -m windlass claim one"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", command], cwd=worktrees[1], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done
        assert setting.format(main.resolve() / ".windlass") in done.stderr
        assert len(done.stderr.splitlines()) == 2
        assert not list(worktrees[1].glob(".windlass*")), "there is no silent fallback"


def test_the_mark_of_a_workspaces_folder_is_no_changed_file(cli: Cli, worktrees: list[Path]) -> None:
    main = worktrees[0]
    (main / "site").mkdir()
    (main / "site" / "index.html").write_text("x", encoding="utf-8")
    cli.ok("workspace", "create", "site", "--from", "./site", agent="ann", cwd=main, env=NOTHING_SET)
    assert (main / "site" / ".windlass-workspace").exists()
    cli.ok("claim", "design", "--create", agent="ann", cwd=main, env=NOTHING_SET)
    cli.ok("complete", "design", "--changed-files-from-git", agent="ann", cwd=main, env=NOTHING_SET)
    told = cli.ok("handoff", "design", agent="ann", cwd=main, env=NOTHING_SET).out
    assert "changed files: site/index.html\n" in told
