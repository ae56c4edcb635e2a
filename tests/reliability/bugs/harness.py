"""Runs tests against a copy of the package with one bug in it. The real tree is only read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.reliability.bugs import report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.reliability.bugs.bug import Bug

ROOT = Path(__file__).parents[3]
LIMIT = 180.0
"""Seconds after which a run of tests hangs."""
NO_VERDICT = ("SyntaxError", "ImportError", "NameError")
"""Errors that say that the bug is badly written, not that a test noticed it."""


class Seen(NamedTuple):
    """One test as it went. `when` is the part that failed: set-up and tear-down decide nothing."""

    id: str
    when: str
    outcome: str
    seconds: float
    error: list[str]
    message: str

    @property
    def noticed(self) -> bool:
        """Whether the test itself failed, by something other than a broken file."""
        return self.outcome == "failed" and self.when == "call" and not set(NO_VERDICT) & set(self.error)


class Run(NamedTuple):
    """One call of pytest. `code` None: it was ended because it hung."""

    code: int | None
    seen: tuple[Seen, ...]
    seconds: float
    output: str


class Verdict(NamedTuple):
    """What became of a bug: caught, survived (a named test passed), hung, broken (no test could tell), or stale (it does not fit)."""

    bug: Bug
    outcome: str
    seconds: float
    why: str
    output: str


class Copy:
    """A copy of the project in a folder of its own, where one bug at a time is put in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.src = folder / "src"
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, folder / name)  # with their times, so that what is compiled stays good
        shutil.copy(ROOT / "pyproject.toml", folder)
        for name in ("docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "tools", "LICENSE"):
            (folder / name).symlink_to(ROOT / name)
        self._runs = self._changes = 0
        self._whole = ""

    def pytest(self, *args: str, limit: float = LIMIT) -> Run:
        """Run pytest on the copy; one that takes longer than `limit` seconds is ended with all that it started."""
        self._runs += 1
        lines, output = self.folder / f"lines-{self._runs}", self.folder / f"output-{self._runs}"
        lines.touch()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", report.__name__]
        command += [f"--basetemp={self.folder / 'tmp'}", *args]
        start = time.monotonic()
        with output.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._env(lines),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(process)
        seen = tuple(_seen(json.loads(line)) for line in lines.read_text(encoding="utf-8").splitlines())
        text = output.read_text(encoding="utf-8", errors="replace")
        return Run(code=code, seen=seen, seconds=time.monotonic() - start, output=text)

    def _env(self, lines: Path) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON", "WINDLASS_BUGS_"))}
        server = ROOT / ".venvs" / "ministack" / "bin" / "ministack"
        if server.exists():
            env.setdefault("WINDLASS_TEST_MINISTACK", str(server))
        return {**env, "PYTHONPATH": str(self.src), report.SRC: str(self.src), report.LINES: str(lines)}

    def put_in(self, bug: Bug) -> None:
        """Spoil the copy. Raises Stale, SyntaxError."""
        self._whole = bug.file(self.src).read_text(encoding="utf-8")
        self._write(bug, bug.spoil(self._whole))

    def take_out(self, bug: Bug) -> None:
        """Make the copy whole again."""
        self._write(bug, self._whole)

    def _write(self, bug: Bug, source: str) -> None:
        """Each time with another time of change: by that and its size Python knows a file that it has compiled."""
        self._changes += 1
        bug.file(self.src).write_text(source, encoding="utf-8")
        os.utime(bug.file(self.src), (self._changes, self._changes))

    def judge(self, bug: Bug, limit: float = LIMIT) -> Verdict:
        """Whether each test that is named for a bug notices it."""
        self.put_in(bug)
        try:
            run = self.pytest(*bug.caught_by, limit=limit)
        finally:
            self.take_out(bug)
        outcome, why = _judged(bug, run)
        return Verdict(bug=bug, outcome=outcome, seconds=round(run.seconds, 1), why=why, output=run.output)

    def find(self, bug: Bug, args: Sequence[str], limit: float) -> Run:
        """Run tests at large with the bug in it."""
        self.put_in(bug)
        try:
            return self.pytest(*args, limit=limit)
        finally:
            self.take_out(bug)


def _judged(bug: Bug, run: Run) -> tuple[str, str]:
    if run.code is None:
        return "hung", "the tests did not end"
    if run.code not in (0, 1):
        return "broken", f"pytest ended with {run.code}"
    for named in bug.caught_by:
        mine = [one for one in run.seen if one.id == named or one.id.startswith((named + "[", named + "::"))]
        if any(one.noticed for one in mine):
            continue
        odd = [one for one in mine if one.outcome == "failed"]
        if odd:
            return "broken", f"{named}: {odd[0].when} failed: {odd[0].error[:1]} {odd[0].message}"
        if not mine or all(one.outcome == "skipped" for one in mine):
            return "broken", f"{named} did not run"
        return "survived", f"{named} passed"
    return "caught", next(one.message for one in run.seen if one.noticed).partition("\n")[0]


def _seen(line: dict[str, Any]) -> Seen:
    return Seen(**line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what the run left behind: its session is its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
