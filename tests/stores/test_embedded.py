"""The default store in a git repository: real git neither shows, adds, stashes nor cleans it away."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from windlass.effects import IfAbsent
from windlass.errors import StoreError
from windlass.stores.embedded import prepare_embedded
from windlass.stores.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(where: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *settings, *arguments], cwd=where, env=env, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    where = tmp_path / "repo"
    where.mkdir()
    git(where, "init")
    (where / "code.py").write_text("1\n")
    git(where, "add", "-A")
    git(where, "commit", "-m", "one")
    return where


def embed(where: Path, exclude: bool = True) -> LocalStore:
    return LocalStore.create(prepare_embedded(str(where / ".windlass"), str(where / ".git") if exclude else None))


@pytest.mark.parametrize("exclude", [True, False], ids=["with exclude", "without"])
def test_git_does_not_see_the_store(repository: Path, exclude: bool) -> None:
    store = embed(repository, exclude)
    store.put("a/b", b"kept", IfAbsent())
    assert git(repository, "status", "--porcelain") == ""
    git(repository, "add", "-A")
    assert git(repository, "diff", "--cached", "--name-only") == ""
    (repository / "new.py").write_text("2\n")
    git(repository, "stash", "-u")
    assert not (repository / "new.py").exists()
    assert store.get("a/b") is not None
    git(repository, "stash", "pop")
    assert git(repository, "status", "--porcelain") == "?? new.py\n"


@pytest.mark.parametrize("exclude", [True, False], ids=["with exclude", "without"])
def test_the_store_survives_a_clean(repository: Path, exclude: bool) -> None:
    store = embed(repository, exclude)
    store.put("a/b", b"kept", IfAbsent())
    git(repository, "clean", "-fdx")
    assert store.get("a/b") is not None
    again = embed(repository, exclude)
    assert (repository / ".windlass" / ".gitignore").read_text() == "*\n"
    assert again.get("a/b") is not None
    assert git(repository, "status", "--porcelain") == ""


def test_exclude_keeps_git_quiet_after_a_clean(repository: Path) -> None:
    embed(repository)
    git(repository, "clean", "-fdx")
    git(repository, "add", "-A")
    assert git(repository, "status", "--porcelain") == ""
    (repository / ".windlass" / ".gitignore").unlink(missing_ok=True)
    embed(repository)
    assert (repository / ".git" / "info" / "exclude").read_text().count("/.windlass/") == 1


def test_the_store_survives_other_branches_and_worktrees(repository: Path, tmp_path: Path) -> None:
    store = embed(repository)
    store.put("a/b", b"kept", IfAbsent())
    git(repository, "worktree", "add", str(tmp_path / "other"), "-b", "side")
    assert not (tmp_path / "other" / ".windlass").exists()
    git(repository, "checkout", "--orphan", "fresh")
    git(repository, "rm", "-rf", ".")
    git(repository, "clean", "-fdx")
    assert store.get("a/b") is not None
    git(repository, "worktree", "remove", "--force", str(tmp_path / "other"))
    git(repository, "gc", "--prune=now")
    assert git(repository, "worktree", "list").count("\n") == 1


def test_nothing_is_written_where_all_is_there(repository: Path) -> None:
    embed(repository)
    folder = repository / ".windlass"
    before = {path: path.lstat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    prepare_embedded(str(folder), str(repository / ".git"))
    assert before == {path: path.lstat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("name", [".windlass", ".windlass/store"])
def test_a_link_that_a_clone_brought_is_refused(repository: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="link"):
        embed(repository)
    assert not list((tmp_path / "outside").iterdir())


def test_a_git_folder_that_cannot_be_written_is_no_hindrance(repository: Path) -> None:
    LocalStore.create(prepare_embedded(str(repository / ".windlass"), str(repository / "code.py"))).put("a", b"1", IfAbsent())
    assert git(repository, "status", "--porcelain") == ""
