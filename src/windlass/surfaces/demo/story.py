"""Starts the demo's agents, kills one, lets its last command arrive late, and tells what happens meanwhile."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys

from windlass.errors import WindlassError
from windlass.surfaces.demo.checks import Seen
from windlass.surfaces.demo.plan import AGENTS, CONTESTED, LEASE, LOST, PLAN, STEPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass.surfaces.demo.show import Show

LONGEST = 90.0
"""Seconds after which something is wrong."""


class Story:
    """One performance. `folder` is where it may leave files, `env` what its commands get."""

    def __init__(self, show: Show, folder: str, env: dict[str, str], pace: float) -> None:
        self._show, self._folder, self._env, self._pace = show, folder, env, pace
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._lives: dict[str, str] = {}
        self._late: subprocess.Popen[str] | None = None
        self._ours, self._theirs = os.pipe()
        self._pending = b""
        self._told = False
        self._doomed: tuple[float, str] | None = None
        """When to kill whom."""
        self.seen = Seen(races={}, killed="", late=-1, inboxes={agent: [] for agent in AGENTS})

    def play(self) -> None:
        """From the plan to the last step. Raises WindlassError where it does not get there."""
        try:
            self._set_up()
            self._race()
            while len(self._lives) > 0:
                self._react(self._next())
        finally:
            self._clear()

    def _set_up(self) -> None:
        show = self._show
        show.title(f"A plan of {STEPS} steps, and four agents with nothing between them but a store")
        path = f"{self._folder}/plan.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(PLAN)
        done = subprocess.run(
            [sys.executable, "-m", "windlass", "plan", "apply", "plan.yaml", "--agent", "you"],
            env=self._env, cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        show.command("you", ["plan", "apply", "plan.yaml"], done.returncode, done.stdout, done.stderr)
        if done.returncode:
            raise WindlassError("the plan could not be applied", done.stderr.strip())
        for agent in AGENTS:
            self._agents[agent] = subprocess.Popen(
                [sys.executable, "-m", "windlass", "run", "--agent", agent, "--lease", str(LEASE), "--",
                 sys.executable, "-m", "windlass.surfaces.demo.agent", str(self._pace)],
                env=self._env, cwd=self._folder, stdin=subprocess.PIPE, stdout=self._theirs, start_new_session=True,
            )  # fmt: skip
        while len(self._lives) < len(AGENTS):
            event = self._next()
            self._lives[event["agent"]] = event["incarnation"]
            show.event(event["agent"], f"$ windlass run --agent {event['agent']} --lease {LEASE} -- python agent.py", "")

    def _race(self) -> None:
        self._show.title(f"All four want {CONTESTED}: one conditional write decides")
        for process in self._agents.values():
            assert process.stdin
            process.stdin.write(b"go\n")
            process.stdin.flush()

    def _next(self) -> dict[str, Any]:
        """What an agent told last. Raises WindlassError where nothing comes for too long."""
        while b"\n" not in self._pending:
            if self._doomed and self._show.seconds >= self._doomed[0]:
                self._kill(self._doomed[1])
            with selectors.DefaultSelector() as ready:
                ready.register(self._ours, selectors.EVENT_READ)
                if ready.select(0.2):
                    self._pending += os.read(self._ours, 65536)
                    continue
            dead = [agent for agent in self._lives if self._agents[agent].poll() is not None]
            if dead or self._show.seconds > LONGEST:
                raise WindlassError(
                    f"{dead[0]} died unasked" if dead else "the demo is stuck", "run it again, with --keep DIR to look at its store"
                )
        line, _, self._pending = self._pending.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def _react(self, event: dict[str, Any]) -> None:
        agent = event["agent"]
        if event["kind"] == "bye":
            self._lives.pop(agent, None)
            return
        argv, code, out = event["argv"], event["code"], event["out"]
        self._show.command(agent, argv, code, out, event["err"])
        if argv[0] == "inbox":
            self.seen.inboxes[agent] += re.findall(r"^\[\w+\] (\S+) · data from", out, re.MULTILINE)
        if argv == ["claim", CONTESTED]:
            self.seen.races[agent] = code
            if len(self.seen.races) == len(AGENTS):
                self._show.title("The winner hands over, the others take what is ready")
        elif argv == ["claim", LOST] and code == 0:
            self._doomed = self._show.seconds + self._pace, agent
        elif f"{LOST} taken over" in out:
            self._arrive_late()
        elif argv[0] == "next" and code == 5 and self._late and not self._told:
            self._told = True
            self._show.plain(f"       {LOST} is {self.seen.killed}'s until {LEASE} s (+ 2) have passed without a sign of life")

    def _kill(self, agent: str) -> None:
        """The end of one agent, with a last command of its on the way."""
        self._doomed = None
        env = {**self._env, "WINDLASS_AGENT": agent, "WINDLASS_INCARNATION": self._lives.pop(agent)}
        argv = ["complete", LOST, "--note", "-"]
        self._late = subprocess.Popen(
            [sys.executable, "-m", "windlass", *argv], env=env, cwd=self._folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.seen = self.seen.but(killed=agent)
        self._show.event(agent, f"$ windlass {' '.join(argv)}   (still waits for its note)", "")
        os.killpg(self._agents[agent].pid, signal.SIGKILL)
        self._agents[agent].wait()
        self._show.event(agent, f"killed in the middle of {LOST}: kill -9, no goodbye", "red")

    def _arrive_late(self) -> None:
        assert self._late
        out, err = self._late.communicate("done, I think\n", timeout=60)
        self.seen = self.seen.but(late=self._late.returncode)
        self._show.title(f"Only now does {self.seen.killed}'s last command reach the store")
        self._show.command(self.seen.killed, ["complete", LOST], self._late.returncode, out, err)
        self._show.title("The rest of the plan")

    def _clear(self) -> None:
        """Leave no process behind."""
        for process in self._agents.values():
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(5 if not self._lives else 0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._late and self._late.poll() is None:
            self._late.kill()
            self._late.wait()
        os.close(self._ours)
        os.close(self._theirs)
