"""Steps on the command line: declared, changed, looked at by anyone, handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.cli import Cli

MANY = """
import windlass
with windlass.open() as p:
    p.plan.apply({"steps": {f"step{n:03}": {"labels": ["odd"] if n % 2 else []} for n in range(45)}})
"""


def test_declare_change_and_look(everywhere: Cli) -> None:
    cli = everywhere
    cli.ok("step", "add", "design", "--title", "Design the API", agent="ann")
    cli.ok("step", "add", "schema", agent="ann")
    added = cli.ok(
        "step", "add", "build", "--needs", "design,schema", "--label", "backend", "--priority", "5", "--max-hold", "600", agent="ann"
    )
    assert added.out == "build declared, as ann\n"
    again = cli.json("step", "add", "design", "--title", "Design the API", agent="bob")
    assert again["again"] is True
    assert cli.run("step", "add", "design", "--title", "Another", agent="bob").code == 3

    assert cli.ok("step", "edit", "build", "--acceptance", "make test passes", agent="bob").out == "build changed, as bob\n"
    assert cli.json("step", "edit", "build", "--acceptance", "make test passes", agent="bob")["again"] is True
    shown = cli.json("step", "show", "build")["step"]
    assert (shown["needs"], shown["labels"], shown["priority"], shown["max_hold"]) == (["design", "schema"], ["backend"], 5, 600)
    assert shown["acceptance"] == "make test passes"
    cli.ok("step", "edit", "build", "--needs", "", "--max-hold", "0", agent="ann")
    shown = cli.json("step", "show", "build")["step"]
    assert (shown["needs"], shown["max_hold"], shown["priority"]) == ([], None, 5)


def test_from_claim_to_handoff(everywhere: Cli) -> None:
    cli = everywhere
    cli.ok("step", "add", "design", "--title", "Design", "--description", "All of it\nand more", agent="ann")
    assert cli.ok("step-status", "design").out == "design: pending\n"
    assert cli.run("handoff", "design").code == 4
    cli.ok("claim", "design", "--lease", "900", agent="ann")
    assert cli.ok("step-status", "design").out == "design: in_progress (agent: ann)\n"
    page = cli.ok("step", "show", "design").out
    assert page.startswith("design is in_progress, held by ann for ")
    assert "(epoch 1, lease 15m)" in page
    assert "  description: All of it\n    and more\n" in page
    assert "claim by ann → in_progress" in page

    evidence = '{"command": "make test", "exit": 0}'
    cli.run(
        "complete", "design", "--note", "API in api.py", "--to", "bob", "--next-action", "build it", "--evidence", evidence, agent="ann"
    )
    text = cli.ok("handoff", "design").out
    for part in ("handoff (complete) from ann to bob", "note: API in api.py", "next action: build it", "command: make test; exit: 0"):
        assert part in text
    handoff = cli.json("handoff", "design")["handoff"]
    assert (handoff["agent"], handoff["note"], handoff["evidence"]) == ("ann", "API in api.py", [{"command": "make test", "exit": 0}])
    assert cli.json("step-status", "design") == {"step": "design", "status": "complete", "agent": "ann", "held": False, "epoch": 1}
    (mail,) = cli.json("inbox", agent="bob")["messages"]
    assert mail["step"] == "design"


def test_a_name_that_is_almost_right_is_named(cli: Cli) -> None:
    cli.ok("step", "add", "design", agent="ann")
    for command in ("step-status", "handoff"):
        result = cli.run(command, "desing")
        assert result.code == 4
        assert "did you mean design?" in result.err
    assert cli.run("step", "show", "desing").code == 4
    assert cli.run("step", "edit", "desing", "--title", "x", agent="ann").code == 4


def test_lists_are_short_and_say_how_to_see_the_rest(cli: Cli) -> None:
    assert "windlass plan apply" in cli.ok("step", "list").out
    cli.python(MANY, agent="ann")
    cli.ok("claim", "step007", agent="bob")
    lines = cli.ok("step", "list").out.splitlines()
    assert len(lines) == 22
    assert lines[0].split() == ["step", "state", "held", "by", "prio", "title"]
    assert lines[8].split() == ["step007", "in_progress", "bob", "0"]
    assert lines[-1] == "… 25 more steps: windlass step list --all"
    assert len(cli.ok("step", "list", "--all").out.splitlines()) == 46
    odd = cli.json("step", "list", "--label", "odd")
    assert (len(odd["steps"]), odd["total"], odd["more"]) == (20, 22, True)
    assert [one["step"] for one in cli.json("step", "list", "--state", "in_progress")["steps"]] == ["step007"]


def test_a_long_history_is_cut(cli: Cli) -> None:
    turns = "\n    ".join(["p.steps.claim('s').release()"] * 8)
    cli.python(f"import windlass\nwith windlass.open() as p:\n    {turns}\n", agent="ann")
    text = cli.ok("step", "show", "s").out
    assert "… 6 earlier: windlass step show s --all" in text
    assert len(cli.json("step", "show", "s")["step"]["history"]) == 10
    assert len(cli.json("step", "show", "s", "--all")["step"]["history"]) == 16


def test_looking_needs_nobody_and_leaves_no_sign_of_life(cli: Cli) -> None:
    cli.ok("step", "add", "design", agent="ann")
    cli.ok("complete", "design", "--force", "--note", "x", agent="ann")
    cli.ok("memory", "set", "k", "v", agent="ann")
    cli.run("send", "bob", "x", agent="ann")
    before = sorted((path, path.stat().st_mtime_ns) for path in cli.file("x").parent.rglob("*="))
    for command in (
        ["step", "list"],
        ["step", "show", "design"],
        ["step-status", "design"],
        ["handoff", "design"],
        ["plan", "graph"],
        ["plan", "export"],
        ["wait-for", "design"],
        ["memory", "get", "k"],
        ["memory", "list"],
        ["memory", "history", "k"],
        ["message", "bob:0"],
        ["receipts", "bob:0"],
    ):
        cli.ok(*command)
        cli.ok(*command, agent="ann")
    assert sorted((path, path.stat().st_mtime_ns) for path in cli.file("x").parent.rglob("*=")) == before


def test_a_damaged_step_is_reported_and_the_rest_goes_on(cli: Cli) -> None:
    for name in ("a", "b", "c"):
        cli.ok("step", "add", name, agent="ann")
    cli.file("steps/b.json").write_bytes(b'["not", "a step"]')
    for command in (["step", "list"], ["plan", "graph"]):
        result = cli.run(*command, "--json")
        assert result.code == 0
        assert [one["step"] for one in result.json["steps"]] == ["a", "c"]
        assert result.json["damaged"][0]["key"] == "steps/b.json"
        assert "steps/b.json is damaged" in result.err
    export = cli.run("plan", "export")
    assert (export.code, "steps/b.json is damaged" in export.err, "b:" in export.out) == (0, True, False)
    for command in (["step", "show", "b"], ["step-status", "b"], ["handoff", "b"], ["wait-for", "b"]):
        result = cli.run(*command)
        assert (result.code, "steps/b.json is damaged" in result.err) == (1, True), command
    assert cli.run("claim", "b", agent="ann").code == 1
    cli.ok("claim", "c", agent="ann")
