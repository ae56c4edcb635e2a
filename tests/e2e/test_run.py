"""`windlass run` and `windlass beat`: an agent lives as long as its process does, and the process notices nothing of it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.cli import TIMEOUT, Cli, end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDLASS = f"{sys.executable} -m windlass"
COUNTER = """
import os, select, signal, sys
got, told = os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)  # a byte for each delivery, however close they come
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), lambda *_: None)
os.write(1, b"up\\n")
line = b"-"
while line not in (b"end\\n", b""):
    for ready in select.select([0, got], [], [])[0]:
        if ready == got:
            for number in os.read(got, 100):
                os.write(1, signal.Signals(number).name.encode() + b"\\n")
        else:
            line = os.read(0, 100)
            os.write(1, line)
"""
"""Prints each signal it gets and each line it reads, until "end"."""


def sh(script: str) -> list[str]:
    return ["--", "sh", "-c", script]


@contextmanager
def running(cli: Cli, *args: str, agent: str = "designer") -> Iterator[subprocess.Popen[str]]:
    """A `windlass run` with pipes; whatever it started is gone afterwards."""
    process = cli.start("run", *args, agent=agent, stdin=subprocess.PIPE, start_new_session=True)
    try:
        with process:
            yield process
            if process.stdin:
                process.stdin.close()
            process.wait(TIMEOUT)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin
    process.stdin.write(text + "\n")
    process.stdin.flush()


def until(true: Callable[[], object], seconds: float = 30) -> float:
    """Wait for something to become true; how long that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds, "it never came true"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)])
def test_the_exit_code_is_the_commands_own(cli: Cli, script: str, code: int) -> None:
    assert cli.run("run", *sh(script), agent="designer") == (code, "", "")


def test_windlass_own_failures_have_codes_of_their_own(cli: Cli) -> None:
    nowhere = cli.run("run", "--store", str(cli.home / "no" / "store"), *sh("echo ran"), agent="designer")
    assert (nowhere.code, nowhere.out) == (125, "")
    assert "there is no store in" in nowhere.err
    plain = cli.home / "file"
    plain.write_text("no program", encoding="utf-8")
    assert cli.run("run", "--", str(plain), agent="designer").code == 126
    missing = cli.run("run", "--", "no-such-command", agent="designer")
    assert (missing.code, missing.err) == (127, "windlass run: no-such-command: No such file or directory\n")


def test_wrong_usage_is_exit_2_and_runs_nothing(cli: Cli) -> None:
    for args in (["run"], ["run", "--"], ["run", "--max-idle", "0", *sh("echo ran")], ["run", "--lease", "1", *sh("echo ran")]):
        done = cli.run(*args, agent="designer")
        assert (done.code, done.out) == (2, ""), args
    assert cli.run("run", *sh("echo ran")).code == 2  # nobody knows who acts


def test_the_commands_own_options_are_left_alone(cli: Cli) -> None:
    done = cli.run("run", "--", "echo", "--json", "--debug", "--agent", "x", "--", "-h", agent="designer")
    assert done == (0, "--json --debug --agent x -- -h\n", "")


def test_the_command_learns_who_and_where_it_is(cli: Cli) -> None:
    store = cli.cwd / "here"
    store.mkdir()
    done = cli.run("run", "--store", "here", "--agent", "tester", *sh("cd / && env | grep ^WINDLASS_ | sort"))
    assert done.out.splitlines() == [
        "WINDLASS_AGENT=tester",
        "WINDLASS_INCARNATION=1",
        "WINDLASS_LEASE=600",
        "WINDLASS_PROJECT=demo",
        f"WINDLASS_STORE={store}",
    ]


def test_stdin_stdout_and_other_open_files_are_the_commands(cli: Cli) -> None:
    ours, theirs = os.pipe()
    process = cli.start("run", *sh(f"cat; echo to the pipe > /dev/fd/{theirs}"), agent="designer", stdin=subprocess.PIPE, pass_fds=[theirs])
    os.close(theirs)
    done = end(process, "through\n")
    assert done == (0, "through\n", "")
    with os.fdopen(ours) as pipe:
        assert pipe.read() == "to the pipe\n"


def test_claims_under_run_are_released_at_its_end_and_the_reason_is_on_record(everywhere: Cli) -> None:
    cli = everywhere
    script = f"{WINDLASS} claim design && {WINDLASS} claim build && {WINDLASS} complete design && exit 3"
    done = cli.run("run", *sh(script), agent="designer")
    assert (done.code, done.err) == (3, ""), done
    assert cli.json("claim", "build", agent="other")["step"]["epoch"] == 2
    from windlass.stores.registry import open_store

    found = open_store(cli.store).get("demo/steps/build") if "://" not in cli.store else None
    if found is not None:
        assert b"windlass run: sh ended with exit 3" in found.body  # type: ignore[union-attr]


def test_after_run_bare_commands_are_the_agents_next_life(cli: Cli) -> None:
    assert cli.json("beat", agent="designer")["incarnation"] == 1
    assert cli.run("run", *sh("exit 0"), agent="designer").code == 0
    assert cli.json("beat", agent="designer")["incarnation"] == 3


def test_bare_commands_of_an_agent_that_runs_are_refused(cli: Cli) -> None:
    cli.ok("beat", agent="designer")
    cli.ok("claim", "early", agent="designer")
    with running(cli, "--", "cat"):
        until(lambda: cli.run("beat", agent="designer").code == 3)
        late = cli.run("complete", "early", agent="designer")
        assert late.code == 3
        assert "designer is active under windlass run" in late.err
    assert cli.run("complete", "early", agent="designer").code == 3  # its claim is the lower incarnation's


def test_run_again_has_the_claims_of_its_last_life_at_once(everywhere: Cli) -> None:
    with running(everywhere, *sh(f"{WINDLASS} claim design >/dev/null && echo claimed && cat")) as first:
        assert line(first) == "claimed"
        os.killpg(first.pid, signal.SIGKILL)
    again = everywhere.run("run", *sh(f"{WINDLASS} claim design --json && {WINDLASS} complete design"), agent="designer")
    assert again.code == 0, again
    assert '"taken_from": "designer"' in again.out
    assert '"epoch": 2' in again.out


def test_run_within_run_fences_the_outer_life(cli: Cli) -> None:
    script = f"{WINDLASS} claim design && {WINDLASS} run -- true; {WINDLASS} claim other; echo exit $?"
    done = cli.run("run", *sh(script), agent="designer")
    assert done.out.endswith("exit 3\n"), done


def test_somebody_else_running_under_the_name_ends_only_the_signs_of_life(cli: Cli) -> None:
    complete = f"{WINDLASS} complete design; echo exit $?"
    with running(cli, "--lease", "5", *sh(f"{WINDLASS} claim design >/dev/null; echo up; read line; {complete}; exit 9")) as first:
        assert line(first) == "up"
        taken = cli.run("run", *sh(f"{WINDLASS} claim design && {WINDLASS} complete design --note second"), agent="designer")
        assert taken.code == 0, taken
        assert first.stderr
        assert first.stderr.readline() == (
            "windlass: a newer incarnation of designer is acting; no more signs of life from here, the command goes on\n"
        )
        say(first, "go on")
        assert line(first) == "exit 3"
        out, err = first.communicate(timeout=TIMEOUT)
        assert (first.returncode, out) == (9, "")
        assert "a newer incarnation of designer is acting" in err
        assert "no more signs" not in err


def test_a_store_that_is_gone_for_a_while_is_told_once_and_ends_nothing(cli: Cli) -> None:
    store, away = Path(cli.store), Path(cli.store + ".away")
    with running(cli, "--lease", "5", *sh(f"{WINDLASS} claim design >/dev/null; echo up; cat; exit 4")) as process:
        assert line(process) == "up"
        store.rename(away)
        assert process.stderr
        warning = process.stderr.readline()
        assert warning.startswith("windlass: the store does not answer (")
        time.sleep(1.5)  # for another beat, which says nothing
        away.rename(store)
        say(process, "still here")
        assert line(process) == "still here"
        _, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, err) == (4, "")
    cli.ok("claim", "design", agent="other")  # was released


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTSTP", "SIGCONT"])
def test_a_signal_sent_to_run_reaches_the_command_once(cli: Cli, name: str) -> None:
    with running(cli, "--", sys.executable, "-c", COUNTER, name) as process:
        assert line(process) == "up"
        process.send_signal(getattr(signal, name))
        assert line(process) == name
        say(process, "end")
        assert line(process) == "end"
        assert process.wait(TIMEOUT) == 0


def test_what_nohup_ignores_stays_ignored(cli: Cli) -> None:
    script = f"trap '' HUP; exec {WINDLASS} run --agent designer -- sh -c 'echo up; read line; echo $line'"
    process = subprocess.Popen(["sh", "-c", script], cwd=cli.cwd, env=cli.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert line(process) == "up"
    process.send_signal(signal.SIGHUP)
    assert end(process, "lives\n")[:2] == (0, "lives\n")


def test_what_nohup_ignores_is_not_passed_on(cli: Cli) -> None:
    """Not even to a command that listens to it."""
    script = f"trap '' HUP; exec {WINDLASS} run --agent designer -- {sys.executable} -c \"$0\" SIGHUP SIGUSR1"
    command = ["sh", "-c", script, COUNTER]
    process = subprocess.Popen(command, cwd=cli.cwd, env=cli.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert line(process) == "up"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)
    assert line(process) == "SIGUSR1", "signals are passed on in the order of their numbers"
    assert end(process, "end\n")[:2] == (0, "end\n")


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, cli: Cli) -> None:
        env = cli.env("designer", {"PS1": "ready> ", "TERM": "dumb"})
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cli.cwd)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def read(self, wanted: str) -> str:
        """What was printed until `wanted`, a regular expression."""
        give_up = time.monotonic() + 20
        while not (found := re.search(wanted, self.seen, re.DOTALL)):
            assert time.monotonic() < give_up, f"no {wanted!r} in {self.seen!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode()
                except OSError:  # Linux ends a terminal's last read with EIO
                    continue
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def close(self) -> None:
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(cli: Cli) -> Iterator[Terminal]:
    shell = Terminal(cli)
    shell.read("ready> ")
    yield shell
    shell.close()


def test_ctrl_c_reaches_the_command_once_and_ctrl_z_gives_the_shell_back(cli: Cli, terminal: Terminal) -> None:
    (cli.cwd / "counter.py").write_text(COUNTER, encoding="utf-8")
    terminal.type(f"{WINDLASS} run -- {sys.executable} counter.py SIGINT\n")
    terminal.read("\nup\r\n")
    terminal.type("\x03")
    terminal.read("SIGINT\r\n")
    terminal.type("one\n")
    assert "SIGINT" not in terminal.read("one\r\none\r\n")
    terminal.type("\x1a")
    terminal.read("Stopped.*ready> ")
    terminal.type("fg\n")
    terminal.read("counter.py SIGINT\r\n")
    terminal.type("two\n")
    terminal.read("two\r\ntwo\r\n")
    terminal.type("\x03")
    terminal.read("SIGINT\r\n")
    terminal.type("three\n")
    assert "SIGINT" not in terminal.read("three\r\nthree\r\n")
    terminal.type("end\n")
    terminal.read("ready> ")
    terminal.type("echo code $?\n")
    terminal.read("code 0\r\n")


def test_a_command_that_stops_only_itself_gives_the_shell_back_too(terminal: Terminal) -> None:
    terminal.type(f"{WINDLASS} run -- sh -c 'kill -STOP $$; echo went on'\n")
    terminal.read("Stopped.*ready> ")
    terminal.type("fg\n")
    terminal.read("\nwent on\r\n.*ready> ")


# Leases run out by the store's clock, which no test can turn: these wait together.


def _killed(cli: Cli) -> None:
    """A SIGKILL to run alone leaves the command, and nothing that gives signs of life."""
    with running(cli, "--lease", "5", *sh(f"{WINDLASS} claim killed >/dev/null; echo up; cat"), agent="killed") as process:
        assert line(process) == "up"
        process.kill()
        until(lambda: cli.run("claim", "killed", agent="heir").code == 0)


def _alive(cli: Cli) -> None:
    """A claim outlives its lease as long as the command lives."""
    with running(cli, "--lease", "5", *sh(f"{WINDLASS} claim alive >/dev/null; echo up; cat"), agent="alive") as process:
        assert line(process) == "up"
        time.sleep(9)
        refused = cli.run("claim", "alive", agent="heir")
        assert (refused.code, refused.err.splitlines()[0]) == (3, "windlass: alive is already claimed by alive")


def _idle(cli: Cli) -> None:
    """With --max-idle, a command that does nothing loses its claims; it goes on living."""
    args = ["--lease", "5", "--max-idle", "1", *sh(f"{WINDLASS} claim idle >/dev/null; echo up; cat")]
    with running(cli, *args, agent="idle") as process:
        assert line(process) == "up"
        until(lambda: cli.run("claim", "idle", agent="heir").code == 0)
        say(process, "here")
        assert line(process) == "here"


def _busy(cli: Cli) -> None:
    """With --max-idle, work anywhere below the command keeps its claims."""
    work = "while :; do i=0; while [ $i -lt 4000 ]; do i=$((i+1)); done; sleep 0.1; done"
    script = f"{WINDLASS} claim busy >/dev/null; echo up; sh -c '{work}' & worker=$!; cat; kill $worker"
    with running(cli, "--lease", "5", "--max-idle", "1", *sh(script), agent="busy") as process:
        assert line(process) == "up"
        time.sleep(9)
        assert cli.run("claim", "busy", agent="heir").code == 3


def _sidecar(cli: Cli) -> None:
    """`beat --while-pid` keeps the claims of a process that it did not start, and ends with it."""
    worker = subprocess.Popen(["sleep", "60"])
    try:
        sidecar = cli.start("beat", "--while-pid", str(worker.pid), "--every", "1", agent="beside")
        assert "beside is kept alive while process" in line(sidecar)
        cli.ok("claim", "beside", "--lease", "5", agent="beside")
        time.sleep(9)
        assert cli.run("claim", "beside", agent="heir").code == 3
    finally:
        worker.kill()
        worker.wait()
    assert end(sidecar) == (0, "", "")


def test_claims_live_exactly_as_long_as_what_keeps_them(cli: Cli) -> None:
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(scenario, cli) for scenario in (_killed, _alive, _idle, _busy, _sidecar)]
    for job in jobs:
        job.result()


def test_beat_says_as_whom(cli: Cli) -> None:
    assert cli.ok("beat", agent="designer").out == "designer is alive, incarnation 1\n"
    assert cli.run("beat").code == 2


def test_beat_beside_a_process_that_is_not_there_is_exit_4(cli: Cli) -> None:
    done = cli.run("beat", "--while-pid", str(2**22 + 7), agent="designer")
    assert (done.code, done.out) == (4, "")


def test_a_sidecar_of_an_agent_that_somebody_else_runs_ends_with_exit_3(cli: Cli) -> None:
    sidecar = cli.start("beat", "--while-pid", str(os.getpid()), "--every", "1", agent="designer")
    assert "designer is kept alive" in line(sidecar)
    with running(cli, "--", "cat"):
        done = end(sidecar)
    assert done.code == 3
    assert "designer is active under windlass run" in done.err
