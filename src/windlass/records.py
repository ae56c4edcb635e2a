"""What the methods of a project return, for annotations: `from windlass.records import Claimed`. Names load when they are used.

All are frozen; `record.but(field=…)` gives a changed copy. Times are seconds since 1970, lengths of time are seconds.
"""

from __future__ import annotations

import enum  # noqa: F401 (so that the states are real enumerations in every program)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.ops.agents import Me
    from windlass.ops.artifacts import ArtifactListed, Uploaded
    from windlass.ops.gc import Swept, Uploading
    from windlass.ops.graph import Graph
    from windlass.ops.lineage import Checked, Flaw, Lineage
    from windlass.ops.mail import Inbox, Posted, Receipt
    from windlass.ops.memory import Listed
    from windlass.ops.merging import Joined
    from windlass.ops.plans import Applied
    from windlass.ops.registers import Version
    from windlass.ops.status import Overview, Seen, Standing
    from windlass.ops.steps import Changed, Claimed, Waited
    from windlass.ops.survey import Survey
    from windlass.ops.timeline import Event, View
    from windlass.ops.trees import Difference
    from windlass.ops.workspaces import WorkspaceChanged, WorkspaceListed
    from windlass.project.artifacts import Downloaded
    from windlass.project.claims import AsyncClaim, Claim
    from windlass.project.syncing import FolderStatus, Pulled, Pushed
    from windlass.project.workspaces import AsyncForks, AsyncWorkspaceHandle, Forks, WorkspaceHandle
    from windlass.protocol.agents import Keeper
    from windlass.protocol.artifacts import Published, Ref
    from windlass.protocol.mail import Mail, Message
    from windlass.protocol.memory import Memory
    from windlass.protocol.steps import Definition, Git, Handoff, Status, Step, Transition
    from windlass.protocol.survey import Brief
    from windlass.protocol.workspaces import Checkpoint, Root, Workspace

__all__ = [
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

_HOMES = {
    "windlass.ops.agents": ("Me",),
    "windlass.ops.artifacts": ("ArtifactListed", "Uploaded"),
    "windlass.ops.gc": ("Swept", "Uploading"),
    "windlass.ops.graph": ("Graph",),
    "windlass.ops.lineage": ("Checked", "Flaw", "Lineage"),
    "windlass.ops.mail": ("Inbox", "Posted", "Receipt"),
    "windlass.ops.memory": ("Listed",),
    "windlass.ops.merging": ("Joined",),
    "windlass.ops.plans": ("Applied",),
    "windlass.ops.registers": ("Version",),
    "windlass.ops.status": ("Overview", "Seen", "Standing"),
    "windlass.ops.steps": ("Changed", "Claimed", "Waited"),
    "windlass.ops.survey": ("Survey",),
    "windlass.ops.timeline": ("Event", "View"),
    "windlass.ops.trees": ("Difference",),
    "windlass.ops.workspaces": ("WorkspaceChanged", "WorkspaceListed"),
    "windlass.project.artifacts": ("Downloaded",),
    "windlass.project.claims": ("AsyncClaim", "Claim"),
    "windlass.project.syncing": ("FolderStatus", "Pulled", "Pushed"),
    "windlass.project.workspaces": (
        "AsyncForks",
        "AsyncWorkspaceHandle",
        "Forks",
        "WorkspaceHandle",
    ),
    "windlass.protocol.agents": ("Keeper",),
    "windlass.protocol.artifacts": ("Published", "Ref"),
    "windlass.protocol.mail": ("Mail", "Message"),
    "windlass.protocol.memory": ("Memory",),
    "windlass.protocol.steps": ("Definition", "Git", "Handoff", "Status", "Step", "Transition"),
    "windlass.protocol.survey": ("Brief",),
    "windlass.protocol.workspaces": ("Checkpoint", "Root", "Workspace"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(home), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
