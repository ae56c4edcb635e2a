"""`doctor --hammer` reads and writes from several clients at once, and judges what they saw."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.lying_s3 import LyingS3

from windlass.testing import liars

if TYPE_CHECKING:
    from tests.e2e.cli import Cli


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


@pytest.mark.parametrize("wrong", ["soon", "-1", "nan"])
def test_a_time_that_is_none_is_refused(cli: Cli, wrong: str) -> None:
    assert cli.run("doctor", "--hammer", wrong).code == 2
