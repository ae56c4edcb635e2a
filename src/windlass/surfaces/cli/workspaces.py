"""workspace list, show, checkpoint, checkpoints, restore, fork, diff, merge, teardown, expire."""

from __future__ import annotations

from windlass.errors import UsageError, shell_word
from windlass.surfaces.cli.arguments import add_limit, count
from windlass.surfaces.cli.columns import ago, columns, more
from windlass.surfaces.cli.context import Command
from windlass.surfaces.cli.paths import IN_JSON, SHOWN, changes, counted, data, naming_conflicts, show_changes, weight
from windlass.surfaces.present import duration, one_line, sized, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from windlass.protocol.workspaces import Checkpoint, Workspace
    from windlass.surfaces.cli.context import Context

CHANGES = 10
"""Changes of a workspace shown without being asked for all that it keeps."""


class _Differences:
    """Paths of a diff, by what became of them."""

    def __init__(self, found: Any) -> None:
        self.added = [_path(one) for one in found if one.before is None]
        self.removed = [_path(one) for one in found if one.after is None]
        self.changed = [_path(one) for one in found if one.before is not None and one.after is not None]


def _path(one: Any) -> str:
    """Of an empty folder with a slash, as everywhere."""
    entry = one.after or one.before
    return f"{one.path}/" if entry.kind.value == "folder" else str(one.path)


def _list_options(parser: ArgumentParser) -> None:
    add_limit(parser, "workspaces")


def _list(context: Context, args: Namespace) -> int:
    out = context.out
    found = context.project.workspaces.list()
    good = [one.workspace for one in found if one.workspace is not None]
    damaged = [one for one in found if one.workspace is None]
    shown = good[: args.limit or None]
    for one in damaged:
        out.note(f"warning: {one.why}; the rest is shown")
    out.data(
        {
            "workspaces": [data(one) for one in shown],
            "total": len(good),
            "damaged": [{"key": one.name, "why": one.why} for one in damaged],
            "more": len(shown) < len(good),
        }
    )
    if out.as_json:
        return 0
    if not good:
        out.text("no workspaces yet: windlass workspace create NAME --from DIR")
        return 0
    now = context.project.session.now()
    head = ("workspace", "files", "size", "changed", "by", "")
    columns(out, head, [(one.name, f"{one.root.files:,}", sized(one.root.bytes), *_last(one, now), _kin(one)) for one in shown])
    more(out, len(good) - len(shown), "workspaces", "windlass workspace list --limit 0")
    return 0


def _last(workspace: Workspace, now: float) -> tuple[str, str]:
    last = data(workspace)
    return ago(last["changed_at"], now), one_line(last["changed_by"], 40)


def _kin(workspace: Workspace) -> str:
    facts = [f"of {workspace.origin}"] if workspace.origin else []
    kept = len(workspace.checkpoints)
    facts += [f"{kept:,} {'checkpoint' if kept == 1 else 'checkpoints'}"] if kept else []
    facts += [f"ttl {duration(workspace.ttl)}"] if workspace.ttl is not None else []
    return ", ".join(facts)


def _name(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _show_options(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--all", action="store_true", help=f"the whole history that is kept, not only the last {CHANGES} changes")


def _show(context: Context, args: Namespace) -> int:
    out = context.out
    found = context.project.workspaces.show(args.name)
    told = [line for line in found.history if line.event != "touch"]
    lines = told if args.all else told[-CHANGES:]
    out.data(
        {
            "workspace": data(found),
            "holds": sorted(found.merged),
            "history": [{"event": one.event, "by": one.by, "at": one.at, "seq": one.seq, "note": one.note} for one in lines],
            "more": len(lines) < len(told),
        }
    )
    if out.as_json:
        return 0
    now = context.project.session.now()
    kin = _kin(found)
    out.text(styled(args.name, "bold"), f": {weight(found.root)}", f" ({kin})" if kin else "")
    out.text(f"  made by {one_line(found.created_by, 128)}, {ago(found.created_at, now)}")
    if found.merged:
        out.text(f"  holds states of: {', '.join(sorted(found.merged)[:SHOWN])}")
        more(out, len(found.merged) - SHOWN, "workspaces", f"windlass workspace show {args.name} --json")
    newest = sorted(found.checkpoints, key=lambda label: found.checkpoints[label].seq)[-5:]
    _tell_checkpoints(context, args.name, {label: found.checkpoints[label] for label in newest}, len(found.checkpoints))
    out.text("  history:")
    if len(lines) < len(told):
        out.text(styled(f"    … {len(told) - len(lines):,} earlier: windlass workspace show {args.name} --all", "dim"))
    for line in lines:
        note = f": {one_line(line.note)}" if line.note else ""
        out.text(f"    {ago(line.at, now):<9} {one_line(line.event, 20)} by {one_line(line.by, 128)}{note}")
    out.text(styled(f"  get it: windlass workspace pull DIR --from {args.name}", "dim"))
    return 0


def _tell_checkpoints(context: Context, name: str, shown: Mapping[str, Checkpoint], total: int) -> None:
    now = context.project.session.now()
    for label, one in shown.items():
        note = f": {one_line(one.note)}" if one.note else ""
        context.out.text(f"  checkpoint {label}, {weight(one.root)}, by {one_line(one.by, 128)}, {ago(one.at, now)}{note}")
    more(context.out, total - len(shown), "checkpoints", f"windlass workspace checkpoints {name} --limit 0")


def _checkpoint_options(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--label", required=True, metavar="L", help="its name: WORKSPACE@LABEL from then on")
    parser.add_argument("--note", default="", metavar="TEXT", help="what it is")


def _checkpoint(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    done = context.project.workspaces.checkpoint(args.name, args.label, context.text(args.note))
    out.data({"agent": agent, "name": args.name, "label": args.label, "again": done.again})
    said = "was kept already" if done.again else f"kept, as {agent}"
    out.text(styled(f"{args.name}@{args.label}", "bold"), f" {said} ", styled(f"({weight(done.workspace.root)})", "dim"))
    out.text(styled(f"  back to it: windlass workspace restore {args.name} {args.label}", "dim"))
    return 0


def _checkpoints_options(parser: ArgumentParser) -> None:
    _name(parser)
    add_limit(parser, "checkpoints, the newest ones")


def _checkpoints(context: Context, args: Namespace) -> int:
    out = context.out
    kept = context.project.workspaces.checkpoints(args.name)
    shown = dict(list(kept.items())[-(args.limit or len(kept) or 1) :])
    rows = [
        {"label": label, "files": one.root.files, "bytes": one.root.bytes, "by": one.by, "at": one.at, "seq": one.seq, "note": one.note}
        for label, one in shown.items()
    ]
    out.data({"name": args.name, "checkpoints": rows, "total": len(kept), "more": len(shown) < len(kept)})
    if out.as_json:
        return 0
    if not kept:
        out.text(f"{args.name} has no checkpoints yet: windlass workspace checkpoint {args.name} --label L")
    _tell_checkpoints(context, args.name, shown, len(kept))
    return 0


def _restore_options(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("label", metavar="LABEL", nargs="?", help="the checkpoint; NAME@LABEL will do too")


def _restore(context: Context, args: Namespace) -> int:
    if args.label is None:
        args.name, _, args.label = args.name.partition("@")
        if not args.label:
            raise UsageError("which checkpoint?", f"see: windlass workspace checkpoints {shell_word(args.name)}")
    agent, out = context.agent, context.out
    done = context.project.workspaces.restore(args.name, args.label)
    at = done.workspace.seq - 1
    before = [label for label, one in done.workspace.checkpoints.items() if one.seq == at and label.startswith("before-restore-")]
    kept = before[0] if before and not done.again else None
    out.data({"agent": agent, "name": args.name, "label": args.label, "again": done.again, "kept": kept})
    said = " is at " if done.again else " is back at "
    out.text(
        styled(args.name, "bold"),
        f"{said}{args.label}{' already' if done.again else f', as {agent}'} ",
        styled(f"({weight(done.workspace.root)})", "dim"),
    )
    if kept:
        out.text(f"  what it was before is kept: windlass workspace restore {args.name} {kept}")
    return 0


def _fork_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME[@LABEL]", help="the workspace, or one of its checkpoints")
    parser.add_argument("-n", "--number", type=count, required=True, metavar="N", help="how many")
    parser.add_argument("--prefix", default="", metavar="P", help="they are called P-1 … P-N (default: NAME)")


def _fork(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    made = [one.name for one in context.project.workspaces.fork(args.name, args.number, prefix=args.prefix)]
    out.data({"agent": agent, "source": args.name, "workspaces": made})
    told = ", ".join(made) if len(made) < 3 else f"{made[0]} … {made[-1]}"
    out.text(styled(told, "bold"), f" forked from {args.name}, as {agent}")
    out.text(styled(f"  into a folder: windlass workspace pull {made[0]} --from {made[0]}", "dim"))
    return 0


def _diff_options(parser: ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="a workspace, or a checkpoint: WORKSPACE@LABEL")
    parser.add_argument("after", metavar="B", help="likewise")
    parser.add_argument("--all", action="store_true", help=f"every path, not only the first {SHOWN}")


def _diff(context: Context, args: Namespace) -> int:
    out = context.out
    found = _Differences(context.project.workspaces.diff(args.before, args.after))
    out.data({"before": args.before, "after": args.after, **changes(found, None if args.all else IN_JSON)})
    if out.as_json:
        return 0
    out.text(styled(f"{args.before} → {args.after}", "bold"), f": {counted(found) or 'the same'}")
    show_changes(out, found, args.all, f"windlass workspace diff {args.before} {args.after} --all")
    return 0


def _merge_options(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="FROM", help="the workspace with the changes")
    parser.add_argument("into", metavar="INTO", help="the workspace that gets them")
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--theirs", action="store_const", dest="prefer", const="theirs", help="where both changed a path, take that of FROM")
    side.add_argument("--ours", action="store_const", dest="prefer", const="ours", help="where both changed a path, keep that of INTO")


def _merge(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    done = naming_conflicts(out, lambda: context.project.workspaces.merge(args.source, args.into, prefer=args.prefer or ""))
    paths = list(done.paths)
    out.data(
        {
            "agent": agent,
            "source": args.source,
            "into": args.into,
            "again": done.again,
            "paths": paths[:IN_JSON],
            "total": len(paths),
            "more": len(paths) > IN_JSON,
        }
    )
    amount = styled(f"({weight(done.workspace.root)})", "dim")
    if done.again or not paths:
        out.text(styled(args.into, "bold"), f" holds all of {args.source} already ", amount)
        return 0
    out.text(
        styled(args.into, "bold"),
        f" has the changes of {args.source}: {len(paths):,} {'path' if len(paths) == 1 else 'paths'}, as {agent} ",
        amount,
    )
    for path in sorted(paths)[:SHOWN]:
        out.text(f"  {one_line(path, 300)}")
    more(out, len(paths) - SHOWN, "paths", "--json names them")
    return 0


def _teardown_options(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--force", action="store_true", help="also with changes that no other workspace has")


def _teardown(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    context.project.workspaces.teardown(args.name, force=args.force)
    out.data({"agent": agent, "name": args.name, "deleted": True})
    out.text(styled(args.name, "bold"), f" torn down, as {agent}; folders keep their files")
    return 0


def _expire_options(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say which")


def _expire(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    names = context.project.workspaces.expire(args.dry_run)
    out.data({"agent": agent, "expired": names, "dry_run": args.dry_run})
    if not names:
        out.text("no workspace has outlived its time")
        return 0
    said = "would be torn down" if args.dry_run else f"torn down, as {agent}"
    out.text(f"{len(names):,} {'workspace' if len(names) == 1 else 'workspaces'} {said}: {', '.join(names[:SHOWN])}")
    more(out, len(names) - SHOWN, "workspaces", "--json names them")
    return 0


COMMANDS = {
    "workspace list": Command(options=_list_options, run=_list, examples="  windlass workspace list"),
    "workspace show": Command(options=_show_options, run=_show, examples="  windlass workspace show site"),
    "workspace checkpoint": Command(
        options=_checkpoint_options, run=_checkpoint, examples='  windlass workspace checkpoint site --label v1 --note "tests pass"'
    ),
    "workspace checkpoints": Command(options=_checkpoints_options, run=_checkpoints, examples="  windlass workspace checkpoints site"),
    "workspace restore": Command(options=_restore_options, run=_restore, examples="  windlass workspace restore site v1"),
    "workspace fork": Command(
        options=_fork_options,
        run=_fork,
        examples="  windlass workspace fork site -n 5\n  windlass workspace fork site@v1 -n 3 --prefix try",
    ),
    "workspace diff": Command(
        options=_diff_options, run=_diff, examples="  windlass workspace diff site site-2\n  windlass workspace diff site@v1 site"
    ),
    "workspace merge": Command(
        options=_merge_options,
        run=_merge,
        examples="  windlass workspace merge site-2 site\n  windlass workspace merge site-2 site --theirs",
    ),
    "workspace teardown": Command(options=_teardown_options, run=_teardown, examples="  windlass workspace teardown site-3 --force"),
    "workspace expire": Command(options=_expire_options, run=_expire, examples="  windlass workspace expire --dry-run"),
}
