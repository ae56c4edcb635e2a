"""run, beat."""

from __future__ import annotations

from windlass.errors import UsageError, WindlassError
from windlass.surfaces.cli.arguments import LONGEST
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import duration, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context

FAILED = 125
"""Exit code of `run` where Windlass itself failed, so that the command's own codes keep their meaning."""


def _seconds(context: str, value: float | None, least: float) -> None:
    if value is not None and not least <= value <= LONGEST:
        raise UsageError(f"{context} {value:g} is not possible", f"use {least:g} seconds or more")


def _run_options(parser: ArgumentParser) -> None:
    parser.usage = "windlass run [--agent A] [--max-idle S] [--lease S] -- CMD…"
    parser.add_argument(
        "--max-idle",
        type=float,
        metavar="S",
        help="give no sign of life once CMD, with all it started, has used no CPU time for S seconds; go on when it does",
    )
    parser.add_argument("--lease", type=float, metavar="S", help="lease of claims made by CMD (default: 600); life is shown every quarter")
    parser.add_argument("command", nargs="...", metavar="CMD", help="the command and its arguments")


def _run(context: Context, args: Namespace) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UsageError("windlass run needs a command", "windlass run -- CMD…")
    _seconds("--max-idle", args.max_idle, 1.0)
    _ = context.agent
    settings = context.settle()
    if args.lease is not None:
        settings = settings.but(lease=args.lease)
    from windlass.project.keeper import run

    try:
        return run(settings, command, max_idle=args.max_idle, say=context.out.note)
    except UsageError:
        raise
    except WindlassError as error:
        error.exit = FAILED
        raise


def _beat_options(parser: ArgumentParser) -> None:
    parser.add_argument("--while-pid", type=int, metavar="PID", help="go on until that process has ended")
    parser.add_argument("--every", type=float, metavar="S", help="seconds between signs of life, with --while-pid (default: 30)")


def _beat(context: Context, args: Namespace) -> int:
    agent = context.agent
    if args.while_pid is None:
        if args.every is not None:
            raise UsageError("--every needs --while-pid", "windlass beat --while-pid PID --every 60")
        me = context.project.agents.beat()
        context.out.data({"agent": agent, "incarnation": me.incarnation})
        context.out.text(styled(agent, "bold"), f" is alive, incarnation {me.incarnation}")
        return 0
    _seconds("--every", args.every, 1.0)
    import sys

    from windlass.project.keeper import PERIOD, beside

    def told(incarnation: int) -> None:
        context.out.data({"agent": agent, "incarnation": incarnation, "pid": args.while_pid})
        every = duration(args.every or PERIOD)
        context.out.text(styled(agent, "bold"), f" is kept alive while process {args.while_pid} lives, every {every}")
        sys.stdout.flush()

    beside(context.settle(), args.while_pid, every=args.every, say=context.out.note, told=told)
    return 0


COMMANDS = {
    "run": Command(
        options=_run_options,
        run=_run,
        examples="  windlass run --agent designer -- claude\n"
        "  windlass run --agent tester --max-idle 900 -- codex exec 'run the tests'\n\n"
        "CMD is a new life of the agent: commands of earlier ones get exit 3, their claims are\n"
        "taken over at once. When CMD ends, what it still holds is released.\n"
        "Exit code: CMD's own, 128 + n if signal n ended it; 125 Windlass failed, 126 CMD cannot\n"
        "be run, 127 CMD not found.",
    ),
    "beat": Command(
        options=_beat_options,
        run=_beat,
        examples="  windlass beat                         for a hook or a cron job\n"
        "  windlass beat --while-pid $PID &      a sidecar for a process that runs already",
    ),
}
