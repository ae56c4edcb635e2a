"""Shared memory on the command line: the last value for all, every version kept, and a compare-and-set that says what it found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.cli import Cli

FILL = """
import windlass
with windlass.open() as p:
    for n in range({0}):
        p.memory.set({1}, f"value {{n}}")
"""


def test_a_value_is_read_bare_by_anyone(everywhere: Cli) -> None:
    cli = everywhere
    assert cli.ok("memory", "set", "design.contract", "api.py", agent="ann").out == "design.contract set to version 1, as ann\n"
    assert cli.ok("memory", "get", "design.contract").out == "api.py\n"
    cli.ok("memory", "set", "design.contract", "api2.py", agent="bob")
    meta = json.loads(cli.ok("memory", "get", "design.contract", "--with-meta").out)
    assert (meta["value"], meta["version"], meta["set_by"], meta["key"]) == ("api2.py", 2, "bob", "design.contract")
    assert meta["set_at"] > 1e9
    assert cli.json("memory", "get", "design.contract") == meta


def test_compare_and_set(everywhere: Cli) -> None:
    cli = everywhere
    cli.ok("memory", "set", "k", "one", "--if-version", "0", agent="ann")
    lost = cli.run("memory", "set", "k", "two", "--if-version", "0", agent="bob")
    assert lost.code == 3
    assert "k is at version 1, set by ann, not 0" in lost.err
    assert cli.run("memory", "set", "k", "two", "--if-version", "0", "--json", agent="bob").json["version"] == 1
    cli.ok("memory", "set", "k", "two", "--if-version", "1", agent="bob")
    assert cli.run("memory", "delete", "k", "--if-version", "1", agent="ann").code == 3
    assert cli.ok("memory", "get", "k").out == "two\n"


def test_deleting_keeps_the_history(everywhere: Cli) -> None:
    cli = everywhere
    for value in ("one", "two"):
        cli.ok("memory", "set", "k", value, agent="ann")
    assert "k deleted, as bob" in cli.ok("memory", "delete", "k", agent="bob").out
    assert cli.run("memory", "get", "k").code == 4
    assert cli.run("memory", "delete", "k", agent="bob").code == 4
    assert cli.json("memory", "list")["memory"] == []
    versions = cli.json("memory", "history", "k")["versions"]
    assert [(one["version"], one["value"], one["deleted"]) for one in versions] == [(3, None, True), (2, "two", False), (1, "one", False)]
    cli.ok("memory", "set", "k", "three", "--if-version", "0", agent="ann")
    assert cli.json("memory", "get", "k")["version"] == 4


@pytest.mark.parametrize("value", [{"passed": 12, "names": ["é", None]}, 0, False, "true", [], 1.5])
def test_json_values_come_back_as_json(cli: Cli, value: object) -> None:
    cli.ok("memory", "set", "k", json.dumps(value), "--json-value", agent="ann")
    assert cli.json("memory", "get", "k")["value"] == value
    bare = cli.ok("memory", "get", "k").out.removesuffix("\n")
    assert bare == value if isinstance(value, str) else json.loads(bare) == value


def test_text_comes_from_stdin_and_files_too(cli: Cli) -> None:
    (cli.cwd / "notes.md").write_text("line 1\nline 2\n", encoding="utf-8")
    cli.ok("memory", "set", "a", "@notes.md", agent="ann")
    cli.ok("memory", "set", "b", "-", agent="ann", input="from stdin\n")
    cli.ok("memory", "set", "c", "@@home", agent="ann")
    assert [cli.json("memory", "get", key)["value"] for key in "abc"] == ["line 1\nline 2", "from stdin", "@home"]


def test_lists_are_short_and_say_how_to_see_the_rest(cli: Cli) -> None:
    cli.python(FILL.format(25, 'f"some.key{n:02}"'), agent="ann")
    cli.ok("memory", "set", "other", "x", agent="bob")
    lines = cli.ok("memory", "list", "some").out.splitlines()
    assert lines[0].split() == ["some.key00", "v1", "ann", "value", "0"]
    assert len(lines) == 21
    assert lines[-1] == "… there are more: windlass memory list some --limit 0"
    assert len(cli.ok("memory", "list", "--limit", "0").out.splitlines()) == 26
    assert [one["key"] for one in cli.json("memory", "list", "oth")["memory"]] == ["other"]

    cli.python(FILL.format(25, '"busy"'), agent="ann")
    found = cli.json("memory", "history", "busy")
    assert [one["version"] for one in found["versions"]] == list(range(25, 5, -1))
    assert found["more"] is True
    assert "windlass memory history busy --limit 0" in cli.ok("memory", "history", "busy").out
    assert cli.json("memory", "history", "busy", "--limit", "0")["versions"][-1]["value"] == "value 0"


def test_a_damaged_key_is_reported_and_the_rest_goes_on(cli: Cli) -> None:
    for key in ("a", "b", "c"):
        cli.ok("memory", "set", key, "x", agent="ann")
    cli.file("memory/b.json").write_bytes(b"\xff\x00 torn")
    result = cli.run("memory", "list", "--json")
    assert result.code == 0
    assert [one["key"] for one in result.json["memory"]] == ["a", "c"]
    assert result.json["damaged"][0]["key"] == "b"
    assert "memory/b.json is damaged" in result.err
    assert cli.run("memory", "get", "b").code == 1
