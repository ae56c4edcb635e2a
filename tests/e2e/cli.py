"""Commands as a user types them: processes of their own, in a world of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SRC = Path(__file__).parent.parent.parent / "src"
TIMEOUT = 120
"""Seconds after which a command hangs."""
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NO_PROXY", "no_proxy")
"""All that a command gets of the environment of whoever runs the tests."""


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout, or on stderr where there is none."""
        return json.loads(self.out or self.err)

    @property
    def lines(self) -> list[Any]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """A home, a folder and a store that nobody else has: `run` is one command in there."""

    def __init__(self, root: Path, store: str | None = None) -> None:
        self.home = root / "home"
        self.cwd = root / "work"
        self.store = store if store is not None else str(root / "store")
        self.home.mkdir()
        self.cwd.mkdir()
        if "://" not in self.store:
            Path(self.store).mkdir()

    def env(self, agent: str | None = None, more: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The environment of a command. In `more` None takes a variable away."""
        env = {name: value for name, value in os.environ.items() if name in KEPT}
        env |= {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "PYTHONPATH": str(SRC),
            "WINDLASS_STORE": self.store,
            "WINDLASS_PROJECT": "demo",
        }
        if agent is not None:
            env["WINDLASS_AGENT"] = agent
        for name, value in (more or {}).items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = value
        return env

    def start(
        self, *args: str, agent: str | None = None, cwd: Path | None = None, env: Mapping[str, str | None] | None = None, **popen: Any
    ) -> subprocess.Popen[str]:
        """Begin a command and go on."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        command = [sys.executable, "-m", "windlass", *args]
        return subprocess.Popen(command, cwd=cwd or self.cwd, env=self.env(agent, env), text=True, encoding="utf-8", **pipes)

    def run(
        self,
        *args: str,
        agent: str | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        input: str | None = None,  # noqa: A002 (as subprocess calls it)
    ) -> Result:
        """One command, to its end; `input` is its stdin."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.start(*args, agent=agent, cwd=cwd, env=env, stdin=stdin) as process:
            return end(process, input)

    def python(self, code: str, agent: str | None = None) -> str:
        """What a program prints that uses the Python interface, in the same world."""
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=self.cwd, env=self.env(agent), capture_output=True, text=True, check=False, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def file(self, key: str) -> Path:
        """Where a local store keeps one of the project's objects."""
        return Path(self.store) / "demo" / f"{key}="

    def ok(self, *args: str, agent: str | None = None, **more: Any) -> Result:
        """One command that must succeed and warn of nothing."""
        result = self.run(*args, agent=agent, **more)
        assert (result.code, result.err) == (0, ""), result
        return result

    def nobody(self, *args: str, cwd: Path | None = None, env: Mapping[str, str | None] | None = None) -> Result:
        """One command below no host tool and no terminal, whoever runs the tests: its parent has ended."""
        code = self.home / "code"
        code.unlink(missing_ok=True)
        orphan = 'until [ "$(ps -o ppid= -p $$ | tr -d " ")" != "$0" ]; do :; done; "$@"; echo $? > "$CODE"'
        command = ["sh", "-c", f"sh -c '{orphan}' $$ \"$@\" &", "sh", sys.executable, "-m", "windlass", *args]
        env = self.env(None, env) | {"CODE": str(code)}
        done = subprocess.run(
            command, cwd=cwd or self.cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
        )
        return Result(int(code.read_text()), done.stdout, done.stderr)

    def json(self, *args: str, agent: str | None = None, **more: Any) -> Any:
        """The document of a command that must succeed."""
        result = self.run(*args, "--json", agent=agent, **more)
        assert result.code == 0, result
        return result.json


def end(process: subprocess.Popen[str], input: str | None = None) -> Result:  # noqa: A002
    """Wait for a command that was started. It must not hang."""
    try:
        out, err = process.communicate(input, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Result(process.returncode, out, err)
