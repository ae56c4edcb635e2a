"""Commands in a storm: two agents and a reader at work through the fault proxy; afterwards each exit code is held against the truth.

python -m tests.reliability.commands --rounds 60 --seed 1 --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.conftest import KEYS
from tests.e2e.cli import Cli
from tests.reliability.histories import s3_server

from windlass.stores.registry import open_store
from windlass.testing.proxy import Proxy
from windlass.testing.troubles import seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass.testing.troubles import Plan

STORM = {
    "drop": 0.04, "late": 0.04, "lose_answer": 0.05, "cut": 0.03, "reset": 0.03, "hang_after": 0.01, "duplicate": 0.04, "503": 0.03,
    "503_after": 0.03, "429": 0.02, "409": 0.03, "409_after": 0.03, "500_after": 0.02, "502_after": 0.02, "504": 0.02,
    "delay_request": 0.03, "truncate_list": 0.02,
}  # fmt: skip
"""Every second write goes wrong, and every sixth of the other requests."""
AGENTS = ("ann", "bob")
WORDS = {0: "done", 1: "failed", 3: "lost", 4: "not found", 7: "unknown"}


class Told(NamedTuple):
    """What one command said."""

    agent: str
    number: int
    what: str
    """"claim", "complete", "set", "send" or "inbox"."""
    code: int
    out: str
    err: str


class Outcome(NamedTuple):
    """A storm and what is wrong about what it was told to be."""

    told: list[Told]
    lies: list[str]
    fired: dict[str, int]
    repeated: int
    """Messages that the reader was shown twice."""


def weather(endpoint: str, folder: Path, rounds: int, seed: int, odds: dict[str, float] | None = None) -> Outcome:
    """One project in a fresh bucket, and so many rounds of both agents in the storm."""
    bucket = f"s3://storm-{uuid.uuid4().hex}/pre"
    open_store(f"{bucket}?endpoint={endpoint}&region=us-east-1", create=True).close()
    for name in ("storm", "calm"):
        (folder / name).mkdir(parents=True)
    calm = Cli(folder / "calm", f"{bucket}?endpoint={endpoint}&region=us-east-1")
    calm.ok("init", agent="lead")
    with Proxy(endpoint, seed=seed, hold=0.3, lateness=0.5) as proxy:
        proxy.plan = spared(seed) if odds is None else seeded(seed, odds)
        cli = Cli(folder / "storm", f"{bucket}?endpoint={proxy.url}&region=us-east-1&timeout=2")
        told: list[Told] = []
        with ThreadPoolExecutor(len(AGENTS)) as pool:
            for number in range(rounds):
                for some in pool.map(lambda agent, number=number: work(cli, agent, number), AGENTS):
                    told += some
                told.append(act(cli, "carl", number, "inbox", "inbox", "--new", "--limit", "0"))
        proxy.land_late()
        proxy.set_odds({})
        told.append(act(cli, "carl", rounds, "inbox", "inbox", "--new", "--limit", "0"))
        fired = {name: count for name, count in proxy.fired.items() if count}
    lies, repeated = judge(told, calm)
    return Outcome(told, lies, fired, repeated)


def spared(seed: int) -> Plan:
    """The storm, two thirds weaker for what writes nothing: a listing of many objects would hardly ever come through."""
    writes, others = seeded(seed, STORM), seeded(seed + 1, {name: chance / 3 for name, chance in STORM.items()})
    return lambda kind, key: (writes if kind == "put" else others)(kind, key)


def work(cli: Cli, agent: str, number: int) -> list[Told]:
    """Four commands of one agent; the other one does the same to the same objects at the same time."""
    return [
        act(cli, agent, number, "claim", "claim", f"s{number}", "--create"),
        act(cli, agent, number, "complete", "complete", f"s{number}", "--note", agent),
        act(cli, agent, number, "set", "memory", "set", f"k{number}", agent, "--if-version", "0"),
        act(cli, agent, number, "send", "send", "carl", f"{agent} {number}"),
    ]


def act(cli: Cli, agent: str, number: int, what: str, *args: str) -> Told:
    """One command, which must not hang."""
    result = cli.run(*args, "--json", agent=agent)
    return Told(agent, number, what, result.code, result.out, result.err)


def judge(told: Sequence[Told], calm: Cli) -> tuple[list[str], int]:
    """What was said and is not so, in words; and how many messages the reader was shown twice. Reads the project undisturbed."""
    steps = {one["step"]: calm.json("step", "show", one["step"])["step"] for one in calm.json("step", "list", "--limit", "0")["steps"]}
    keys = {
        one["key"]: calm.json("memory", "history", one["key"], "--limit", "0")["versions"]
        for one in calm.json("memory", "list", "--limit", "0")["memory"]
    }
    texts = Counter(one["text"] for one in calm.json("inbox", "--all", "--limit", "0", agent="carl")["messages"])
    shown: Counter[str] = Counter()
    lies: list[str] = []
    for one in told:
        if "Traceback" in one.err or one.code not in WORDS or (one.code and not json.loads(one.err.splitlines()[-1])["hint"]):
            lies.append(f"{one} fell")
        if one.what == "inbox":
            shown.update(message["text"] for message in (json.loads(one.out)["messages"] if one.out else ()))
            continue
        times = happened(one, steps, keys, texts)
        if (one.code == 0 and times != 1) or (one.code in (1, 3, 4) and times) or times > 1:
            lies.append(f"{one} said {WORDS.get(one.code)}, and it happened {times} times")
    for name, step in steps.items():
        events = Counter(event["event"] for event in step["history"])
        if events["claim"] != 1 or events["complete"] > 1:
            lies.append(f"{name} went through {dict(events)}")
    lies += [f"{key} was set {len(versions)} times" for key, versions in keys.items() if len(versions) != 1]
    lies += [f"the reader never saw {text!r}" for text in texts if not shown[text]]
    lies += [f"the reader saw {text!r}, which nobody has" for text in shown if not texts[text]]
    return lies, sum(count - 1 for count in shown.values())


def happened(one: Told, steps: dict[str, Any], keys: dict[str, Any], texts: Counter[str]) -> int:
    """How many times the store has what a command was to do."""
    if one.what in ("claim", "complete"):
        history = steps.get(f"s{one.number}", {"history": ()})["history"]
        return sum(event["event"] == one.what and event["by"] == one.agent for event in history)
    if one.what == "set":
        return sum(version["set_by"] == one.agent for version in keys.get(f"k{one.number}", ()))
    return texts[f"{one.agent} {one.number}"]


def main(arguments: Sequence[str]) -> int:
    """1 where a command lied."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.commands", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="9 commands each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="a file for the figures, as JSON")
    options = parser.parse_args(arguments)
    os.environ.update({**KEYS, "NO_PROXY": "127.0.0.1"})
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="windlass-commands-") as name, s3_server(Path(name)) as endpoint:
        outcome = weather(endpoint, Path(name) / "storm", options.rounds, options.seed)
    seconds = time.monotonic() - began
    columns = ["command", *WORDS.values()]
    rows: list[list[str | int]] = []
    for what in ("claim", "complete", "set", "send", "inbox"):
        codes = Counter(one.code for one in outcome.told if one.what == what)
        rows.append([{"set": "memory set"}.get(what, what), *(codes[code] for code in WORDS)])
    notes = [
        f"{len(outcome.told)} commands, seed {options.seed}",
        f"{len(outcome.lies)} exit codes not true, {outcome.repeated} messages shown twice",
        "fired: " + ", ".join(f"{name} {count}" for name, count in outcome.fired.items()),
    ]
    lines: list[list[str | int]] = [[*columns], *rows]
    for line in lines:
        print(" ".join(f"{cell!s:>11}" for cell in line))
    print("\n".join([*notes, *outcome.lies]))
    if options.out:
        command = " ".join(["python -m tests.reliability.commands", *arguments])
        told = {"part": "commands", "command": command, "seconds": round(seconds, 1), "columns": columns, "rows": rows, "notes": notes}
        Path(options.out).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if outcome.lies else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
