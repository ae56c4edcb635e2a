"""Versions of artifacts as JSON, and the artifacts of a step as lines, for every command that shows them."""

from __future__ import annotations

from windlass.record import plain
from windlass.surfaces.cli.columns import more
from windlass.surfaces.present import sized, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from windlass.protocol.artifacts import Published, Ref
    from windlass.protocol.steps import Step
    from windlass.surfaces.present import Output

SHOWN = 20
"""Artifacts of a step shown without being asked for more."""
_INNER = ("content", "write_id", "first", "version", "step")


def of(step: Step) -> Mapping[str, Published]:
    """What a step published, by name."""
    if not step.artifacts:
        return {}
    from windlass.project.artifacts import left_in

    return left_in(step)


def data(version: Published, ref: Ref) -> dict[str, Any]:
    """A version as JSON."""
    entry = None if version.deleted else version.entry
    facts = {name: value for name, value in plain(version).items() if name not in _INNER}
    return {
        "ref": str(ref.but(version=version.version)),
        "name": ref.name,
        "step": ref.step or None,
        "version": version.version,
        "kind": "deleted" if entry is None else "folder" if entry.kind.value == "folder" else "file",
        "size": version.size,
        "files": entry.files if entry is not None else 0,
        "sha256": entry.sha or None if entry is not None else None,
        **facts,
    }


def rows(found: Mapping[str, Published], step: str) -> list[dict[str, Any]]:
    """The artifacts of a step as JSON."""
    if not found:
        return []
    from windlass.project.artifacts import reference

    return [data(version, reference(name, step)) for name, version in found.items()]


def tell(out: Output, found: Mapping[str, Published], step: str) -> None:
    """The artifacts of a step, a line each with the command that gets it."""
    for name, version in list(found.items())[:SHOWN]:
        how = styled(f"windlass artifact download {name} --step {step}", "dim")
        out.text(f"  artifact {name}@{version.version} ({how_much(version)}): ", how)
    more(out, len(found) - SHOWN, "artifacts", f"windlass artifact list --step {step}")


def how_much(version: Published) -> str:
    """Its size; of a folder the number of its files too."""
    entry = version.entry
    if entry.kind.value != "folder":
        return sized(version.size)
    return f"{entry.files:,} {'file' if entry.files == 1 else 'files'}, {sized(version.size)}"
