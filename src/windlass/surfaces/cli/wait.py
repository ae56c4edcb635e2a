"""wait-for."""

from __future__ import annotations

from windlass.errors import TimedOut, Unmet
from windlass.surfaces.cli.arguments import SHOWN, seconds
from windlass.surfaces.cli.columns import columns, more
from windlass.surfaces.cli.context import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from windlass.surfaces.cli.context import Context

TIMEOUT = 300.0


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("steps", metavar="STEP", nargs="+", help="also one that does not exist yet")
    parser.add_argument("--any", action="store_true", help="until one of them is complete, not all")
    parser.add_argument("--timeout", type=seconds, default=TIMEOUT, metavar="S", help=f"seconds to wait at most (default {TIMEOUT:g})")


def _wait(context: Context, args: Namespace) -> int:
    out = context.out
    names = list(dict.fromkeys(args.steps))
    context.tell = lambda step: out.note(step.what)  # what a wait remarks on concerns whoever started it
    out.progress(f"waiting for {', '.join(names)}")
    try:
        waited = context.project.steps.wait_for(names, any_=args.any, timeout=args.timeout)
    except (TimedOut, Unmet) as error:
        _say_states(context, error.details.get("steps"))
        raise
    states = {name: step.status.value if step else "missing" for name, step in waited.steps.items()}
    complete = [name for name, state in states.items() if state == "complete"]
    out.data({"steps": states, "complete": complete, "waited": waited.waited})
    shown = ", ".join(complete[:SHOWN])
    out.text(f"complete: {shown}")
    more(out, len(complete) - SHOWN, "are complete", "windlass step list --state complete")
    if len(complete) == 1:
        out.text(f"  what it left for you: windlass handoff {complete[0]}")
    return 0


def _say_states(context: Context, states: Any) -> None:
    """The state of each thing waited for, those that are not complete first."""
    if isinstance(states, dict):
        rows = sorted(states.items(), key=lambda item: item[1] == "complete")
        columns(context.out, (), [(name, state, "") for name, state in rows[:SHOWN]])
        more(context.out, len(rows) - SHOWN, "steps", "windlass step list --all")


COMMANDS = {
    "wait-for": Command(
        options=_options,
        run=_wait,
        examples="  windlass wait-for design\n  windlass wait-for design schema --timeout 100\n  windlass wait-for review-a review-b --any",
    ),
}
