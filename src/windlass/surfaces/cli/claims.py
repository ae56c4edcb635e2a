"""claim, next, release, complete."""

from __future__ import annotations

from windlass.errors import UsageError
from windlass.record import plain
from windlass.surfaces.cli.arguments import seconds
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import duration, one_line, shortened, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from windlass.ops.steps import Changed, Claimed
    from windlass.protocol.steps import Step
    from windlass.surfaces.cli.context import Context


def _claim_options(parser: ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP")
    parser.add_argument(
        "--lease",
        type=float,
        metavar="SECONDS",
        help="how long it lives without a sign of life of yours (default: 2 h; 10 min under `windlass run`)",
    )
    parser.add_argument("--create", action="store_true", help="declare the step if nobody has, also where a plan was applied")
    parser.add_argument("--force", action="store_true", help="take it over whoever holds it, on record")


def _claim(context: Context, args: Namespace) -> int:
    from windlass.project.git import here

    agent = context.agent
    claimed = context.project.steps.try_claim(args.step, lease=args.lease, force=args.force, create=args.create, git=here())
    return _show(context, agent, claimed)


def _next_options(parser: ArgumentParser) -> None:
    parser.add_argument("--label", action="append", default=[], metavar="L", help="only steps with this label (again for more)")
    parser.add_argument("--wait", type=seconds, metavar="SECONDS", help="wait that long for a step to become ready")
    parser.add_argument("--lease", type=float, metavar="SECONDS", help="as for claim")


def _next(context: Context, args: Namespace) -> int:
    from windlass.project.git import here

    agent = context.agent
    claimed = context.project.steps.try_next(labels=args.label, lease=args.lease, wait=args.wait, git=here())
    return _show(context, agent, claimed)


def _show(context: Context, agent: str, claimed: Claimed) -> int:
    """Everything that the worker needs, in one call."""
    out, step = context.out, claimed.step
    claim = step.claim
    assert claim is not None
    out.data(
        {
            "agent": agent,
            "again": claimed.again,
            "created": claimed.created,
            "taken_from": claimed.taken_from or None,
            **_claim_data(claimed),
        }
    )
    if out.as_json:
        return 0
    how = "already held by you" if claimed.again else f"taken over from {claimed.taken_from}" if claimed.taken_from else "claimed"
    lease = f"(epoch {claim.epoch}, lease {duration(claim.lease)})"
    out.text(styled(step.name, "bold"), f" {how}, as {agent} ", styled(lease, "dim"))
    if claimed.created:
        out.text("  nobody had declared this step; it exists now")
    how_much = f"windlass step show {step.name}"
    for what in ("title", "description", "acceptance"):
        value = getattr(step, what)
        if value:
            out.text(f"  {what}: " + shortened(value, how_much).replace("\n", "\n    "))
    for need, handoff in claimed.handoffs.items():
        out.text(
            f"  from {need} ({one_line(handoff.agent, 128)}): "
            + shortened(handoff.note or "no note", f"windlass handoff {need}", 500).replace("\n", "\n    ")
        )
        if handoff.next_action:
            out.text("    next action: " + shortened(handoff.next_action, f"windlass handoff {need}", 500).replace("\n", "\n    "))
    if claimed.artifacts:
        from windlass.surfaces.cli.results import tell

        for need, found in claimed.artifacts.items():
            tell(out, found, need)
    out.text(styled(f'  then: windlass complete {step.name} --note "…"   or: windlass release {step.name}', "dim"))
    return 0


def _claim_data(claimed: Claimed) -> dict[str, Any]:
    step = plain(claimed.step)
    for name in ("write_id", "history", "needed_by", "built_on", "moved_to"):
        step.pop(name, None)
    step["artifacts"], found = _results(claimed.step), []
    if claimed.artifacts:
        from windlass.surfaces.cli.results import rows

        found = [one for need, some in claimed.artifacts.items() for one in rows(some, need)]
    return {"step": step, "handoffs": plain(dict(claimed.handoffs)), "artifacts": found}


def _results(step: Step) -> list[dict[str, Any]]:
    """The artifacts of a step as JSON; most have none, and load nothing for it."""
    if not step.artifacts:
        return []
    from windlass.surfaces.cli.results import of, rows

    return rows(of(step), step.name)


def _release_options(parser: ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP")
    parser.add_argument("--note", default="", metavar="TEXT", help="why")
    parser.add_argument("--epoch", type=int, metavar="N", help="only if your claim has this epoch")
    parser.add_argument("--force", action="store_true", help="release it whoever holds it, on record")


def _release(context: Context, args: Namespace) -> int:
    agent = context.agent
    done = context.project.steps.release(args.step, note=context.text(args.note), epoch=args.epoch, force=args.force)
    _done(context, agent, "released", done)
    return 0


def _complete_options(parser: ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP")
    parser.add_argument("--note", default="", metavar="TEXT", help="what was done and what the next one must know")
    parser.add_argument("--to", default="", metavar="AGENT", help="whom to tell, by mail")
    parser.add_argument("--next-action", default="", metavar="TEXT")
    state = parser.add_mutually_exclusive_group()
    for name in ("blocked", "needs-review", "failed"):
        state.add_argument(
            f"--{name}", action="store_const", dest="state", const=name.replace("-", "_"), help=f"hand over as {name} instead of complete"
        )
    parser.add_argument("--changed-files-from-git", action="store_true", help="list what changed since the claim")
    parser.add_argument("--evidence", metavar="JSON", help="an object or a list of objects: commands and exit codes, commit, artifacts")
    parser.add_argument(
        "--artifact",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder to publish as a result, with the completion (again)",
    )
    parser.add_argument("--epoch", type=int, metavar="N", help="only if your claim has this epoch")
    parser.add_argument("--force", action="store_true", help="complete it whoever holds it, on record")


def _complete(context: Context, args: Namespace) -> int:
    agent = context.agent
    note, next_action = context.text(args.note), context.text(args.next_action)
    evidence = _evidence(context, args.evidence)
    files: tuple[str, ...] = ()
    from windlass.project.git import changed_files, here

    if args.changed_files_from_git:
        since = context.project.steps.show(args.step).doc.claim
        files = changed_files(since.git.head if since and since.git else None)
    done = context.project.steps.complete(
        args.step,
        state=args.state or "complete",
        note=note,
        to=args.to,
        next_action=next_action,
        changed_files=files,
        evidence=evidence,
        artifacts=args.artifact,
        git=here(),
        epoch=args.epoch,
        force=args.force,
    )
    _done(context, agent, done.step.status.value, done, files, len(args.artifact))
    return 0


def _evidence(context: Context, argument: str | None) -> list[dict[str, Any]]:
    if argument is None:
        return []
    value = context.json_value(context.text(argument), "--evidence")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in values):
        raise UsageError("--evidence is neither an object nor a list of objects", 'like \'{"command": "make test", "exit": 0}\'')
    return values


def _done(context: Context, agent: str, what: str, done: Changed, files: tuple[str, ...] = (), artifacts: int = 0) -> None:
    step, status = done.step.name, done.step.status.value
    facts = {"agent": agent, "step": step, "status": status, "again": done.again, "changed_files": list(files)}
    context.out.data({**facts, "artifacts": _results(done.step)})
    more = f", {len(files)} changed files" if files else ""
    more += f", with {artifacts} artifact{'s' * (artifacts > 1)}" if artifacts else ""
    context.out.text(styled(step, "bold"), f" {'was already ' if done.again else ''}{what.replace('_', ' ')}, as {agent}{more}")


COMMANDS = {
    "claim": Command(
        options=_claim_options,
        run=_claim,
        examples="  windlass claim design\n  windlass claim design --lease 900 --agent designer",
    ),
    "next": Command(options=_next_options, run=_next, examples="  windlass next\n  windlass next --label backend --wait 100"),
    "release": Command(options=_release_options, run=_release, examples='  windlass release design --note "needs the schema first"'),
    "complete": Command(
        options=_complete_options,
        run=_complete,
        examples='  windlass complete design --note "API in api.py" --to developer --changed-files-from-git\n'
        "  windlass complete build --artifact dist/app.tar.gz --artifact report/\n"
        '  windlass complete build --needs-review --evidence \'{"command": "make test", "exit": 0}\'\n'
        "  windlass complete deploy --blocked --note @why.txt",
    ),
}
