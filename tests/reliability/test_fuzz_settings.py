"""Settings from anywhere: understood, or refused with one clear error that repeats no secret; nothing is run, nothing hangs."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.reliability.fuzz_settings import PROFILES, SECRET, TOMLS, URLS, VARIABLES, odd, urls
from tests.reliability.fuzz_text import SIGNS, budget
from tests.reliability.fuzz_world import World, alone, command, judge

from windlass.config import settle
from windlass.errors import UsageError, WindlassError
from windlass.stores import credentials
from windlass.stores.location import parse
from windlass.stores.registry import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOKS = (("status",), ("whoami", "--json"), ("memory", "get", "k"))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder of one's own."""
    work = tmp_path / "work"
    work.mkdir()
    with alone(work):
        yield work


@budget(500)
@given(url=urls)
@example(f"s3://key:{SECRET}@bucket/p")
@example("s3://bucket?profile=\udcff")
@example("s3://bucket?region=")
def test_a_url_is_understood_or_refused_and_a_secret_in_it_is_not_repeated(url: str) -> None:
    for read in (describe, lambda given_: parse(given_).url):
        try:
            shown = read(url)
        except UsageError as error:
            shown = error.message + error.hint
        else:
            assert "://" not in shown or read(shown) == shown, "a store has one name"
        assert SECRET not in shown or "://" not in url or not url.lower().startswith("s3"), shown


@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
def test_no_store_however_it_is_named_is_a_traceback(here: Path, url: str) -> None:
    """Those that name a place on a network are not asked: see the answers of servers."""
    if url.lower().startswith("s3://"):
        try:
            parse(url)
        except WindlassError:
            pass
        else:
            return
    try:
        os.fsencode(url)
    except UnicodeEncodeError:
        return
    for argv in LOOKS:
        result = command((*argv, f"--store={url}"))
        judge(result)
        assert result.code in (0, 1, 2, 4), result
        assert SECRET not in result.out + result.err, result
    assert {path.name for path in here.iterdir()} <= {"x"}, "only looked"


@pytest.mark.parametrize("content", TOMLS, ids=range(len(TOMLS)))
def test_no_settings_file_is_a_traceback_or_sends_data_elsewhere(here: Path, content: bytes) -> None:
    (here / ".windlass.toml").write_bytes(content)
    os.environ["HOME"] = str(here)
    for argv in (*LOOKS, ("trust",), ("claim", "x"), ("doctor", "--policy")):
        result = command(argv)
        judge(result)
        assert result.code in (0, 1, 2, 4), result
        assert SECRET not in result.out + result.err, result
        if b"s3://" in content:
            if argv in LOOKS:
                assert "you have not trusted it" in result.err, result
            elif argv != ("trust",):
                break  # now it would be asked


@pytest.mark.parametrize("kind", ["a folder", "a link to nothing", "a link to itself", "a FIFO", "unreadable", "a device"])
def test_no_odd_file_in_place_of_the_settings_hangs_or_is_a_traceback(here: Path, kind: str) -> None:
    path = here / ".windlass.toml"
    make_odd(path, kind)
    for argv in LOOKS:
        result = command(argv)
        judge(result)
        assert result.code in (1, 2), result
        assert ".windlass.toml" in result.err or kind == "unreadable", result


def make_odd(path: Path, kind: str) -> None:
    """Something else where a file should be."""
    match kind:
        case "a folder":
            path.mkdir()
        case "a link to nothing":
            path.symlink_to("nothing")
        case "a link to itself":
            path.symlink_to(path.name)
        case "a link elsewhere":
            path.symlink_to("/etc")
        case "a FIFO":
            os.mkfifo(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case "unreadable":
            path.write_bytes(b"\xff")
            path.chmod(0)


@pytest.mark.parametrize("content", PROFILES, ids=range(len(PROFILES)))
def test_no_profile_file_is_a_traceback_shows_a_secret_or_starts_anything(here: Path, content: bytes) -> None:
    (here / "aws").write_bytes(content)
    for name in ("x", None, "\x1b[2J"):
        for env in ({"AWS_CONFIG_FILE": "/nonexistent"}, {"AWS_CONFIG_FILE": str(here / "aws")}):
            try:
                provider, profile = credentials.provider(name, {"AWS_SHARED_CREDENTIALS_FILE": str(here / "aws"), **env})
                if provider is not None and profile is not None and "credential_process" not in profile.values:
                    assert SECRET not in repr(provider.keys())
            except WindlassError as error:
                told = error.message + error.hint + repr(error.__cause__)
            else:
                told = ""
            assert SECRET not in told
    assert not (here / "windlass-fuzz-was-here").exists()


@budget(60)
@given(changes=st.dictionaries(st.sampled_from(VARIABLES), odd, min_size=1, max_size=4))
def test_no_variable_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("variables")
    store = folder / "store"
    store.mkdir()
    with alone(folder, WINDLASS_STORE=str(store)):
        os.environ.update(changes)
        if os.environ["WINDLASS_STORE"] != str(store):
            settings_only(changes)
            return
        for argv in (("status",), ("memory", "set", "k", "v"), ("claim", "a", "--json"), ("inbox",)):
            result = command(argv)
            judge(result)
            assert result.code in (0, 1, 2, 3), result
    assert {path.name for path in store.iterdir()} <= {
        "demo",
        ".tmp",
        ".locks",
        os.environ.get("WINDLASS_PROJECT", "demo"),
        *changes.values(),
    }


def settings_only(changes: dict[str, str]) -> None:
    """As far as one gets without asking a store."""
    with contextlib.suppress(WindlassError):
        settle({}, {**os.environ, **changes}, os.getcwd())


@pytest.mark.parametrize(
    "text",
    [sign for sign in SIGNS if "/" not in sign and "\0" not in sign and len(sign) < 200 and sign.strip() not in ("", ".", "..")],
    ids=repr,
)
def test_no_folder_branch_or_origin_steers_a_terminal(tmp_path: Path, text: str) -> None:
    """A repository as anybody may hand it over."""
    try:
        folder = tmp_path / f"x{text}"
        (folder / ".git/objects").mkdir(parents=True)
    except (OSError, UnicodeEncodeError):
        pytest.skip("no file system keeps such a name")
    (folder / ".git/refs").mkdir()
    (folder / ".git/HEAD").write_bytes(f"ref: refs/heads/{text}\n".encode("utf-8", "surrogateescape"))
    (folder / ".git/config").write_bytes(f'[remote "origin"]\n\turl = https://h/{text}.git\n'.encode("utf-8", "surrogateescape"))
    with alone(folder):
        del os.environ["WINDLASS_PROJECT"]
        for argv in (
            ("claim", "a"),
            ("complete", "a", "--note", "n"),
            ("handoff", "a"),
            ("step", "show", "a"),
            ("status",),
            ("whoami",),
            ("whoami", "--json"),
            ("log",),
        ):
            judge(command(argv))


def test_the_world_of_the_tests_keeps_no_state() -> None:
    assert World().store.list("", "", 1).entries == ()
