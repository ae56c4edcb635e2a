"""What README tells people to type works, in a fresh repository, in its order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.cli import Cli

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
AGENT = """#!/bin/sh
# a host tool that works through one thing
set -e
windlass whoami
windlass inbox --new
windlass claim "as-$WINDLASS_AGENT" --create
"""


def blocks(*, make: bool = False) -> list[tuple[str, str]]:
    """Language and text of each block, those of `make` apart."""
    return [(language, text) for language, text in BLOCKS if text.startswith("make ") == make]


class Machine:
    """A fresh git repository, a home of its own, `windlass` on the PATH, and host tools that only work through one step."""

    def __init__(self, root: Path) -> None:
        self.cli = Cli(root)
        self.tools = root / "tools"
        self.tools.mkdir()
        for name, body in {"windlass": f'#!/bin/sh\nexec "{sys.executable}" -m windlass "$@"\n', "claude": AGENT, "codex": AGENT}.items():
            (self.tools / name).write_text(body, encoding="utf-8")
            (self.tools / name).chmod(0o755)
        subprocess.run(["git", "init", "-q", self.cli.cwd], check=True)

    def run(self, language: str, text: str, **more: str) -> subprocess.CompletedProcess[str]:
        """One block, in a shell of its own that stops at the first error."""
        env = self.cli.env(more={"WINDLASS_STORE": None, "WINDLASS_PROJECT": None, **more})
        env["PATH"] = f"{self.tools}{os.pathsep}{env['PATH']}"
        command = [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]
        return subprocess.run(
            command, cwd=self.cli.cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
        )


needs_git = pytest.mark.skipif(not (shutil.which("git") and shutil.which("bash")), reason="git or bash is not installed")


def test_every_block_says_its_language() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python"}


def test_the_first_block_is_the_two_commands_that_do_all_set_up() -> None:
    language, text = BLOCKS[0]
    assert (language, re.findall(r"^make ([\w-]+)", text, re.MULTILINE)) == ("sh", ["demo", "test"])
    assert [language for language, _ in blocks(make=True)] == ["sh"]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)


@needs_git
def test_every_command_on_a_local_store_works_in_order(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    ran = []
    for language, text in blocks():
        if "s3://" not in text:
            result = machine.run(language, text)
            assert result.returncode == 0, (text, result.stdout, result.stderr)
            ran.append(result.stdout)
    assert len(ran) == 5
    assert "see memory key design.contract" in ran[1], "the handoff reaches the second agent"
    assert "GET /items, POST /items" in ran[1]
    assert "ann" in ran[2]
    assert "bob" in ran[2]
    assert (machine.cli.cwd / "site/index.html").read_text() == "<h1>Notes</h1>\n<p>Better.</p>\n", "an attempt was merged"
    assert (machine.cli.cwd / ".windlass/store").is_dir()
    status = subprocess.run(["git", "status", "--short"], cwd=machine.cli.cwd, capture_output=True, text=True, check=True).stdout
    assert status.split()[1::2] == ["AGENTS.md", "attempt/", "plan.yaml", "site/"], "the store stays out of git's sight"


@needs_git
def test_the_same_project_goes_on_in_a_bucket(tmp_path: Path, ministack: str, s3_env: None) -> None:
    machine = Machine(tmp_path)
    bucket = f"team-agents-{os.urandom(4).hex()}"
    for language, text in blocks():
        moved = text.replace("team-agents", bucket)
        result = machine.run(language, moved, AWS_ENDPOINT_URL=ministack, AWS_REGION="us-east-1")
        assert result.returncode == 0, (moved, result.stdout, result.stderr)
        if "windlass move" in text:
            assert bucket in result.stdout
            assert "exclusive claims: yes" in result.stdout
            break
    else:
        pytest.fail("README shows no move to a bucket")
