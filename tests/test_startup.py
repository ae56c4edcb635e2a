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
    "asyncio",
    "botocore",
    "collections.abc",
    "concurrent",
    "contextlib",
    "dataclasses",
    "datetime",
    "hashlib",
    "inspect",
    "logging",
    "obstore",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "typing",
    "urllib",
    "uuid",
    "yaml",
}
"""None of these is needed to make one conditional write to a local store."""

FRAME = {
    "config",
    "config.places",
    "config.settings",
    "config.where",
    "config.who",
    "digest",
    "drivers",
    "drivers.hints",
    "drivers.sync",
    "effects",
    "errors",
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
    "surfaces.cli.table",
    "surfaces.present",
}
"""What commands have in common."""

OWN = {
    "claim": {"ops.steps", "ops.waiting", "project.git", "project.steps", "surfaces.cli.claims"},
    "send": {"ops.logs", "ops.mail", "ops.waiting", "project.mail", "protocol.mail", "surfaces.cli.mail"},
    "inbox": {"drivers.locks", "ops.logs", "ops.mail", "ops.waiting", "project.mail", "protocol.mail", "surfaces.cli.mail"},
    "memory get": {"ops.memory", "project.memory", "protocol.memory", "surfaces.cli.memory"},
}
WARM = {
    "claim": [["claim", "first"]],
    "send": [["claim", "first"], ["send", "worker", "one"]],
    "inbox": [["send", "worker", "one"], ["inbox", "--new"]],
    "memory get": [["memory", "set", "a.b", "1"]],
}
RUN = {
    "claim": ["claim", "second"],
    "send": ["send", "worker", "two"],
    "inbox": ["inbox", "--new"],
    "memory get": ["memory", "get", "a.b"],
}


def loaded(arguments: list[str], home: Path, *, times: bool = False) -> list[str]:
    """The modules that a command loads, in order."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "WINDLASS_AGENT": "worker", "WINDLASS_STORE": str(home / "store")}
    code = "import sys; from windlass.surfaces.cli import main; sys.exit(main())"
    flags = ["-X", "importtime"] if times else []
    done = subprocess.run([sys.executable, *flags, "-c", code, *arguments], env=env, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stderr
    return [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]


@pytest.mark.parametrize("command", RUN)
def test_a_command_loads_only_what_it_uses(command: str, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for earlier in WARM[command]:
        loaded(earlier, tmp_path)
    names = loaded(RUN[command], tmp_path, times=True)
    start = names.index("site") if "site" in names else 0
    ours = {name.removeprefix("windlass.") for name in names if name.startswith("windlass.")}
    heavy = {name for name in names[start:] if name in HEAVY or name.split(".")[0] in HEAVY}
    assert not heavy
    assert not ours - FRAME - OWN[command]
    assert OWN[command] <= ours, "the lists of this test are out of date"
