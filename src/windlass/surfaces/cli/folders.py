"""workspace create, push, pull, status: what goes between a workspace and a folder."""

from __future__ import annotations

import os

from windlass.errors import NotFound, UsageError, shell_word
from windlass.surfaces.cli.arguments import span
from windlass.surfaces.cli.context import Command
from windlass.surfaces.cli.paths import changes, counted, data, naming_conflicts, remark, remarks, show_changes, weight
from windlass.surfaces.present import styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from windlass.surfaces.cli.context import Context


def _create_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--from", dest="source", metavar="WHAT", help="a folder, a workspace, or a checkpoint: WORKSPACE@LABEL")
    parser.add_argument("--ttl", type=span, metavar="D", help="time to live after its last change, like 12h or 7d, for `workspace expire`")


def _create(context: Context, args: Namespace) -> int:
    from windlass.project.syncing import create_from

    agent, out, part = context.agent, context.out, context.project.workspaces
    kind = _kind(context, args.source)
    scan = None
    if kind == "folder":
        scan = context.project.session.run(create_from(context.project.session, args.name, args.source, args.ttl))
        made = scan.workspace
    else:
        made = part.create(args.name, source=args.source or "", ttl=args.ttl).workspace
    out.data(
        {
            "agent": agent,
            "workspace": data(made),
            "from": args.source,
            "kind": kind,
            "ignored": scan.ignored if scan else 0,
            "odd": remarks(scan.odd if scan else ()),
            "left": remarks(scan.left if scan else ()),
        }
    )
    of = {"folder": f" from the folder {args.source}", "workspace": f" from the workspace {args.source}", "empty": ", empty"}[kind]
    out.text(
        styled(args.name, "bold"), f" made{of}, as {agent} ", styled(f"({weight(made.root)}{_ignored(scan.ignored if scan else 0)})", "dim")
    )
    if scan:
        remark(out, "left out", scan.left)
        remark(out, "odd name", scan.odd)
        if part.belongs_to(args.source) != args.name:
            word = shell_word(args.source)
            out.note(
                f"{args.source} belongs to another workspace still; to bind it: windlass workspace push {word} --to {args.name} --force"
            )
    else:
        out.text(styled(f"  into a folder: windlass workspace pull {args.name} --from {args.name}", "dim"))
    return 0


def _kind(context: Context, source: str | None) -> str:
    """What `--from` means: with a slash a folder, else a workspace if there is one of that name, else a folder."""
    if not source:
        return "empty"
    if os.sep in source or source in (".", ".."):
        return "folder"
    try:
        context.project.workspaces.show(source.partition("@")[0])
    except (NotFound, UsageError):
        if os.path.isdir(source):
            return "folder"
        raise
    return "workspace"


def _ignored(count: int) -> str:
    return f"; {count:,} ignored" if count else ""


def _folder(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="the folder (default: this one)")


def _workspace_of(context: Context, folder: str, option: str) -> str:
    name = context.project.workspaces.belongs_to(folder)
    if name is None:
        raise UsageError(
            f"{folder} belongs to no workspace yet", f"say which one: {option} NAME; see: windlass workspace list", folder=folder
        )
    return name


def _push_options(parser: ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("--to", metavar="NAME", help="the workspace; a folder knows its own after the first time")
    parser.add_argument("--note", default="", metavar="TEXT", help="what changed; for the history")
    parser.add_argument("--force", action="store_true", help="overwrite what others pushed meanwhile; bind the folder to --to")


def _push(context: Context, args: Namespace) -> int:
    agent, out = context.agent, context.out
    name = args.to or _workspace_of(context, args.folder, "--to")
    done = context.project.workspaces.push(name, args.folder, force=args.force, note=context.text(args.note))
    out.data(
        {
            "agent": agent,
            "workspace": data(done.workspace),
            "folder": args.folder,
            "again": done.again,
            **changes(done),
            "ignored": done.ignored,
            "odd": remarks(done.odd),
            "left": remarks(done.left),
        }
    )
    amount = styled(f"({weight(done.workspace.root)}{_ignored(done.ignored)})", "dim")
    if done.again:
        out.text(styled(name, "bold"), f" holds all of {args.folder} already ", amount)
    else:
        out.text(styled(name, "bold"), f" holds what {args.folder} holds: {counted(done) or 'changed'}, as {agent} ", amount)
    remark(out, "left out", done.left)
    remark(out, "odd name", done.odd)
    return 0


def _pull_options(parser: ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("--from", dest="source", metavar="NAME", help="the workspace; a folder knows its own after the first time")
    parser.add_argument("--force", action="store_true", help="the workspace wins where both changed; bind the folder to --from")
    parser.add_argument(
        "--links", choices=("inside", "all"), default="inside", metavar="WHICH", help="all: also symbolic links that lead out of the folder"
    )


def _pull(context: Context, args: Namespace) -> int:
    out, folder = context.out, args.folder
    name = args.source or _workspace_of(context, folder, "--from")
    done = naming_conflicts(out, lambda: context.project.workspaces.pull(name, folder, force=args.force, links=args.links))
    out.data({"workspace": data(done.workspace), "folder": folder, "again": done.again, **changes(done), "odd": remarks(done.odd)})
    amount = styled(f"({weight(done.workspace.root)})", "dim")
    out.text(
        styled(folder, "bold"),
        f" holds {name} already " if done.again else f" has the state of {name}: {counted(done) or 'empty'} ",
        amount,
    )
    remark(out, "odd name", done.odd)
    return 0


def _status_options(parser: ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("--all", action="store_true", help="every path, not only the first 20")


def _status(context: Context, args: Namespace) -> int:
    out, word = context.out, shell_word(args.folder)
    found = context.project.workspaces.status(args.folder)
    out.data(
        {
            "workspace": found.workspace,
            "folder": args.folder,
            "moved": found.moved,
            "problem": found.problem or None,
            **changes(found, None if args.all else 1000),
            "ignored": found.ignored,
            "odd": remarks(found.odd),
            "left": remarks(found.left),
        }
    )
    if out.as_json:
        return 0
    what = counted(found)
    out.text(
        styled(args.folder, "bold"),
        f" belongs to {found.workspace}: {what or 'nothing changed here'}",
        styled(_ignored(found.ignored), "dim"),
    )
    show_changes(out, found, args.all, f"windlass workspace status {word} --all")
    if found.problem:
        out.note(f"the workspace could not be looked at: {found.problem}")
    elif found.moved:
        out.text(f"  {found.workspace} was changed by others since: windlass workspace pull {word}")
    elif what:
        out.text(styled(f"  next: windlass workspace push {word}", "dim"))
    remark(out, "left out", found.left)
    remark(out, "odd name", found.odd)
    return 0


COMMANDS = {
    "workspace create": Command(
        options=_create_options,
        run=_create,
        examples="  windlass workspace create site --from ./site\n"
        "  windlass workspace create trial --from site@v1 --ttl 7d\n"
        "  windlass workspace create scratch",
    ),
    "workspace push": Command(
        options=_push_options, run=_push, examples="  windlass workspace push ./site --to site\n  windlass workspace push ./site"
    ),
    "workspace pull": Command(
        options=_pull_options, run=_pull, examples="  windlass workspace pull ./copy --from site\n  windlass workspace pull ./copy"
    ),
    "workspace status": Command(options=_status_options, run=_status, examples="  windlass workspace status ./site"),
}
