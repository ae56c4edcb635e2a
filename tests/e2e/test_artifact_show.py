"""What `artifact show` tells of a version is true of that version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.cli import Cli


@pytest.mark.parametrize(("asked", "fetched"), [("x@1", "1"), ("x", "2")])
def test_the_command_that_it_names_downloads_the_version_that_it_shows(cli: Cli, asked: str, fetched: str) -> None:
    for content in ("1", "2"):
        (cli.cwd / "x").write_text(content)
        cli.ok("artifact", "upload", "x", agent="ann")
    (cli.cwd / "x").unlink()
    line = cli.ok("artifact", "show", asked).out.splitlines()[-1]
    cli.ok(*line.partition("windlass ")[2].split())
    assert (cli.cwd / "x").read_text() == fetched
