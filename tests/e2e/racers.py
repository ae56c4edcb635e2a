"""Many agents as processes that start once and then run commands at the same moment: python racers.py < job.json.

The job: {"agents": [...], "commands": [[...], ...], "together": bool}. Every agent runs every command, `{agent}` in it
replaced by its name; together: each command begins when all agents have ended the one before. Prints a JSON line an
agent: its name and for each command [exit code, stdout, stderr].
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import windlass.stores.local
import windlass.surfaces.cli.claims
from windlass.surfaces.cli import main

if "://" in os.environ["WINDLASS_STORE"]:
    import windlass.stores.objects  # noqa: F401 (imported once, before there are many)


def run(argv: list[str]) -> tuple[int, str, str]:
    """One command within this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(argv)
        except BaseException:
            code = 99
            traceback.print_exc()
    return code, out.getvalue(), err.getvalue()


def live(agent: str, job: dict[str, Any], start: Any, pipe: int) -> None:
    """One agent's whole life."""
    results = []
    for number, command in enumerate(job["commands"]):
        if job["together"] or not number:
            start.wait(60)
        results.append(run(["--agent", agent, *(word.replace("{agent}", agent) for word in command)]))
    with os.fdopen(pipe, "w") as out:
        json.dump([agent, results], out)


def race(job: dict[str, Any]) -> None:
    """Fork the agents and collect what they report."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(len(job["agents"]))
    pipes = []
    for agent in job["agents"]:
        ours, theirs = os.pipe()
        process = context.Process(target=live, args=(agent, job, start, theirs), daemon=True)
        process.start()
        os.close(theirs)
        pipes.append(ours)
    for pipe in pipes:
        with os.fdopen(pipe) as told:
            print(told.read(), flush=True)


if __name__ == "__main__":
    race(json.load(sys.stdin))
