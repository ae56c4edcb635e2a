"""gc."""

from __future__ import annotations

from windlass.surfaces.cli.arguments import SHOWN, seconds, span
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import duration, sized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.ops.gc import Swept
    from windlass.surfaces.cli.context import Context

GRACE = 24 * 3600.0
WAIT = 60.0


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--grace", type=span, default=GRACE, metavar="SPAN", help="spare what is younger, like 90m or 7d (default 24h)")
    parser.add_argument("--wait", type=seconds, default=WAIT, metavar="S", help="seconds to wait for uploads under way (default 60)")
    parser.add_argument("--dry-run", action="store_true", help="delete nothing; say what and how much would go")


def _gc(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    done = context.project.gc(grace=args.grace, wait=args.wait, dry_run=args.dry_run)
    facts = {name: getattr(done, name) for name in ("epoch", "deleted", "bytes", "kept", "kept_bytes", "young", "young_bytes")}
    uploads = {name: [vars(one) for one in getattr(done, name)] for name in ("abandoned", "uploading")}
    blobs = [{"name": name, "size": size} for name, size in done.names]
    out.data({"agent": agent, "dry_run": args.dry_run, **facts, **uploads, "blobs": blobs})
    if not out.as_json:
        _tell(context, args, done)
    return 0


def _tell(context: Context, args: Namespace, done: Swept) -> None:
    out, now = context.out, context.project.session.now()
    verb = "would delete" if args.dry_run else "deleted"
    out.text(f"{verb} {_amount(done.deleted, done.bytes)}" if done.deleted else "nothing to delete")
    for name, size in done.names[:SHOWN]:
        out.text(f"  {name}  {sized(size)}")
    if len(done.names) > SHOWN:
        out.text(f"  … and {len(done.names) - SHOWN:,} more: windlass gc --dry-run --json")
    if done.kept:
        out.text(f"  stays: {_amount(done.kept, done.kept_bytes)}, of artifacts, workspaces and uploads under way")
    if done.young:
        out.text(f"  stays for now: {_amount(done.young, done.young_bytes)} that nothing refers to, younger than {duration(args.grace)}")
    for upload in done.abandoned:
        what = "would give up" if args.dry_run else "gave up"
        out.text(f"  {what} an upload of {upload.agent or 'nobody'}, silent for {duration(now - upload.since)}")
    for upload in done.uploading:
        out.text(f"  would wait for an upload of {upload.agent or 'nobody'}, heard of {duration(now - upload.since)} ago")
    if args.dry_run and done.deleted:
        out.text("  to delete it: windlass gc" + (f" --grace {args.grace:.0f}" if args.grace != GRACE else ""))


def _amount(count: int, size: int) -> str:
    return f"{count:,} blob{'' if count == 1 else 's'}, {sized(size)}"


COMMANDS = {"gc": Command(options=_options, run=_gc, examples="  windlass gc --dry-run\n  windlass gc --grace 7d")}
