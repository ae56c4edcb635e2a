"""What tracecraft's users type goes on working with the command's name changed."""

from __future__ import annotations

import json

from tests.e2e.cli import Cli, end


def test_the_session_of_its_readme(everywhere: Cli) -> None:
    cli = everywhere
    won = cli.run("claim", "design", agent="designer")
    assert won.code == 0
    lost = cli.run("claim", "design", agent="developer")
    assert lost.code != 0
    assert "design is already claimed by designer" in lost.err

    waiting = cli.start("wait-for", "design", agent="developer")
    done = cli.run("complete", "design", "--note", "API in api.py, see memory key design.contract", agent="designer")
    assert done.code == 0
    assert end(waiting).code == 0

    cli.run("memory", "set", "design.contract", "api.py: get, put", agent="designer")
    assert cli.run("memory", "get", "design.contract", agent="developer").out == "api.py: get, put\n"
    assert cli.run("send", "developer", "contract is in memory key design.contract", agent="designer").code == 0
    assert "contract is in memory key design.contract" in cli.run("inbox", agent="developer").out
    assert cli.run("send", "_broadcast", "v1 cut at 3pm, wrap your tasks", agent="designer").code == 0
    assert "v1 cut at 3pm, wrap your tasks" in cli.run("inbox", agent="developer").out


def test_two_agents_from_one_folder(cli: Cli) -> None:
    """`TRACECRAFT_AGENT=designer tracecraft …` is `WINDLASS_AGENT=designer windlass …`."""
    for agent in ("designer", "developer"):
        assert cli.run("inbox", agent=agent).code == 0
    assert cli.run("send", "developer", "hi", "--step", "design", agent="designer").code == 0
    assert "hi" not in cli.run("inbox", agent="designer").out
    assert "step design" in cli.run("inbox", "--new", agent="developer").out
    assert "hi" not in cli.run("inbox", "--new", agent="developer").out
    assert "hi" in cli.run("inbox", agent="developer").out


def test_the_status_of_a_step_reads_the_same(cli: Cli) -> None:
    cli.run("claim", "design", agent="designer")
    assert cli.run("step-status", "design").out == "design: in_progress (agent: designer)\n"
    options = ["--note", "n", "--to", "developer", "--next-action", "build it", "--needs-review"]
    assert cli.run("complete", "design", *options, agent="designer").code == 0
    assert cli.run("step-status", "design").out == "design: needs_review (agent: designer)\n"
    handoff = cli.json("handoff", "design")["handoff"]
    assert (handoff["to"], handoff["next_action"], handoff["note"], handoff["state"]) == ("developer", "build it", "n", "needs_review")


def test_a_blocked_step_fails_the_wait_at_once(cli: Cli) -> None:
    cli.run("claim", "build", agent="designer")
    cli.run("complete", "build", "--blocked", "--note", "no schema", agent="designer")
    blocked = cli.run("wait-for", "build", "--timeout", "60", agent="developer")
    assert (blocked.code, "build is blocked" in blocked.err) == (6, True)
    assert cli.run("wait-for", "other", "--timeout", "0.1", agent="developer").code == 5


def test_a_dead_holder_is_forced_aside(cli: Cli) -> None:
    cli.run("claim", "build", agent="designer")
    refused = cli.run("complete", "build", agent="developer")
    assert refused.code == 3
    assert "--force" in refused.err
    assert cli.run("complete", "build", "--force", agent="developer").code == 0


def test_artifacts_with_and_without_a_step(cli: Cli) -> None:
    (cli.cwd / "notes.md").write_text("one", encoding="utf-8")
    cli.run("claim", "design", agent="designer")
    for step in ([], ["--step", "design"]):
        assert cli.run("artifact", "upload", "notes.md", *step, agent="designer").code == 0
        assert "notes.md" in cli.run("artifact", "list", *step, agent="developer").out
        (cli.cwd / "sub").mkdir(exist_ok=True)
        done = cli.run("artifact", "download", "notes.md", *step, "--force", agent="developer", cwd=cli.cwd / "sub")
        assert done.code == 0
        assert (cli.cwd / "sub/notes.md").read_text(encoding="utf-8") == "one"
    assert cli.run("artifact", "download", "nothing", agent="developer").code == 4


def test_memory_commands_and_their_options(cli: Cli) -> None:
    for value in ("one", "two"):
        cli.run("memory", "set", "phase1.status", value, agent="designer")
    meta = json.loads(cli.run("memory", "get", "phase1.status", "--with-meta").out)
    assert {"key": "phase1.status", "value": "two", "set_by": "designer"}.items() <= meta.items()
    assert cli.run("memory", "list", "phase1").out.split()[0] == "phase1.status"
    history = cli.run("memory", "history", "phase1.status", "--limit", "1").out
    assert "two" in history
    assert "one" not in history
    assert cli.run("memory", "get", "phase1.nothing").code == 4


def test_the_exceptions_say_what_to_do(cli: Cli) -> None:
    cli.run("step", "add", "design", agent="designer")
    unclaimed = cli.run("complete", "design", agent="designer")
    assert (unclaimed.code, "windlass claim design" in unclaimed.err) == (3, True)
    deleted = cli.run("inbox", "--delete", agent="designer")
    assert (deleted.code, "windlass inbox --new" in deleted.err) == (2, True)
    again = cli.run("claim", "design", agent="designer"), cli.run("claim", "design", agent="designer")
    assert [one.code for one in again] == [0, 0]
