"""Whatever is wrong, the command says what happened and what to do next, in two lines, and the rest goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.cli import Cli, end

if TYPE_CHECKING:
    from pathlib import Path

ESC = "\x1b[2J\x1b]0;owned\x07\x9b31m\x00\x08\r\u202eevil"
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
HOSTILE = {
    "empty": b"",
    "torn": b'{"format": 1, "kind": "st',
    "binary": bytes(range(256)),
    "no object": b"[1, 2]",
    "no format": b"{}",
    "odd format": b'{"format": true}',
    "another kind": b'{"format": 1, "kind": "board"}',
    "deep": b"[" * 200_000,
    "wrong fields": b'{"format": 1, "kind": "KIND", "seq": "x", "write_id": []}',
    "huge number": b'{"format": 1, "kind": "KIND", "seq": 1e400}',
    "huge": b" " * 5_000_000,
}


@pytest.mark.parametrize(
    "args",
    [
        ["claim", "a/b"],
        ["claim", "../x"],
        ["claim", ""],
        ["claim", "x" * 129],
        ["claim", "é"],
        ["claim", "-x"],
        ["claim", "x", "--lease", "1"],
        ["claim", "x", "--lease", "nan"],
        ["step", "add", "_x"],
        ["step", "add", "x", "--needs", "x"],
        ["step", "add", "x", "--needs", "nowhere"],
        ["step", "add", "x", "--priority", "1e9"],
        ["step", "add", "x", "--priority", "9999999"],
        ["step", "add", "x", "--max-hold", "-1"],
        ["step", "edit", "x"],
        ["step", "list", "--state", "done"],
        ["memory", "set", "a..b", "v"],
        ["memory", "set", ".a", "v"],
        ["memory", "set", "a/b", "v"],
        ["memory", "set", "_history.a", "v"],
        ["memory", "set", "a" * 600, "v"],
        ["memory", "set", "a", "{", "--json-value"],
        ["memory", "set", "a", "NaN", "--json-value"],
        ["memory", "set", "a", "[" * 100_000, "--json-value"],
        ["memory", "set", "a", "@nowhere.txt"],
        ["memory", "set", "a", "x", "--if-version", "-1"],
        ["memory", "get", "a b"],
        ["memory", "list", "a/"],
        ["complete", "x", "--evidence", "{"],
        ["complete", "x", "--evidence", "3"],
        ["complete", "x", "--blocked", "--failed"],
        ["send", "bob", "-", "--step", "a/b"],
        ["send", "_all", "hi"],
        ["message", "bob:x"],
        ["nosuch"],
        ["step"],
        ["step", "nosuch"],
        ["step", "list", "--nosuch"],
        ["step", "list", "--project", "a/b"],
        ["step", "list", "--store", ""],
        ["claim", "x", "--agent", "a b"],
    ],
    ids=lambda args: " ".join(args)[:40],
)
def test_a_wrong_word_is_exit_2_before_anything_is_written(cli: Cli, args: list[str]) -> None:
    result = cli.run(*args, agent="ann", input="text")
    assert (result.code, result.out) == (2, ""), result
    first, *hint = result.err.splitlines()
    assert first.startswith("windlass: ")
    assert len(first) < 300
    assert len(hint) == 1
    assert not list(cli.file("x").parent.rglob("*.json="))


def test_an_error_is_a_document_where_json_is_asked_for(cli: Cli) -> None:
    result = cli.run("step", "show", "x", "--json")
    assert (result.code, result.out) == (4, "")
    assert {
        "error": "not_found",
        "message": "there is no step x",
        "hint": "see: windlass step list",
        "exit": 4,
    }.items() <= result.json.items()
    assert cli.run("claim", "a/b", "--json", agent="ann").json["exit"] == 2
    assert cli.run("claim", "--json", agent="ann").json["error"] == "usage"


@pytest.mark.parametrize("size", [256 * 1024, 256 * 1024 + 1])
def test_values_up_to_256_kib(cli: Cli, size: int) -> None:
    cli.ok("inbox", agent="bob")
    text = "é" * (size // 2) + "x" * (size % 2)
    for args in (["memory", "set", "k", "-"], ["send", "bob", "-"]):
        result = cli.run(*args, agent="ann", input=text)
        if size <= 256 * 1024:
            assert result.code == 0
        else:
            assert result.code == 2
            assert "262,145 bytes, at most 262,144 are allowed" in result.err
            assert "send its address" in result.err
    if size <= 256 * 1024:
        assert cli.ok("memory", "get", "k").out == text + "\n"
        assert text in cli.ok("message", "bob:0").out


def test_what_is_far_too_large_is_refused_too(cli: Cli) -> None:
    cli.ok("claim", "x", agent="ann")
    note = cli.run("complete", "x", "--note", "-", agent="ann", input="x" * 70_000)
    assert (note.code, "at most 65,536" in note.err) == (2, True)
    huge = cli.run("memory", "set", "k", "-", agent="ann", input="x" * (9 * 2**20))
    assert (huge.code, "more than 8 MiB" in huge.err) == (2, True)
    (cli.cwd / "bytes").write_bytes(b"\xff\xfe")
    odd = cli.run("memory", "set", "k", "@bytes", agent="ann")
    assert (odd.code, "not UTF-8" in odd.err) == (2, True)
    twice = cli.run("complete", "x", "--note", "-", "--next-action", "-", agent="ann", input="x")
    assert (twice.code, "one argument only" in twice.err) == (2, True)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_torn_or_hostile_object_is_named_and_the_rest_goes_on(cli: Cli, body: bytes) -> None:
    cli.python(
        "import windlass\n"
        "with windlass.open() as p:\n"
        "    for name in ('a', 'b', 'c'):\n"
        "        p.steps.add(name)\n"
        "        p.memory.set(name, name)\n"
        "        p.mail.send('bob', name)\n"
        "        p.steps.list()\n",
        agent="ann",
    )
    for key, kind in (("steps/b.json", "step"), ("memory/b.json", "memory"), ("mail/bob/0000000001.json", "message")):
        cli.file(key).write_bytes(body.replace(b"KIND", kind.encode()))
    lists: list[tuple[list[str], str, str]] = [
        (["step", "list"], "steps", "steps/b.json"),
        (["memory", "list"], "memory", "memory/b.json"),
        (["inbox", "--new"], "messages", "mail/bob/0000000001.json"),
        (["plan", "graph"], "steps", "steps/b.json"),
    ]
    for args, what, key in lists:
        result = cli.run(*args, "--json", agent="bob")
        assert result.code == 0, result
        assert [one.get("text") or one.get("key") or one.get("step") for one in result.json[what]] == ["a", "c"]
        assert len(result.json["damaged"]) == 1
        assert f"{key} is damaged: " in result.err
    for args in (["step", "show", "b"], ["claim", "b"], ["memory", "get", "b"], ["memory", "set", "b", "x"], ["message", "bob:1"]):
        result = cli.run(*args, agent="bob")
        assert result.code == 1, result
        assert "is damaged: " in result.err
    cli.run("status", "--json")
    assert cli.run("next", agent="bob").code == 0


def newer(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 2}))


def test_what_a_newer_version_wrote_is_left_alone(cli: Cli) -> None:
    cli.ok("step", "add", "a", agent="ann")
    cli.ok("memory", "set", "k", "v", agent="ann")
    cli.run("send", "bob", "hi", agent="ann")
    for key in ("steps/a.json", "memory/k.json", "mail/bob/0000000000.json"):
        newer(cli.file(key))
    for args in (
        ["step", "show", "a"],
        ["claim", "a"],
        ["step", "edit", "a", "--title", "x"],
        ["memory", "get", "k"],
        ["memory", "set", "k", "x"],
        ["message", "bob:0"],
        ["inbox", "--new"],
    ):
        result = cli.run(*args, agent="bob")
        assert (result.code, result.out) == (1, ""), args
        assert "format 2" in result.err
        assert "upgrade: pip install -U windlass" in result.err
    for listing in (["step", "list"], ["memory", "list"]):  # the rest is listed
        assert "upgrade" in cli.run(*listing).err, listing


def test_a_project_of_a_newer_version_is_not_written_to(cli: Cli) -> None:
    cli.ok("step", "add", "a", agent="ann")
    newer(cli.file("windlass.json"))
    for args in (["claim", "a"], ["memory", "set", "k", "v"], ["send", "ann", "hi"], ["inbox"]):
        result = cli.run(*args, agent="bob")
        assert (result.code, "upgrade" in result.err) == (1, True), args
    assert not cli.file("memory/k.json").exists()


def test_nothing_that_others_wrote_reaches_the_terminal_as_more_than_text(cli: Cli) -> None:
    cli.ok("inbox", agent="bob")
    step = {"title": ESC, "description": ESC, "acceptance": ESC}
    cli.run("plan", "apply", "-", agent="ann", input=json.dumps({"steps": {"a": step, "b": {"needs": ["a"]}}}))
    cli.ok("claim", "a", agent="ann")
    evidence = json.dumps({ESC: ESC, "output": [ESC]})
    cli.ok("send", "bob", "-", agent="ann", input=ESC)
    cli.ok("memory", "set", "k", "-", agent="ann", input=ESC)
    cli.ok("memory", "set", "j", "-", "--json-value", agent="ann", input=json.dumps({ESC: ESC}))
    path = cli.file("steps/a.json")
    document = json.loads(path.read_bytes())
    for line in document["history"]:  # by a client that checks nothing
        line |= {"event": f"{line['event']}{ESC}", "by": f"ann{ESC}", "of": ESC, "note": ESC}
    document["claim"]["git"] = {"head": ESC, "branch": ESC, "worktree": ESC}
    path.write_text(json.dumps(document))
    commands: list[list[str]] = [
        ["step", "show", "a"],
        ["step", "list"],
        ["step-status", "a"],
        ["plan", "graph"],
        ["plan", "graph", "--mermaid"],
        ["plan", "export"],
        ["inbox"],
        ["message", "bob:0"],
        ["memory", "get", "k"],
        ["memory", "get", "j"],
        ["memory", "list"],
        ["memory", "history", "k"],
        ["claim", "a"],
        ["wait-for", "a", "--timeout", "0"],
        ["status"],
        ["agents"],
        ["log"],
        ["whoami"],
    ]
    for args in commands:
        result = cli.run(*args, agent="bob")
        assert "Traceback" not in result.err, result.err
        assert not BAD.search(result.out), args
        assert not BAD.search(result.err), args
    cli.ok(
        "complete", "a", "--force", "--note", "-", "--next-action", ESC.replace("\0", ""), "--evidence", evidence, agent="bob", input=ESC
    )
    for args in (["handoff", "a"], ["step", "show", "a"], ["claim", "b"], ["log"], ["status"]):
        result = cli.run(*args, agent="bob")
        assert "Traceback" not in result.err, result.err
        assert not BAD.search(result.out + result.err), args
        if args[0] in ("handoff", "claim"):
            assert "evil" in result.out


def test_a_reader_that_goes_away_is_no_error(cli: Cli) -> None:
    cli.python(
        "import windlass\n"
        "with windlass.open() as p:\n"
        "    p.plan.apply({'steps': {f's{n:04}': {'title': 'x' * 60} for n in range(1500)}})\n",
        agent="ann",
    )
    for args in (["step", "list", "--all"], ["plan", "export"], ["log", "--json", "--limit", "1500"]):
        with cli.start(*args) as process:
            assert process.stdout is not None
            assert process.stdout.read(10)
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == "", args
        assert process.returncode == 0


def test_ctrl_c_is_130_and_quiet(cli: Cli) -> None:
    waiting = cli.start("wait-for", "x")
    assert waiting.stderr is not None
    assert "does not exist yet" in waiting.stderr.readline()
    reading = cli.start("inbox", "--wait", "60", agent="bob")
    give_up = time.monotonic() + 30
    while not cli.file("cursors/bob.json").exists():  # the last that it does before it waits
        assert time.monotonic() < give_up
        time.sleep(0.02)
    for process in (waiting, reading):
        process.send_signal(signal.SIGINT)
        assert end(process) == (130, "", "")


@pytest.mark.parametrize("home", [None, "/nowhere", "relative"])
def test_without_a_home_directory(cli: Cli, home: str | None) -> None:
    env: dict[str, Any] = {"HOME": home}
    if home is not None:
        env |= {"XDG_CACHE_HOME": None, "XDG_STATE_HOME": None, "XDG_DATA_HOME": None}
    for _ in range(2):
        assert cli.run("claim", "x", agent="ann", env=env).code == 0
    cli.run("send", "ann", "hi", agent="bob", env=env)
    assert len(cli.json("inbox", "--new", agent="ann", env=env)["messages"]) == 1
    assert cli.json("inbox", "--new", agent="ann", env=env)["messages"] == []
    if home is not None:
        nowhere = cli.run("step", "list", env={**env, "WINDLASS_STORE": None})
        assert (nowhere.code, "--store URL" in nowhere.err) == (2, True)


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_with_a_cache_and_state_that_cannot_be_written(cli: Cli, kind: str) -> None:
    place = cli.home / "fixed"
    if kind == "file":
        place.write_text("")
    else:
        place.mkdir()
        place.chmod(0o500)
    env = {"XDG_CACHE_HOME": str(place), "XDG_STATE_HOME": str(place)}
    for _ in range(2):
        cli.ok("claim", "x", agent="ann", env=env)
    cli.run("send", "ann", "hi", agent="bob", env=env)
    assert len(cli.json("inbox", "--new", agent="ann", env=env)["messages"]) == 1
    assert cli.json("inbox", "--new", agent="ann", env=env)["messages"] == []


def test_a_cache_full_of_rubbish_costs_requests_only(cli: Cli) -> None:
    cli.ok("claim", "x", agent="ann")
    cli.run("send", "ann", "hi", agent="bob")
    cli.json("inbox", "--new", agent="ann")
    cli.ok("step", "list")
    for path in (cli.home / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(os.urandom(300))
    assert cli.json("inbox", "--new", agent="ann")["messages"] == []
    assert cli.json("step", "list")["steps"][0]["agent"] == "ann"
    assert cli.ok("claim", "x", agent="ann").out.startswith("x already held by you")


def test_a_store_that_is_not_there(cli: Cli) -> None:
    for args in (["step", "list"], ["claim", "x"]):
        result = cli.run(*args, "--store", "nowhere", agent="ann")
        assert result.code == 1
        assert "windlass init --store" in result.err
    odd = cli.run("step", "list", "--store", "ftp://host/x")
    assert odd.code == 2


def test_a_locale_without_the_signs_prints_their_escapes(cli: Cli) -> None:
    cli.ok("memory", "set", "k", "naïve → ok", agent="ann")
    result = cli.run("memory", "get", "k", env={"PYTHONIOENCODING": "ascii"})
    assert (result.code, result.out) == (0, "na\\xefve \\u2192 ok\n")
