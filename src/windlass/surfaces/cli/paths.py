"""Lists of paths and of what is wrong with some, for every command that tells of files. Bounded, in text and in JSON."""

from __future__ import annotations

from windlass.errors import Conflicting
from windlass.surfaces.cli.columns import more
from windlass.surfaces.present import one_line, sized, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    from windlass.protocol.workspaces import Root, Workspace
    from windlass.surfaces.present import Output

    T = TypeVar("T")

SHOWN = 20
"""Paths shown without being asked for all."""
IN_JSON = 1000
"""Paths of each list in JSON without being asked for all."""
KINDS = (("added", "A", "green"), ("changed", "M", "yellow"), ("removed", "D", "red"))


def changes(found: Any, limit: int | None = IN_JSON) -> dict[str, Any]:
    """What differs as JSON; `limit` None: all."""
    counts = {name: len(getattr(found, name)) for name, _, _ in KINDS}
    lists = {name: list(getattr(found, name)[:limit]) for name, _, _ in KINDS}
    return {"counts": counts, **lists, "more": limit is not None and any(count > limit for count in counts.values())}


def show_changes(out: Output, found: Any, everything: bool, how: str) -> None:
    """A line for each path that differs."""
    lines = sorted((path, letter, style) for name, letter, style in KINDS for path in getattr(found, name))
    shown = lines if everything else lines[:SHOWN]
    for path, letter, style in shown:
        out.text("  ", styled(letter, style), f" {one_line(path, 300)}")
    more(out, len(lines) - len(shown), "paths", how)


def counted(found: Any) -> str:
    """How much differs: `3 added, 1 removed`."""
    return ", ".join(f"{len(getattr(found, name)):,} {name}" for name, _, _ in KINDS if getattr(found, name))


def remarks(found: Iterable[Any]) -> list[dict[str, str]]:
    """Paths and what is wrong with them, as JSON."""
    return [{"path": one.path, "why": one.why} for one in list(found)[:IN_JSON]]


def remark(out: Output, what: str, found: Sequence[Any]) -> None:
    """The same on stderr; nothing with --json, which has them."""
    if out.as_json:
        return
    for one in found[:SHOWN]:
        out.note(f"{what}: {one_line(one.path, 300)}: {one.why}")
    if len(found) > SHOWN:
        out.note(f"{what}: … {len(found) - SHOWN:,} more: --json names them")


def weight(root: Root) -> str:
    """How much is in a tree."""
    return f"{root.files:,} {'file' if root.files == 1 else 'files'}, {sized(root.bytes)}"


def data(workspace: Workspace) -> dict[str, Any]:
    """A workspace as JSON."""
    last = workspace.history[-1] if workspace.history else None
    return {
        "name": workspace.name,
        "files": workspace.root.files,
        "bytes": workspace.root.bytes,
        "tree": workspace.root.tree or None,
        "seq": workspace.seq,
        "changed_by": last.by if last else workspace.created_by,
        "changed_at": last.at if last else workspace.created_at,
        "created_by": workspace.created_by,
        "created_at": workspace.created_at,
        "origin": workspace.origin or None,
        "ttl": workspace.ttl,
        "checkpoints": len(workspace.checkpoints),
    }


def naming_conflicts(out: Output, work: Callable[[], T]) -> T:
    """Do it; where that raises Conflicting, the paths are named on stderr first."""
    try:
        return work()
    except Conflicting as error:
        if not out.as_json:
            _name(out, error.details)
        raise


def _name(out: Output, details: dict[str, Any]) -> None:
    paths, ours, theirs = details.get("conflicts", []), details.get("ours", {}), details.get("theirs", {})
    for path in paths[:SHOWN]:
        sides = f": here {ours[path]}, there {theirs[path]}" if path in ours and path in theirs else ""
        out.note(f"  conflict: {one_line(path, 300)}{sides}")
    if len(paths) > SHOWN:
        out.note(f"  … {details.get('count', len(paths)) - SHOWN:,} more: --json names them")
