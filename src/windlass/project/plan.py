"""The plan of a project: apply, export, graph."""

from __future__ import annotations

from windlass.ops import graph, plans
from windlass.ops.agents import still_here
from windlass.project.calls import Awaiting, Blocking, acting, looking
from windlass.protocol.plans import build, exported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.ops.graph import Graph
    from windlass.ops.plans import Applied


def _apply(actor: Actor, plan: dict[str, Any] | str) -> Op[Applied]:
    """Apply a plan given as data or as YAML or JSON text; applying it again changes only what differs.

    Raises UsageError before anything is written: unknown needs or fields, circles, names and texts that are not possible.
    """
    if isinstance(plan, str):
        from windlass.project.planfile import parse

        plan = parse(plan)
    return (yield from plans.apply(actor, build(plan)))


def _export() -> Op[dict[str, Any]]:
    """Every step's definition, as data that `apply` takes. Raises Moved."""
    yield from still_here()
    return exported((yield from plans.definitions()))


def _graph() -> Op[Graph]:
    """Which step waits for which. Raises Moved."""
    yield from still_here()
    return (yield from graph.graph())


class _Calls:
    apply = acting(_apply, '>>> p.plan.apply({"steps": {"ship": {"needs": ["build"], "priority": 5}}}).added\n(\'ship\',)')
    export = looking(_export, '>>> p.plan.export()["steps"]["build"]["needs"]\n[\'done\']')
    graph = looking(_graph, ">>> p.plan.graph()")


class PlanPart(_Calls, Blocking):
    """`project.plan`, blocking."""


class AsyncPlanPart(_Calls, Awaiting):
    """`project.plan`, for async programs: as `PlanPart`, awaited."""
