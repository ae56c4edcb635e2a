"""whoami, status, agents."""

from __future__ import annotations

import sys

from windlass.errors import Unavailable, UsageError, shell_word
from windlass.record import plain
from windlass.surfaces.cli.arguments import SHOWN, seconds
from windlass.surfaces.cli.columns import WIDTH, columns, more
from windlass.surfaces.cli.context import Command
from windlass.surfaces.cli.screen import NAME, age_of, agent_data, cut, draw, joined, overview_data, present
from windlass.surfaces.present import duration, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.ops.status import Overview, Standing
    from windlass.surfaces.cli.context import Context
    from windlass.surfaces.present import Piece

WATCH = 5.0
"""Seconds between looks."""


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
        out.text(styled(f"this project moved to {shell_word(standing.moved_to)}", "yellow"))
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
        out.text(f"review   {joined(standing.review, WIDTH - 9)}")
    out.text(f"ready    {standing.ready:,} step{'' if standing.ready == 1 else 's'}")
    out.text(styled(f"then     {then}", "dim"))


def _advice(standing: Standing) -> str:
    """What to do next, as one command."""
    if standing.moved_to is not None:
        return f"export WINDLASS_STORE={shell_word(standing.moved_to)}"
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
        context.out.data(overview_data(overview, context.project.store, settings.agent, unsafe))
    else:
        draw(context.out, overview, context.project.store, settings.agent, unsafe)


def _agents_options(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"all of them, not just {SHOWN}")


def _agents(context: Context, args: Namespace) -> int:
    found = context.project.agents.list()
    here = present(found)
    known = {one.agent for one in here}
    everybody = [*here, *sorted((one for one in found if one.agent not in known), key=lambda one: (age_of(one), one.agent))]
    shown = everybody if args.all else everybody[:SHOWN]
    out = context.out
    out.data({"agents": [agent_data(one) for one in shown], "more": len(shown) < len(everybody)})
    if not everybody:
        out.text("nobody has acted here yet")
        return 0
    rows = []
    for one in shown:
        fresh = "no sign" if one.age is None else duration(one.age) + ("" if one.active else ", gone")
        holds = [f"{name} (lease ran out)" if name in one.ran_out else name for name in one.holds]
        name, host = cut(one.agent, NAME).rstrip(), cut(one.host, 14).rstrip()
        rows.append((name, one.incarnation, fresh, one.keeper.value, host, joined(holds, 40)))
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
