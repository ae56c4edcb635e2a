"""Where: the store's place and the project's name follow from the repository, never from what is writable."""

from __future__ import annotations

import os
import pwd
import re
from typing import TYPE_CHECKING

import pytest

from windlass.config import settle
from windlass.config.where import folder_project, legal, read_git_config
from windlass.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Git, Settle


def test_in_a_repository_the_store_is_at_the_root_of_the_worktree(repository: Path, settled: Settle) -> None:
    deep = repository / "a" / "b"
    deep.mkdir(parents=True)
    found = settled(deep)
    assert found.store == f"{repository}/.windlass/store"
    assert found.embedded == f"{repository}/.windlass"
    assert found.worktree == str(repository)
    assert found.git_common_dir == f"{repository}/.git"


def test_all_worktrees_share_the_main_worktrees_store(repository: Path, settled: Settle, git: Git) -> None:
    outside, inside = repository.parent / "elsewhere" / "w1", repository / "sub" / "w2"
    git(repository, "worktree", "add", "-q", str(outside))
    git(repository, "worktree", "add", "-q", str(inside))
    for worktree in (outside, inside):
        found = settled(worktree)
        assert found.store == f"{repository}/.windlass/store"
        assert found.worktree == str(worktree)
        assert found.project == settled(repository).project == "alpha"


def test_a_worktree_reached_through_a_symbolic_link_is_the_same(repository: Path, settled: Settle) -> None:
    link = repository.parent / "link"
    link.symlink_to(repository)
    assert settled(link) == settled(repository)


@pytest.mark.parametrize("layout", ["repo.git", "box/.git"])
def test_a_bare_repository_and_its_worktrees_share_a_store_in_the_git_directory(
    layout: str, tmp_path: Path, repository: Path, settled: Settle, git: Git
) -> None:
    bare, worktree = tmp_path / layout, tmp_path / "box" / "w"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "worktree", "add", "-q", str(worktree), "-b", "w")
    for folder in (bare, bare / "refs", bare.parent if layout == "box/.git" else bare, worktree):
        found = settled(folder)
        assert (found.store, found.embedded) == (f"{bare}/windlass/store", None)
    assert settled(worktree).worktree == str(worktree)


def test_a_bare_repository_that_keeps_bareness_in_its_worktree_config(tmp_path: Path, repository: Path, settled: Settle, git: Git) -> None:
    bare = tmp_path / "box" / ".git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "config", "extensions.worktreeConfig", "true")
    git(bare, "config", "--unset", "core.bare")
    git(bare, "config", "--worktree", "core.bare", "true")
    git(bare, "worktree", "add", "-q", str(tmp_path / "w"), "-b", "w")
    assert settled(tmp_path / "w").store == f"{bare}/windlass/store"


def test_a_submodule_has_a_store_of_its_own(repository: Path, tmp_path: Path, settled: Settle, git: Git) -> None:
    library = tmp_path / "library"
    git(library, "init", "-q")
    git(library, "commit", "-q", "--allow-empty", "-m", "first")
    git(repository, "submodule", "--quiet", "add", str(library), "vendor/lib")
    module = repository / "vendor" / "lib"
    found = settled(module)
    assert (found.store, found.project) == (f"{module}/.windlass/store", "library")
    git(module, "worktree", "add", "-q", str(tmp_path / "w"), "-b", "w")
    assert settled(tmp_path / "w").store == f"{module}/.windlass/store"


def test_a_git_directory_kept_apart_gives_all_worktrees_one_store(tmp_path: Path, settled: Settle, git: Git) -> None:
    work, apart = tmp_path / "work", tmp_path / "apart"
    git(work, "init", "-q", "--separate-git-dir", str(apart))
    git(work, "commit", "-q", "--allow-empty", "-m", "first")
    git(work, "worktree", "add", "-q", str(tmp_path / "w"))
    assert settled(work).store == settled(tmp_path / "w").store == f"{apart}/windlass/store"


def test_inside_the_git_directory_one_is_still_in_the_repository(repository: Path, settled: Settle) -> None:
    assert settled(repository / ".git" / "refs").store == f"{repository}/.windlass/store"


def test_inside_the_store_one_is_still_in_the_repository(repository: Path, settled: Settle, git: Git) -> None:
    store = repository / ".windlass" / "store"
    git(store, "init", "-q")
    assert settled(store).store == str(store)


def test_an_empty_dot_git_is_no_repository(tmp_path: Path, settled: Settle) -> None:
    (tmp_path / "x" / ".git").mkdir(parents=True)
    assert settled(tmp_path / "x").embedded is None


def test_a_read_only_repository_does_not_change_the_place(repository: Path, settled: Settle) -> None:
    repository.chmod(0o555)
    try:
        assert settled(repository).store == f"{repository}/.windlass/store"
    finally:
        repository.chmod(0o755)


def test_outside_git_the_store_is_in_the_data_directory(tmp_path: Path, home: Path, settled: Settle) -> None:
    folder = tmp_path / "My Project"
    folder.mkdir()
    found = settled(folder)
    assert found.store == f"{home}/.local/share/windlass/store"
    assert re.fullmatch(r"My-Project-[0-9a-f]{6}", found.project)
    assert settled(folder, XDG_DATA_HOME="/data").store == "/data/windlass/store"
    assert settled(folder, XDG_DATA_HOME="relative").store == found.store


def test_two_folders_of_one_name_are_two_projects(tmp_path: Path, settled: Settle) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "work").mkdir(parents=True)
    assert settled(tmp_path / "a" / "work").project != settled(tmp_path / "b" / "work").project


@pytest.mark.parametrize("home_is", ["/nonexistent", "/dev/null"])
def test_without_a_home_directory_only_what_needs_one_fails(home_is: str, tmp_path: Path, repository: Path, settled: Settle) -> None:
    with pytest.raises(UsageError, match="no home directory") as error:
        settled(tmp_path, HOME=home_is)
    assert "--store" in error.value.hint
    assert settled(tmp_path, {"store": "/x"}, HOME=home_is).store == "/x"
    found = settled(repository, HOME=home_is)
    assert (found.state_dir, found.cache_dir) == ("", None)
    assert found.store == f"{repository}/.windlass/store"


def test_an_unset_home_is_looked_up_in_the_accounts(tmp_path: Path) -> None:
    expected = pwd.getpwuid(os.getuid()).pw_dir
    if not os.path.isdir(expected):
        pytest.skip("this account has no home directory")
    assert settle({}, {"WINDLASS_AGENT": "me"}, str(tmp_path)).store == f"{expected}/.local/share/windlass/store"


@pytest.mark.parametrize("link", [".windlass", ".windlass/store"])
def test_a_clone_that_carries_a_link_as_its_store_is_refused(link: str, repository: Path, tmp_path: Path, settled: Settle) -> None:
    path = repository / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="symbolic link"):
        settled(repository)
    assert settled(repository, WINDLASS_STORE="/x").store == "/x"


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://example.org/team/engine.git", "engine"),
        ("https://example.org/team/engine/", "engine"),
        ("git@example.org:team/engine.git", "engine"),
        ("example.org:engine", "engine"),
        ("/srv/git/engine.git", "engine"),
        ("/srv/work/engine/.git", "engine"),
        ("../engine", "engine"),
        ("https://example.org/team/My%20Engine.git?x=1", "My-20Engine"),
        ("https://example.org/..", "alpha"),
        ("https://example.org/日本", "alpha"),
        ("https://example.org/" + "e" * 300, "e" * 128),
    ],
)
def test_the_project_is_the_last_segment_of_origin(origin: str, name: str, repository: Path, settled: Settle, git: Git) -> None:
    git(repository, "remote", "add", "other", "https://example.org/other")
    git(repository, "remote", "add", "origin", origin)
    assert settled(repository).project == name


def test_a_git_config_is_read_as_git_reads_it(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        '; c\n[CORE]\n\tBare ; comment\n[remote "fork"]\n url = no\n[remote "origin"] URL = "a # b\\"c" # d\n'
        '\tfetch = +x:y\n\turl = second\n[branch "x"]\n\turl = no\n[remote "Origin"]\n\turl = no\n[core]\n\tworktree = a\\\nb\n'
    )
    found = read_git_config(str(tmp_path / "config"))
    assert found["remote.origin.url"] == 'a # b"c'
    assert found["core.worktree"] == "ab"


@pytest.mark.parametrize("text", ["", "...", "-x", "é", "a/b", "x" * 500, "a\n\x00b", "_-.9z"])
def test_a_derived_name_is_legal_or_empty(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})?", legal(text))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", folder_project("/" + text))
