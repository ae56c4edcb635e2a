"""The demo's second act: three agents try from one start, each in a fork of its own, and the best is merged back."""

from __future__ import annotations

import os
import subprocess
import sys

from windlass.errors import WindlassError
from windlass.surfaces.demo.plan import ATTEMPTS, CHOSEN, SITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windlass.project import Project
    from windlass.surfaces.demo.show import Show


class Attempts:
    """One performance, in `folder`, with commands that get `env`."""

    def __init__(self, show: Show, folder: str, env: dict[str, str]) -> None:
        self._show, self._folder, self._env = show, folder, env

    def play(self, agents: Sequence[str]) -> None:
        """From a folder of files to the merge, with these agents. Raises WindlassError where a command fails."""
        self._show.title(f"One start, {len(ATTEMPTS)} attempts: each agent works in a fork, the best is merged")
        for path, text in SITE.items():
            self._write("site", path, text)
        self._do("you", "create", "site", "--from", "./site")
        self._do("you", "fork", "site", "-n", str(len(ATTEMPTS)))
        for number, (agent, text) in enumerate(zip(agents, ATTEMPTS, strict=True), 1):
            self._do(agent, "pull", f"./{agent}", "--from", f"site-{number}")
            self._write(agent, "style.css", text)
            self._do(agent, "push", f"./{agent}")
        self._write("site", "notes.md", "Ship on Friday.\n")
        self._do("you", "push", "./site")
        self._do("you", "diff", "site", f"site-{CHOSEN}")
        self._do("you", "merge", f"site-{CHOSEN}", "site")
        self._do("you", "pull", "./site")

    def checks(self, project: Project) -> Iterator[tuple[bool, str]]:
        """Each claim about it, and whether the records bear it out."""
        head = {path: project.workspaces.read("site", path) for path in SITE}
        wanted = {**SITE, "notes.md": "Ship on Friday.\n", "style.css": ATTEMPTS[CHOSEN - 1]}
        forks = {f"site-{n}": project.workspaces.read(f"site-{n}", "style.css") for n in range(1, len(ATTEMPTS) + 1)}
        right = head == {path: text.encode() for path, text in wanted.items()} == {path: self._read(path) for path in SITE}
        apart = list(forks.values()) == [text.encode() for text in ATTEMPTS]
        yield right and apart, f"site holds site-{CHOSEN} and what you wrote meanwhile; the attempts stayed apart"

    def _do(self, agent: str, *words: str) -> None:
        argv = ["workspace", *words]
        done = subprocess.run(
            [sys.executable, "-m", "windlass", *argv, "--agent", agent],
            env=self._env, cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self._show.command(agent, argv, done.returncode, done.stdout, done.stderr)
        if done.returncode:
            raise WindlassError(f"windlass {' '.join(argv)} failed", done.stderr.strip())

    def _write(self, folder: str, path: str, text: str) -> None:
        os.makedirs(f"{self._folder}/{folder}", exist_ok=True)
        with open(f"{self._folder}/{folder}/{path}", "w", encoding="utf-8") as file:
            file.write(text)

    def _read(self, path: str) -> bytes:
        with open(f"{self._folder}/site/{path}", "rb") as file:
            return file.read()
