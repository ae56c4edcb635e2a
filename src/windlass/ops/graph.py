"""Steps in the order of their needs: by levels, with whatever goes in a circle."""

from __future__ import annotations

from windlass.ops.survey import survey
from windlass.protocol.plans import find_cycle
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from windlass.effects import Op
    from windlass.ops.survey import Survey
    from windlass.protocol.survey import Brief

MOST_CIRCLES = 10


class Graph(Record):
    """`levels`: steps that need nothing, then those that need only these, and so on; `stuck` ones are in a circle or wait for one."""

    levels: tuple[tuple[Brief, ...], ...]
    stuck: tuple[Brief, ...] = ()
    circles: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()
    """Needs that are no steps."""
    damaged: Mapping[str, str] = {}


def graph() -> Op[Graph]:
    """The graph of all steps as they are now."""
    return arrange((yield from survey()))


def arrange(found: Survey) -> Graph:
    """A survey by levels."""
    steps = found.steps
    waiting = {name: {need for need in step.needs if need in steps} for name, step in steps.items()}
    followers: dict[str, list[str]] = {}
    for name, needs in waiting.items():
        for need in needs:
            followers.setdefault(need, []).append(name)
    levels: list[tuple[Brief, ...]] = []
    ready = [name for name, needs in waiting.items() if not needs]
    while ready:
        levels.append(tuple(steps[name] for name in sorted(ready)))
        later: list[str] = []
        for name in ready:
            del waiting[name]
            for follower in followers.get(name, ()):
                waiting[follower].discard(name)
                if not waiting[follower]:
                    later.append(follower)
        ready = later
    return Graph(
        levels=tuple(levels),
        stuck=tuple(steps[name] for name in sorted(waiting)),
        circles=_circles(waiting),
        missing=tuple(sorted({need for step in steps.values() for need in step.needs} - steps.keys())),
        damaged=found.damaged,
    )


def _circles(waiting: Mapping[str, set[str]]) -> tuple[tuple[str, ...], ...]:
    """Some circles that have no step in common."""
    left = {name: tuple(sorted(needs)) for name, needs in sorted(waiting.items())}
    out: list[tuple[str, ...]] = []
    while len(out) < MOST_CIRCLES:
        circle = find_cycle(left)
        if not circle:
            break
        out.append(circle)
        left = {name: needs for name, needs in left.items() if name not in circle}
    return tuple(out)
