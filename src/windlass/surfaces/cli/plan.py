"""plan apply, plan export, plan graph."""

from __future__ import annotations

import json

from windlass.errors import UsageError
from windlass.surfaces.cli.arguments import SHOWN
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import clean, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context

EXAMPLE = """\
a plan:
  steps:
    design:
      title: Design the API
      description: The contract between the web page and the service.
      acceptance: api.py has every signature, and memory key design.contract names it.
      priority: 10
    build:
      needs: [design]
      labels: [backend]
      max_hold: 14400            # seconds; longest that one claim may live
    release:
      needs: [design, build]
"""


def _apply_options(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="YAML or JSON; - for stdin")


def _apply(context: Context, args: Namespace) -> int:
    agent = context.agent
    text = context.file(args.file)
    if not text.strip():
        raise UsageError("the plan is empty", "windlass plan apply -h shows one")
    done = context.project.plan.apply(text)
    kinds = {"added": done.added, "changed": done.changed, "unchanged": done.unchanged}
    context.out.data(
        {
            "agent": agent,
            "counts": {kind: len(names) for kind, names in kinds.items()},
            **{kind: names[:SHOWN] for kind, names in kinds.items()},
            "more": any(len(names) > SHOWN for names in kinds.values()),
        }
    )
    context.out.text("plan applied: " + ", ".join(f"{len(names):,} {kind}" for kind, names in kinds.items()) + f", as {agent}")
    for kind in ("added", "changed"):
        names = kinds[kind]
        if names:
            rest = f" … and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            context.out.text(f"  {kind}: {', '.join(names[:SHOWN])}{rest}")
    if done.added:
        context.out.text(styled("  then: windlass next   or look: windlass plan graph", "dim"))
    return 0


def _export_options(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="(default yaml; json with --json)")


def _export(context: Context, args: Namespace) -> int:
    out = context.out
    for why in context.project.steps.list().damaged.values():
        out.note(f"warning: {why}; it is not in the plan")
    plan = context.project.plan.export()
    if out.as_json or args.format == "json":
        out.exactly(json.dumps(plan, indent=None if out.as_json else 2) + "\n")
        return 0
    from windlass.project.planfile import dump

    text = dump(plan)
    # Characters that a terminal must not see are written as escapes, so that the file reads back the same.
    out.exactly(text if clean(text) == text else dump(plan, ascii_only=True))
    return 0


COMMANDS = {
    "plan apply": Command(
        options=_apply_options,
        run=_apply,
        examples=f"  windlass plan apply plan.yaml\n  windlass plan export | windlass plan apply - --project other\n\n{EXAMPLE}",
    ),
    "plan export": Command(
        options=_export_options, run=_export, examples="  windlass plan export > plan.yaml\n  windlass plan export --format json"
    ),
}
