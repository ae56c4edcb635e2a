"""Leases, takeovers and the dead: by the store's clock, whatever the agents' own clocks say."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.cli import SRC, Cli, Result, end

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = 5.0
"""Seconds: the shortest lease."""
LATEST = 40.0
"""Seconds after which a dead one's step must have changed hands, on a busy machine too."""
FAKETIME = shutil.which("faketime")

CLOCK_OFF = str(Path(__file__).with_name("clock_off"))

HOLDER = """
import sys
from windlass.surfaces.cli import main
for line in sys.stdin:
    code = main(line.split())
    print("exit", code, flush=True)
"""
"""An agent as one long-lived process: a command a line."""


class Holder:
    """An agent that claims a step and then is stopped, goes on late, or has a clock that is off."""

    def __init__(self, cli: Cli, name: str, hours: int = 0) -> None:
        before, env = shifted(cli, hours)
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", HOLDER],
            cwd=cli.cwd, env=cli.env(name, env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *argv: str) -> int:
        """A command's exit code."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(" ".join(argv) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("exit "):
                return int(line.split()[1])
        raise AssertionError(end(self.process))

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def end(self) -> str:
        """Its stderr."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None
        return end(self.process).err


def shifted(cli: Cli, hours: int) -> tuple[list[str], dict[str, str]]:
    """What to put before a command, and into its environment, to put its clock off."""
    if not hours:
        return [], {}
    if "://" in cli.store:
        assert FAKETIME
        return [FAKETIME, "-f", f"{hours * 3600:+}s"], {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return [], {"CLOCK_OFF": str(hours * 3600), "PYTHONPATH": f"{CLOCK_OFF}:{SRC}"}


def take_over(cli: Cli, step: str, claim: Callable[[], Result]) -> None:
    """Claim until it succeeds; that must be neither before the lease is over nor much later."""
    began = time.monotonic()
    while (done := claim()).code == 3:
        assert time.monotonic() < began + LATEST, f"{step} is kept for ever"
        time.sleep(1.0)
    assert done.code == 0, (step, done)
    assert time.monotonic() - began > LEASE, f"{step} was taken over too early"
    assert done.json["taken_from"] == f"holder-{step}"


def heir(cli: Cli, step: str) -> Callable[[], Result]:
    return lambda: cli.run("claim", step, "--json", agent="heir")


def stopped(cli: Cli, step: str) -> None:
    """Stopped past its lease and continued, its complete and release get exit 3; the new holder's work stands."""
    holder = Holder(cli, f"holder-{step}")
    assert holder.run("claim", step, "--lease", str(LEASE)) == 0
    holder.signal(signal.SIGSTOP)
    take_over(cli, step, heir(cli, step))
    holder.signal(signal.SIGCONT)
    assert holder.run("complete", step, "--note", "late") == 3
    assert holder.run("release", step) == 3
    cli.ok("complete", step, "--note", "new", agent="heir")
    assert holder.run("complete", step, "--note", "later") == 3
    assert f"you lost {step}: heir took it over" in holder.end()
    done = cli.json("handoff", step)
    assert (done["status"], done["handoff"]["agent"], done["handoff"]["note"]) == ("complete", "heir", "new")


def holders_clock(hours: int) -> Callable[[Cli, str], None]:
    """A holder whose clock is off keeps its step as long as its lease, and no longer."""

    def scenario(cli: Cli, step: str) -> None:
        holder = Holder(cli, f"holder-{step}", hours)
        assert holder.run("claim", step, "--lease", str(LEASE)) == 0
        take_over(cli, step, heir(cli, step))
        assert holder.run("complete", step, "--note", "late") == 3
        assert f"you lost {step}: heir took it over" in holder.end()

    return scenario


def heirs_clock(hours: int) -> Callable[[Cli, str], None]:
    """Whoever's clock is off takes nothing early, and gets what is free."""

    def scenario(cli: Cli, step: str) -> None:
        cli.ok("claim", step, "--lease", str(LEASE), agent=f"holder-{step}")

        def claim() -> Result:
            before, env = shifted(cli, hours)
            command = [*before, sys.executable, "-m", "windlass", "claim", step, "--json"]
            done = subprocess.run(command, cwd=cli.cwd, env=cli.env(f"heir{hours}", env), capture_output=True, text=True)
            return Result(done.returncode, done.stdout, done.stderr)

        take_over(cli, step, claim)
        assert cli.run("complete", step, agent=f"holder-{step}").code == 3

    return scenario


def alive_with_a_clock_off(hours: int) -> Callable[[Cli, str], None]:
    """Signs of life count whatever clock their sender has: nobody takes a step whose holder beats."""

    def scenario(cli: Cli, step: str) -> None:
        holder = Holder(cli, f"holder-{step}", hours)
        assert holder.run("claim", step, "--lease", str(LEASE)) == 0
        for _ in range(6):
            time.sleep(1.5)
            assert holder.run("beat") == 0
            assert heir(cli, step)().code == 3
        assert holder.run("complete", step) == 0
        holder.end()

    return scenario


def looking(cli: Cli, step: str) -> None:
    """Looking as a dead agent is no sign of its life."""
    cli.ok("claim", step, "--lease", str(LEASE), agent=f"holder-{step}")

    def claim() -> Result:
        for look in (["status"], ["whoami"], ["agents"], ["step", "show", step]):
            assert cli.run(*look, agent=f"holder-{step}").code == 0, look
        return heir(cli, step)()

    take_over(cli, step, claim)


def found_by_next(cli: Cli, step: str) -> None:
    """Who just asks for work gets the step of the dead, without knowing of it."""
    cli.ok("claim", step, "--lease", str(LEASE), agent=f"holder-{step}")
    take_over_by = ["next", "--wait", "15", "--label", step, "--json"]
    done = cli.run(*take_over_by, agent="asking")
    assert (done.code, done.json["taken_from"]) == (0, f"holder-{step}"), done


def held_too_long(cli: Cli, step: str) -> None:
    """A step with a longest hold is free after it, however alive its holder."""
    cli.ok("step", "add", step, "--max-hold", str(LEASE), agent="lead")
    holder = Holder(cli, f"holder-{step}")
    assert holder.run("claim", step) == 0

    def claim() -> Result:
        assert holder.run("beat") == 0
        return heir(cli, step)()

    take_over(cli, step, claim)
    holder.end()


EVERYWHERE: dict[str, Callable[[Cli, str], None]] = {"stopped": stopped, "looking": looking, "found": found_by_next, "held": held_too_long}
SHIFTED: dict[str, Callable[[Cli, str], None]] = {
    f"{name}-{'ahead' if hours > 0 else 'behind'}": scenario(hours)
    for name, scenario in (("holder", holders_clock), ("heir", heirs_clock), ("alive", alive_with_a_clock_off))
    for hours in (1, -1)
}


def together(cli: Cli, scenarios: dict[str, Callable[[Cli, str], None]]) -> None:
    """Each of them waits for a lease to run out, so they wait at the same time."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        jobs = {name: pool.submit(scenario, cli, name) for name, scenario in scenarios.items()}
    failed = {name: error for name, job in jobs.items() if (error := job.exception())}
    for error in failed.values():
        raise AssertionError(f"failed: {', '.join(failed)}") from error


def test_a_lease_runs_out_by_the_stores_clock_and_fences_the_late(everywhere: Cli) -> None:
    everywhere.ok("step", "add", "found", "--label", "found", agent="lead")
    together(everywhere, EVERYWHERE)


def test_a_clock_that_is_an_hour_off_neither_loses_nor_immortalises_a_claim(everywhere: Cli) -> None:
    if "://" in everywhere.store:
        if not FAKETIME:
            pytest.skip("faketime is not installed (apt-get install faketime)")
        if os.environ.get("WINDLASS_TEST_S3_URL"):
            pytest.skip("a real bucket refuses requests signed an hour off")
    together(everywhere, SHIFTED)


def test_an_agent_killed_and_restarted_finds_where_it_stood(everywhere: Cli) -> None:
    cli = everywhere
    cli.ok("claim", "design", agent="designer")
    cli.json("send", "designer", "look at the colours", agent="tester")
    script = f"{sys.executable} -m windlass claim build >/dev/null && echo up && cat"
    process = cli.start("run", "--", "sh", "-c", script, agent="designer", stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGKILL)
    end(process)
    stands = cli.json("whoami", agent="designer")
    assert {one["step"] for one in stands["holds"]} == {"design", "build"}
    assert (stands["agent"], stands["incarnation"], stands["unread"]) == ("designer", 2, 1)
    windlass = f"{sys.executable} -m windlass"
    script = f"{windlass} claim design --json; {windlass} claim build --json; {windlass} complete build"
    again = cli.run("run", "--", "sh", "-c", script, agent="designer")
    assert again.code == 0, again
    claims = [json.loads(line) for line in again.out.splitlines() if line.startswith("{")]
    assert [(one["taken_from"], one["step"]["epoch"]) for one in claims] == [("designer", 2), ("designer", 2)]
    for command in (["complete", "design"], ["release", "design"], ["claim", "design"]):
        late = cli.run(*command, agent="designer", env={"WINDLASS_INCARNATION": "2"})
        assert late.code == 3, (command, late)


def test_a_review_goes_all_the_way_while_somebody_waits(everywhere: Cli) -> None:
    cli = everywhere
    waiting = cli.start("wait-for", "build", "--timeout", "60")
    cli.ok("claim", "build", agent="developer")
    cli.ok("complete", "build", "--needs-review", "--note", "first try", agent="developer")
    own = cli.run("approve", "build", agent="developer")
    assert own.code == 3
    assert "your own work" in own.err
    cli.ok("reject", "build", "--note", "the empty case fails", agent="ann")
    mail = cli.json("inbox", "--new", agent="developer")["messages"]
    assert [(one["sender"], one["step"]) for one in mail] == [("ann", "build")]
    assert "the empty case fails" in mail[0]["text"]
    again = cli.json("claim", "build", agent="developer")
    assert again["step"]["epoch"] == 2
    assert cli.json("handoff", "build")["handoff"]["note"] == "first try"
    cli.ok("complete", "build", "--needs-review", "--note", "second try", agent="developer")
    assert waiting.poll() is None
    cli.ok("approve", "build", "--note", "good", agent="ann")
    done = end(waiting)
    assert done.code == 0, done
    assert done.out.startswith("complete: build\n")
    assert cli.json("step-status", "build")["status"] == "complete"
    assert cli.json("handoff", "build")["handoff"]["note"] == "second try"
