"""plan graph: steps by level as text, or as Mermaid."""

from __future__ import annotations

from windlass.surfaces.cli.columns import columns
from windlass.surfaces.cli.context import Command
from windlass.surfaces.present import clean, one_line, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from windlass.ops.graph import Graph
    from windlass.protocol.survey import Brief
    from windlass.surfaces.cli.context import Context

SHOWN = 60
"""Steps shown without being asked for all."""
FINISHED = ("complete", "cancelled")
_COLOURS = {
    "complete": "fill:#d3f2d8,stroke:#2f8f46",
    "in_progress": "fill:#d5ecfb,stroke:#2a7ab0",
    "needs_review": "fill:#fdf0c8,stroke:#b08a1e",
    "blocked": "fill:#f9d6d5,stroke:#b03a36",
    "failed": "fill:#f9d6d5,stroke:#b03a36",
    "cancelled": "fill:#eeeeee,stroke:#999999",
    "pending": "fill:#ffffff,stroke:#777777",
}


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--mermaid", action="store_true", help="Mermaid text, to paste into a document")
    parser.add_argument("--all", action="store_true", help=f"every step; without it at most {SHOWN}, unfinished ones first")


def _graph(context: Context, args: Namespace) -> int:
    out = context.out
    graph = context.project.plan.graph()
    for why in graph.damaged.values():
        out.note(f"warning: {why}")
    levels = [*graph.levels, *([graph.stuck] if graph.stuck else [])]
    total = sum(len(level) for level in levels)
    shown = _chosen(levels, total if args.all else SHOWN)
    hidden = total - len(shown)
    how = f"windlass plan graph{' --mermaid' if args.mermaid else ''} --all"
    out.data(
        {
            "steps": [
                {"step": one.name, "status": one.status.value, "agent": one.agent or None, "needs": one.needs, "level": number}
                for number, one in _numbered(graph)
                if one.name in shown
            ],
            "circles": graph.circles,
            "missing": graph.missing,
            "total": total,
            "damaged": [{"key": key, "why": why} for key, why in graph.damaged.items()],
            "more": hidden > 0,
        }
    )
    if out.as_json:
        return 0
    if args.mermaid:
        for line in _mermaid([one for level in levels for one in level if one.name in shown]):
            out.text(line)
        if hidden:
            out.text(f"  %% {hidden:,} more steps: {how}")
            out.note(f"{hidden:,} more steps: {how}")
        return 0
    if not total:
        out.text("no steps yet: windlass plan apply FILE")
    for number, level in enumerate(levels, 1):
        head = f"level {number}" if number <= len(graph.levels) else "in a circle, or waiting for one"
        here = [one for one in level if one.name in shown]
        rest = len(level) - len(here)
        if here or not rest:
            out.text(styled(head, "bold"), styled(f"  ({rest:,} more, {_tally(level)})" if rest else "", "dim"))
        columns(out, (), [(one.name, one.status.value, one.agent, _needs(one, graph)) for one in here], indent="  ")
    for circle in graph.circles:
        out.text(styled("circle: ", "red"), " → ".join(circle))
    if hidden:
        out.text(styled(f"… {hidden:,} more steps: {how}", "dim"))
    return 0


def _numbered(graph: Graph) -> Iterator[tuple[int | None, Brief]]:
    """Each step with its level, None where it has none."""
    for number, level in enumerate(graph.levels, 1):
        for one in level:
            yield number, one
    for one in graph.stuck:
        yield None, one


def _chosen(levels: list[tuple[Brief, ...]], limit: int) -> set[str]:
    """At most `limit` names: what is not finished first, from the first level on."""
    every = [one for level in levels for one in level]
    every.sort(key=lambda one: one.status.value in FINISHED)
    return {one.name for one in every[:limit]}


def _tally(level: tuple[Brief, ...]) -> str:
    counts: dict[str, int] = {}
    for one in level:
        counts[one.status.value] = counts.get(one.status.value, 0) + 1
    return ", ".join(f"{number:,} {state}" for state, number in counts.items())


def _needs(one: Brief, graph: Graph) -> str:
    return "needs " + ", ".join(f"{need} (missing)" if need in graph.missing else need for need in one.needs) if one.needs else ""


def _mermaid(steps: list[Brief]) -> Iterator[str]:
    ids = {one.name: f"s{number}" for number, one in enumerate(steps)}
    yield "graph TD"
    for one in steps:
        title = f"<br/>{escaped(one_line(one.title, 60))}" if one.title else ""
        yield f'  {ids[one.name]}["{escaped(one.name)}{title}"]:::{one.status.value}'
    for one in steps:
        for need in one.needs:
            if need in ids:
                yield f"  {ids[need]} --> {ids[one.name]}"
    for state in dict.fromkeys(one.status.value for one in steps):
        yield f"  classDef {state} {_COLOURS[state]}"


def escaped(text: str) -> str:
    """Text as a Mermaid label: nothing in it is markup."""
    return "".join(char if char.isalnum() or char in " .,_-:/!?…" else f"#{ord(char)};" for char in clean(text))


COMMANDS = {
    "plan graph": Command(options=_options, run=_graph, examples="  windlass plan graph\n  windlass plan graph --mermaid > plan.mmd"),
}
