"""gc on the command line: what it frees, what it spares and why, and what a reader may do next."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.cli import Cli


def garbage(cli: Cli, content: bytes) -> str:
    """A blob that nothing refers to, as a killed upload leaves it."""
    cli.ok("gc", agent="ann")
    sha = sha256(content).hexdigest()
    file = cli.file(f"blobs/{sha[:2]}/{sha[2:]}.0")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return f"{sha}.0"


def pending(cli: Cli) -> None:
    """An upload that is under way, as its record says."""
    file = cli.file("pending/p.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        '{"format": 1, "kind": "pending", "write_id": "w", "seq": 1, "agent": "eve\\u001b[2J", "targets": ["artifacts/a.json"]}'
    )


def test_it_says_what_it_would_delete_and_then_deletes_it(cli: Cli) -> None:
    name = garbage(cli, b"x" * 2048)
    told = cli.ok("gc", "--dry-run", "--grace", "0", agent="ann").out
    assert "would delete 1 blob, 2.0 KiB" in told
    assert name in told
    assert "windlass gc --grace 0" in told
    spared = cli.ok("gc", agent="ann").out
    assert "nothing to delete" in spared
    assert "1 blob, 2.0 KiB that nothing refers to, younger than 1d" in spared
    assert cli.ok("gc", "--grace", "0s", agent="ann").out == "deleted 1 blob, 2.0 KiB\n"
    assert cli.ok("gc", "--grace", "0", agent="ann").out == "nothing to delete\n"


def test_what_artifacts_hold_stays_until_they_are_deleted(cli: Cli) -> None:
    (cli.cwd / "report.txt").write_text("all is well", encoding="utf-8")
    cli.ok("artifact", "upload", "report.txt", agent="ann")
    assert "stays: 1 blob, 11 B" in cli.ok("gc", "--grace", "0", agent="ann").out
    cli.ok("artifact", "download", "report.txt", "-o", "copy.txt")
    cli.ok("artifact", "delete", "report.txt", agent="ann")
    assert "deleted 1 blob, 11 B" in cli.ok("gc", "--grace", "0", agent="ann").out


def test_an_upload_under_way_is_waited_for_and_one_that_is_dead_given_up(cli: Cli) -> None:
    garbage(cli, b"x")
    pending(cli)
    waited = cli.run("gc", "--wait", "0", agent="ann")
    assert waited.code == 5
    assert "eve[2J is uploading, heard of" in waited.err
    assert "\x1b" not in waited.err
    assert "would wait for an upload of eve" in cli.ok("gc", "--dry-run", agent="ann").out
    assert "would give up an upload of eve" in cli.ok("gc", "--dry-run", "--grace", "0", agent="ann").out
    done = cli.ok("gc", "--grace", "0", agent="ann").out
    assert "deleted 1 blob, 1 B" in done
    assert "gave up an upload of eve[2J, silent for" in done
    assert "gave up" not in cli.ok("gc", "--grace", "0", agent="ann").out


def test_damage_is_named_and_nothing_deleted(cli: Cli) -> None:
    name = garbage(cli, b"x")
    file = cli.file("workspaces/w.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"{")
    failed = cli.run("gc", "--grace", "0", agent="ann")
    assert failed.code == 1
    assert "workspaces/w.json is damaged" in failed.err
    assert cli.file(f"blobs/{name[:2]}/{name[2:]}").exists()


@pytest.mark.parametrize("grace", ["-1", "1w", "", "nan", "day"])
def test_a_grace_that_is_no_span_of_time_is_refused(cli: Cli, grace: str) -> None:
    assert cli.run("gc", "--grace", grace, agent="ann").code == 2
