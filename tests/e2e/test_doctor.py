"""doctor says what a store really guarantees, on stores that keep their word and on stores that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.lying_s3 import LyingS3
from tests.stores.test_probes import LIES, Lie

from windlass.testing import liars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.cli import Cli

    from windlass.stores.base import Store


@pytest.fixture
def liar(s3_env: None) -> Iterator[Callable[..., LyingS3]]:
    """Makes S3 servers that lie."""
    made: list[LyingS3] = []

    def make(lie: Callable[[Store], Store] = liars.Liar, **more: Any) -> LyingS3:
        made.append(LyingS3(lie, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def marks(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {check["name"]: check["result"] for check in document["checks"]}


def test_a_good_store_passes_and_is_left_as_it_was(everywhere: Cli) -> None:
    everywhere.ok("init", agent="dev")
    result = everywhere.run("doctor", "--quick", "--json", agent="dev")
    assert result.code == 0, result
    found = result.json
    assert (found["exclusive_claims"], found["safe"]) == (True, True)
    assert not [name for name, mark in marks(found).items() if mark in ("no", "warning") and name != "file_system"]
    assert set(found["latency"]) == {"delete", "get", "list", "put"}
    assert everywhere.json("init", agent="dev")["projects"] == ["demo"], "nothing is left of the probes"


def test_it_says_where_it_looked_and_what_decided_that(cli: Cli) -> None:
    out = cli.ok("doctor", "--quick", "--agent", "dev").out
    assert f"store    {cli.store}  (WINDLASS_STORE)" in out
    assert "project  demo  (WINDLASS_PROJECT)" in out
    assert "agent    dev  (--agent)" in out
    assert "3 races of 16 creates: one winner each" in out
    assert "exclusive claims: yes" in out
    assert max(map(len, out.splitlines()[3:])) <= 80


def test_the_whole_examination_races_more(cli: Cli) -> None:
    assert "10 races of 32 replaces: one winner each" in cli.ok("doctor", agent="dev").out


def test_it_needs_nobody_and_leaves_no_sign_of_life(cli: Cli) -> None:
    cli.ok("doctor", "--quick", agent="dev")
    assert cli.json("agents")["agents"] == []


def test_a_store_that_ignores_conditions_is_refused(cli: Cli, liar: Callable[..., LyingS3]) -> None:
    server = liar(liars.IgnoresConditions)
    result = cli.run("doctor", "--quick", env={"WINDLASS_STORE": server.url})
    assert result.code == 1
    assert "✗ a create of what is already there is let through: conditions are ignored" in result.out
    assert "exclusive claims: no" in result.out
    assert "do not use this store" in result.out
    assert not server.objects
    found = cli.run("doctor", "--quick", "--json", env={"WINDLASS_STORE": server.url})
    assert (found.code, found.json["exclusive_claims"], marks(found.json)["create"]) == (1, False, "no")


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: getattr(lie.make, "__name__", "races on replace").strip("<>"))
def test_a_server_that_lies_is_refused_in_plain_words(cli: Cli, liar: Callable[..., LyingS3], lie: Lie) -> None:
    server = liar(lie.make)
    result = cli.run("doctor", "--quick", env={"WINDLASS_STORE": server.url})
    assert result.code == 1, result
    assert [line for line in result.out.splitlines() if line.startswith("✗") and (lie.over_s3 or lie.words) in line], result.out
    assert "do not use this store: " in result.out.splitlines()[-1]
    assert not server.objects, "nothing is left of the probes"


def test_a_server_that_wants_its_etags_bare_works_from_then_on(cli: Cli, liar: Callable[..., LyingS3]) -> None:
    server = liar(bare=True)
    env = {"WINDLASS_STORE": server.url}
    assert cli.run("memory", "set", "k", "2", agent="dev", env=env).code == 0
    assert cli.run("doctor", "--quick", "--store", f"{server.url}&etag=quoted").code == 1, "what the URL says is what is tried"
    result = cli.run("doctor", "--quick", env=env)
    assert result.code == 0, result
    assert "If-Match takes the ETag unquoted only; remembered on this machine" in result.out
    assert cli.run("memory", "set", "k", "3", agent="dev", env=env).code == 0
    assert cli.run("memory", "get", "k", env=env).out == "3\n"


def test_lifecycle_rules_that_delete_are_warned_of(cli: Cli, liar: Callable[..., LyingS3]) -> None:
    rule = "<Rule><ID>tidy</ID><Prefix>agents/</Prefix><Status>Enabled</Status><Expiration><Days>7</Days></Expiration></Rule>"
    server = liar(rules=f"<LifecycleConfiguration>{rule}</LifecycleConfiguration>")
    result = cli.run("doctor", "--quick", env={"WINDLASS_STORE": server.url})
    assert result.code == 0
    assert "! rule tidy deletes objects under 'agents/' 7 days after their creation" in result.out


def test_a_clock_that_is_off_is_told(cli: Cli, liar: Callable[..., LyingS3]) -> None:
    server = liar(skew=600)
    result = cli.run("doctor", "--quick", env={"WINDLASS_STORE": server.url})
    assert "! this machine's clock is 10m behind the store's" in result.out
    assert result.code == 0


def test_a_damaged_or_newer_project_is_told(cli: Cli) -> None:
    cli.ok("init", agent="dev")
    (marker,) = Path(cli.store, "demo").glob("windlass.json=")
    marker.write_text('{"format": "windlass/99", "kind": "project"}')
    result = cli.run("doctor", "--quick", agent="dev")
    assert result.code == 0
    (line,) = [line for line in result.out.splitlines() if line.startswith("!") and ("newer" in line or "damaged" in line)]
    assert line


def test_a_store_that_is_not_there_is_an_error_with_the_next_step(cli: Cli, tmp_path: Path) -> None:
    result = cli.run("doctor", "--store", str(tmp_path / "none"))
    assert result.code == 1
    assert f"store    {tmp_path / 'none'}  (--store)" in result.out
    assert "windlass init" in result.err


def test_the_policy_can_be_piped_into_a_file(cli: Cli) -> None:
    result = cli.run("doctor", "--policy", "--store", "s3://team/agents")
    assert result.code == 0
    assert json.loads(result.out)["Version"] == "2012-10-17"
    assert "s3:ListBucket" in result.err
    assert "403" in result.err
    assert cli.json("doctor", "--policy", "--store", "s3://team/agents")["policy"] == json.loads(result.out)


def test_a_directory_has_no_policy(cli: Cli) -> None:
    assert cli.run("doctor", "--policy").code == 4
