"""What the methods of a project return, for annotations: `from windlass.records import Claimed`. Names load when they are used.

All are frozen; `record.but(field=…)` gives a changed copy. Times are seconds since 1970, lengths of time are seconds.
"""

from __future__ import annotations

import enum  # noqa: F401 (so that the states are real enumerations in every program)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.ops.agents import Me
    from windlass.ops.graph import Graph
    from windlass.ops.mail import Inbox, Posted, Receipt
    from windlass.ops.memory import Listed
    from windlass.ops.plans import Applied
    from windlass.ops.registers import Version
    from windlass.ops.status import Overview, Seen, Standing
    from windlass.ops.steps import Changed, Claimed, Waited
    from windlass.ops.survey import Survey
    from windlass.ops.timeline import Event, View
    from windlass.project.claims import AsyncClaim, Claim
    from windlass.protocol.agents import Keeper
    from windlass.protocol.mail import Mail, Message
    from windlass.protocol.memory import Memory
    from windlass.protocol.steps import Definition, Git, Handoff, Status, Step, Transition
    from windlass.protocol.survey import Brief

__all__ = [
    "Applied",
    "AsyncClaim",
    "Brief",
    "Changed",
    "Claim",
    "Claimed",
    "Definition",
    "Event",
    "Git",
    "Graph",
    "Handoff",
    "Inbox",
    "Keeper",
    "Listed",
    "Mail",
    "Me",
    "Memory",
    "Message",
    "Overview",
    "Posted",
    "Receipt",
    "Seen",
    "Standing",
    "Status",
    "Step",
    "Survey",
    "Transition",
    "Version",
    "View",
    "Waited",
]

_HOMES = {
    "windlass.ops.agents": ("Me",),
    "windlass.ops.graph": ("Graph",),
    "windlass.ops.mail": ("Inbox", "Posted", "Receipt"),
    "windlass.ops.memory": ("Listed",),
    "windlass.ops.plans": ("Applied",),
    "windlass.ops.registers": ("Version",),
    "windlass.ops.status": ("Overview", "Seen", "Standing"),
    "windlass.ops.steps": ("Changed", "Claimed", "Waited"),
    "windlass.ops.survey": ("Survey",),
    "windlass.ops.timeline": ("Event", "View"),
    "windlass.project.claims": ("AsyncClaim", "Claim"),
    "windlass.protocol.agents": ("Keeper",),
    "windlass.protocol.mail": ("Mail", "Message"),
    "windlass.protocol.memory": ("Memory",),
    "windlass.protocol.steps": ("Definition", "Git", "Handoff", "Status", "Step", "Transition"),
    "windlass.protocol.survey": ("Brief",),
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
