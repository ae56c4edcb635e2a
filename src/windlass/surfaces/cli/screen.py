"""The one screen that `status` shows, as text and as data, and how agents are put on it."""

from __future__ import annotations

from windlass.surfaces.cli.arguments import SHOWN
from windlass.surfaces.cli.columns import STATE_STYLES, WIDTH
from windlass.surfaces.present import clean, duration, one_line, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from windlass.ops.status import Overview, Seen
    from windlass.protocol.survey import Brief
    from windlass.surfaces.present import Output, Piece

LINES = 5
"""Lines of each list."""
BAR = 30
BAR_STATES = (("complete", "█", "green"), ("needs_review", "▓", "yellow"), ("in_progress", "▒", "cyan"))
NAME = 24
"""Characters of a name in a column."""


def overview_data(overview: Overview, store: str, agent: str | None, unsafe: bool) -> dict[str, Any]:
    """Bounded, as the screen is: `more` says how much of each list is left."""
    steps = list(overview.survey.steps.values())
    lost = _ran_out(overview)
    lists: dict[str, list[Any]] = {
        "in_progress": [
            {
                "step": one.name,
                "title": one.title,
                "agent": one.agent,
                "epoch": one.epoch,
                "age": max(0.0, overview.now - one.modified),
                "ran_out": one.name in lost,
            }
            for one in _in_progress(overview)
        ],
        "ready": [{"step": one.name, "title": one.title, "priority": one.priority} for one in overview.ready],
        "needs_review": [{"step": one.name, "worker": one.worker} for one in steps if one.status.value == "needs_review"],
        "blocked": [{"step": one.name, "worker": one.worker} for one in steps if one.status.value == "blocked"],
        "failed": [{"step": one.name, "worker": one.worker} for one in steps if one.status.value == "failed"],
        "stale": [{"step": name, "reopened": list(needs)} for name, needs in overview.stale.items()],
        "damaged": [{"key": key, "why": why} for key, why in overview.survey.damaged.items()],
        "agents": [agent_data(one) for one in present(overview.agents)],
    }
    return {
        "project": overview.project,
        "store": store,
        "agent": agent,
        "now": overview.now,
        "moved_to": overview.moved_to,
        "unsafe_accepted": unsafe,
        "unread": overview.unread,
        "counts": {"all": len(steps), "ready": len(overview.ready), **overview.counts},
        "agents_gone": len(overview.agents) - len(lists["agents"]),
        **{name: rows[:SHOWN] for name, rows in lists.items()},
        "more": {name: len(rows) - SHOWN for name, rows in lists.items() if len(rows) > SHOWN},
    }


def agent_data(one: Seen) -> dict[str, Any]:
    """An agent as others see it."""
    return {
        "agent": one.agent,
        "incarnation": one.incarnation,
        "active": one.active,
        "age": one.age,
        "kept_by": one.keeper.value,
        "host": one.host,
        "holds": list(one.holds),
        "ran_out": list(one.ran_out),
    }


def present(agents: Iterable[Seen]) -> list[Seen]:
    """Those that are active or hold something: the busy first, then the freshest."""
    here = [one for one in agents if one.active or one.holds]
    return sorted(here, key=lambda one: (not one.ran_out, not one.holds, age_of(one), one.agent))


def age_of(one: Seen) -> float:
    """Seconds since the last sign of life; endless where there was none."""
    return float("inf") if one.age is None else one.age


def _ran_out(overview: Overview) -> set[str]:
    return {name for one in overview.agents for name in one.ran_out}


def _in_progress(overview: Overview) -> list[Brief]:
    """Claims that ran out first, then the longest held."""
    lost = _ran_out(overview)
    held = [one for one in overview.survey.steps.values() if one.status.value == "in_progress"]
    return sorted(held, key=lambda one: (one.name not in lost, one.modified, one.name))


def draw(out: Output, overview: Overview, store: str, agent: str | None, unsafe: bool) -> None:
    """At most 24 lines of 80 characters, a warning or two more."""
    if overview.moved_to is not None:
        out.text(styled(one_line(f"this project moved to {overview.moved_to}", WIDTH), "yellow"))
    if unsafe:
        out.text(styled("this store failed the doctor and was accepted: claims may have two owners", "red"))
    me = f"  as {agent}" if agent else ""
    out.text(styled(overview.project, "bold"), "  ", _middle(store, WIDTH - len(overview.project) - len(me) - 2), me)
    _draw_counts(out, overview)
    _draw_agents(out, overview.agents)
    _draw_held(out, overview)
    _draw_ready(out, overview)
    by_state: dict[str, list[str]] = {}
    for one in overview.survey.steps.values():
        by_state.setdefault(one.status.value, []).append(one.name)
    for state, title in (("needs_review", "review"), ("blocked", "blocked"), ("failed", "failed")):
        if by_state.get(state):
            number = f"{len(by_state[state]):,}  "
            out.text(styled(f"{title:<10}", STATE_STYLES[state]), number, joined(by_state[state], WIDTH - 10 - len(number)))
    if overview.stale:
        built = [f"{name} (on {', '.join(needs)})" for name, needs in overview.stale.items()]
        out.text(styled(f"{'stale':<10}", "yellow"), joined(built, WIDTH - 22), ": reopened")
    if overview.survey.damaged:
        out.text(styled(f"{'damaged':<10}", "red"), joined(list(overview.survey.damaged), WIDTH - 10))
    if overview.unread:
        out.text(f"{'mail':<10}{overview.unread} unread: windlass inbox --new")


def _draw_counts(out: Output, overview: Overview) -> None:
    total = len(overview.survey.steps)
    if not total:
        out.text("no steps yet: windlass plan apply FILE, or windlass claim STEP")
        return
    counts = overview.counts
    done = counts.get("complete", 0)
    alive = total - counts.get("cancelled", 0)
    bar: list[Piece] = []
    used = 0
    for state, sign, colour in BAR_STATES:
        part = counts.get(state, 0)
        width = min(BAR - used, max(1, round(BAR * part / alive)) if part else 0)
        bar.append(styled(sign * width, colour))
        used += width
    # a bar is full only when all is done
    share = "100" if done == alive else str(min(99, 100 * done // max(1, alive)))
    out.text(f"{'steps':<10}", *bar, styled("░" * (BAR - used), "dim"), f"  {share} % of {alive:,} complete")
    waiting = counts.get("pending", 0) - len(overview.ready)
    words = [
        (len(overview.ready), "ready"),
        (counts.get("in_progress", 0), "in progress"),
        (waiting, "waiting"),
        (counts.get("cancelled", 0), "cancelled"),
    ]
    out.text(" " * 10 + ", ".join(f"{number:,} {word}" for number, word in words if number))


def _draw_agents(out: Output, agents: Sequence[Seen]) -> None:
    here = present(agents)
    gone = len(agents) - len(here)
    if not agents:
        out.text(f"{'agents':<10}none yet")
        return
    folded = f"  +{gone} gone" if gone else ""
    rest = f"  (windlass agents shows {len(here) - LINES} more)" if len(here) > LINES else ""
    out.text(f"{'agents':<10}{sum(one.active for one in here)} active{folded}", styled(rest, "dim"))
    for one in here[:LINES]:
        fresh = "no sign" if one.age is None else duration(one.age)
        on = f"on {joined(one.holds, 24)}" if one.holds else "idle"
        lost: Piece = styled("  lease ran out", "red") if one.ran_out else ""
        out.text(f"  {cut(one.agent, NAME - 4)}{fresh:>7}  {one.keeper.value:<9} {on}", lost)


def _draw_held(out: Output, overview: Overview) -> None:
    held, lost = _in_progress(overview), _ran_out(overview)
    if not held:
        return
    rest = "  (windlass step list --state in_progress shows all)" if len(held) > LINES else ""
    out.text(styled("in progress", "cyan"), f" {len(held):,}", styled(rest, "dim"))
    for one in held[:LINES]:
        how_long = duration(overview.now - one.modified)
        if one.name in lost:
            what: Piece = styled("lease ran out: free to take", "red")
        else:
            what = one_line(one.title, WIDTH - NAME - 23)
        who = cut(one.agent, 14) + "  " if what else one.agent
        out.text(f"  {cut(one.name, NAME - 4)}{how_long:>7}  {who}", what)


def _draw_ready(out: Output, overview: Overview) -> None:
    ready = overview.ready
    if not ready:
        return
    rest = f"  (the best {LINES})" if len(ready) > LINES else ""
    out.text(styled("ready", "bold"), f" {len(ready):,}", styled(rest, "dim"))
    for one in ready[:LINES]:
        priority = f"p{one.priority}" if one.priority else ""
        out.text(f"  {cut(one.name, NAME - 4)}{priority:>7}  {one_line(one.title, WIDTH - NAME - 8)}")


def cut(text: str, width: int) -> str:
    """A name, cut or filled up to a column's width."""
    text = clean(text)
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)


def _middle(text: str, width: int) -> str:
    """Cut in the middle: of a place, both ends tell most."""
    text = clean(text)
    width = max(12, width)
    return text if len(text) <= width else f"{text[: width // 3]}…{text[len(text) - (width - width // 3 - 1) :]}"


def joined(names: Sequence[str], width: int) -> str:
    """Names with commas, as many as fit, and how many are left."""
    shown = ""
    for number, name in enumerate(names):
        left = len(names) - number
        tail = f" +{left - 1}" if left > 1 else ""
        wanted = f"{shown}, {clean(name)}" if shown else clean(name)
        if len(wanted) + len(tail) > width:
            return f"{shown} +{left}" if shown else f"{wanted[: max(1, width - len(tail) - 1)]}…{tail}"
        shown = wanted
    return shown
