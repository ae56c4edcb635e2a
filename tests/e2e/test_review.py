"""Review on the command line: somebody else accepts the work or sends it back, and the worker hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.cli import Cli


@pytest.fixture
def handed_in(everywhere: Cli) -> Cli:
    everywhere.ok("claim", "build", agent="ann")
    everywhere.ok("complete", "build", "--needs-review", "--note", "look at the edge cases", agent="ann")
    return everywhere


def test_work_is_approved_by_somebody_else(handed_in: Cli) -> None:
    cli = handed_in
    own = cli.run("approve", "build", agent="ann")
    assert own.code == 3
    assert "build is your own work" in own.err
    assert cli.ok("approve", "build", "--note", "fine", agent="bob").out == "build approved, as bob: it is complete\n"
    assert cli.ok("approve", "build", agent="bob").out == "build was already complete, as bob\n"
    assert cli.ok("step-status", "build").out == "build: complete (agent: ann)\n"
    assert cli.json("handoff", "build")["handoff"]["note"] == "look at the edge cases"
    assert "approve by bob (work of ann) → complete: fine" in cli.ok("step", "show", "build").out


def test_one_can_approve_ones_own_work_on_record(handed_in: Cli) -> None:
    assert handed_in.json("approve", "build", "--force", agent="ann")["status"] == "complete"


def test_work_is_sent_back_with_the_reason(handed_in: Cli) -> None:
    cli = handed_in
    for note in ([], ["--note", " "]):
        assert cli.run("reject", "build", *note, agent="bob").code == 2
    done = cli.ok("reject", "build", "--note", "the empty case fails", agent="bob")
    assert done.out == "build rejected, as bob: it is pending again; ann is told by mail\n"
    cli.ok("reject", "build", "--note", "the empty case fails", agent="bob")
    (mail,) = cli.json("inbox", agent="ann")["messages"]
    assert mail["text"].startswith("build was rejected: the empty case fails")
    assert (mail["sender"], mail["step"]) == ("bob", "build")
    assert cli.json("handoff", "build")["handoff"]["note"] == "look at the edge cases"
    cli.ok("claim", "build", agent="ann")
    assert cli.run("approve", "build", agent="bob").code == 3


def test_cancel_and_reopen(cli: Cli) -> None:
    cli.ok("step", "add", "deploy", agent="ann")
    assert cli.ok("step", "cancel", "deploy", "--note", "not needed", agent="bob").out == "deploy cancelled, as bob\n"
    assert cli.ok("step", "cancel", "deploy", agent="bob").out == "deploy was already cancelled, as bob\n"
    refused = cli.run("claim", "deploy", agent="ann")
    assert (refused.code, "deploy is cancelled" in refused.err) == (3, True)
    assert cli.ok("step", "reopen", "deploy", agent="ann").out == "deploy reopened, as ann: it is pending\n"
    cli.ok("claim", "deploy", agent="ann")
    cli.ok("complete", "deploy", agent="ann")
    assert cli.run("step", "cancel", "deploy", agent="bob").code == 3
    assert cli.json("step", "reopen", "deploy", agent="bob")["status"] == "pending"


def test_who_loses_a_cancelled_step_is_told(cli: Cli) -> None:
    cli.ok("claim", "deploy", agent="ann")
    cli.ok("step", "cancel", "deploy", agent="bob")
    assert cli.run("complete", "deploy", agent="ann").code == 3


def test_what_is_not_there_is_not_reviewed(cli: Cli) -> None:
    for command in (["approve", "x"], ["reject", "x", "--note", "n"], ["step", "cancel", "x"], ["step", "reopen", "x"]):
        assert cli.run(*command, agent="ann").code == 4
