"""Ignore files mean what they mean to git."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from windlass.errors import UsageError
from windlass.files.ignore import parse
from windlass.files.scan import scan
from windlass.files.wildmatch import translate

if TYPE_CHECKING:
    from pathlib import Path


def kept(root: Path) -> list[str]:
    """The paths that a scan finds, but for the files of rules."""
    return [found.path for found in scan(str(root)).found if not found.path.endswith("ignore")]


def fill(root: Path, *files: str) -> None:
    """Make empty files, and the folders that they need."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_rules_leave_out_files_and_whole_folders(tmp_path: Path) -> None:
    fill(tmp_path, "a.log", "b.txt", "build/x/y", "sub/c.log", "sub/build/z")
    (tmp_path / ".windlassignore").write_text("*.log\n/build/\n")
    assert kept(tmp_path) == ["b.txt", "sub", "sub/build", "sub/build/z"]
    assert scan(str(tmp_path)).ignored == 3


def test_what_is_ignored_is_not_looked_into(tmp_path: Path) -> None:
    fill(tmp_path, "build/.gitignore", "build/x")
    (tmp_path / "build" / ".gitignore").write_text("!x\n")
    (tmp_path / ".gitignore").write_text("build\n")
    assert kept(tmp_path) == []


def test_a_file_of_ours_stands_in_for_that_of_git_in_its_folder(tmp_path: Path) -> None:
    fill(tmp_path, "one", "two", "sub/one", "sub/two", "sub/three")
    (tmp_path / ".gitignore").write_text("one\n")
    (tmp_path / ".windlassignore").write_text("two\n")
    (tmp_path / "sub" / ".gitignore").write_text("three\n")
    assert kept(tmp_path) == ["one", "sub", "sub/one"]


def test_an_empty_file_of_ours_takes_all_that_git_leaves_out(tmp_path: Path) -> None:
    fill(tmp_path, "one")
    (tmp_path / ".gitignore").write_text("*\n")
    (tmp_path / ".windlassignore").touch()
    assert kept(tmp_path) == ["one"]


def test_the_nearest_rule_decides_and_the_last_line_of_it(tmp_path: Path) -> None:
    fill(tmp_path, "a.log", "sub/a.log", "sub/b.log", "sub/c.log")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "sub" / ".gitignore").write_text("!*.log\nb.log\n")
    assert kept(tmp_path) == ["sub", "sub/a.log", "sub/c.log"]


def test_rules_in_folders_with_long_names_are_relative_to_them(tmp_path: Path) -> None:
    fill(tmp_path, "é€/a", "é€/b/a")
    (tmp_path / "é€" / ".gitignore").write_text("/a\n")
    assert kept(tmp_path) == ["é€", "é€/b", "é€/b/a"]


def test_a_folder_that_is_taken_again_does_not_take_what_is_in_it(tmp_path: Path) -> None:
    fill(tmp_path, "build/x.log", "build/y")
    (tmp_path / ".gitignore").write_text("*.log\n!build\n")
    assert kept(tmp_path) == ["build", "build/y"]


def test_no_heed_is_paid_where_none_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, "one")
    (tmp_path / ".gitignore").write_text("*\n")
    assert [found.path for found in scan(str(tmp_path), ignored=False).found] == [".gitignore", "one"]


@pytest.mark.parametrize("name", [".gitignore", ".windlassignore"])
@pytest.mark.parametrize("how", ["link", "folder", "fifo", "large"])
def test_rules_that_cannot_be_read_are_an_error_since_they_may_name_secrets(tmp_path: Path, name: str, how: str) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / name
    if how == "link":
        (tmp_path / "elsewhere").write_text("secret\n")
        file.symlink_to("../elsewhere")
    elif how == "folder":
        file.mkdir()
    elif how == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(UsageError) as caught:
        scan(str(tmp_path))
    assert f"sub/{name}" in caught.value.message


def test_marks_of_other_systems_do_not_change_rules(tmp_path: Path) -> None:
    fill(tmp_path, "one", "two", "three")
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n# caf\xe9\n\xff\n")
    assert kept(tmp_path) == ["three"]


@pytest.mark.parametrize(
    ("pattern", "text", "paths"),
    [
        (b"*a" * 100 + b"*b", b"a" * 4000, False),
        (b"*a*" * 100 + b"b", b"a" * 4000, True),
        (b"**/a/" * 60 + b"b", b"a/" * 1900 + b"c", True),
        (b"**/*a*a*a" * 20 + b"/**/b", b"/".join([b"a" * 200] * 18), True),
        (b"a**" * 50 + b"b", b"a" * 4000, True),
    ],
)
def test_no_pattern_makes_a_scan_hang(pattern: bytes, text: bytes, paths: bool) -> None:
    found = translate(pattern, paths=paths)
    assert found is not None
    assert not found.fullmatch(text)  # tried naively it takes longer than anybody waits


def test_a_line_that_git_takes_for_malformed_is_none() -> None:
    assert parse(b"[a\na\\\n[[:no:]]\n\n/\n!\n#x\n   \n") == []


NAMES = ["a", "b", "foo", "bar", "foo.txt", "x.log", "build", "a.b", "#h", "!n", "sp ", "foo bar", "é", "[x]", "\\b", "A", "tab\t"]
ATOMS = ["*", "?", "**", "a", "b", "foo", "bar", "*.txt", "*.log", "build", "[ab]", "[!a]", "[a-f]*", "\\#h", "\\!n", "\\*", "#h",
         "foo bar", "sp\\ ", "f*o", "**b", "a**", "é", "[x", "[[]x]", "\\b", "\\\\b", "*o", "a.?", "[]-]", "[^b]", "[[:alpha:]]",
         "[[:upper:]x]", "[[:space:]-~]*", "***", "", ".", "[a-", "[\\]a]", "b\\"]  # fmt: skip


def some_pattern(dice: random.Random) -> str:
    """A line of rules, seldom a sensible one."""
    line = "/".join(dice.choice(ATOMS) for _ in range(dice.choice([1, 1, 1, 2, 2, 3])))
    line = "/" + line if dice.random() < 0.2 else line
    line += "/" if dice.random() < 0.25 else ""
    line = "!" + line if dice.random() < 0.3 else line
    return line + dice.choice([" ", "  ", "\\ ", "\t", "\r"]) if dice.random() < 0.15 else line


def grow(dice: random.Random, folder: Path, depth: int) -> None:
    """Files and folders at random, with rules among them."""
    for name in dice.sample(NAMES, 5):
        if dice.random() < 0.5 and depth < 3:
            (folder / name).mkdir()
            grow(dice, folder / name, depth + 1)
        else:
            (folder / name).touch()
    if dice.random() < 0.4 or depth == 0:
        (folder / ".gitignore").write_text("\n".join(some_pattern(dice) for _ in range(dice.randint(1, 4))) + "\n", newline="")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
@pytest.mark.parametrize("seed", range(int(os.environ.get("WINDLASS_TEST_IGNORE_SEEDS", "25"))))
def test_the_same_is_left_out_as_git_leaves_out(tmp_path: Path, seed: int) -> None:
    grow(random.Random(seed), tmp_path, 0)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "XDG_CONFIG_HOME": str(tmp_path / "none")}
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=env, check=True)
    every = [os.path.relpath(os.path.join(at, name), tmp_path) for at, folders, files in os.walk(tmp_path) for name in folders + files]
    every = [path for path in every if path.split("/")[0] != ".git"]
    asked = "\0".join(every).encode()
    told = subprocess.run(["git", "check-ignore", "-z", "--stdin"], cwd=tmp_path, env=env, input=asked, capture_output=True, check=False)
    assert told.returncode in {0, 1}, told.stderr
    left_out = set(every) - {found.path for found in scan(str(tmp_path)).found}
    assert left_out == {path for path in told.stdout.decode().split("\0") if path}
