"""`doctor --hammer` reads and writes from several clients at once, and judges what they saw."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.lying_s3 import LyingS3

from windlass.errors import PutRefused
from windlass.stores.memory import MemoryStore
from windlass.testing import liars
from windlass.testing.hammer import record_and_check
from windlass.testing.linearizable import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.cli import Cli

    from windlass.effects import Condition
    from windlass.stores.base import Store


class Repeats(liars.Liar):
    """A network that repeats 1 in 50 of the hammer's puts: the first lands, the second is refused. It leaves the other probes alone."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.landed = count()
        self.hidden = 0

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        version = super().put(key, body, condition)
        if "windlass-histories-" in key and next(self.landed) % 50 == 10:
            self.hidden += 1
            raise PutRefused(key)
        return version


def test_a_good_store_gives_a_linearizable_history_and_is_left_as_it_was(everywhere: Cli) -> None:
    everywhere.ok("init", agent="dev")
    out = everywhere.ok("doctor", "--quick", "--hammer", "1", agent="dev").out
    assert re.search(r"✓ \d+ operations of several clients at once are linearizable", out)
    assert everywhere.json("init", agent="dev")["projects"] == ["demo"], "nothing is left of the clients"


def test_a_store_that_lies_gives_a_history_that_is_kept_and_explained(cli: Cli, s3_env: None) -> None:
    server = LyingS3(liars.IgnoresConditions)
    try:
        result = cli.run("doctor", "--quick", "--hammer", "1", env={"WINDLASS_STORE": server.url})
    finally:
        server.close()
    assert result.code == 1
    found = re.search(r"✗ \d+ operations of several clients at once are not linearizable; look: python (.+)", result.out)
    assert found, result.out
    _, module, path = found[1].split()
    told = subprocess.run([sys.executable, "-m", module, path], capture_output=True, text=True, timeout=60)
    Path(path).unlink()
    assert told.returncode == 1
    assert "violation" in told.stdout


def test_a_refusal_that_hid_a_write_is_a_warning_and_the_store_is_safe(cli: Cli, s3_env: None, tmp_path: Path) -> None:
    server = LyingS3(Repeats)
    env = {"WINDLASS_STORE": server.url, "TMPDIR": str(tmp_path)}
    try:
        result = cli.run("doctor", "--quick", "--hammer", "1", "--json", env=env)
    finally:
        server.close()
    assert (result.code, result.json["safe"]) == (0, True), result.out
    (found,) = (one for one in result.json["checks"] if one["name"] == "linearizable")
    assert found["result"] == "warning"
    expected = r"\d+ operations of several clients at once: a refusal hid a write that landed, which Windlass settles"
    assert re.fullmatch(expected, found["text"])
    assert not list(tmp_path.glob("windlass-history-*")), "nothing is kept"


def test_refusals_that_hid_writes_are_counted_and_no_violation() -> None:
    store = Repeats(MemoryStore())
    report = record_and_check(store, 0.25)
    assert store.hidden > 0
    assert report.fine, report.text()
    assert 0 < report.hidden <= store.hidden
    assert f"keys linearizable only if a refusal hid a write that landed: {report.hidden}" in report.text()


def test_an_honest_store_hides_nothing() -> None:
    report = record_and_check(MemoryStore(), 0.25)
    assert (report.fine, report.hidden) == (True, 0), report.text()


@pytest.mark.parametrize("lie", [liars.IgnoresConditions, liars.IgnoresIfMatch, liars.RefusesIfMatch, liars.StaleReads])
def test_a_lie_is_found_behind_a_network_that_repeats_too(lie: Callable[[Store], Store]) -> None:
    store = Repeats(lie(MemoryStore()))
    report = record_and_check(store, 0.25)
    assert store.hidden > 0
    assert not report.fine
    assert report.count(Verdict.VIOLATION) > 0
    assert "does not fit" in report.text()


@pytest.mark.parametrize("wrong", ["soon", "-1", "nan"])
def test_a_time_that_is_none_is_refused(cli: Cli, wrong: str) -> None:
    assert cli.run("doctor", "--hammer", wrong).code == 2
