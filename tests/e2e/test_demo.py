"""`windlass demo`: what a stranger sees first; every claim of its summary is true, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.cli import Cli, Result, end

import windlass
from windlass.surfaces.demo.checks import Seen, checks
from windlass.surfaces.demo.plan import AGENTS, CONTESTED, LOST, STEPS

if TYPE_CHECKING:
    import pytest


def performed(cli: Cli, *args: str) -> Result:
    """A demo with no store of the user's own, and a folder for temporary files that is watched."""
    spare = cli.home / "tmp"
    spare.mkdir(exist_ok=True)
    return cli.run("demo", "--fast", *args, env={"TMPDIR": str(spare), "WINDLASS_STORE": None, "WINDLASS_PROJECT": None})


def processes_of(folder: Path) -> list[str]:
    """Those that work for a demo in there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "environ").read_text(encoding="utf-8", errors="replace"):
                found.append((process / "cmdline").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return found


def test_the_demo_tells_its_story_in_eighty_columns_and_leaves_nothing(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    done = performed(cli)
    assert (done.code, done.err) == (0, "")
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert "\x1b" not in done.out
    winner = re.search(rf"(\w+) +\$ windlass claim {CONTESTED} → claimed", done.out)
    assert winner
    assert done.out.count(f"claim {CONTESTED} → exit 3: already claimed by {winner[1]}") == len(AGENTS) - 1
    killed = re.search(rf"(\w+) +killed in the middle of {LOST}", done.out)
    assert killed
    heir = re.search(rf"(\w+) +\$ windlass .* → .*taken over from {killed[1]} \(epoch 2\)", done.out)
    assert heir
    assert f"{killed[1]:<7}$ windlass complete {LOST} → exit 3: you lost {LOST}: {heir[1]} took it over" in done.out
    assert done.out.count("  ✓ ") == 7
    assert "$ windlass workspace merge site-2 site → 1 path" in done.out
    assert "  ✗ " not in done.out
    assert [path for path in cli.home.rglob("*") if path.is_file()] == []
    assert list((cli.home / "tmp").iterdir()) == []
    assert list(cli.cwd.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_a_demo_kept_can_be_looked_at_and_its_checks_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = Cli(tmp_path)
    folder = tmp_path / "kept"
    done = performed(cli, "--keep", str(folder), "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["ok"] is True
    assert [one["ok"] for one in done.json["checks"]] == [True] * 7
    store = {"WINDLASS_STORE": done.json["store"]}
    assert len(cli.json("step", "list", "--state", "complete", env=store)["steps"]) == STEPS
    again = performed(cli, "--keep", str(folder))
    assert (again.code, again.out) == (2, "")

    for name, value in cli.env().items():
        monkeypatch.setenv(name, value)
    wrong = Seen(races=dict.fromkeys(AGENTS, 0), killed="nobody", late=0, inboxes={"ada": ["ada:99"]})
    with windlass.open(done.json["store"], project="demo") as project:
        held = [holds for holds, _ in checks(project, wrong)]
    assert held == [True, False, False, False, True, False]


def interrupted(tmp_path: Path, number: signal.Signals) -> None:
    tmp_path.mkdir()
    cli = Cli(tmp_path)
    (cli.home / "tmp").mkdir()
    process = cli.start("demo", "--fast", env={"TMPDIR": str(cli.home / "tmp")}, start_new_session=True)
    assert process.stdout
    for line in process.stdout:
        if "killed in the middle" in line:
            break
    process.send_signal(number)
    assert end(process).code == 128 + number
    assert list((cli.home / "tmp").iterdir()) == []
    give_up = time.monotonic() + 10
    while processes_of(tmp_path):
        assert time.monotonic() < give_up, processes_of(tmp_path)
        time.sleep(0.1)


def killed(tmp_path: Path) -> None:
    """Not even kill -9 leaves an agent behind: they end when the narrator's pipe does."""
    tmp_path.mkdir()
    cli = Cli(tmp_path)
    (cli.home / "tmp").mkdir()
    process = cli.start("demo", "--fast", env={"TMPDIR": str(cli.home / "tmp")})
    assert process.stdout
    for line in process.stdout:
        if "killed in the middle" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    assert end(process).code == -signal.SIGKILL
    give_up = time.monotonic() + 30
    while processes_of(tmp_path):
        assert time.monotonic() < give_up, processes_of(tmp_path)
        time.sleep(0.1)


def test_a_demo_that_is_interrupted_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(interrupted, tmp_path / number.name, number) for number in (signal.SIGINT, signal.SIGTERM)]
        jobs.append(pool.submit(killed, tmp_path / "killed"))
    for job in jobs:
        job.result()
