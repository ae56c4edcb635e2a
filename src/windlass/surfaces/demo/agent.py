"""One agent of the demo: a process that knows nothing of the others but what `windlass` tells it.

It tells the narrator what it does, as JSON lines on stdout, and ends when the narrator does (its stdin closes).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys

from windlass.surfaces.demo.plan import AGENTS, CONTESTED, FAREWELL, LAST, LOST, NOTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ME = os.environ.get("WINDLASS_AGENT", "")


def tell(kind: str, **facts: Any) -> None:
    """One line to the narrator; shorter than what a pipe keeps whole."""
    os.write(1, json.dumps({"agent": ME, "kind": kind, **facts}).encode()[:4000] + b"\n")


def pause(seconds: float) -> None:
    """Work, or so it seems; ends the process where the narrator is gone."""
    if select.select([0], [], [], seconds)[0] and not os.read(0, 100):
        sys.exit(0)


class Agent:
    """What it does from start to end; `pace` is the seconds that its work on a step takes."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._idle = self._farewell = False

    def windlass(self, *argv: str) -> tuple[int, str]:
        """Run one command as anybody would; its exit code and what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "windlass", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=100
        )
        nothing_yet = argv[0] == "next" and done.returncode == 5
        if not (nothing_yet and self._idle):
            tell("command", argv=argv, code=done.returncode, out=done.stdout[:1500], err=done.stderr[:500])
        if argv[0] == "next":
            self._idle = nothing_yet
        return done.returncode, done.stdout

    def finish(self, step: str, *more: str) -> None:
        """Work on a step and hand it over."""
        pause(self.pace)
        self.windlass("complete", step, "--note", NOTES.get(step, "done"), *more)
        if step == LAST:
            self.windlass("send", "_broadcast", FAREWELL)
            self._farewell = True

    def work(self, *, curious: bool) -> None:
        """Take what is ready until nothing is left. The curious one asks for the dead one's step by name, too."""
        code = 5
        while code in (0, 3, 5):
            code, out = self.windlass("next", "--wait", "2")
            if code == 5 and curious:
                curious = False
                self.windlass("inbox", "--new")
                code, out = self.windlass("claim", LOST)
            if code == 0:
                self.finish(out.split(maxsplit=1)[0])

    def live(self) -> None:
        """Race for the first step; what it comes to decides what this agent does next."""
        code, _ = self.windlass("claim", CONTESTED)
        winner = ME if code == 0 else self._holder()
        part = (AGENTS.index(ME) - AGENTS.index(winner)) % len(AGENTS)
        if part == 0:
            self.finish(CONTESTED, "--to", AGENTS[(AGENTS.index(ME) + 1) % len(AGENTS)])
            self.windlass("send", "_broadcast", "schema is there: ui and fixtures can begin")
        elif part == 1:
            self.windlass("inbox", "--wait", "30")
            self.windlass("claim", LOST)
            while True:  # until the narrator kills it
                pause(60)
        elif part == 2:
            self.windlass("wait-for", LOST, "--timeout", "60")
        self.work(curious=part == 3)
        if self._farewell:  # its own words
            self.windlass("inbox", "--new")
        while not self._farewell:
            code, out = self.windlass("inbox", "--wait", "20")
            self._farewell = code != 0 or FAREWELL in out

    def _holder(self) -> str:
        shown = subprocess.run(
            [sys.executable, "-m", "windlass", "step-status", CONTESTED, "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
        return str(json.loads(shown.stdout)["agent"])


def main() -> None:
    """Say hello, wait for the start, live."""
    tell("hello", incarnation=os.environ.get("WINDLASS_INCARNATION"))
    pause(60)
    Agent(float(sys.argv[1])).live()
    tell("bye")


if __name__ == "__main__":
    main()
