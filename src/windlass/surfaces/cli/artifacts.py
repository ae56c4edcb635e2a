"""artifact upload, download, list, show, history, lineage, verify, delete."""

from __future__ import annotations

import sys

from windlass.errors import Damaged, UsageError
from windlass.surfaces.cli.arguments import add_limit
from windlass.surfaces.cli.columns import ago, columns, more
from windlass.surfaces.cli.context import Command
from windlass.surfaces.cli.results import SHOWN, data, how_much
from windlass.surfaces.present import one_line, sized, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from windlass.ops.artifacts import Uploaded
    from windlass.ops.lineage import Lineage
    from windlass.protocol.artifacts import Published, Ref
    from windlass.surfaces.cli.context import Context


def _fetch(ref: Ref) -> str:
    """The command that downloads a version, the current one where none is named."""
    return f"windlass artifact download {ref.but(step='')}" + (f" --step {ref.step}" if ref.step else "")


def _step(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("--step", metavar="S", help=what)


def _name(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME[@VERSION]", help="without a version, the current one; STEP/NAME names a step's too")
    _step(parser, "an artifact of this step, not a shared one")


def _upload_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="+", help="a file, a folder (all but .git and .windlass), or - for stdin (with --name)"
    )
    _step(parser, "publish it as a result of this step, which you hold: refused with exit 3 once you have lost it")
    parser.add_argument("--epoch", type=int, metavar="N", help="only if your claim has this epoch")
    parser.add_argument("--name", metavar="N", help="its name; default: the last part of PATH")
    parser.add_argument("--meta", action="append", default=[], metavar="K=V", help="something to know about it (again for more)")
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME@N", help="what it was made from: NAME@N or STEP/NAME@N (again)"
    )
    parser.add_argument("--command", default="", metavar="TEXT", help="the command that made it; put no secret there")


def _upload(context: Context, args: Namespace) -> int:
    from windlass.project.git import here

    agent, out = context.agent, context.out
    if args.name is not None and len(args.path) > 1:
        raise UsageError("--name is for one PATH only", "upload them one by one, or without --name")
    if "-" in args.path and args.name is None:
        raise UsageError("what comes from stdin has no name of its own", "give one: --name NAME")
    meta = dict(_pair(one) for one in args.meta)
    git = here()
    done: list[Uploaded] = []
    try:
        for path in args.path:
            what = sys.stdin.buffer if path == "-" else path
            made = context.project.artifacts.upload(
                what,
                name=args.name,
                step=args.step or "",
                epoch=args.epoch,
                meta=meta,
                inputs=args.input,
                git=git,
                command=args.command,
            )
            done.append(made)
            _warn(context, made)
            said = "was already there" if made.again else f"published, as {agent}"
            out.text(styled(str(made.ref), "bold"), f" {said} ", styled(f"({how_much(made.artifact)})", "dim"))
    finally:
        if done:  # also where a later one failed: these are published
            rows = [{**data(one.artifact, one.ref), "again": one.again} for one in done]
            out.data({"agent": agent, "artifacts": rows, "left": _left(done)})
    return 0


def _left(done: Iterable[Uploaded]) -> list[dict[str, str]]:
    return [{"artifact": str(one.ref), "path": path, "why": why} for one in done for path, why in one.left]


def _warn(context: Context, done: Uploaded) -> None:
    out = context.out
    for what, found in (("left out", done.left), ("note", done.odd)):
        for path, why in found[:SHOWN]:
            out.note(f"{what}: {one_line(path, 200)}: {why}")
        if len(found) > SHOWN:
            out.note(f"{what}: … {len(found) - SHOWN:,} more")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{text[:80]!r} is no metadata", "write --meta KEY=VALUE")
    return key, value


def _download_options(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="where to; DIR/ puts it into DIR; - for stdout, each part once it is verified"
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")
    parser.add_argument(
        "--links", choices=("inside", "all"), default="inside", metavar="WHICH", help="all: symbolic links may lead out of the folder"
    )


def _download(context: Context, args: Namespace) -> int:
    out, part = context.out, context.project.artifacts
    if args.output == "-":
        if out.as_json:
            raise UsageError("--json and -o - both want stdout", "leave one of them out")
        part.stream(args.name, sys.stdout.buffer, step=args.step or "")
        return 0
    done = part.download(args.name, args.output, step=args.step or "", force=args.force, links=args.links)
    out.data({"path": done.path, "artifact": data(done.artifact, done.ref)})
    out.text(styled(done.path, "bold"), f" is {done.ref}, verified ", styled(f"({how_much(done.artifact)})", "dim"))
    return 0


def _list_options(parser: ArgumentParser) -> None:
    _step(parser, "only those of this step")
    add_limit(parser, "artifacts")


def _list(context: Context, args: Namespace) -> int:
    out = context.out
    found = context.project.artifacts.list(args.step)
    good = [(one.ref, one.artifact) for one in found if one.artifact is not None]
    damaged = [one for one in found if one.artifact is None]
    shown = good[: args.limit or None]
    for one in damaged:
        out.note(f"warning: {one.why}; the rest is shown")
    out.data(
        {
            "artifacts": [data(version, ref) for ref, version in shown],
            "total": len(good),
            "damaged": [{"key": one.key, "why": one.why} for one in damaged],
            "more": len(shown) < len(good),
        }
    )
    if out.as_json:
        return 0
    if not good:
        out.text("no artifacts" + (f" of {args.step}" if args.step else " yet: windlass artifact upload PATH"))
        return 0
    now = context.project.session.now()
    columns(
        out,
        ("artifact", "size", "by", "when", "type"),
        [(ref.but(version=v.version), how_much(v), one_line(v.agent, 40), ago(v.at, now), _type(v)) for ref, v in shown],
    )
    more(out, len(good) - len(shown), "artifacts", f"windlass artifact list{f' --step {args.step}' if args.step else ''} --limit 0")
    return 0


def _type(version: Published) -> str:
    """Its media type, in a person's words."""
    return "folder" if version.entry.kind.value == "folder" else one_line(version.media_type)


def _show(context: Context, args: Namespace) -> int:
    from windlass.project.artifacts import reference_to

    out = context.out
    version = context.project.artifacts.show(args.name, step=args.step or "")
    ref = reference_to(args.name, args.step or "")
    out.data({"artifact": data(version, ref)})
    if out.as_json:
        return 0
    now = context.project.session.now()
    out.text(styled(str(ref.but(version=version.version)), "bold"), f": {how_much(version)}, {_type(version)}")
    held = f", for {one_line(version.step, 128)} (epoch {version.epoch})" if version.step else ""
    out.text(f"  by {one_line(version.agent, 128)} (incarnation {version.incarnation}){held}, {ago(version.at, now)}")
    if version.entry.sha:
        out.text(f"  sha256 {version.entry.sha}")
    for one in version.inputs[:SHOWN]:
        out.text(f"  made from {one_line(one, 300)}")
    more(out, len(version.inputs) - SHOWN, "inputs", f"windlass artifact show {ref} --json")
    for key, value in list(version.meta.items())[:SHOWN]:
        out.text(f"  {one_line(key, 60)}: {one_line(str(value), 200)}")
    more(out, len(version.meta) - SHOWN, "entries", f"windlass artifact show {ref} --json")
    if version.git is not None and version.git.head:
        out.text(f"  commit {one_line(version.git.head[:12])}" + (f" on {one_line(version.git.branch, 200)}" if version.git.branch else ""))
    if version.command:
        out.text(f"  command: {one_line(version.command, 300)}")
    out.text(styled(f"  get it: {_fetch(ref)}", "dim"))
    return 0


def _history_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="STEP/NAME names a step's too")
    _step(parser, "an artifact of this step, not a shared one")
    add_limit(parser, "versions")


def _history(context: Context, args: Namespace) -> int:
    from windlass.project.artifacts import reference_to

    out = context.out
    limit = args.limit or 10**9
    ref = reference_to(args.name, args.step or "").bare
    versions = context.project.artifacts.history(str(ref), limit)
    cut = versions[-1].version > 1
    first = versions[0].first
    rows = [{**data(one, ref), "deleted": one.deleted or one.version < first} for one in versions]
    out.data({"name": ref.name, "step": ref.step or None, "versions": rows, "more": cut})
    if out.as_json:
        return 0
    now = context.project.session.now()
    cells = []
    for one in versions:
        what = "deleted" if one.deleted else how_much(one) + (", deleted since" if one.version < first else "")
        cells.append((f"@{one.version}", one_line(one.agent, 40), ago(one.at, now), what))
    columns(out, ("version", "by", "when", "size"), cells)
    if cut:
        out.text(styled(f"… there are more: windlass artifact history {ref} --limit 0", "dim"))
    return 0


def _lineage_options(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--graph", action="store_true", help="Mermaid text, to paste into a document")
    parser.add_argument(
        "--back", action="store_true", help="only what it was made from: what was made from it takes a look at every version"
    )


def _lineage(context: Context, args: Namespace) -> int:
    out = context.out
    found = context.project.artifacts.lineage(args.name, step=args.step or "", forth=not args.back)
    out.data(
        {
            "of": found.of,
            "versions": [_in_lineage(name, version) for name, version in found.versions.items()],
            "edges": [{"input": one, "made": made} for one, made in found.edges],
            "more": found.more,
        }
    )
    if out.as_json:
        return 0
    for line in _mermaid(found) if args.graph else _told(found):
        out.text(line)
    if found.more:
        out.note("there is more than a thousand versions of it: the rest is not shown")
    return 0


def _in_lineage(name: str, version: Published | None) -> dict[str, Any]:
    return {
        "ref": name,
        "agent": version.agent if version is not None else None,
        "step": (version.step or None) if version is not None else None,
        "at": version.at if version is not None else None,
        "there": version is not None,
    }


def _told(found: Lineage) -> Iterator[str]:
    """What it was made from above, what was made from it below, each with who made it."""
    into: dict[str, list[str]] = {}
    out_of: dict[str, list[str]] = {}
    for one, made in found.edges:
        into.setdefault(made, []).append(one)
        out_of.setdefault(one, []).append(made)
    yield _who(found, found.of)
    for word, edges in (("made from", into), ("used for", out_of)):
        if found.of in edges:
            yield f"  {word}:"
            yield from _branch(found, edges, found.of, {found.of})


def _branch(found: Lineage, edges: Mapping[str, list[str]], start: str, seen: set[str]) -> Iterator[str]:
    todo = [(one, 2) for one in reversed(edges.get(start, []))]
    while todo:
        name, deep = todo.pop()
        again = name in seen
        yield "  " * min(deep, 20) + _who(found, name) + (" (see above)" if again and name in edges else "")
        if not again:
            seen.add(name)
            todo += [(one, deep + 1) for one in reversed(edges.get(name, []))]


def _who(found: Lineage, name: str) -> str:
    version = found.versions.get(name)
    if version is None:
        return f"{one_line(name, 300)}  not there any more"
    return f"{one_line(name, 300)}  by {one_line(version.agent, 128)}" + (f" for {one_line(version.step, 128)}" if version.step else "")


def _mermaid(found: Lineage) -> Iterator[str]:
    from windlass.surfaces.cli.graph import escaped

    ids = {name: f"v{number}" for number, name in enumerate(found.versions)}
    steps: dict[str, str] = {}
    agents: dict[str, str] = {}
    yield "graph LR"
    for name, version in found.versions.items():
        shape = ":::of" if name == found.of else ":::gone" if version is None else ""
        yield f'  {ids[name]}["{escaped(one_line(name, 300))}"]{shape}'
    for name, version in found.versions.items():
        if version is None:
            continue
        if version.step:
            known = steps.setdefault(version.step, f"s{len(steps)}")
            yield f'  {known}(["{escaped(one_line(version.step, 128))}"]) -.-> {ids[name]}'
        known = agents.setdefault(version.agent, f"a{len(agents)}")
        yield f'  {known}(("{escaped(one_line(version.agent, 128))}")) -.-> {ids[name]}'
    for one, made in found.edges:
        yield f"  {ids[one]} --> {ids[made]}"
    yield "  classDef of stroke-width:3px"
    yield "  classDef gone fill:#eeeeee,stroke:#999999"


def _verify_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME[@VERSION]", nargs="*", default=[], help="default: the current versions of all")
    _step(parser, "artifacts of this step")


def _verify(context: Context, args: Namespace) -> int:
    out = context.out
    found = context.project.artifacts.verify(args.name, step=args.step)
    out.data({"artifacts": found.artifacts, "bytes": found.bytes, "damaged": found.damaged})
    for flaw in found.damaged[:SHOWN]:
        inside = f" ({one_line(flaw.path, 300)})" if flaw.path else ""
        out.text(styled("damaged: ", "red"), f"{one_line(flaw.ref, 300)}{inside}: {flaw.key}: {one_line(flaw.why, 300)}")
    more(out, len(found.damaged) - SHOWN, "flaws", "windlass artifact verify --json")
    if found.damaged:
        context.out.flush()
        raise Damaged(found.damaged[0].key, found.damaged[0].why)
    well = "artifact is" if found.artifacts == 1 else "artifacts are"
    out.text(f"{found.artifacts:,} {well} well: {sized(found.bytes)} read and compared")
    return 0


def _delete_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="STEP/NAME names a step's too")
    _step(parser, "an artifact of this step, not a shared one")


def _delete(context: Context, args: Namespace) -> int:
    from windlass.project.artifacts import reference_to

    agent = context.agent
    ref = reference_to(args.name, args.step or "")
    gone = context.project.artifacts.delete(args.name, step=args.step or "")
    context.out.data({"agent": agent, "name": ref.name, "step": ref.step or None, "version": gone.version, "deleted": True})
    context.out.text(styled(str(ref), "bold"), f" deleted, as {agent}; its space is freed by: windlass gc")
    return 0


COMMANDS = {
    "artifact upload": Command(
        options=_upload_options,
        run=_upload,
        examples="  windlass artifact upload dist/app.tar.gz --step build --input schema@2\n"
        "  windlass artifact upload report/ --meta tests=212\n"
        "  make docs | windlass artifact upload - --name docs.txt",
    ),
    "artifact download": Command(
        options=_download_options,
        run=_download,
        examples="  windlass artifact download app.tar.gz --step build\n"
        "  windlass artifact download report@3 -o /tmp/report\n"
        "  windlass artifact download docs.txt -o - | less",
    ),
    "artifact list": Command(
        options=_list_options, run=_list, examples="  windlass artifact list\n  windlass artifact list --step build --json"
    ),
    "artifact show": Command(
        options=_name, run=_show, examples="  windlass artifact show app.tar.gz --step build\n  windlass artifact show report@3"
    ),
    "artifact history": Command(options=_history_options, run=_history, examples="  windlass artifact history report --limit 5"),
    "artifact lineage": Command(
        options=_lineage_options,
        run=_lineage,
        examples="  windlass artifact lineage report\n  windlass artifact lineage report --graph > lineage.mmd",
    ),
    "artifact verify": Command(
        options=_verify_options, run=_verify, examples="  windlass artifact verify\n  windlass artifact verify report@3 --json"
    ),
    "artifact delete": Command(options=_delete_options, run=_delete, examples="  windlass artifact delete report"),
}
