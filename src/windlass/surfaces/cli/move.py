"""move."""

from __future__ import annotations

from windlass.errors import shell_word
from windlass.surfaces.cli.context import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("destination", metavar="DEST", help="a directory or s3://bucket/prefix")
    parser.add_argument("--force", action="store_true", help="also while claims are live; they go on at the destination")
    parser.add_argument("--create-bucket", action="store_true", help="make the destination's bucket")


def _move(context: Context, args: Namespace) -> int:
    from windlass.project.moving import move

    agent, out = context.agent, context.out
    session = context.project.session
    local = "://" not in args.destination or args.destination.startswith("file:")
    done = move(session, args.destination, force=args.force, create=args.create_bucket or local)
    facts = {"agent": agent, "from": session.url, "to": done.to, "objects": done.objects, "late": done.late, "left": list(done.left)}
    out.data(facts)
    what = f"{done.objects:,} objects copied and compared" if done.objects else "the move was complete already"
    word = shell_word(done.to)
    out.text(f"moved to {word}: {what}, as {agent}")
    for key in done.left:
        out.note(f"warning: {key} is too large to be read; it stayed where it was")
    out.text(f"  from now on: windlass init --store {word}   or: export WINDLASS_STORE={word}")
    return 0


COMMANDS = {
    "move": Command(
        options=_options,
        run=_move,
        examples="  windlass move s3://team/agents\n  windlass move /mnt/shared/windlass --force",
    )
}
