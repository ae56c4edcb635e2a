"""What a user may import is a list, and it loads when it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import windlass
from windlass import errors, records

PUBLIC = [
    "AccessDenied",
    "ClaimLost",
    "Conflicting",
    "Damaged",
    "Fenced",
    "FormatTooNew",
    "Indeterminate",
    "Lost",
    "Moved",
    "NotFound",
    "NothingLeft",
    "NothingReady",
    "Project",
    "StoreError",
    "StoreFull",
    "StoreMissing",
    "StoreReadOnly",
    "TimedOut",
    "Unavailable",
    "Unidentified",
    "Unmet",
    "Unsafe",
    "UsageError",
    "VersionMoved",
    "WindlassError",
    "aio",
    "open",
    "records",
]

RECORDS = [
    "Applied",
    "ArtifactListed",
    "AsyncClaim",
    "AsyncForks",
    "AsyncWorkspaceHandle",
    "Brief",
    "Changed",
    "Checked",
    "Checkpoint",
    "Claim",
    "Claimed",
    "Definition",
    "Difference",
    "Downloaded",
    "Event",
    "Flaw",
    "FolderStatus",
    "Forks",
    "Git",
    "Graph",
    "Handoff",
    "Inbox",
    "Joined",
    "Keeper",
    "Lineage",
    "Listed",
    "Mail",
    "Me",
    "Memory",
    "Message",
    "Overview",
    "Posted",
    "Published",
    "Pulled",
    "Pushed",
    "Receipt",
    "Ref",
    "Root",
    "Seen",
    "Standing",
    "Status",
    "Step",
    "Survey",
    "Swept",
    "Transition",
    "Uploaded",
    "Uploading",
    "Version",
    "View",
    "Waited",
    "Workspace",
    "WorkspaceChanged",
    "WorkspaceHandle",
    "WorkspaceListed",
]


def test_the_public_names_are_these() -> None:
    assert windlass.__all__ == PUBLIC
    assert records.__all__ == RECORDS
    assert set(dir(windlass)) == {*PUBLIC, "__version__"}
    assert dir(records) == RECORDS
    assert import_module("windlass.aio").__all__ == ["Project", "open"]


@pytest.mark.parametrize("name", PUBLIC)
def test_each_is_there(name: str) -> None:
    assert getattr(windlass, name).__doc__


@pytest.mark.parametrize("name", RECORDS)
def test_each_record_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(records, name).__name__ == name
    assert getattr(records, name).__doc__


def test_every_error_that_reaches_a_user_is_public() -> None:
    found = {one.__name__ for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.WindlassError)}
    assert found <= set(PUBLIC)


@pytest.mark.parametrize("module", [windlass, records])
def test_other_names_are_not_there(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        module.Nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_windlass_loads_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import windlass, windlass.records;"
        "print(*sorted(name for name in set(sys.modules) - before if name.startswith('windlass')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.split() == ["windlass", "windlass.records"]
