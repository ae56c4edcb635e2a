"""The plan of a project: apply, export."""

from __future__ import annotations

from windlass.ops import graph, plans
from windlass.project.calls import Awaiting, Blocking, acting, looking
from windlass.protocol.plans import build, exported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.plans import Applied


def _apply(actor: Actor, plan: dict[str, Any] | str) -> Op[Applied]:
    """Apply a plan given as data or as YAML or JSON text; applying it again changes only what differs. Raises UsageError."""
    if isinstance(plan, str):
        from windlass.project.planfile import parse

        plan = parse(plan)
    return (yield from plans.apply(actor, build(plan)))


def _export() -> Op[dict[str, Any]]:
    """Every step's definition, as data that `apply` takes."""
    return exported((yield from plans.definitions()))


class _Calls:
    apply = acting(_apply)
    export = looking(_export)
    graph = looking(graph.graph)


class PlanPart(_Calls, Blocking):
    """`project.plan`, blocking."""


class AsyncPlanPart(_Calls, Awaiting):
    """`project.plan`, for async programs."""
