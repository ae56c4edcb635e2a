"""whoami, status and agents: what is going on, bounded to a screen, without a sign of life from who looks."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.cli import Cli, end

PLAN = {
    "steps": [
        {"name": "schema", "title": "Write the schema", "priority": 5},
        {"name": "api", "title": "Write the API", "needs": ["schema"]},
        {"name": "docs", "title": "Write the docs"},
        {"name": "deploy", "title": "Ship it"},
        {"name": "audit", "title": "Look for holes"},
        {"name": "polish", "title": "Make it shine"},
    ]
}


def planned(cli: Cli) -> Cli:
    cli.ok("plan", "apply", "-", agent="lead", input=json.dumps(PLAN))
    return cli


def aged(cli: Cli, pattern: str, seconds: float) -> None:
    """Make objects of a local store look as if last written that long ago."""
    found = list(Path(cli.store, "demo").glob(pattern))
    assert found, pattern
    then = time.time() - seconds
    for path in found:
        os.utime(path, (then, then))


def test_whoami_tells_where_one_stands_and_why(everywhere: Cli) -> None:
    planned(everywhere)
    everywhere.ok("claim", "schema", "--lease", "900", agent="dev")
    everywhere.ok("claim", "docs", agent="writer")
    everywhere.ok("complete", "docs", "--needs-review", agent="writer")
    everywhere.ok("send", "dev", "hello", agent="writer")
    found = everywhere.json("whoami", agent="dev")
    assert (found["agent"], found["agent_why"], found["incarnation"]) == ("dev", "WINDLASS_AGENT", 1)
    assert (found["project"], found["project_why"]) == ("demo", "WINDLASS_PROJECT")
    assert found["store_why"] == "WINDLASS_STORE"
    assert found["kept_by"] == "commands"
    (held,) = found["holds"]
    assert (held["step"], held["epoch"], held["lease"], held["ran_out"]) == ("schema", 1, 900, False)
    assert 800 < held["left"] <= 902
    assert (found["unread"], found["review"], found["ready"]) == (1, ["docs"], 3)
    assert found["next"] == "windlass inbox --new"
    out = everywhere.ok("whoami", agent="dev").out
    for piece in (
        "dev  (WINDLASS_AGENT)",
        "incarnation 1, kept by commands",
        "schema",
        "left of a lease of 15m",
        "1 unread",
        "docs",
        "3 steps",
    ):
        assert piece in out
    assert max(map(len, out.splitlines()[4:])) <= 80


def test_whoami_advises_the_next_command(cli: Cli) -> None:
    assert cli.json("whoami", agent="dev")["next"].startswith("windlass inbox")
    planned(cli)
    assert cli.json("whoami", agent="dev")["next"] == "windlass next"
    cli.ok("next", agent="dev")
    assert cli.json("whoami", agent="dev")["next"].startswith("windlass complete schema")


def test_whoami_says_which_claims_ran_out(cli: Cli) -> None:
    cli.ok("claim", "a", "--lease", "5", agent="dev")
    aged(cli, "presence/dev/*", 60)
    aged(cli, "steps/a*", 60)
    found = cli.json("whoami", agent="dev", env={"XDG_CACHE_HOME": str(cli.home / "other")})
    assert found["holds"][0]["ran_out"] is True
    assert found["holds"][0]["left"] < 0
    assert found["next"] == "windlass claim a"
    assert "lease ran out" in cli.ok("whoami", agent="dev", env={"XDG_CACHE_HOME": str(cli.home / "other")}).out


def test_whoami_without_a_name_says_what_was_looked_for(cli: Cli) -> None:
    result = cli.nobody("whoami")
    assert result.code == 2, result
    assert "found no --agent, no WINDLASS_AGENT" in result.err
    assert "--agent NAME" in result.err
    report = json.loads(cli.nobody("whoami", "--json").err)
    assert (report["error"], report["exit"]) == ("unidentified", 2)


def test_looking_needs_no_name(cli: Cli) -> None:
    planned(cli)
    for command in ("status", "agents", "log"):
        result = cli.nobody(command)
        assert (result.code, result.err) == (0, "")


def test_looking_leaves_no_sign_of_life(everywhere: Cli) -> None:
    everywhere.ok("claim", "a", agent="dev")
    for command in (("status",), ("agents",), ("log",), ("whoami",), ("doctor", "--quick")):
        assert everywhere.run(*command, agent="watcher").code == 0
    assert [one["agent"] for one in everywhere.json("agents")["agents"]] == ["dev"]


def test_watching_as_a_dead_agent_does_not_keep_its_claims(cli: Cli) -> None:
    cli.ok("claim", "a", "--lease", "5", agent="dead")
    aged(cli, "presence/dead/*", 60)
    aged(cli, "steps/a*", 60)
    for _ in range(2):
        cli.ok("status", agent="dead")
        cli.ok("whoami", agent="dead")
    assert "taken over from dead" in cli.ok("claim", "a", agent="dev").out


def test_status_shows_the_whole_project(everywhere: Cli) -> None:
    planned(everywhere)
    everywhere.ok("claim", "schema", agent="dev")
    everywhere.ok("complete", "schema", agent="dev")
    everywhere.ok("claim", "docs", agent="dev")
    for step, state in (("deploy", "--blocked"), ("audit", "--failed"), ("polish", "--needs-review")):
        everywhere.ok("claim", step, agent="other")
        everywhere.ok("complete", step, state, agent="other")
    everywhere.ok("send", "lead", "hello", agent="dev")
    found = everywhere.json("status", agent="lead")
    assert {name: number for name, number in found["counts"].items() if number} == {
        "all": 6, "ready": 1, "complete": 1, "in_progress": 1, "blocked": 1, "failed": 1, "needs_review": 1, "pending": 1,
    }  # fmt: skip
    assert [one["step"] for one in found["ready"]] == ["api"]
    assert [(one["step"], one["agent"], one["ran_out"]) for one in found["in_progress"]] == [("docs", "dev", False)]
    assert [one["step"] for one in found["needs_review"]] == ["polish"]
    assert (found["unread"], found["moved_to"], found["unsafe_accepted"], found["agents_gone"]) == (1, None, False, 0)
    assert {one["agent"] for one in found["agents"]} == {"lead", "dev", "other"}
    out = everywhere.ok("status", agent="lead").out
    assert "demo" in out.splitlines()[0]
    assert "as lead" in out.splitlines()[0]
    for pattern in (r"16 % of 6 complete", r"agents +3 active", r"dev .* on docs", r"docs .* dev ", r"ready 1", r"api .* Write the API",
                    r"review +1  polish", r"blocked +1  deploy", r"failed +1  audit", r"1 unread"):  # fmt: skip
        assert re.search(pattern, out), pattern
    assert max(map(len, out.splitlines())) <= 80


def test_an_empty_project_says_how_to_begin(cli: Cli) -> None:
    out = cli.ok("status").out
    assert "windlass plan apply FILE" in out
    assert "none yet" in out
    assert "nobody has acted here yet" in cli.ok("agents").out


def test_status_marks_claims_that_ran_out_first(cli: Cli) -> None:
    cli.ok("claim", "a", agent="alive")
    cli.ok("claim", "b", "--lease", "5", agent="dead")
    aged(cli, "presence/dead/*", 60)
    aged(cli, "steps/b*", 60)
    found = cli.json("status")
    assert [(one["step"], one["ran_out"]) for one in found["in_progress"]] == [("b", True), ("a", False)]
    assert re.search(r"b +60s +dead +lease ran out", cli.ok("status").out)
    assert "b (lease ran out)" in cli.ok("agents").out


def test_status_names_what_was_built_on_something_reopened(cli: Cli) -> None:
    planned(cli)
    for step in ("schema", "api"):
        cli.ok("claim", step, agent="dev")
        cli.ok("complete", step, agent="dev")
    cli.ok("step", "reopen", "schema", agent="lead")
    assert cli.json("status")["stale"] == [{"step": "api", "reopened": ["schema"]}]
    assert "api (on schema): reopened" in cli.ok("status").out


def test_status_names_damaged_objects_and_shows_the_rest(cli: Cli) -> None:
    planned(cli)
    Path(cli.store, "demo", "steps", "docs.json=").write_text("{ torn")
    found = cli.json("status")
    assert [one["key"] for one in found["damaged"]] == ["steps/docs.json"]
    assert found["counts"]["all"] == 5
    assert re.search(r"damaged +steps/docs.json", cli.ok("status").out)


def test_agents_long_gone_are_folded_away(cli: Cli) -> None:
    for name in ("one", "two", "three"):
        cli.ok("beat", agent=name)
    cli.ok("claim", "a", agent="holder")
    aged(cli, "presence/[ot]*/*", 100_000)
    aged(cli, "presence/holder/*", 100_000)
    aged(cli, "steps/a*", 100_000)
    out = cli.ok("status").out
    assert "+3 gone" in out
    assert "holder" in out, "whoever holds something is shown"
    assert not re.search(r"^  (one|two|three) ", out, re.MULTILINE)
    assert len(cli.json("agents")["agents"]) == 4
    assert "28h, gone" in cli.ok("agents").out


def test_the_screen_is_bounded(cli: Cli) -> None:
    code = (
        "import sys, windlass\n"
        "plan = {'steps': [{'name': f'a-rather-long-name-of-a-step-number-{n}', 'title': 'word ' * 40} for n in range(400)]}\n"
        "with windlass.open(agent='lead') as p: p.plan.apply(plan)\n"
        "for n in range(60):\n"
        "    with windlass.open(agent=f'an-agent-with-quite-a-long-name-{n}') as p:\n"
        "        step = p.steps.try_next().step.name\n"
        "        state = ('needs_review', 'blocked', 'failed', None)[n % 4]\n"
        "        if state: p.steps.complete(step, state=state)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=cli.env(), cwd=cli.cwd, check=True)
    for command in ("status", "agents", "log"):
        lines = cli.ok(command, agent="lead").out.splitlines()
        assert len(lines) <= 24, command
        assert max(map(len, lines)) <= (80 if command != "agents" else 100), command
    assert len(cli.ok("agents", "--all").out.splitlines()) == 62
    found = cli.json("status")
    assert len(found["ready"]) == 20
    assert found["more"]["ready"] == 320
    listed = cli.json("agents")
    assert (len(listed["agents"]), listed["more"]) == (20, True)


def test_nothing_that_others_wrote_reaches_the_terminal_as_more_than_text(cli: Cli) -> None:
    cli.ok("step", "add", "a", "--title", "\x1b[31mred\x07\u202edne", agent="dev")
    assert cli.run("send", "lead", "\x1b]0;title\x07 hi", agent="dev").code == 0
    for command in ("status", "log"):
        out = cli.ok(command, agent="lead").out
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out)


def test_watching_needs_a_terminal_or_json(cli: Cli) -> None:
    for command in ("status", "log"):
        result = cli.run(command, "--watch" if command == "status" else "--follow")
        assert result.code == 2
        assert "--json" in result.err


def test_watch_prints_a_json_line_each_time(cli: Cli) -> None:
    process = cli.start("status", "--watch", "0.5", "--json", agent="dev")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    cli.ok("claim", "a", agent="other")
    deadline = time.monotonic() + 20
    seen = first
    while not seen["in_progress"] and time.monotonic() < deadline:
        seen = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    result = end(process)
    assert first["in_progress"] == []
    assert seen["in_progress"][0]["step"] == "a"
    assert (result.code, result.err) == (130, "")


@pytest.mark.parametrize("command", [("status", "--watch", "0.5"), ("log", "--follow")])
def test_on_a_terminal_it_is_redrawn(cli: Cli, command: tuple[str, ...]) -> None:
    cli.ok("claim", "first", agent="dev")
    own, theirs = pty.openpty()
    process = cli.start(*command, stdout=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    try:
        shown = read_until(own, b"first")
        cli.ok("claim", "second", agent="dev")
        shown += read_until(own, b"second")
    finally:
        process.send_signal(signal.SIGINT)
        end(process)
        os.close(own)
    assert b"\x1b[" in shown, "colours"


def read_until(terminal: int, wanted: bytes) -> bytes:
    """What appears on a terminal up to `wanted`, which must come."""
    shown = b""
    deadline = time.monotonic() + 20
    while wanted not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536)
    return shown
