"""init settles where and who, refuses what is unsafe, writes no secret, and may be repeated; trust lets a file name a store."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.lying_s3 import LyingS3

from windlass.testing import liars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.cli import Cli

BARE: dict[str, str | None] = {"WINDLASS_STORE": None, "WINDLASS_PROJECT": None}


@pytest.fixture
def repository(cli: Cli) -> Cli:
    """Commands in a git repository called work, with nothing configured."""
    subprocess.run(["git", "init", "-q", str(cli.cwd)], check=True, env=cli.env())
    return cli


@pytest.fixture
def liar(s3_env: None) -> Iterator[LyingS3]:
    """An S3 server that ignores conditions."""
    server = LyingS3(liars.IgnoresConditions)
    yield server
    server.close()


def everything_in(folder: Path) -> str:
    """All text below a folder."""
    return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*")) if path.is_file())


def test_in_a_repository_nothing_needs_to_be_said(repository: Cli) -> None:
    found = repository.json("init", agent="dev", env=BARE)
    assert found["store"] == str(repository.cwd / ".windlass" / "store")
    assert (found["project"], found["new"], found["agent"], found["incarnation"]) == ("work", True, "dev", 1)
    assert found["file"] is None
    assert not (repository.cwd / ".windlass.toml").exists()


def test_it_may_be_repeated(everywhere: Cli) -> None:
    first = everywhere.json("init", agent="dev")
    again = everywhere.json("init", agent="dev")
    assert (first["new"], again["new"]) == (True, False)
    assert (first["incarnation"], again["incarnation"]) == (1, 1)


def test_it_says_what_it_did_and_what_comes_next(repository: Cli) -> None:
    out = repository.ok("init", "--agent", "dev", env=BARE).out
    assert out.startswith("work (new) in ")
    assert "you are  dev, incarnation 1 (--agent)" in out
    assert "windlass plan apply FILE" in out


def test_the_agent_is_bound_to_this_worktree_and_to_no_tracked_file(repository: Cli) -> None:
    repository.ok("init", "--agent", "designer", env=BARE)
    inner = repository.cwd / "deep" / "er"
    inner.mkdir(parents=True)
    assert repository.json("whoami", env=BARE, cwd=inner)["agent"] == "designer"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=repository.cwd, env=repository.env(), capture_output=True, text=True)
    assert status.stdout == ""


def test_a_binding_that_something_else_overrules_is_told(repository: Cli) -> None:
    result = repository.run("init", "--agent", "designer", agent="other", env=BARE)
    assert result.code == 0
    assert "use the agent other (WINDLASS_AGENT), unless you pass --agent designer" in result.err


def test_a_store_that_something_else_overrules_is_told(repository: Cli, tmp_path: Path) -> None:
    result = repository.run("init", "--store", str(tmp_path / "other"), agent="dev", env={"WINDLASS_PROJECT": None})
    assert result.code == 0
    assert f"use the store {repository.store} (WINDLASS_STORE)" in result.err


def test_without_a_name_it_says_how_to_give_one(repository: Cli) -> None:
    result = repository.nobody("init", env=BARE)
    assert result.code == 0, result
    assert "windlass init --agent NAME" in result.out
    assert repository.nobody("init", "--new", env=BARE).code == 2


def test_new_begins_a_new_life_which_fences_the_old(cli: Cli) -> None:
    cli.ok("init", agent="dev")
    cli.ok("claim", "a", agent="dev")
    assert cli.json("init", "--new", agent="dev")["incarnation"] == 2
    assert "taken over from dev" in cli.ok("claim", "a", agent="dev").out


def test_the_store_it_is_given_is_used_from_then_on(repository: Cli, tmp_path: Path) -> None:
    place = tmp_path / "shared" / "agents"
    place.parent.mkdir()
    out = repository.ok("init", "--store", str(place), "--project", "team", agent="dev", env=BARE).out
    assert ".windlass.toml, trusted on this machine" in out
    assert (repository.cwd / ".windlass.toml").read_text() == f'store = "{place}"\nproject = "team"\n'
    repository.ok("claim", "a", agent="dev", env=BARE)
    found = repository.json("whoami", agent="dev", env=BARE)
    assert (found["store"], found["project"]) == (str(place), "team")
    assert found["store_why"].endswith(".windlass.toml")
    assert repository.json("init", "--store", str(place), "--project", "team", agent="dev", env=BARE)["file"] is None


def test_a_directory_is_made_but_not_those_above_it(cli: Cli, tmp_path: Path) -> None:
    result = cli.run("init", "--store", str(tmp_path / "no" / "store"), agent="dev")
    assert result.code == 1
    assert f"mkdir -p '{tmp_path / 'no'}'" in result.err
    assert not (tmp_path / "no").exists()
    assert not (cli.cwd / ".windlass.toml").exists()
    cli.ok("init", "--store", str(tmp_path / "yes"), agent="dev", env={"WINDLASS_STORE": None})
    assert (tmp_path / "yes").is_dir()


def test_existing_projects_are_named_before_a_new_one_is_made(cli: Cli) -> None:
    for name in ("alpha", "beta"):
        cli.ok("init", agent="dev", env={"WINDLASS_PROJECT": name})
    out = cli.ok("init", agent="dev", env={"WINDLASS_PROJECT": "alhpa"}).out
    assert "projects in this store: alpha, beta" in out
    assert "alhpa is new" in out
    assert "projects in this store" not in cli.ok("init", agent="dev", env={"WINDLASS_PROJECT": "alpha"}).out


def test_folders_of_others_are_no_projects(cli: Cli) -> None:
    (Path(cli.store) / "photos" / "2024").mkdir(parents=True)
    assert cli.json("init", agent="dev")["projects"] == []


def test_buckets_are_made_only_when_asked_for(cli: Cli, ministack: str, s3_env: None) -> None:
    url = f"s3://made-by-init-{os.getpid()}/agents?endpoint={ministack}"
    result = cli.run("init", "--store", url, agent="dev", env=BARE)
    assert result.code == 1
    assert f"windlass init --store '{url}' --create-bucket" in result.err
    assert not (cli.cwd / ".windlass.toml").exists()
    found = cli.json("init", "--store", url, "--create-bucket", agent="dev", env=BARE)
    assert (found["store"], found["checked"]) == (url, "safe")
    assert cli.json("init", agent="dev", env=BARE)["checked"] == "before"
    assert cli.json("init", "--check", agent="dev", env=BARE)["checked"] == "safe"


def test_tracecrafts_options_name_a_store(cli: Cli, ministack: str, s3_env: None) -> None:
    bucket = f"tracecraft-{os.getpid()}"
    options = ("--backend", "s3", "--endpoint", ministack, "--bucket", bucket, "--project", "demo", "--agent", "designer", "--private")
    found = cli.json("init", *options, "--create-bucket", env=BARE)
    assert found["store"] == f"s3://{bucket}?endpoint={ministack}"
    assert (found["project"], found["agent"]) == ("demo", "designer")
    assert cli.json("whoami", env=BARE)["agent"] == "designer"


@pytest.mark.parametrize(
    "options",
    [
        ("--backend", "s3"),
        ("--endpoint", "http://127.0.0.1:1"),
        ("--bucket", "b", "--store", "/tmp/x"),
        ("--bucket", "s3://b"),
        ("--backend", "hf", "--bucket", "me/b"),
        ("--store", "memory://"),
        ("--store", "ftp://x"),
        ("--store", ""),
        ("--project", "../x"),
        ("--agent", "a b"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(cli: Cli, options: tuple[str, ...]) -> None:
    result = cli.run("init", *options)
    assert result.code == 2, result
    assert len(result.err.splitlines()) == 2, "what happened, and what to do next"
    assert not (cli.cwd / ".windlass.toml").exists()


@pytest.mark.parametrize("option", ["--access-key", "--secret-key", "--hf-token"])
@pytest.mark.parametrize("form", ["{} SECRETSECRET", "{}=SECRETSECRET", "{}"])
def test_keys_on_the_command_line_are_refused_and_not_repeated(cli: Cli, option: str, form: str) -> None:
    result = cli.run("init", "--bucket", "b", *form.format(option).split())
    assert result.code == 2
    assert "environment" in result.err
    assert "SECRETSECRET" not in result.out + result.err + everything_in(cli.home) + everything_in(cli.cwd)


def test_credentials_in_a_url_are_refused_and_not_repeated(cli: Cli) -> None:
    result = cli.run("init", "--store", "s3://KEYKEY:SECRETSECRET@bucket/x", agent="dev")
    assert result.code == 2
    assert "SECRETSECRET" not in result.out + result.err + everything_in(cli.home) + everything_in(cli.cwd)


def test_no_credential_reaches_a_file(cli: Cli, ministack: str, s3_env: None) -> None:
    env: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": "KEYKEYKEYKEY", "AWS_SECRET_ACCESS_KEY": "SECRETSECRET", **BARE}
    url = f"s3://no-secret-{os.getpid()}?endpoint={ministack}"
    assert cli.run("init", "--store", url, "--create-bucket", "--agent", "dev", env=env).code == 0
    written = everything_in(cli.home) + everything_in(cli.cwd)
    assert "no-secret" in written
    assert "SECRETSECRET" not in written
    assert "KEYKEYKEYKEY" not in written


def test_an_unsafe_store_is_refused_before_anything_is_written(cli: Cli, liar: LyingS3) -> None:
    result = cli.run("init", "--store", liar.url, "--agent", "dev", env=BARE)
    assert result.code == 1
    assert "is not safe: a create of what is already there is let through" in result.err
    assert "--accept-unsafe" in result.err
    assert not liar.objects
    assert not (cli.cwd / ".windlass.toml").exists()
    assert cli.nobody("whoami", env=BARE).code == 2, "no binding either"


def test_an_unsafe_store_that_was_accepted_is_remembered_and_shown(cli: Cli, liar: LyingS3) -> None:
    result = cli.run("init", "--store", liar.url, "--accept-unsafe", agent="dev", env=BARE)
    assert result.code == 0, result
    assert "warning: accepted although it is not safe" in result.err
    assert "NOT SAFE" in result.out
    out = cli.run("status", agent="dev", env=BARE).out
    assert "failed the doctor" in out
    assert cli.json("status", agent="dev", env=BARE)["unsafe_accepted"] is True
    assert cli.json("init", agent="dev", env=BARE)["checked"] == "unsafe", "it is not asked again"


def test_a_name_active_elsewhere_is_not_bound(cli: Cli) -> None:
    cli.ok("init", agent="dev")
    elsewhere: dict[str, str | None] = {"XDG_STATE_HOME": str(cli.home / "state2"), "XDG_CACHE_HOME": str(cli.home / "cache2")}
    (entry,) = Path(cli.store, "demo", "agents").glob("dev.json=")
    entry.write_text(entry.read_text().replace('"machine":"', '"machine":"0'))
    result = cli.run("init", "--agent", "dev", env=elsewhere)
    assert result.code == 3, result
    assert "init --new" in result.err
    assert not (cli.home / "state2").exists() or "bindings" not in os.listdir(cli.home / "state2" / "windlass")
    assert cli.run("init", "--agent", "dev", "--new", env=elsewhere).code == 0


def test_a_remote_store_named_by_a_clone_waits_for_trust(repository: Cli) -> None:
    file = repository.cwd / ".windlass.toml"
    file.write_text('store = "s3://somebody/else"\nproject = "theirs"\nlease = 900\n')
    result = repository.run("whoami", agent="dev", env=BARE)
    assert result.code == 2
    assert "windlass trust" in result.err
    out = repository.ok("trust", env=BARE).out
    assert f"trusted {file}" in out
    for line in ("store    s3://somebody/else", "project  theirs", "lease    900 s"):
        assert line in out
    assert "not trusted" not in repository.run("doctor", "--policy", agent="dev", env=BARE).err
    file.write_text('store = "s3://somebody/worse"\n')
    assert repository.run("whoami", agent="dev", env=BARE).code == 2, "trust ends with any change"


def test_trust_takes_a_file_or_its_folder(repository: Cli, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / ".windlass.toml").write_text('store = "./in"\n')
    for path in (clone, clone / ".windlass.toml"):
        found = repository.json("trust", str(path), env=BARE)
        assert (found["file"], found["store"], found["trusted"]) == (str(clone / ".windlass.toml"), str(clone / "in"), True)
    assert repository.run("trust", env=BARE).code == 4
    assert repository.run("trust", str(tmp_path / "none"), env=BARE).code == 4
    (clone / ".windlass.toml").write_text("agent = 1\n")
    assert repository.run("trust", str(clone), env=BARE).code == 2
