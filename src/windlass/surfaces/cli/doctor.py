"""doctor."""

from __future__ import annotations

import json

from windlass.errors import NotFound, UsageError
from windlass.surfaces.cli.arguments import seconds
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import duration, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.project.doctor import Report
    from windlass.surfaces.cli.context import Context

SIGNS = {"yes": ("✓", "green"), "no": ("✗", "red"), "warning": ("!", "yellow"), "note": ("·", "dim")}
CLOCK = 60.0
"""Seconds that a machine's clock may be off before that is worth a warning."""


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="3 races of 16 writers each way, not 10 of 32 (about 150 writes, not 700)")
    parser.add_argument(
        "--hammer",
        type=seconds,
        metavar="SECONDS",
        default=0.0,
        help="also read and write from several clients at once, and judge their history (thousands of requests a minute)",
    )
    parser.add_argument("--policy", action="store_true", help="print the least IAM policy for this store, and do nothing else")


def _doctor(context: Context, args: Namespace) -> int:
    settings, out = context.settle(), context.out
    if args.policy:
        return _policy(context, settings.store)
    out.text(f"store    {settings.store}  ({settings.store_why})")
    out.text(f"project  {settings.project}  ({settings.project_why})")
    out.text(f"agent    {settings.agent or 'nobody'}  ({settings.agent_why})")
    from windlass.project.doctor import examine

    report = examine(
        settings,
        quick=args.quick,
        hammer=args.hammer,
        tell=lambda what, done, total: out.progress(f"{what} {done}/{total}" if total else what),
    )
    out.data(
        {
            "store": report.url,
            "store_why": settings.store_why,
            "project": settings.project,
            "project_why": settings.project_why,
            "agent": settings.agent,
            "agent_why": settings.agent_why,
            "exclusive_claims": report.exclusive,
            "safe": report.safe,
            "checks": [{"name": one.name, "result": one.mark.value, "text": one.text} for one in report.findings],
            "latency": dict(report.latency),
            "clock_offset": report.clock_offset,
        }
    )
    if not out.as_json:
        _show(context, report)
    _remember(context, report)
    return 0 if report.safe else 1


def _show(context: Context, report: Report) -> None:
    out = context.out
    out.text()
    for one in report.findings:
        sign, colour = SIGNS[one.mark.value]
        out.text(styled(sign, colour), f" {one.text}")
    kinds = ", ".join(f"{kind} {1000 * took:.1f} ms" for kind, took in report.latency.items())
    out.text(styled("·", "dim"), f" a request takes (median): {kinds}")
    offset = report.clock_offset
    if offset is not None:
        off = abs(offset) > CLOCK
        how = (
            "agrees with the store's"
            if abs(offset) < 2
            else f"is {duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} the store's"
        )
        harm = "; claims do not depend on it, but times in `log` do" if off else ""
        out.text(styled("!", "yellow") if off else styled("·", "dim"), f" this machine's clock {how}{harm}")
    out.text()
    out.text("exclusive claims: ", styled("yes", "green") if report.exclusive else styled("no", "red"))
    if not report.safe:
        why = "two agents could hold one claim" if not report.exclusive else "it breaks another promise that Windlass needs"
        out.text(styled(f"do not use this store: {why}", "red"))


def _remember(context: Context, report: Report) -> None:
    """What `init` asks before it races a store again."""
    settings = context.settle()
    if not settings.state_dir or "://" not in settings.store:
        return
    from windlass.config import remember_store, store_facts

    accepted = bool(store_facts(settings.state_dir, settings.store).get("unsafe_accepted"))
    remember_store(settings.state_dir, settings.store, {"safe": report.safe, "unsafe_accepted": accepted and not report.safe})


def _policy(context: Context, store: str) -> int:
    from windlass.project.doctor import REASONS, policy

    found = policy(store)
    if found is None:
        if "://" in store and not store.startswith(("file:", "memory:")):
            raise UsageError(f"{store} is no store that this Windlass knows", "name one: --store s3://bucket/prefix")
        raise NotFound(f"{store} is no bucket: there is no policy for it", "name a bucket: --store s3://bucket/prefix")
    if context.out.as_json:
        context.out.data({"policy": found, "why": REASONS})
        return 0
    context.out.text(json.dumps(found, indent=2))
    for action, why in REASONS.items():
        context.out.note(f"{action:<17} {why}")
    return 0


COMMANDS = {
    "doctor": Command(
        options=_options,
        run=_doctor,
        examples="  windlass doctor\n  windlass doctor --store s3://team/agents --quick\n"
        "  windlass doctor --hammer 30\n"
        "  windlass doctor --policy --store s3://team/agents > policy.json",
    )
}
