"""step add, edit, show, list; step-status; handoff."""

from __future__ import annotations

from windlass.errors import NotFound, UsageError
from windlass.record import plain
from windlass.surfaces.cli.arguments import add_limit, names, seconds
from windlass.surfaces.cli.columns import STATE_STYLES, ago, columns, more
from windlass.surfaces.cli.context import Command
from windlass.surfaces.cli.results import of as results_of
from windlass.surfaces.cli.results import rows, tell
from windlass.surfaces.present import MAX_BODY, duration, one_line, shortened, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from typing import Any

    from windlass.ops.steps import Changed
    from windlass.protocol.steps import Handoff, Step
    from windlass.surfaces.cli.context import Context

TRANSITIONS = 10
"""Transitions of a step shown without being asked for more."""
TEXTS = ("title", "description", "acceptance")
STATES = ("pending", "in_progress", "blocked", "needs_review", "failed", "complete", "cancelled")
_CONCERNS = {"takeover": "from", "approve": "work of", "reject": "work of"}
_INNER = ("write_id", "needed_by", "built_on", "moved_to", "history")


def _definition_options(parser: ArgumentParser) -> None:
    parser.add_argument("step", metavar="NAME")
    parser.add_argument("--title", metavar="T", help="one line")
    parser.add_argument("--description", metavar="D", help="what its worker must know; @FILE for a file's content")
    parser.add_argument("--acceptance", metavar="A", help="when it is done")
    parser.add_argument("--needs", action="append", metavar="STEP", help="a step to complete before (again, or by commas)")
    parser.add_argument("--priority", type=int, metavar="P", help="higher comes first (default 0)")
    parser.add_argument("--label", action="append", dest="labels", metavar="L", help="for `next --label` (again, or by commas)")
    parser.add_argument("--max-hold", type=seconds, metavar="SECONDS", help="longest that a claim may live; 0 for no such limit")


def _definition(context: Context, args: Namespace) -> dict[str, Any]:
    """What was given, and only that."""
    given: dict[str, Any] = {what: context.text(value).strip("\n") for what in TEXTS if (value := getattr(args, what)) is not None}
    given |= {what: names(value) for what in ("needs", "labels") if (value := getattr(args, what)) is not None}
    if args.priority is not None:
        if abs(args.priority) > 1_000_000:
            raise UsageError("--priority is too far from 0", "use a whole number up to a million")
        given["priority"] = args.priority
    if args.max_hold is not None:
        given["max_hold"] = args.max_hold or None
    return given


def _add(context: Context, args: Namespace) -> int:
    agent = context.agent
    done = context.project.steps.add(args.step, **_definition(context, args))
    return _defined(context, agent, done, "was already declared like this" if done.again else "declared")


def _edit(context: Context, args: Namespace) -> int:
    agent = context.agent
    changes = _definition(context, args)
    if not changes:
        raise UsageError("nothing to change was given", "see: windlass step edit -h")
    done = context.project.steps.edit(args.step, **changes)
    return _defined(context, agent, done, "said so already" if done.again else "changed")


def _defined(context: Context, agent: str, done: Changed, what: str) -> int:
    context.out.data({"agent": agent, "again": done.again, "step": _data(done.step)})
    context.out.text(styled(done.step.name, "bold"), f" {what}, as {agent}")
    return 0


def _data(step: Step) -> dict[str, Any]:
    whole = plain(step)
    return {**{name: value for name, value in whole.items() if name not in _INNER}, "artifacts": rows(results_of(step), step.name)}


def _one(parser: ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP")


def _show_options(parser: ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--all", action="store_true", help=f"the whole history, not only the last {TRANSITIONS} transitions")


def _show(context: Context, args: Namespace) -> int:
    out = context.out
    step = context.project.steps.show(args.step).doc
    told = [line for line in step.history if line.event not in ("link", "touch")]
    lines = told if args.all else told[-TRANSITIONS:]
    cut = len(told) - len(lines)
    history = [{name: value for name, value in plain(line).items() if name != "write_id"} for line in lines]
    out.data({"step": {**_data(step), "history": history}, "more": cut > 0})
    if out.as_json:
        return 0
    now = context.project.session.now()
    name = args.step
    out.text(styled(name, "bold"), " is ", styled(step.status.value, STATE_STYLES.get(step.status.value, "bold")), _holder(step, now))
    limit = 10**9 if args.all else MAX_BODY
    for what in TEXTS:
        if getattr(step, what):
            out.text(f"  {what}: {_indented(getattr(step, what), f'windlass step show {name} --all', limit)}")
    if step.needs:
        out.text(f"  needs: {', '.join(step.needs)}")
    facts = [f"priority {step.priority}"] if step.priority else []
    facts += [f"labels {_listed(step.labels)}"] if step.labels else []
    facts += [f"held at most {duration(step.max_hold)}"] if step.max_hold is not None else []
    if facts:
        out.text("  " + "; ".join(facts))
    if step.handoff is not None:
        _handoff_text(context, name, step.handoff, now)
    tell(out, results_of(step), name)
    out.text("  history:")
    if cut:
        out.text(styled(f"    … {cut:,} earlier: windlass step show {name} --all", "dim"))
    for line in lines:
        of = f" ({_CONCERNS.get(line.event, 'held by')} {one_line(line.of, 128)})" if line.of else ""
        note = f": {one_line(line.note)}" if line.note else ""
        out.text(f"    {ago(line.at, now):<9} {line.event} by {one_line(line.by, 128)}{of} → {line.status.value}{note}")
    return 0


def _holder(step: Step, now: float) -> str:
    claim = step.claim
    if claim is None:
        return f", last held by {one_line(step.worker, 128)}" if step.worker else ""
    return f", held by {claim.agent} for {duration(now - claim.at)} (epoch {claim.epoch}, lease {duration(claim.lease)})"


def _indented(text: str, how: str, limit: int = MAX_BODY, deep: int = 4) -> str:
    """A text that cannot be taken for lines of ours."""
    return shortened(text, how, limit).replace("\n", "\n" + " " * deep)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(one_line(text, 4096) for text in texts)


def _handoff_text(context: Context, name: str, handoff: Handoff, now: float) -> None:
    out, how = context.out, f"windlass handoff {name} --json"
    to = f" to {one_line(handoff.to, 128)}" if handoff.to else ""
    out.text(f"  handoff ({handoff.state.value}) from {one_line(handoff.agent, 128)}{to}, {ago(handoff.at, now)}")
    if handoff.note:
        out.text(f"    note: {_indented(handoff.note, how, deep=6)}")
    if handoff.next_action:
        out.text(f"    next action: {_indented(handoff.next_action, how, deep=6)}")
    if handoff.changed_files:
        out.text(f"    changed files: {_listed(handoff.changed_files[:20])}")
        more(out, len(handoff.changed_files) - 20, "files", how)
    for one in handoff.evidence[:20]:
        out.text("    evidence: " + "; ".join(f"{one_line(key)}: {one_line(str(value))}" for key, value in one.items()))
    more(out, len(handoff.evidence) - 20, "pieces of evidence", how)
    if handoff.git is not None and handoff.git.head:
        branch = f" on {one_line(handoff.git.branch, 200)}" if handoff.git.branch else ""
        out.text(f"    commit: {one_line(handoff.git.head[:12])}{branch}")


def _list_options(parser: ArgumentParser) -> None:
    parser.add_argument("--state", choices=STATES, metavar="S", help=f"only steps in this state: {', '.join(STATES)}")
    parser.add_argument("--label", action="append", default=[], metavar="L", help="only steps with this label (again for more)")
    add_limit(parser, "steps")
    parser.add_argument("--all", action="store_const", dest="limit", const=0, help="all of them")


def _list(context: Context, args: Namespace) -> int:
    out = context.out
    survey = context.project.steps.list()
    labels = set(names(args.label))
    steps = [
        one
        for one in survey.steps.values()
        if (args.state is None or one.status.value == args.state) and (not labels or labels & set(one.labels))
    ]
    shown = steps[: args.limit or None]
    for why in survey.damaged.values():
        out.note(f"warning: {why}")
    out.data(
        {
            "steps": [
                {
                    "step": one.name,
                    "status": one.status.value,
                    "agent": one.agent or None,
                    "worker": one.worker or None,
                    "priority": one.priority,
                    "title": one.title,
                    "labels": one.labels,
                    "needs": one.needs,
                    "epoch": one.epoch,
                    "modified": one.modified,
                }
                for one in shown
            ],
            "total": len(steps),
            "damaged": [{"key": key, "why": why} for key, why in survey.damaged.items()],
            "more": len(shown) < len(steps),
        }
    )
    if not steps:
        out.text("no such steps" if survey.steps else "no steps yet: windlass step add NAME, or windlass plan apply FILE")
        return 0
    rows = [(one.name, one.status.value, one.agent or "-", one.priority, one.title) for one in shown]
    columns(out, ("step", "state", "held by", "prio", "title"), rows)
    chosen = "".join([f" --state {args.state}" if args.state else "", *(f" --label {label}" for label in args.label)])
    more(out, len(steps) - len(shown), "steps", f"windlass step list{chosen} --all")
    return 0


def _status(context: Context, args: Namespace) -> int:
    step = context.project.steps.show(args.step).doc
    agent = step.claim.agent if step.claim else step.worker
    context.out.data(
        {
            "step": args.step,
            "status": step.status.value,
            "agent": agent or None,
            "held": step.claim is not None,
            "epoch": step.epoch,
        }
    )
    context.out.text(f"{args.step}: {step.status.value}" + (f" (agent: {agent})" if agent else ""))
    return 0


def _handoff(context: Context, args: Namespace) -> int:
    step = context.project.steps.show(args.step).doc
    if step.handoff is None:
        raise NotFound(
            f"{args.step} has no handoff: it is {step.status.value}", f"wait for one: windlass wait-for {args.step}", step=args.step
        )
    found = results_of(step)
    context.out.data({"step": args.step, "status": step.status.value, "handoff": step.handoff, "artifacts": rows(found, args.step)})
    if not context.out.as_json:
        context.out.text(styled(args.step, "bold"), f" is {step.status.value}")
        _handoff_text(context, args.step, step.handoff, context.project.session.now())
        tell(context.out, found, args.step)
    return 0


COMMANDS = {
    "step add": Command(
        options=_definition_options,
        run=_add,
        examples='  windlass step add design --title "Design the API"\n'
        "  windlass step add build --needs design,schema --priority 5 --label backend",
    ),
    "step edit": Command(
        options=_definition_options,
        run=_edit,
        examples='  windlass step edit build --acceptance "make test passes" --priority 9\n'
        '  windlass step edit build --needs ""        takes all needs away',
    ),
    "step show": Command(options=_show_options, run=_show, examples="  windlass step show design"),
    "step list": Command(
        options=_list_options, run=_list, examples="  windlass step list\n  windlass step list --state blocked\n  windlass step list --all"
    ),
    "step-status": Command(options=_one, run=_status, examples="  windlass step-status design"),
    "handoff": Command(options=_one, run=_handoff, examples="  windlass handoff design\n  windlass handoff design --json"),
}
