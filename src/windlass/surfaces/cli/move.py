"""move."""

from __future__ import annotations

from windlass.surfaces.cli.context import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("destination", metavar="DEST", help="a directory or s3://bucket/prefix")
    parser.add_argument("--force", action="store_true", help="also while claims are live; they go on at the destination")
    parser.add_argument("--create-bucket", action="store_true", help="make the destination's directory or bucket")


def _move(context: Context, args: Namespace) -> int:
    from windlass.project.moving import move

    agent = context.agent
    session = context.project.session
    done = move(session, args.destination, force=args.force, create=args.create_bucket or "://" not in args.destination)
    context.out.data({"agent": agent, "from": session.url, "to": args.destination, "objects": done.objects, "late": done.late})
    what = f"{done.objects} objects copied and compared" if done.objects else "the move was complete already"
    context.out.text(f"moved to {args.destination}: {what}, as {agent}")
    context.out.text(f"  from now on: windlass init --store {args.destination}   or: export WINDLASS_STORE={args.destination}")
    return 0


COMMANDS = {
    "move": Command(
        options=_options,
        run=_move,
        examples="  windlass move s3://team/agents\n  windlass move /mnt/shared/windlass --force",
    )
}
