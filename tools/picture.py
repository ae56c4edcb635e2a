"""Draws the terminal of `windlass demo` as an SVG: python tools/picture.py docs/demo.svg."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100
SECONDS = 120
COMMAND = "windlass demo"


def terminal_output(command: list[str]) -> str:
    """What the command prints to a terminal of WIDTH columns, colours included. Raises CalledProcessError if it fails."""
    ours, theirs = pty.openpty()
    with tempfile.TemporaryDirectory() as home:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_") and name != "NO_COLOR"}
        env = kept | {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": "50", "HOME": home}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env, cwd=home) as process:
            os.close(theirs)
            chunks: list[bytes] = []
            try:
                while chunk := os.read(ours, 65536):
                    chunks.append(chunk)
            except OSError:
                pass  # Linux ends a pty's last read with EIO
            os.close(ours)
            code = process.wait(SECONDS)
    text = b"".join(chunks).decode().replace("\r\n", "\n")
    if code:
        raise subprocess.CalledProcessError(code, command, text)
    return text


def picture(text: str) -> str:
    """The SVG; the same text gives the same bytes, and nothing is fetched to show it."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(f"$ {COMMAND}\n{text.rstrip()}"))
        svg = console.export_svg(title=COMMAND, unique_id="demo")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main() -> None:
    """Run the demo and write the picture to the path given."""
    target = Path(sys.argv[1])
    command = [str(Path(sys.executable).with_name("windlass")), "demo"]
    target.write_text(picture(terminal_output(command)), encoding="utf-8")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
