"""Waiting on the command line: wakes when it can go on, fails fast when it cannot, and says the state of each thing waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.cli import Cli, end

if TYPE_CHECKING:
    import subprocess


def until(waiting: subprocess.Popen[str], said: str) -> None:
    """Read the wait's remarks up to this one."""
    assert waiting.stderr is not None
    for line in waiting.stderr:
        if said in line:
            return
    raise AssertionError(f"never said: {said}")


def test_wakes_when_the_work_is_done(everywhere: Cli) -> None:
    cli = everywhere
    cli.ok("claim", "design", agent="ann")
    waiting = cli.start("wait-for", "design", "schema", "--timeout", "60", agent="bob")
    until(waiting, "schema does not exist yet: waiting goes on")
    cli.ok("complete", "design", agent="ann")
    cli.ok("claim", "schema", agent="ann")
    cli.ok("complete", "schema", agent="ann")
    woken = end(waiting)
    assert (woken.code, woken.out, woken.err) == (0, "complete: design, schema\n", "")
    done = cli.json("wait-for", "design")
    assert done["steps"] == {"design": "complete"}
    assert done["waited"] == 0
    assert "windlass handoff design" in cli.ok("wait-for", "design").out


def test_goes_on_through_a_review(everywhere: Cli) -> None:
    cli = everywhere
    cli.ok("claim", "build", agent="ann")
    cli.ok("complete", "build", "--needs-review", agent="ann")
    late = cli.run("wait-for", "build", "--timeout", "0.6")
    assert (late.code, late.err.count("build needs review: waiting goes on")) == (5, 1)
    waiting = cli.start("wait-for", "build", "--timeout", "60")
    until(waiting, "build needs review: waiting goes on")
    cli.ok("reject", "build", "--note", "again", agent="bob")
    cli.ok("claim", "build", agent="ann")
    cli.ok("complete", "build", "--needs-review", agent="ann")
    until(waiting, "build needs review: waiting goes on")
    cli.ok("approve", "build", agent="bob")
    assert end(waiting).code == 0


def test_one_of_several_is_enough_where_asked(cli: Cli) -> None:
    cli.ok("claim", "b", agent="ann")
    cli.ok("complete", "b", agent="ann")
    cli.ok("claim", "c", agent="ann")
    cli.ok("complete", "c", "--failed", agent="ann")
    found = cli.run("wait-for", "a", "b", "c", "--any", "--json")
    assert (found.code, found.json["complete"]) == (0, ["b"])


def test_a_time_out_says_the_state_of_each(cli: Cli) -> None:
    cli.ok("claim", "a", agent="ann")
    cli.ok("complete", "a", agent="ann")
    cli.ok("claim", "b", agent="ann")
    late = cli.run("wait-for", "a", "b", "c", "--timeout", "0.2")
    assert late.code == 5
    assert [line.split() for line in late.out.splitlines()] == [["b", "in_progress"], ["c", "missing"], ["a", "complete"]]
    assert "2 of 3 not complete after 0.2 s" in late.err
    facts = cli.run("wait-for", "a", "b", "--timeout", "0", "--json")
    assert (facts.code, facts.json["steps"]) == (5, {"a": "complete", "b": "in_progress"})


def test_what_cannot_complete_is_not_waited_for(cli: Cli) -> None:
    for name, state in (("b", "--blocked"), ("f", "--failed")):
        cli.ok("claim", name, agent="ann")
        cli.ok("complete", name, state, agent="ann")
    cli.ok("step", "add", "c", agent="ann")
    cli.ok("step", "cancel", "c", agent="ann")
    for name, state in (("b", "blocked"), ("f", "failed"), ("c", "cancelled")):
        result = cli.run("wait-for", "other", name)
        assert (result.code, f"{name} is {state}" in result.err) == (6, True)


def test_words_that_make_no_sense(cli: Cli) -> None:
    for args in ([], ["a/b"], ["a", "--timeout", "-1"], ["a", "--timeout", "soon"], ["a", "--timeout", "inf"]):
        assert cli.run("wait-for", *args).code == 2
