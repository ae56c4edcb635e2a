"""whoami, status, agents."""

from __future__ import annotations

import sys

from windlass.errors import Unavailable, UsageError
from windlass.record import plain
from windlass.surfaces.cli.arguments import SHOWN, seconds
from windlass.surfaces.cli.columns import STATE_STYLES, WIDTH, columns, more
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import clean, duration, one_line, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Sequence
    from typing import Any

    from windlass.ops.status import Overview, Seen, Standing
    from windlass.ops.survey import Brief
    from windlass.surfaces.cli.context import Context
    from windlass.surfaces.present import Output, Piece

LINES = 5
"""Lines of each list on the one screen."""
WATCH = 5.0
"""Seconds between looks."""
BAR = 30
BAR_STATES = (("complete", "█", "green"), ("needs_review", "▓", "yellow"), ("in_progress", "▒", "cyan"))
NAME = 24
"""Characters of a name in a column."""


def _no_options(parser: ArgumentParser) -> None:
    """Those that every command has are enough."""


def _whoami(context: Context, args: Namespace) -> int:
    assert context.agent
    settings, standing = context.settle(), context.project.whoami()
    then = _advice(standing)
    context.out.data(
        {
            "agent": standing.agent,
            "agent_why": settings.agent_why,
            "incarnation": standing.incarnation,
            "ended": standing.ended,
            "host": standing.host,
            "kept_by": plain(standing.keeper),
            "age": standing.age,
            "project": settings.project,
            "project_why": settings.project_why,
            "store": context.project.store,
            "store_why": settings.store_why,
            "holds": [
                {
                    "step": one.name,
                    "title": one.title,
                    "epoch": one.epoch,
                    "incarnation": one.incarnation,
                    "lease": one.lease,
                    "left": standing.left[one.name],
                    "ran_out": one.name in standing.ran_out,
                }
                for one in standing.holds
            ],
            "unread": standing.unread,
            "review": list(standing.review),
            "ready": standing.ready,
            "moved_to": standing.moved_to,
            "next": then,
        }
    )
    if not context.out.as_json:
        _show_standing(context, standing, then)
    return 0


def _show_standing(context: Context, standing: Standing, then: str) -> None:
    out, settings = context.out, context.settle()
    if standing.moved_to is not None:
        out.text(styled(f"this project moved to {standing.moved_to}", "yellow"))
    life = "no incarnation yet: the first command that acts takes one"
    if standing.incarnation is not None:
        fresh = "left no sign of life" if standing.age is None else f"last sign of life {duration(standing.age)} ago"
        over = ", ended: the next command that acts takes another" if standing.ended else ""
        kept = f", kept by {standing.keeper.value}" if standing.keeper else ""
        life = f"incarnation {standing.incarnation}{kept}, {fresh}{over}"
    out.text("agent    ", styled(standing.agent, "bold"), f"  ({settings.agent_why})")
    out.text(f"         {life}")
    out.text(f"project  {settings.project}  ({settings.project_why})")
    out.text(f"store    {context.project.store}  ({settings.store_why})")
    for number, one in enumerate(standing.holds[:SHOWN]):
        left = standing.left[one.name]
        if one.name in standing.ran_out:
            lease: Piece = styled("lease ran out: anybody may take it over", "red")
        else:
            lease = f"{duration(left)} left of a lease of {duration(one.lease)}"
        older = f", claimed by incarnation {one.incarnation}" if one.incarnation != standing.incarnation else ""
        out.text("holds    " if number == 0 else "         ", styled(one.name, "bold"), f"  epoch {one.epoch}, ", lease, older)
    more(out, len(standing.holds) - SHOWN, "claims", "windlass step list --state in_progress")
    if not standing.holds:
        out.text("holds    nothing")
    out.text(f"mail     {standing.unread} unread" if standing.unread else "mail     nothing new")
    if standing.review:
        out.text(f"review   {_joined(standing.review, WIDTH - 9)}")
    out.text(f"ready    {standing.ready:,} step{'' if standing.ready == 1 else 's'}")
    out.text(styled(f"then     {then}", "dim"))


def _advice(standing: Standing) -> str:
    """What to do next, as one command."""
    if standing.moved_to is not None:
        return f"export WINDLASS_STORE='{standing.moved_to}'"
    lost = [one for one in standing.holds if one.name in standing.ran_out]
    if lost:
        return f"windlass claim {lost[0].name}"
    if standing.unread:
        return "windlass inbox --new"
    if standing.holds:
        return f'windlass complete {standing.holds[0].name} --note "…"'
    if standing.review:
        return f"windlass step show {standing.review[0]}"
    return "windlass next" if standing.ready else "windlass inbox --new --wait 100"


def _status_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=WATCH,
        metavar="SECONDS",
        help=f"look again every so often (default {WATCH:g}), until Ctrl-C",
    )


def _status(context: Context, args: Namespace) -> int:
    if args.watch is None:
        _show_overview(context, context.project.status())
        return 0
    if not context.out.as_json and not sys.stdout.isatty():
        raise UsageError("--watch redraws a terminal, and this is none", "leave it out, or add --json for a line each time")
    while True:
        try:
            overview = context.project.status()
        except Unavailable as error:  # a watch outlives a network that does not
            context.out.note(f"windlass: {error.message}")
        else:
            if not context.out.as_json:
                sys.stdout.write("\x1b[H\x1b[2J")
            _show_overview(context, overview)
            sys.stdout.flush()
        context.project.views.pause(max(0.5, args.watch))


def _show_overview(context: Context, overview: Overview) -> None:
    settings = context.settle()
    from windlass.config import store_facts

    unsafe = bool(store_facts(settings.state_dir, settings.store).get("unsafe_accepted"))
    if context.out.as_json:
        context.out.data(_overview_data(context, overview, unsafe))
    else:
        _draw(context.out, overview, context.project.store, settings.agent, unsafe)


def _overview_data(context: Context, overview: Overview, unsafe: bool) -> dict[str, Any]:
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
        "agents": [_agent_data(one) for one in _present(overview.agents)],
    }
    return {
        "project": overview.project,
        "store": context.project.store,
        "agent": context.settle().agent,
        "now": overview.now,
        "moved_to": overview.moved_to,
        "unsafe_accepted": unsafe,
        "unread": overview.unread,
        "counts": {"all": len(steps), "ready": len(overview.ready), **overview.counts},
        "agents_gone": len(overview.agents) - len(lists["agents"]),
        **{name: rows[:SHOWN] for name, rows in lists.items()},
        "more": {name: len(rows) - SHOWN for name, rows in lists.items() if len(rows) > SHOWN},
    }


def _agent_data(one: Seen) -> dict[str, Any]:
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


def _present(agents: Iterable[Seen]) -> list[Seen]:
    """Those that are active or hold something: the busy first, then the freshest."""
    here = [one for one in agents if one.active or one.holds]
    return sorted(here, key=lambda one: (not one.ran_out, not one.holds, _age(one), one.agent))


def _age(one: Seen) -> float:
    return float("inf") if one.age is None else one.age


def _ran_out(overview: Overview) -> set[str]:
    return {name for one in overview.agents for name in one.ran_out}


def _in_progress(overview: Overview) -> list[Brief]:
    """Claims that ran out first, then the longest held."""
    lost = _ran_out(overview)
    held = [one for one in overview.survey.steps.values() if one.status.value == "in_progress"]
    return sorted(held, key=lambda one: (one.name not in lost, one.modified, one.name))


def _draw(out: Output, overview: Overview, store: str, agent: str | None, unsafe: bool) -> None:
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
            out.text(styled(f"{title:<10}", STATE_STYLES[state]), number, _joined(by_state[state], WIDTH - 10 - len(number)))
    if overview.stale:
        built = [f"{name} (on {', '.join(needs)})" for name, needs in overview.stale.items()]
        out.text(styled(f"{'stale':<10}", "yellow"), _joined(built, WIDTH - 22), ": reopened")
    if overview.survey.damaged:
        out.text(styled(f"{'damaged':<10}", "red"), _joined(list(overview.survey.damaged), WIDTH - 10))
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
    here = _present(agents)
    gone = len(agents) - len(here)
    if not agents:
        out.text(f"{'agents':<10}none yet")
        return
    folded = f"  +{gone} gone" if gone else ""
    rest = f"  (windlass agents shows {len(here) - LINES} more)" if len(here) > LINES else ""
    out.text(f"{'agents':<10}{sum(one.active for one in here)} active{folded}", styled(rest, "dim"))
    for one in here[:LINES]:
        fresh = "no sign" if one.age is None else duration(one.age)
        on = f"on {_joined(one.holds, 24)}" if one.holds else "idle"
        lost: Piece = styled("  lease ran out", "red") if one.ran_out else ""
        out.text(f"  {_cut(one.agent, NAME - 4)}{fresh:>7}  {one.keeper.value:<9} {on}", lost)


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
        who = _cut(one.agent, 14) + "  " if what else one.agent
        out.text(f"  {_cut(one.name, NAME - 4)}{how_long:>7}  {who}", what)


def _draw_ready(out: Output, overview: Overview) -> None:
    ready = overview.ready
    if not ready:
        return
    rest = f"  (the best {LINES})" if len(ready) > LINES else ""
    out.text(styled("ready", "bold"), f" {len(ready):,}", styled(rest, "dim"))
    for one in ready[:LINES]:
        priority = f"p{one.priority}" if one.priority else ""
        out.text(f"  {_cut(one.name, NAME - 4)}{priority:>7}  {one_line(one.title, WIDTH - NAME - 8)}")


def _cut(text: str, width: int) -> str:
    text = clean(text)
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)


def _middle(text: str, width: int) -> str:
    """Cut in the middle: of a place, both ends tell most."""
    text = clean(text)
    width = max(12, width)
    return text if len(text) <= width else f"{text[: width // 3]}…{text[len(text) - (width - width // 3 - 1) :]}"


def _joined(names: Sequence[str], width: int) -> str:
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


def _agents_options(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"all of them, not just {SHOWN}")


def _agents(context: Context, args: Namespace) -> int:
    found = context.project.agents.list()
    here = _present(found)
    known = {one.agent for one in here}
    everybody = [*here, *sorted((one for one in found if one.agent not in known), key=lambda one: (_age(one), one.agent))]
    shown = everybody if args.all else everybody[:SHOWN]
    out = context.out
    out.data({"agents": [_agent_data(one) for one in shown], "more": len(shown) < len(everybody)})
    if not everybody:
        out.text("nobody has acted here yet")
        return 0
    rows = []
    for one in shown:
        fresh = "no sign" if one.age is None else duration(one.age) + ("" if one.active else ", gone")
        holds = [f"{name} (lease ran out)" if name in one.ran_out else name for name in one.holds]
        name, host = _cut(one.agent, NAME).rstrip(), _cut(one.host, 14).rstrip()
        rows.append((name, one.incarnation, fresh, one.keeper.value, host, _joined(holds, 40)))
    columns(out, ("agent", "life", "last sign", "kept by", "host", "holds"), rows)
    more(out, len(everybody) - len(shown), "agents", "windlass agents --all")
    return 0


COMMANDS = {
    "whoami": Command(options=_no_options, run=_whoami, examples="  windlass whoami\n  windlass whoami --agent designer --json"),
    "status": Command(
        options=_status_options, run=_status, examples="  windlass status\n  windlass status --watch 2\n  windlass status --json"
    ),
    "agents": Command(options=_agents_options, run=_agents, examples="  windlass agents\n  windlass agents --all --json"),
}
