"""The help page of the whole command line."""

from __future__ import annotations

from windlass.surfaces.cli.table import COMMANDS, SECTIONS


def top() -> str:
    """All commands by section."""
    lines = ["usage: windlass COMMAND [OPTIONS]     (windlass COMMAND -h shows more)", ""]
    width = max(map(len, COMMANDS))
    for title, names in SECTIONS:
        lines.append(title)
        lines += [f"  {name:<{width}} {COMMANDS[name][1]}" for name in names]
        lines.append("")
    lines += [
        "Everywhere: --store URL  --project P  --agent A  --json  --debug",
        "            (also WINDLASS_STORE, WINDLASS_PROJECT, WINDLASS_AGENT)",
        "Exit codes: 0 done · 1 failed · 2 usage, or nobody knows who acts · 3 lost",
        "            4 not found · 5 timed out · 6 cannot go on · 7 unknown outcome",
        "New here? windlass demo",
        "",
    ]
    return "\n".join(lines)


def group(first: str) -> str:
    """The commands that begin with this word."""
    lines = [f"usage: windlass {first} COMMAND [OPTIONS]    windlass {first} COMMAND -h shows options and examples", ""]
    inner = {name: line for name, (_, line) in COMMANDS.items() if name.startswith(f"{first} ")}
    width = max(map(len, inner))
    lines += [f"  {name:<{width}} {line}" for name, line in inner.items()]
    return "\n".join([*lines, ""])
