"""memory set, get, list, history, delete."""

from __future__ import annotations

from windlass import jsons
from windlass.surfaces.cli.arguments import add_limit, count
from windlass.surfaces.cli.columns import ago, columns
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import MAX_BODY, clean, one_line, shortened, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from windlass.protocol.memory import Memory
    from windlass.surfaces.cli.context import Context

EVERYTHING = 1_000_000_000


def _text(value: Any) -> str:
    """Strings as they are, anything else as JSON."""
    return value if isinstance(value, str) else jsons.dumps(value, ensure_ascii=False)


def _data(memory: Memory, *, limit: int | None = None) -> dict[str, Any]:
    cut = limit is not None and len(_text(memory.value)) > limit
    return {
        "key": memory.key,
        "value": None if cut else memory.value,
        **({"cut": cut} if limit is not None else {}),
        "version": memory.version,
        "set_by": memory.set_by,
        "set_at": memory.set_at,
        "deleted": memory.deleted,
    }


def _if_version(parser: ArgumentParser) -> None:
    parser.add_argument("--if-version", type=count, metavar="N", help="only if it is at version N (0: not there), else exit 3")


def _set_options(parser: ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="names joined by dots, like design.contract")
    parser.add_argument("value", metavar="VALUE", help="text; - for stdin, @FILE for a file's content")
    parser.add_argument("--json-value", action="store_true", help="VALUE is JSON")
    _if_version(parser)


def _set(context: Context, args: Namespace) -> int:
    agent = context.agent
    value: Any = context.text(args.value)
    if args.json_value:
        value = context.json_value(value, "VALUE")
    now = context.project.memory.set(args.key, value, args.if_version)
    context.out.data({"agent": agent, "key": args.key, "version": now.version, "set_at": now.set_at})
    context.out.text(styled(args.key, "bold"), f" set to version {now.version}, as {agent}")
    return 0


def _get_options(parser: ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--with-meta", action="store_true", help="a JSON document with version, set_by and set_at, not the bare value")


def _get(context: Context, args: Namespace) -> int:
    memory = context.project.memory.get(args.key)
    context.out.data(_data(memory))
    if args.with_meta:
        import json

        context.out.text(json.dumps(_data(memory), indent=2))
    else:
        context.out.text(_text(memory.value))
    return 0


def _list_options(parser: ArgumentParser) -> None:
    parser.add_argument("prefix", metavar="PREFIX", nargs="?", default="", help="only keys that start with this")
    add_limit(parser, "keys")


def _list(context: Context, args: Namespace) -> int:
    out = context.out
    limit = args.limit or EVERYTHING
    found = context.project.memory.list(args.prefix, limit + 1)
    shown, cut = found[:limit], len(found) > limit
    good = [one.memory.but(key=one.key) for one in shown if one.memory is not None]
    for one in shown:
        if one.memory is None:
            out.note(f"warning: {one.why}; the rest is shown")
    out.data(
        {
            "memory": [_data(memory, limit=MAX_BODY) for memory in good],
            "damaged": [{"key": one.key, "why": one.why} for one in shown if one.memory is None],
            "more": cut,
        }
    )
    if not good and not out.as_json:
        out.text(f"no memory keys{f' that start with {args.prefix}' if args.prefix else ''}")
    columns(out, (), [(memory.key, f"v{memory.version}", memory.set_by, one_line(_text(memory.value))) for memory in good])
    if cut:
        out.text(styled(f"… there are more: windlass memory list {args.prefix + ' ' if args.prefix else ''}--limit 0", "dim"))
    return 0


def _history_options(parser: ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    add_limit(parser, "versions")


def _history(context: Context, args: Namespace) -> int:
    out = context.out
    limit = args.limit or EVERYTHING
    versions = context.project.memory.history(args.key, limit)
    cut = versions[-1].version > 1
    out.data({"key": args.key, "versions": [_data(memory) for memory in versions], "more": cut})
    if out.as_json:
        return 0
    now = context.project.session.now()
    for memory in versions:
        what = "deleted" if memory.deleted else ""
        out.text(styled(f"version {memory.version}", "bold"), f", {ago(memory.set_at, now)}, by {one_line(memory.set_by, 128)}: ", what)
        if not memory.deleted:
            how = f"windlass memory history {args.key} --json"
            out.text("  " + shortened(clean(_text(memory.value)), how).replace("\n", "\n  "))
    if cut:
        out.text(styled(f"… there are more: windlass memory history {args.key} --limit 0", "dim"))
    return 0


def _delete_options(parser: ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    _if_version(parser)


def _delete(context: Context, args: Namespace) -> int:
    agent = context.agent
    now = context.project.memory.delete(args.key, args.if_version)
    context.out.data({"agent": agent, "key": args.key, "version": now.version, "deleted": True})
    context.out.text(styled(args.key, "bold"), f" deleted, as {agent}; what it was: windlass memory history {args.key}")
    return 0


COMMANDS = {
    "memory set": Command(
        options=_set_options,
        run=_set,
        examples='  windlass memory set design.contract "api.py"\n'
        "  windlass memory set build.tests '{\"passed\": 12}' --json-value\n"
        "  windlass memory set design.notes @notes.md --if-version 3",
    ),
    "memory get": Command(
        options=_get_options, run=_get, examples="  windlass memory get design.contract\n  windlass memory get design.contract --with-meta"
    ),
    "memory list": Command(options=_list_options, run=_list, examples="  windlass memory list\n  windlass memory list design"),
    "memory history": Command(options=_history_options, run=_history, examples="  windlass memory history design.contract --limit 5"),
    "memory delete": Command(options=_delete_options, run=_delete, examples="  windlass memory delete design.contract --if-version 4"),
}
