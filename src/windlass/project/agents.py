"""The agents of a project."""

from __future__ import annotations

from windlass.ops import agents, mail, status
from windlass.project.calls import Awaiting, Blocking, acting, looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me


def _beat(actor: Actor) -> Op[Me]:
    """Refresh presence now. Raises Fenced, Moved, StoreError."""
    return (yield from agents.act(actor, renew=True))


def _start(actor: Actor) -> Op[Me]:
    """Take a new incarnation: it fences the ones before, and has their claims for the asking."""
    return (yield from agents.start_new(actor))


def _end(actor: Actor, incarnation: int) -> Op[None]:
    """End an incarnation."""
    yield from agents.end(actor, incarnation)


class _Calls:
    list = looking(status.agents)
    names = looking(mail.agent_names)
    act = acting(agents.act)
    beat = acting(_beat)
    start = acting(_start)
    end = acting(_end)


class AgentsPart(_Calls, Blocking):
    """`project.agents`, blocking."""


class AsyncAgentsPart(_Calls, Awaiting):
    """`project.agents`, for async programs."""
