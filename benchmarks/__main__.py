"""Measures Windlass beside its peer and beside the floors of this machine.

python -m benchmarks [PART…]             the quick form, under five minutes; prints
python -m benchmarks --full [PART…]      the full form; writes docs/benchmarks.md, its plots and docs/benchmarks.json
python -m benchmarks --render            only write the page and the plots anew from docs/benchmarks.json
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.bench import TRACECRAFT, Bench
from tools import page
from tools.page import ROOT

if TYPE_CHECKING:
    from benchmarks.figures import Figures

FIGURES = ROOT / "docs/benchmarks.json"
PAGE = ROOT / "docs/benchmarks.md"
PLOTS = ROOT / "docs/benchmarks"
PARTS = ("commands", "distance", "requests", "wake", "race", "mail", "status", "next", "growth", "files", "instructions", "startup")
"""Each a module of this folder with `run(bench) -> Figures`."""


def machine() -> str:
    """What it was measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), model)
    except OSError:  # another system
        pass
    return f"{cores} cores of {model}, {platform.system()} {platform.release().split('-')[0]}"


def measure(part: str, bench: Bench, command: str) -> dict[str, Any]:
    """One part, as it is kept."""
    began = time.monotonic()
    measured = page.commit("src", "benchmarks")
    found: Figures = importlib.import_module(f"benchmarks.{part}").run(bench)
    return {
        "command": command,
        "commit": measured,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - began, 1),
        "machine": machine(),
        "server": bench.server,
        "tables": [one._asdict() for one in found.tables],
        "targets": [one._asdict() for one in found.targets],
        "notes": list(found.notes),
        "plots": [one._asdict() for one in found.plots],
    }


def show(figures: dict[str, Any]) -> str:
    """A part's tables, plots and notes as Markdown."""
    lines: list[str] = []
    for one in figures["tables"]:
        lines += [f"**{one['title']}**", "", page.table(one["columns"], one["rows"]), ""]
    lines += [f"![{one['title']}](benchmarks/{one['name']}.svg)\n" for one in figures["plots"]]
    lines += [f"- {note}" for note in figures["notes"]]
    lines += ["", f"{page.source(figures)} {figures['machine']}; {figures['server']}.", ""]
    return "\n".join(lines)


def targets(figures: dict[str, Any]) -> str:
    """What was to be reached and what was, of all parts."""
    found = sorted((one for part in figures.values() for one in part["targets"]), key=lambda one: one["row"])
    rows = [[one["what"], one["goal"], one["reached"], "yes" if one["met"] else "**no**"] for one in found]
    return page.table(["What", "To reach", "Reached", ""], rows) + "\n" if rows else ""


def render(text: str, figures: dict[str, Any]) -> str:
    """The page with each part's figures written anew."""

    def block(part: str) -> str | None:
        return targets(figures) if part == "targets" else show(figures[part]) if part in figures else None

    return page.render(text, block)


def publish(figures: dict[str, Any]) -> None:
    """Write the page and the plots."""
    from benchmarks.plots import draw

    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    PLOTS.mkdir(exist_ok=True)
    for part in figures.values():
        for one in part["plots"]:
            draw(one, PLOTS / f"{one['name']}.svg")


def main() -> int:
    """Exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"those alone: {', '.join(PARTS)}")
    parser.add_argument("--full", action="store_true", help="more runs, larger projects; writes docs/benchmarks.md")
    parser.add_argument("--store", metavar="URL", help="another S3 server: s3://BUCKET/PREFIX?endpoint=…, keys from AWS_*; else ministack")
    parser.add_argument("--render", action="store_true", help="run nothing")
    options = parser.parse_args()
    if options.render:
        publish(page.read(FIGURES))
        return 0
    if not TRACECRAFT.exists():
        parser.error("tracecraft is not installed here; run: make bench")
    missed: list[dict[str, Any]] = []
    shown = " ".join(["python -m benchmarks", *(["--full"] if options.full else [])])
    for part in options.parts or PARTS:
        print(f"— {part}", file=sys.stderr, flush=True)
        with Bench(quick=not options.full, store=options.store) as bench:
            found = measure(part, bench, f"{shown} {part}")
        print(show(found), flush=True)
        missed += [one for one in found["targets"] if not one["met"]]
        if options.full:
            kept = page.read(FIGURES) | {part: found}
            page.write(FIGURES, {name: kept[name] for name in PARTS if name in kept})
    if options.full:
        publish(page.read(FIGURES))
    for one in missed:
        print(f"missed: {one['what']}: {one['reached']}, to reach {one['goal']}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
