"""approve, reject, step cancel, step reopen."""

from __future__ import annotations

from windlass.errors import UsageError
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.ops.steps import Changed
    from windlass.surfaces.cli.context import Context


def _approve_options(parser: ArgumentParser) -> None:
    _options(parser, "what you found")
    parser.add_argument("--force", action="store_true", help="also your own work, on record")


def _options(parser: ArgumentParser, note: str = "why") -> None:
    parser.add_argument("step", metavar="STEP")
    parser.add_argument("--note", default="", metavar="TEXT", help=note)


def _reject_options(parser: ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP")
    parser.add_argument("--note", required=True, metavar="TEXT", help="what is missing; its worker gets it by mail")


def _approve(context: Context, args: Namespace) -> int:
    agent = context.agent
    done = context.project.steps.approve(args.step, context.text(args.note), force=args.force)
    return _done(context, agent, done, "approved", "it is complete")


def _reject(context: Context, args: Namespace) -> int:
    agent = context.agent
    note = context.text(args.note)
    if not note.strip():
        raise UsageError("--note is empty", "say what is missing")
    done = context.project.steps.reject(args.step, note)
    told = f"; {done.step.worker} is told by mail" if done.step.worker else ""
    return _done(context, agent, done, "rejected", f"it is pending again{told}")


def _cancel(context: Context, args: Namespace) -> int:
    agent = context.agent
    return _done(context, agent, context.project.steps.cancel(args.step, context.text(args.note)), "cancelled")


def _reopen(context: Context, args: Namespace) -> int:
    agent = context.agent
    return _done(context, agent, context.project.steps.reopen(args.step, context.text(args.note)), "reopened", "it is pending")


def _done(context: Context, agent: str, done: Changed, what: str, so: str = "") -> int:
    step = done.step
    context.out.data({"agent": agent, "step": step.name, "status": step.status.value, "again": done.again})
    said = f" was already {step.status.value}, as {agent}" if done.again else f" {what}, as {agent}"
    context.out.text(styled(step.name, "bold"), said, f": {so}" if so and not done.again else "")
    return 0


COMMANDS = {
    "approve": Command(options=_approve_options, run=_approve, examples='  windlass approve build --note "tests pass here too"'),
    "reject": Command(options=_reject_options, run=_reject, examples='  windlass reject build --note "the empty case fails"'),
    "step cancel": Command(options=_options, run=_cancel, examples='  windlass step cancel deploy --note "not needed"'),
    "step reopen": Command(options=_options, run=_reopen, examples='  windlass step reopen design --note "the API changed"'),
}
