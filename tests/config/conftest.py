from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from windlass.config import Settings, settle

SRC = str(Path(__file__).resolve().parents[2] / "src")


class Settle(Protocol):
    def __call__(self, cwd: Path | str, flags: dict[str, str | None] | None = None, **env: str) -> Settings: ...


class Git(Protocol):
    def __call__(self, folder: Path, *arguments: str) -> str: ...


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with nothing in it."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def settled(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settle:
    """`settle` in a given folder with a bare environment, as an agent called `me` unless told otherwise.

    Above it there is nobody: the tests themselves may run below a host tool.
    """
    monkeypatch.setattr("windlass.config.ancestors.from_ancestors", lambda: (None, ""))

    def run(cwd: Path | str, flags: dict[str, str | None] | None = None, **env: str) -> Settings:
        return settle(flags or {}, {"HOME": str(home), "WINDLASS_AGENT": "me", **env}, str(cwd))

    return run


@pytest.fixture
def git(home: Path) -> Git:
    """The real git, with a configuration of its own."""

    def run(folder: Path, *arguments: str) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        env = {"HOME": str(home), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
        settings = ("user.name=t", "user.email=t@example.org", "init.defaultBranch=main", "protocol.file.allow=always")
        options = [word for setting in settings for word in ("-c", setting)]
        done = subprocess.run(["git", *options, *arguments], cwd=folder, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """A repository with one commit."""
    path = tmp_path / "alpha"
    git(path, "init", "-q")
    git(path, "commit", "-q", "--allow-empty", "-m", "first")
    return path


WHOAMI = (
    f"import sys; sys.path.insert(0, {SRC!r}); import os; from windlass.config import settle; "
    "s = settle({}, os.environ, os.getcwd()); print('AGENT', s.agent, '|', s.agent_why, flush=True)"
)
"""A program that prints who acts."""


@pytest.fixture
def whoami(tmp_path: Path) -> str:
    """The path of a shell command that prints `AGENT name | why`."""
    path = tmp_path / "whoami.py"
    path.write_text(WHOAMI)
    command = tmp_path / "whoami"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} {path}\n")
    command.chmod(0o755)
    return str(command)


@pytest.fixture
def bare_env(home: Path) -> dict[str, str]:
    """An environment in which no variable says who acts."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "PS1": "$ ", "TERM": "dumb"}
