"""Who acts: the order of the sources, and that two agents are never one and one agent never two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windlass.config import bind_agent, bound_agent, machine_id, remember_store, store_facts, unbind_agent
from windlass.config.who import SESSIONS, from_session
from windlass.errors import UsageError, WindlassError

if TYPE_CHECKING:
    from .conftest import Git, Settle

CLAUDE = "0f3c9a1e-1111-4222-8333-444455556666"


def test_the_order_of_the_sources(repository: Path, settled: Settle) -> None:
    state = settled(repository).state_dir
    bind_agent(state, str(repository), "bound")
    found = settled(repository, {"agent": "flag"}, WINDLASS_AGENT="variable", CLAUDE_CODE_SESSION_ID=CLAUDE)
    assert (found.agent, found.agent_why) == ("flag", "--agent")
    found = settled(repository, WINDLASS_AGENT="variable", CLAUDE_CODE_SESSION_ID=CLAUDE)
    assert (found.agent, found.agent_why) == ("variable", "WINDLASS_AGENT")
    found = settled(repository, WINDLASS_AGENT="", CLAUDE_CODE_SESSION_ID=CLAUDE)
    assert (found.agent, found.agent_why) == ("claude-0f3c9a1e", "CLAUDE_CODE_SESSION_ID")
    found = settled(repository, WINDLASS_AGENT="")
    assert (found.agent, found.agent_why) == ("bound", f"bound to {repository}")


def test_an_empty_flag_is_a_mistake_and_not_somebody_else(repository: Path, settled: Settle) -> None:
    for flag in ("agent", "store", "project"):
        with pytest.raises(UsageError, match=f"--{flag} is empty"):
            settled(repository, {flag: ""})


@pytest.mark.parametrize(("tool", "variable"), [(tool, variable) for tool, variables in SESSIONS for variable in variables])
def test_each_session_is_one_agent_and_two_sessions_are_two(tool: str, variable: str) -> None:
    name, why = from_session({variable: "session-1"})
    assert name
    assert name.startswith(f"{tool}-")
    assert why == variable
    assert from_session({variable: "session-1"}) == (name, why)
    assert from_session({variable: "session-2"})[0] != name


def test_sessions_whose_ids_begin_with_the_same_clock_are_told_apart() -> None:
    one, two = (f"019a9b2c-5d6e-7f01-8a2b-{tail}" for tail in ("000000000001", "000000000002"))
    assert from_session({"CODEX_THREAD_ID": one})[0] != from_session({"CODEX_THREAD_ID": two})[0]


def test_a_tool_started_by_another_one_is_not_taken_for_it() -> None:
    outer = from_session({"CLAUDE_CODE_SESSION_ID": CLAUDE})[0]
    inner = from_session({"CLAUDE_CODE_SESSION_ID": CLAUDE, "CODEX_THREAD_ID": "t1"})[0]
    sibling = from_session({"CLAUDE_CODE_SESSION_ID": CLAUDE, "CODEX_THREAD_ID": "t2"})[0]
    assert len({outer, inner, sibling}) == 3


def test_a_binding_holds_for_its_worktree_only(repository: Path, settled: Settle, git: Git) -> None:
    nested = repository / "trees" / "w"
    git(repository, "worktree", "add", "-q", str(nested))
    (repository / "deep").mkdir()
    state = settled(repository).state_dir
    bind_agent(state, str(repository), "lead")
    assert settled(repository / "deep", WINDLASS_AGENT="").agent == "lead"
    assert settled(nested, WINDLASS_AGENT="").agent != "lead"
    bind_agent(state, str(nested), "helper")
    assert settled(nested, WINDLASS_AGENT="").agent == "helper"
    unbind_agent(state, str(repository))
    assert settled(repository, WINDLASS_AGENT="").agent != "lead"
    assert bound_agent(state, str(repository)) is None


def test_outside_git_a_binding_holds_below_its_folder(tmp_path: Path, settled: Settle) -> None:
    deep = tmp_path / "work" / "deep"
    deep.mkdir(parents=True)
    found = settled(deep.parent)
    bind_agent(found.state_dir, found.binding_folder, "solo")
    assert settled(deep, WINDLASS_AGENT="").agent == "solo"
    assert settled(tmp_path, WINDLASS_AGENT="").agent != "solo"


def test_a_binding_is_kept_privately_and_not_in_the_repository(repository: Path, settled: Settle, git: Git) -> None:
    state = Path(settled(repository).state_dir)
    bind_agent(str(state), str(repository), "lead")
    assert git(repository, "status", "--porcelain", "--ignored") == ""
    (record,) = (state / "bindings").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    record.write_text("[]")
    assert bound_agent(str(state), str(repository)) is None


def test_what_cannot_be_remembered_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no home directory"):
        bind_agent("", str(tmp_path), "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(WindlassError, match="cannot write"):
        bind_agent(str(tmp_path / "file"), str(tmp_path), "x")


def test_the_incarnation_is_believed_only_for_the_agent_that_run_named(repository: Path, settled: Settle) -> None:
    assert settled(repository, WINDLASS_INCARNATION="7").incarnation == 7
    assert settled(repository, {"agent": "other"}, WINDLASS_INCARNATION="7").incarnation is None
    assert settled(repository, WINDLASS_AGENT="", CODEX_THREAD_ID="t", WINDLASS_INCARNATION="7").incarnation is None
    assert settled(repository).incarnation is None
    for bad in ("x", "-1", "1.5", "９", "9" * 40):
        with pytest.raises(UsageError, match="WINDLASS_INCARNATION"):
            settled(repository, WINDLASS_INCARNATION=bad)


@pytest.mark.parametrize("lease", ["x", "0", "-1", "inf", "nan"])
def test_a_lease_is_a_number_of_seconds(lease: str, repository: Path, settled: Settle) -> None:
    assert settled(repository, WINDLASS_LEASE="1.5").lease == 1.5
    with pytest.raises(UsageError, match="WINDLASS_LEASE"):
        settled(repository, WINDLASS_LEASE=lease)


def test_facts_about_a_store_are_remembered_by_its_url(repository: Path, settled: Settle) -> None:
    url = "s3://team/x?etag=odd"
    state = settled(repository).state_dir
    assert store_facts(state, url) == {}
    remember_store(state, url, {"etag": "unquoted"})
    remember_store(state, url, {"unsafe_accepted": True})
    assert store_facts(state, url) == {"etag": "unquoted", "unsafe_accepted": True}
    assert settled(repository, {"store": url}).options == {"etag": "unquoted", "unsafe_accepted": True}
    assert settled(repository, {"store": "s3://other"}).options == {}


def test_the_machine_has_one_id() -> None:
    assert machine_id() == machine_id()
    assert len(machine_id()) == 16
