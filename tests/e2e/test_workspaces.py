"""Workspaces on the command line: folders go in and out of any store, forks are tried and merged, nobody's work is lost."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.project.folders import fill, held

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.cli import Cli, Result

MIB = 2**20
SITE: dict[str, bytes | str | None] = {
    "index.html": b"<h1>",
    "css/style.css": b"h1 {}",
    "run.sh*": b"#!/bin/sh\n",
    "latest": "css/style.css",
    "void": None,
    ".windlassignore": b"*.log\n",
}


def workspace(cli: Cli, *words: str, agent: str = "ann", **more: Any) -> Result:
    """A command that must succeed and warn of nothing."""
    return cli.ok("workspace", *words, agent=agent, **more)


@pytest.fixture
def site(everywhere: Cli) -> Cli:
    """A workspace `site`, of the folder `a`."""
    fill(everywhere.cwd / "a", SITE)
    workspace(everywhere, "create", "site", "--from", "./a")
    return everywhere


def test_a_folder_goes_in_and_comes_out(everywhere: Cli) -> None:
    cli = everywhere
    a = fill(cli.cwd / "a", {**SITE, "x.log": b"left out", "large": os.urandom(9 * MIB)})
    made = workspace(cli, "create", "site", "--from", "a").out
    assert made == "site made from the folder a, as ann (6 files, 9.0 MiB; 1 ignored)\n"
    pulled = workspace(cli, "pull", "b", "--from", "site", agent="bob").out
    assert pulled == "b has the state of site: 7 added (6 files, 9.0 MiB)\n"
    expected = held(a)
    del expected["x.log"]
    assert held(cli.cwd / "b") == expected
    assert workspace(cli, "status", "b").out == "b belongs to site: nothing changed here\n"
    assert workspace(cli, "push", cwd=cli.cwd / "b").out == "site holds all of . already (6 files, 9.0 MiB)\n"


def test_two_folders_of_one_workspace_lose_nothing(site: Cli) -> None:
    cli, a, b = site, site.cwd / "a", site.cwd / "b"
    workspace(cli, "pull", "b", "--from", "site", agent="bob")
    fill(a, {"new-a": b"a", "css/style.css": b"a"})
    fill(b, {"new-b": b"b", "run.sh*": b"b"})
    assert "2 files" not in workspace(cli, "push", "a").out
    lost = cli.run("workspace", "push", "b", agent="bob")
    assert lost.code == 3
    assert "site was changed meanwhile by ann (push)" in lost.err
    assert "windlass workspace pull" in lost.err
    assert "site was changed by others since: windlass workspace pull b" in workspace(cli, "status", "b").out
    assert workspace(cli, "pull", "b", agent="bob").out.startswith("b has the state of site: 1 added, 1 changed")
    assert workspace(cli, "push", "b", "--note", "both", agent="bob").out.startswith("site holds what b holds: 1 added, 1 changed, as bob")
    workspace(cli, "pull", "a")
    assert held(a) == held(b) == {**SITE, "new-a": b"a", "css/style.css": b"a", "new-b": b"b", "run.sh*": b"b"}
    assert "push by bob: both" in workspace(cli, "show", "site").out


def test_conflicts_of_a_pull_are_named_with_both_sides_and_nothing_is_changed(site: Cli) -> None:
    cli, a, b = site, site.cwd / "a", site.cwd / "b"
    workspace(cli, "pull", "b", "--from", "site")
    fill(a, {"index.html": b"a", "fine": b"a"})
    (a / "run.sh").unlink()
    workspace(cli, "push", "a")
    fill(b, {"index.html": b"b", "run.sh*": b"b"})
    before = held(b)
    lost = cli.run("workspace", "pull", "b")
    assert lost.code == 3
    assert "conflict: index.html: here changed, there changed" in lost.err
    assert "conflict: run.sh: here changed, there removed" in lost.err
    assert "2 paths changed both here and in site" in lost.err
    told = cli.run("workspace", "pull", "b", "--json")
    assert (told.code, told.json["error"], told.json["conflicts"]) == (3, "conflicting", ["index.html", "run.sh"])
    assert held(b) == before
    workspace(cli, "pull", "b", "--force")
    assert held(b) == held(a)


def test_a_conflict_of_a_merge_is_settled_for_one_side(site: Cli) -> None:
    cli = site
    workspace(cli, "fork", "site", "-n", "2")
    for number in (1, 2):
        workspace(cli, "pull", f"t{number}", "--from", f"site-{number}")
        fill(cli.cwd / f"t{number}", {"index.html": b"%d" % number, f"new-{number}": b"x"})
        workspace(cli, "push", f"t{number}")
    workspace(cli, "merge", "site-1", "site")
    lost = cli.run("workspace", "merge", "site-2", "site", agent="ann")
    assert (lost.code, "windlass workspace merge site-2 site --theirs" in lost.err) == (3, True)
    assert cli.run("workspace", "merge", "site-2", "site", "--ours", "--theirs").code == 2
    workspace(cli, "merge", "site-2", "site", "--theirs")
    workspace(cli, "pull", "out", "--from", "site")
    assert (cli.cwd / "out/index.html").read_bytes() == b"2"
    assert (cli.cwd / "out/new-1").exists()
    assert (cli.cwd / "out/new-2").exists()


def test_forks_are_tried_compared_and_merged(site: Cli) -> None:
    cli = site
    assert workspace(cli, "fork", "site", "-n", "3", "--prefix", "try").out.startswith("try-1 … try-3 forked from site, as ann\n")
    for number in (1, 2):
        workspace(cli, "pull", f"t{number}", "--from", f"try-{number}")
        fill(cli.cwd / f"t{number}", {"index.html": b"%d" % number, f"new-{number}": b"x"})
        workspace(cli, "push", f"t{number}", agent=f"agent-{number}")
    assert workspace(cli, "diff", "site", "try-1").out.splitlines() == ["site → try-1: 1 added, 1 changed", "  M index.html", "  A new-1"]
    merged = workspace(cli, "merge", "try-1", "site").out
    assert merged.startswith("site has the changes of try-1: 2 paths, as ann")
    assert "holds all of try-1 already" in workspace(cli, "merge", "try-1", "site").out
    before = cli.json("workspace", "show", "site"), cli.json("workspace", "show", "try-2")
    lost = cli.run("workspace", "merge", "try-2", "site", agent="ann")
    assert lost.code == 3
    assert "conflict: index.html" in lost.err
    assert before == (cli.json("workspace", "show", "site"), cli.json("workspace", "show", "try-2"))
    workspace(cli, "pull", "a")
    assert held(cli.cwd / "a") == {**SITE, "index.html": b"1", "new-1": b"x"}


def test_a_fork_with_a_name_in_the_way_leaves_nothing(site: Cli) -> None:
    workspace(site, "create", "try-2")
    lost = site.run("workspace", "fork", "site", "-n", "3", "--prefix", "try", agent="ann")
    assert lost.code == 3
    assert "try-2" in lost.err
    assert [one["name"] for one in site.json("workspace", "list")["workspaces"]] == ["site", "try-2"]
    assert site.run("workspace", "show", "try-1").code == 4


def test_checkpoints_are_kept_and_gone_back_to(site: Cli) -> None:
    cli = site
    assert workspace(cli, "checkpoint", "site", "--label", "v1", "--note", "first").out.startswith("site@v1 kept, as ann")
    fill(cli.cwd / "a", {"index.html": b"v2"})
    workspace(cli, "push", "a")
    assert cli.run("workspace", "checkpoint", "site", "--label", "v1", agent="ann").code == 3
    back = workspace(cli, "restore", "site", "v1").out
    assert back.startswith("site is back at v1, as ann")
    assert "windlass workspace restore site before-restore-1" in back
    assert cli.json("workspace", "restore", "site", "v1", agent="ann")["again"] is True
    assert "checkpoint v1, 5 files" in workspace(cli, "checkpoints", "site").out
    workspace(cli, "create", "second", "--from", "site@before-restore-1", "--ttl", "7d")
    workspace(cli, "pull", "c", "--from", "second")
    assert (cli.cwd / "c" / "index.html").read_bytes() == b"v2"
    assert cli.json("workspace", "show", "second")["workspace"]["ttl"] == 7 * 86400
    assert workspace(cli, "restore", "site@before-restore-1").out.startswith("site is back at before-restore-1, as ann")
    assert "windlass workspace checkpoints site" in cli.run("workspace", "restore", "site", agent="ann").err
    missing = cli.run("workspace", "restore", "site", "v3", agent="ann")
    assert missing.code == 4
    assert "v1" in missing.err


def test_a_workspace_with_changes_of_its_own_is_given_up_only_by_force(site: Cli) -> None:
    cli = site
    workspace(cli, "fork", "site", "-n", "2")
    workspace(cli, "teardown", "site-2")
    workspace(cli, "pull", "b", "--from", "site-1")
    fill(cli.cwd / "b", {"new": b"x"})
    workspace(cli, "push", "b")
    refused = cli.run("workspace", "teardown", "site-1", agent="ann")
    assert refused.code == 3
    assert "--force" in refused.err
    assert workspace(cli, "teardown", "site-1", "--force").out == "site-1 torn down, as ann; folders keep their files\n"
    assert [one["name"] for one in cli.json("workspace", "list")["workspaces"]] == ["site"]
    assert cli.run("workspace", "push", "b", agent="ann").code == 4
    assert "could not be looked at: there is no workspace site-1" in cli.run("workspace", "status", "b").err


def test_what_outlived_its_time_expires(cli: Cli) -> None:
    workspace(cli, "create", "short", "--ttl", "1")
    workspace(cli, "create", "long", "--ttl", "1h")
    old = time.time() - 600
    os.utime(cli.file("workspaces/short.json"), (old, old))
    assert workspace(cli, "expire", "--dry-run").out == "1 workspace would be torn down: short\n"
    assert len(cli.json("workspace", "list")["workspaces"]) == 2
    assert workspace(cli, "expire").out == "1 workspace torn down, as ann: short\n"
    assert workspace(cli, "expire").out == "no workspace has outlived its time\n"
    assert [one["name"] for one in cli.json("workspace", "list")["workspaces"]] == ["long"]


@pytest.mark.parametrize("span", ["1", "90s", "90m", "24h", "7d", "1.5h"])
def test_spans_of_time_are_written_as_people_do(cli: Cli, span: str) -> None:
    workspace(cli, "create", "w", "--ttl", span)


@pytest.mark.parametrize("span", ["", "x", "7w", "-1", "1e99", "inf", "nan", "0x1"])
def test_an_odd_span_of_time_is_a_mistake(cli: Cli, span: str) -> None:
    assert cli.run("workspace", "create", "w", f"--ttl={span}", agent="ann").code == 2


def test_status_tells_what_changed(site: Cli) -> None:
    cli, a = site, site.cwd / "a"
    os.utime(a / "index.html", (1, 1))
    fill(a, {"css/style.css": b"h2 {}", "new\x1b[31m/x\ny": b"x", "x.log": b""})
    (a / "run.sh").chmod(0o644)
    (a / "latest").unlink()
    done = cli.run("workspace", "status", "a")
    assert "its name has a character that Windows does not take" in done.err
    assert "\x1b" not in done.err + done.out
    assert done.out.splitlines() == [
        "a belongs to site: 1 added, 2 changed, 1 removed; 1 ignored",
        "  M css/style.css",
        "  D latest",
        "  A new[31m/x…",
        "  M run.sh",
        "  next: windlass workspace push a",
    ]
    found = cli.json("workspace", "status", "a")
    assert found["counts"] == {"added": 1, "changed": 2, "removed": 1}
    assert (found["moved"], found["problem"], found["more"]) == (False, None, False)


def test_long_lists_are_cut_and_say_how_to_see_the_rest(site: Cli) -> None:
    cli = site
    fill(cli.cwd / "a", {f"n{number:02}": b"x" for number in range(30)})
    assert "… 10 more paths: windlass workspace status a --all" in workspace(cli, "status", "a").out
    assert len(workspace(cli, "status", "a", "--all").out.splitlines()) == 32
    workspace(cli, "checkpoint", "site", "--label", "v1")
    workspace(cli, "push", "a")
    assert "… 10 more paths: windlass workspace diff site@v1 site --all" in workspace(cli, "diff", "site@v1", "site").out
    for name in ("w1", "w2", "w3"):
        workspace(cli, "create", name)
    cut = workspace(cli, "list", "--limit", "2").out
    assert "… 2 more workspaces: windlass workspace list --limit 0" in cut


def test_an_empty_folder_is_told_with_its_slash(site: Cli) -> None:
    cli = site
    assert workspace(cli, "fork", "site", "-n", "2").out.startswith("site-1, site-2 forked from site")
    (cli.cwd / "a" / "empty").mkdir()
    workspace(cli, "push", "a")
    assert workspace(cli, "diff", "site-1", "site").out.splitlines()[1:] == ["  A empty/"]
    assert cli.json("workspace", "diff", "site", "site-1")["removed"] == ["empty/"]


def test_things_left_out_and_odd_names_are_told(cli: Cli) -> None:
    fill(cli.cwd / "a", {"README": b"1", "readme": b"2", "aux": b"3"})
    os.mkfifo(cli.cwd / "a" / "pipe")
    made = cli.run("workspace", "create", "site", "--from", "./a", agent="ann")
    assert made.code == 0
    assert made.err.splitlines() == [
        "left out: pipe: it is a FIFO",
        "odd name: aux: its name is a device on Windows",
        "odd name: readme: it differs from README only in case or Unicode form",
    ]
    told = cli.json("workspace", "push", "a", agent="ann")
    assert told["left"] == [{"path": "pipe", "why": "it is a FIFO"}]
    assert [one["path"] for one in told["odd"]] == ["aux", "readme"]


def test_a_folder_of_another_project_is_told_as_that(site: Cli) -> None:
    for command in ("status", "push", "pull"):
        told = site.run("workspace", command, "a", "--project", "other", agent="ann")
        assert told.code == 2
        assert "a belongs to the workspace site of the project " in told.err
        assert ", not to the project other in " in told.err
        assert "see --project and --store" in told.err


def test_what_from_means_is_clear(cli: Cli) -> None:
    fill(cli.cwd / "site", {"x": b"x"})
    assert "made from the folder site" in workspace(cli, "create", "site", "--from", "site").out
    assert "made from the workspace site" in workspace(cli, "create", "two", "--from", "site").out
    assert "made from the folder ./site" in cli.run("workspace", "create", "three", "--from", "./site", agent="ann").out
    assert cli.run("workspace", "create", "four", "--from", "nothing", agent="ann").code == 4
    assert cli.run("workspace", "create", "four", "--from", "./nothing", agent="ann").code == 2
    assert cli.run("workspace", "create", "site", "--from", "./site", agent="ann").code == 3
    assert {one["name"]: one["origin"] for one in cli.json("workspace", "list")["workspaces"]} == {
        "site": None,
        "three": None,
        "two": "site",
    }


def test_a_folder_knows_its_workspace_after_the_first_time(cli: Cli) -> None:
    fill(cli.cwd / "a", {"x": b"x"})
    unknown = cli.run("workspace", "push", "a", agent="ann")
    assert unknown.code == 2
    assert "--to NAME" in unknown.err
    workspace(cli, "create", "site")
    workspace(cli, "push", "a", "--to", "site")
    workspace(cli, "push", "a")
    workspace(cli, "create", "other")
    assert cli.run("workspace", "push", "a", "--to", "other", agent="ann").code == 2
    assert cli.run("workspace", "pull", "a", "--from", "other").code == 2
    workspace(cli, "push", "a", "--to", "other", "--force")
    assert "belongs to other" in workspace(cli, "status", "a").out
    assert cli.run("workspace", "status", "a", "--project", "elsewhere").code == 2
    assert cli.run("workspace", "pull", "nowhere").code == 2


def test_a_push_that_was_killed_goes_on_where_it_was(cli: Cli) -> None:
    a = fill(cli.cwd / "a", {f"large-{number}": os.urandom(6 * MIB) for number in range(12)})
    workspace(cli, "create", "site")
    blobs = cli.file("blobs").parent / "blobs"
    with cli.start("workspace", "push", "a", "--to", "site", agent="ann") as process:
        _until(lambda: len(_parts(blobs)) >= 3, process)
        process.send_signal(signal.SIGKILL)
    killed = _parts(blobs)
    assert 3 <= len(killed) < 12 * 2
    assert cli.json("workspace", "show", "site")["workspace"]["files"] == 0
    workspace(cli, "push", "a", "--to", "site")
    after = _parts(blobs)
    assert killed.items() <= after.items(), "something was sent again"
    workspace(cli, "pull", "b", "--from", "site")
    assert held(cli.cwd / "b") == held(a)


def test_a_pull_that_was_killed_leaves_nothing_half_in_place_and_goes_on(cli: Cli) -> None:
    a = fill(cli.cwd / "a", {f"large-{number}": os.urandom(6 * MIB) for number in range(12)})
    workspace(cli, "create", "site", "--from", "a")
    mine: dict[str, bytes | str | None] = {"mine": b"mine"}
    for folder, there in (("b", {}), ("c", mine)):
        if there:
            fill(cli.cwd / folder, there)
        with cli.start("workspace", "pull", folder, "--from", "site") as process:
            _until(lambda: sum(one.stat().st_size for one in cli.cwd.rglob("*windlass-part/large-*")) > 20 * MIB, process)
            process.send_signal(signal.SIGKILL)
        assert list(cli.cwd.rglob("*windlass-part"))
        assert {path: content for path, content in held(cli.cwd).items() if path.startswith(f"{folder}/l")} == {}
        workspace(cli, "pull", folder, "--from", "site")
        assert held(cli.cwd / folder) == {**held(a), **there}
        assert not list(cli.cwd.rglob("*windlass-part"))


def _parts(blobs: Path) -> dict[str, int]:
    """When each whole object was written."""
    return {str(one): one.stat().st_mtime_ns for one in blobs.rglob("*=") if one.is_file()} if blobs.exists() else {}


def _until(condition: Any, process: Any) -> None:
    """Come back as soon as it holds; the process must not end before."""
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "it was too fast to be killed"
        assert time.monotonic() < until
        os.sched_yield()
