"""The agents of a project."""

from __future__ import annotations

from windlass.ops import agents, mail, status
from windlass.project.calls import Awaiting, Blocking, acting, looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.status import Seen


def _list() -> Op[list[Seen]]:
    """Every agent by name: its incarnation, how long ago it gave a sign of life (seconds), what it holds. Raises Moved."""
    yield from agents.still_here()
    return (yield from status.agents())


def _act(actor: Actor) -> Op[Me]:
    """Settle who acts, and refresh presence when that is due. Raises Fenced, Moved, FormatTooNew, StoreError."""
    return (yield from agents.act(actor))


def _beat(actor: Actor) -> Op[Me]:
    """Refresh presence now. Raises Fenced, Moved, StoreError."""
    return (yield from agents.act(actor, renew=True))


def _start(actor: Actor) -> Op[Me]:
    """Take a new incarnation: it fences the ones before, and has their claims for the asking. Raises Moved, StoreError."""
    return (yield from agents.start_new(actor))


def _end(actor: Actor, incarnation: int) -> Op[None]:
    """End an incarnation: the next to act under this name takes a new number. Raises StoreError."""
    yield from agents.end(actor, incarnation)


class _Calls:
    list = looking(_list, ">>> [one.agent for one in p.agents.list()]\n['designer']")
    names = looking(mail.agent_names, ">>> p.agents.names()\n['designer']")
    act = acting(_act, ">>> p.agents.act().incarnation\n1")
    beat = acting(_beat, ">>> p.agents.beat().incarnation\n1")
    start = acting(_start, ">>> p.agents.start().incarnation\n2")
    end = acting(_end, ">>> p.agents.end(1)")


class AgentsPart(_Calls, Blocking):
    """`project.agents`, blocking."""


class AsyncAgentsPart(_Calls, Awaiting):
    """`project.agents`, for async programs: as `AgentsPart`, awaited."""
