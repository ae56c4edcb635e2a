"""`init` writes store and project into .windlass.toml, and leaves the rest of it alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from windlass.config import find_file, settle, write_file
from windlass.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    path = tmp_path / "work"
    path.mkdir()
    return path


def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "WINDLASS_AGENT": "me"}


def test_a_new_file_is_trusted_at_once(tmp_path: Path, folder: Path) -> None:
    file, changed = write_file(env(tmp_path), str(folder), None, {"store": "s3://team/agents", "project": "demo"})
    assert changed
    assert (folder / ".windlass.toml").read_text() == 'store = "s3://team/agents"\nproject = "demo"\n'
    settings = settle({}, env(tmp_path), str(folder))
    assert (settings.store, settings.project, settings.store_why) == ("s3://team/agents", "demo", file.path)


def test_writing_the_same_again_changes_nothing(tmp_path: Path, folder: Path) -> None:
    values = {"store": str(folder / "in" / "store"), "project": "demo"}
    write_file(env(tmp_path), str(folder), None, values)
    before = os.stat(folder / ".windlass.toml").st_ino
    assert not write_file(env(tmp_path), str(folder), None, values)[1]
    assert os.stat(folder / ".windlass.toml").st_ino == before


def test_a_store_beside_the_file_moves_with_it(tmp_path: Path, folder: Path) -> None:
    write_file(env(tmp_path), str(folder), None, {"store": str(folder / "in" / "store")})
    assert (folder / ".windlass.toml").read_text() == 'store = "./in/store"\n'
    assert settle({}, env(tmp_path), str(folder)).store == str(folder / "in" / "store")
    write_file(env(tmp_path), str(folder), None, {"store": str(tmp_path / "out")})
    assert (folder / ".windlass.toml").read_text() == f'store = "{tmp_path / "out"}"\n'


def test_comments_and_other_settings_stay(tmp_path: Path, folder: Path) -> None:
    path = folder / ".windlass.toml"
    path.write_text('# ours\nlease = 900\nproject = "old" # was\n')
    write_file(env(tmp_path), str(folder), None, {"store": "s3://team", "project": "new"})
    assert path.read_text() == 'store = "s3://team"\n# ours\nlease = 900\nproject = "new"\n'


def test_a_value_over_several_lines_is_replaced_whole(tmp_path: Path, folder: Path) -> None:
    path = folder / ".windlass.toml"
    path.write_text('lease = 900\nproject = """\\\n  old\\\n"""\n')
    write_file(env(tmp_path), str(folder), None, {"project": "new"})
    found = find_file(env(tmp_path), str(folder))
    assert found is not None
    assert (found.project, found.lease) == ("new", 900)


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "ünï", "a#b"])
def test_odd_folder_names_survive(tmp_path: Path, folder: Path, name: str) -> None:
    store = str(folder / name / "store")
    write_file(env(tmp_path), str(folder), None, {"store": store})
    assert settle({}, env(tmp_path), str(folder)).store == store


def test_a_name_that_no_text_can_hold_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError):
        write_file(env(tmp_path), str(folder), None, {"store": str(folder / "\udc80")})
    assert not (folder / ".windlass.toml").exists()


def test_in_a_repository_it_lies_at_the_worktrees_root_unless_one_is_nearer(tmp_path: Path, folder: Path) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    for path in ("refs", "objects"):
        (folder / ".git" / path).mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    file, _ = write_file(env(tmp_path), str(inner), str(folder), {"project": "demo"})
    assert file.path == str(folder / ".windlass.toml")
    (folder / "a" / ".windlass.toml").write_text('project = "near"\n')
    file, changed = write_file(env(tmp_path), str(inner), str(folder), {"project": "demo"})
    assert (file.path, changed) == (str(folder / "a" / ".windlass.toml"), True)


def test_outside_git_a_file_above_is_left_alone(tmp_path: Path) -> None:
    inner = tmp_path / "home" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "home" / ".windlass.toml").write_text('project = "all"\n')
    file, _ = write_file(env(tmp_path), str(inner), None, {"project": "demo"})
    assert file.path == str(inner / ".windlass.toml")
    assert (tmp_path / "home" / ".windlass.toml").read_text() == 'project = "all"\n'
