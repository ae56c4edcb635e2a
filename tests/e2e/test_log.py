"""log: what happened, a line an event, newest last."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import datetime

import pytest
from tests.e2e.cli import Cli, end


def busy(cli: Cli) -> Cli:
    cli.ok("claim", "design", agent="designer")
    cli.ok("memory", "set", "api.url", "http://x", agent="designer")
    cli.ok("complete", "design", "--note", "API in api.py", agent="designer")
    cli.run("send", "developer", "your turn", agent="designer")
    return cli


def test_every_kind_of_event_in_order(everywhere: Cli) -> None:
    out = busy(everywhere).ok("log").out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", out[0])
    events = [re.split(r" {2,}", line) for line in out[1:] if not re.fullmatch(r"\d{4}-\d\d-\d\d", line)]
    assert [event[1] for event in events] == ["designer"] * 5
    assert [line.split()[2] for line in out[1:]] == ["start", "claim", "set", "complete", "send"]
    assert "API in api.py" in out[4]
    assert "your turn" in out[5]
    assert max(map(len, out)) <= 80


def test_json_is_a_line_an_event(cli: Cli) -> None:
    lines = busy(cli).ok("log", "--json").lines
    assert [line["event"] for line in lines] == ["start", "claim", "set", "complete", "send"]
    assert lines[3]["kind"] == "step"
    assert lines[3]["subject"] == "design"
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_it_shows_twenty_and_says_how_to_see_the_rest(cli: Cli) -> None:
    for n in range(12):
        cli.ok("claim", f"s{n}", agent="dev")
        cli.ok("release", f"s{n}", agent="dev")
    out = cli.ok("log").out.splitlines()
    assert len(out) == 22
    assert "windlass log --limit 100" in out[0]
    assert "s11" in out[-1]
    assert len(cli.ok("log", "--all").out.splitlines()) == 26
    assert len(cli.ok("log", "--limit", "0", "--json").lines) == 25
    assert [line["subject"] for line in cli.ok("log", "--limit", "2", "--json").lines] == ["s11", "s11"]


def test_since_takes_times_that_people_write(cli: Cli) -> None:
    busy(cli)
    middle = cli.ok("log", "--json").lines[2]["at"] - 0.0005  # none of the ways to write it is exact
    for text in (f"{middle:.6f}", datetime.fromtimestamp(middle).isoformat(), datetime.fromtimestamp(middle).astimezone().isoformat()):
        assert [line["event"] for line in cli.ok("log", "--since", text, "--json").lines] == ["set", "complete", "send"], text
    for text in ("10m", "2h", "3d", "1w", "90s", "1.5h", "2020-01-01", "0"):
        assert len(cli.ok("log", "--since", text, "--json").lines) == 5, text
    tomorrow = datetime.fromtimestamp(time.time() + 86400).isoformat()
    assert cli.ok("log", "--since", tomorrow, "--json").out == ""
    assert "nothing has happened here since then" in cli.ok("log", "--since", tomorrow).out


@pytest.mark.parametrize("text", ["yesterday", "10", "10x", "-5m", "", "2026-13-01", "nan", "1e9999", "99999999999999999999"])
def test_what_is_no_time_is_refused(cli: Cli, text: str) -> None:
    result = cli.run("log", f"--since={text}")
    assert result.code == (0 if text == "10" else 2), result  # a plain number is seconds since 1970
    if result.code:
        assert "2026-11-20T14:30" in result.err


def test_following_gives_each_event_once(everywhere: Cli) -> None:
    everywhere.ok("claim", "before", agent="dev")
    process = everywhere.start("log", "--follow", "--json")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline()) for _ in range(2)]
    for n in range(3):
        everywhere.ok("claim", f"after{n}", agent="dev")
    seen += [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    result = end(process)
    assert [one["subject"] for one in seen] == ["dev", "before", "after0", "after1", "after2"]
    assert (result.code, result.out) == (130, "")


def test_its_help_says_what_following_costs(cli: Cli) -> None:
    assert re.search(r"LIST\s+requests", cli.ok("log", "-h").out)
