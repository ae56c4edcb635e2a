"""Many agents at once: one winner for each step, and each message to each reader exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.cli import SRC, Cli, Result, end

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLOCK_OFF = str(Path(__file__).with_name("clock_off"))
RACERS = str(Path(__file__).with_name("racers.py"))
AGENTS, ROUNDS = 50, 40


def start(
    cli: Cli, agents: Sequence[str], commands: Sequence[Sequence[str]], *, together: bool, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Begin a life for each agent, in one process each."""
    process = subprocess.Popen(
        [sys.executable, RACERS],
        cwd=cli.cwd, env=cli.env(more=env), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps({"agents": list(agents), "commands": list(commands), "together": together}))
    process.stdin.close()
    process.stdin = None
    return process


def lives(process: subprocess.Popen[str]) -> dict[str, list[Result]]:
    """What each agent's commands came to."""
    done = end(process)
    assert (done.code, done.err) == (0, ""), done.err
    return {agent: [Result(*one) for one in results] for agent, results in done.lines}


def judge(step: str, results: dict[str, Result]) -> None:
    """Exactly one won, and everybody else was told who."""
    winners = [agent for agent, result in results.items() if result.code == 0]
    assert len(winners) == 1, (step, winners)
    assert results[winners[0]].json["step"]["claim"]["agent"] == winners[0]
    for agent, result in results.items():
        if agent != winners[0]:
            assert result.code == 3, (step, agent, result)
            assert (result.json["error"], result.json["holder"]) == ("claim_lost", winners[0]), (step, agent, result)


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_fifty_agents_race_for_a_step_and_one_wins_forty_times_over(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cli = Cli(tmp_path, request.getfixturevalue("s3_url") if kind == "s3" else None)
    steps = [f"step-{number}" for number in range(ROUNDS)]
    agents = [f"agent-{number}" for number in range(AGENTS)]
    results = lives(start(cli, agents, [["claim", step, "--json"] for step in steps], together=True))
    assert len(results) == AGENTS
    for number, step in enumerate(steps):
        judge(step, {agent: done[number] for agent, done in results.items()})


def test_whole_commands_race_alike(everywhere: Cli) -> None:
    agents = [f"agent-{number}" for number in range(12)]
    for step in ("one", "two"):
        processes = {agent: everywhere.start("claim", step, "--json", agent=agent) for agent in agents}
        judge(step, {agent: end(process) for agent, process in processes.items()})


def test_agents_that_ask_for_work_get_a_step_each(everywhere: Cli) -> None:
    agents = [f"agent-{number}" for number in range(20)]
    plan = json.dumps({"steps": {f"step-{number}": {} for number in range(20)}})
    everywhere.ok("plan", "apply", "-", agent="lead", input=plan)
    results = lives(start(everywhere, agents, [["next", "--json"]], together=True))
    assert [done[0].code for done in results.values()] == [0] * 20, results
    assert len({done[0].json["step"]["name"] for done in results.values()}) == 20


def test_counting_together_loses_nothing(everywhere: Cli) -> None:
    """Compare-and-set on memory: of ten that saw the same version one writes, nine are told the version that is there."""
    agents = [f"agent-{number}" for number in range(10)]
    commands = [["memory", "set", "count", "{agent}", "--if-version", str(version), "--json"] for version in range(5)]
    results = lives(start(everywhere, agents, commands, together=True))
    for version in range(5):
        codes = Counter(done[version].code for done in results.values())
        assert codes == {0: 1, 3: 9}, (version, codes)
    assert everywhere.json("memory", "get", "count", "--with-meta")["version"] == 5


def read_all(cli: Cli, agent: str, wanted: int) -> list[dict[str, Any]]:
    """Read as a user would, new ones only, until all have come and nothing more does."""
    got: list[dict[str, Any]] = []
    while len(got) < wanted:
        done = cli.run("inbox", "--wait", "60", "--limit", "100", "--json", agent=agent)
        assert done.code == 0, (agent, len(got), done)
        got += done.json["messages"]
    got += cli.json("inbox", "--new", agent=agent)["messages"]
    return got


@pytest.mark.parametrize(("kind", "number", "messages"), [("local", 50, 20), ("s3", 10, 6)])
def test_senders_at_once_and_each_reader_sees_each_message_once(
    kind: str, number: int, messages: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    cli = Cli(tmp_path, request.getfixturevalue("s3_url") if kind == "s3" else None)
    readers = ["designer", "tester", "writer"]
    for reader in readers:
        cli.json("inbox", "--new", agent=reader)
    senders = [f"agent-{one}" for one in range(number)]
    commands = [["send", ("designer", "_broadcast")[one % 2], f"{one} from {{agent}}", "--json"] for one in range(messages)]
    # One sender's clock is an hour ahead on the local store; a bucket would refuse its signature.
    ahead = {"CLOCK_OFF": "3600", "PYTHONPATH": f"{CLOCK_OFF}:{SRC}"} if kind == "local" else None
    with ThreadPoolExecutor() as pool:
        wanted = {reader: number * messages // (1 if reader == "designer" else 2) for reader in readers}
        reading = {reader: pool.submit(read_all, cli, reader, wanted[reader]) for reader in readers}
        most = start(cli, senders[1:], commands, together=False)
        sent = lives(start(cli, senders[:1], commands, together=False, env=ahead)) | lives(most)
        assert not [send for sends in sent.values() for send in sends if send.code or send.err]
        ids = {send.json["id"] for sends in sent.values() for send in sends}
        assert len(ids) == number * messages
        got = {reader: future.result() for reader, future in reading.items()}
    for reader in readers:
        seen = Counter(message["id"] for message in got[reader])
        assert set(seen.values()) == {1}
        assert seen.keys() == {ident for ident in ids if reader == "designer" or ident.startswith("_broadcast:")}
        for sender in senders:  # what one sender sent to one mailbox comes in its order
            texts = [message["text"] for message in got[reader] if (message["sender"], message["to"]) == (sender, "_broadcast")]
            assert texts == sorted(texts, key=lambda text: int(text.split()[0]))
