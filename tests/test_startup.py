"""A command is a new process each time: it loads what it uses and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "argparse",
    "asyncio",
    "botocore",
    "collections",
    "configparser",
    "concurrent",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "gettext",
    "hashlib",
    "importlib",
    "inspect",
    "json",
    "locale",
    "logging",
    "obstore",
    "pathlib",
    "random",
    "re",
    "secrets",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "tomllib",
    "types",
    "typing",
    "urllib",
    "uuid",
    "warnings",
    "yaml",
}
"""None of these is needed to make one conditional write to a local store."""

FRAME = {
    "__main__",
    "config",
    "config.places",
    "config.settings",
    "config.where",
    "config.who",
    "choice",
    "digest",
    "drivers",
    "drivers.hints",
    "drivers.sync",
    "effects",
    "errors",
    "jsons",
    "ops",
    "ops.agents",
    "ops.registers",
    "project",
    "project.calls",
    "project.session",
    "protocol",
    "protocol.agents",
    "protocol.codec",
    "protocol.keys",
    "protocol.project",
    "protocol.steps",
    "protocol.transitions",
    "record",
    "stores",
    "stores.base",
    "stores.embedded",
    "stores.files",
    "stores.local",
    "stores.names",
    "stores.registry",
    "stores.wrappers",
    "surfaces",
    "surfaces.cli",
    "surfaces.cli.arguments",
    "surfaces.cli.columns",
    "surfaces.cli.context",
    "surfaces.cli.options",
    "surfaces.cli.table",
    "surfaces.present",
}
"""What commands have in common."""

OWN = {
    "claim": {"ops.steps", "ops.waiting", "project.git", "project.steps", "surfaces.cli.claims"},
    "complete": {"ops.steps", "ops.waiting", "project.git", "project.steps", "surfaces.cli.claims"},
    "send": {"ops.logs", "ops.mail", "ops.waiting", "project.mail", "protocol.mail", "surfaces.cli.mail"},
    "inbox": {"drivers.locks", "ops.logs", "ops.mail", "ops.waiting", "project.mail", "protocol.mail", "surfaces.cli.mail"},
    "memory get": {"ops.memory", "project.memory", "protocol.memory", "surfaces.cli.memory"},
    "memory set": {"ops.memory", "project.memory", "protocol.memory", "surfaces.cli.memory"},
}
WARM = {
    "claim": [["claim", "first"]],
    "complete": [["claim", "first"]],
    "send": [["claim", "first"], ["send", "worker", "one"]],
    "inbox": [["send", "worker", "one"], ["inbox", "--new"]],
    "memory get": [["memory", "set", "a.b", "1"]],
    "memory set": [["memory", "set", "a.b", "1"]],
}
RUN = {
    "claim": ["claim", "second", "--lease", "900"],
    "complete": ["complete", "first", "--note", "in dist/"],
    "send": ["send", "worker", "two"],
    "inbox": ["inbox", "--new"],
    "memory get": ["memory", "get", "a.b"],
    "memory set": ["memory", "set", "a.b", "2"],
}


def loaded(arguments: list[str], home: Path, *, times: bool = False, agent: str = "worker", code: int = 0) -> list[str]:
    """The modules that a command loads, in order."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "WINDLASS_AGENT": agent}
    flags = ["-X", "importtime"] if times else []
    command = [sys.executable, *flags, "-c", "from windlass.__main__ import entry; entry()", *arguments]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]


def check(names: list[str], own: set[str]) -> None:
    """Nothing heavy, and of ours the frame and what this command has for itself."""
    start = names.index("site") if "site" in names else 0
    ours = {name.removeprefix("windlass.") for name in names if name.startswith("windlass.")}
    heavy = {name for name in names[start:] if name in HEAVY or name.split(".")[0] in HEAVY}
    assert not heavy
    assert not ours - FRAME - own
    assert own <= ours, "the lists of this test are out of date"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose settings file names the store, as `windlass init` writes it; it was read before."""
    (tmp_path / "store").mkdir()
    (tmp_path / ".windlass.toml").write_text('store = "./store"\nproject = "demo"\n')
    loaded(["claim", "warm"], tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", RUN)
def test_a_command_loads_only_what_it_uses(command: str, home: Path) -> None:
    for earlier in WARM[command]:
        loaded(earlier, home)
    check(loaded(RUN[command], home, times=True), OWN[command] | {"config.files"})


def test_a_command_loads_as_little_where_no_file_names_the_store(tmp_path: Path) -> None:
    loaded(["claim", "first"], tmp_path)
    check(loaded(["claim", "second"], tmp_path, times=True), OWN["claim"])


def test_who_loses_a_claim_loads_no_more_than_the_winner(home: Path) -> None:
    for agent in ("worker", "other"):
        loaded(["claim", f"{agent}s"], home, agent=agent)
    check(loaded(["claim", "workers"], home, times=True, agent="other", code=3), OWN["claim"] | {"config.files"})


def test_a_command_looks_for_garbage_seldom_but_does() -> None:
    code = (
        "import gc, sys; from windlass.__main__ import entry\nsys.argv = ['windlass', '--version']\n"
        "try: entry()\nexcept SystemExit: print(gc.isenabled(), gc.get_threshold()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    enabled, young = done.stdout.splitlines()[-1].split()
    assert enabled == "True", "a command that runs for days would grow"
    assert 700 < int(young) <= 100_000
