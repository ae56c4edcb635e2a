"""`.windlass.toml`: found where it is promised, checked to the letter, and never obeyed blindly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windlass.config import find_file, trust
from windlass.errors import UsageError

if TYPE_CHECKING:
    from .conftest import Git, Settle


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".windlass.toml"
    path.write_text(text)
    return path


def test_the_nearest_file_counts(repository: Path, settled: Settle) -> None:
    write(repository, 'project = "outer"\nlease = 90')
    near = write(repository / "a", 'project = "inner"')
    (repository / "a" / "b").mkdir()
    found = settled(repository / "a" / "b")
    assert (found.project, found.project_why, found.lease) == ("inner", str(near), None)
    assert (settled(repository).project, settled(repository).lease) == ("outer", 90.0)


def test_a_linked_worktree_falls_back_on_the_main_worktrees_file(repository: Path, tmp_path: Path, settled: Settle, git: Git) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "w"))
    write(repository, 'project = "team"')
    write(tmp_path, 'project = "stranger"')
    assert settled(tmp_path / "w").project == "team"


def test_files_above_the_repository_or_the_home_directory_are_not_read(
    repository: Path, tmp_path: Path, home: Path, settled: Settle
) -> None:
    write(tmp_path, 'project = "stranger"')
    (home / "x").mkdir()
    (tmp_path / "y").mkdir()
    for folder in (repository, home / "x", tmp_path / "y"):
        assert settled(folder).project != "stranger"
    write(home, 'project = "mine"')
    assert settled(home / "x").project == "mine"


def test_flags_and_variables_win_over_the_file(repository: Path, settled: Settle) -> None:
    write(repository, 'store = "s3://evil/x"\nproject = "p"\nlease = 60')
    found = settled(repository, {"store": "st"}, WINDLASS_PROJECT="q", WINDLASS_LEASE="30")
    assert (found.store, found.store_why) == (f"{repository}/st", "--store")
    assert (found.project, found.project_why, found.lease) == ("q", "WINDLASS_PROJECT", 30.0)
    found = settled(repository, {"project": "r"}, WINDLASS_STORE="s3://mine", WINDLASS_PROJECT="q")
    assert (found.store, found.store_why, found.project) == ("s3://mine", "WINDLASS_STORE", "r")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stoer = 'x'", "unknown key 'stoer'"),
        ("[store]\nurl = 'x'", "store is no text"),
        ("project = ''", "project is no text"),
        ("lease = '90'", "lease is no number"),
        ("lease = true", "lease is no number"),
        ("lease = 0", "lease is no number"),
        ("lease = inf", "lease is no number"),
        ("lease = nan", "lease is no number"),
        ("agent = 'x'", "agent does not belong"),
        ("store = ", "is not TOML"),
        ("x = " + "[" * 20000, "is not TOML"),
        ("#" * 70000, "larger than"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_key(text: str, says: str, repository: Path, settled: Settle) -> None:
    path = write(repository, text)
    with pytest.raises(UsageError, match=says) as error:
        settled(repository)
    assert str(path) in error.value.message
    assert error.value.exit == 2
    assert error.value.hint


def test_an_agent_in_a_shared_file_points_to_init(repository: Path, settled: Settle) -> None:
    write(repository, "agent = 'x'")
    with pytest.raises(UsageError) as error:
        settled(repository)
    assert "init --agent" in error.value.hint


def test_what_is_no_regular_file_is_refused_without_waiting(repository: Path, settled: Settle) -> None:
    os.mkfifo(repository / ".windlass.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        settled(repository)
    (repository / ".windlass.toml").unlink()
    (repository / ".windlass.toml").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="not a regular file"):
        settled(repository)


@pytest.mark.parametrize(
    "store",
    ["s3://evil/x", "s3://team/x?profile=prod", "../outside", "/tmp/outside", "~/x", "link/x", ".git/x", "file:///tmp/x", "sub/.GIT/x"],
)
def test_a_store_outside_the_repository_needs_trust(store: str, repository: Path, home: Path, settled: Settle) -> None:
    (repository / "link").symlink_to("/tmp")
    path = write(repository, f'store = "{store}"')
    with pytest.raises(UsageError, match="not trusted") as error:
        settled(repository)
    assert "windlass trust" in error.value.hint
    assert "profile" not in error.value.message
    state = settled(repository, {"store": "x"}).state_dir
    assert trust(str(path), state).store == store
    found = settled(repository)
    assert found.store_why == str(path)
    assert found.store == (store if "://" in store else os.path.normpath(os.path.join(repository, store.replace("~", str(home)))))


@pytest.mark.parametrize("store", ["data/store", "./s", "memory://"])
def test_a_store_inside_the_repository_needs_none(store: str, repository: Path, settled: Settle) -> None:
    write(repository / "a", f'store = "{store}"')
    expected = store if "://" in store else os.path.normpath(repository / "a" / store)
    assert settled(repository / "a").store == expected


def test_trust_ends_with_any_change_of_the_file(repository: Path, settled: Settle) -> None:
    path = write(repository, 'store = "s3://team/x"')
    state = settled(repository, {"store": "x"}).state_dir
    trust(str(path), state)
    assert settled(repository).store == "s3://team/x"
    path.write_text('store = "s3://team/x" ')
    with pytest.raises(UsageError, match="not trusted"):
        settled(repository)


def test_trust_does_not_follow_a_link_to_a_trusted_file(repository: Path, tmp_path: Path, settled: Settle, git: Git) -> None:
    path = write(repository, 'store = "s3://team/x"')
    trust(str(path), settled(repository, {"store": "x"}).state_dir)
    hostile = tmp_path / "hostile"
    git(hostile, "init", "-q")
    (hostile / ".windlass.toml").symlink_to(path)
    with pytest.raises(UsageError, match="not trusted"):
        settled(hostile)


def test_trust_is_private_and_not_believed_when_somebody_else_may_have_written_it(repository: Path, settled: Settle) -> None:
    path = write(repository, 'store = "s3://team/x"')
    state = Path(settled(repository, {"store": "x"}).state_dir)
    trust(str(path), str(state))
    (record,) = (state / "trusted").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == (state / "trusted").stat().st_mode & 0o777 == 0o700
    moved = record.rename(state / "elsewhere")
    record.symlink_to(moved)
    with pytest.raises(UsageError, match="not trusted"):
        settled(repository)


def test_trust_without_a_home_directory_says_so(repository: Path) -> None:
    path = write(repository, 'store = "s3://team/x"')
    with pytest.raises(UsageError, match="no home directory"):
        trust(str(path), "")


def test_the_file_that_counts_can_be_found_before_it_is_trusted(repository: Path, home: Path) -> None:
    path = write(repository, 'store = "s3://team/x"')
    (repository / "a").mkdir()
    found = find_file({"HOME": str(home)}, str(repository / "a"))
    assert found is not None
    assert (found.path, found.store) == (str(path), "s3://team/x")
    assert find_file({"HOME": str(home)}, str(home)) is None
