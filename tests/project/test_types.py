"""What a user's type checker sees: exact results, and an error for each wrong use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

SRC = Path(__file__).parent.parent.parent / "src"

SAMPLE = """
import windlass
from windlass.records import Claim, Memory, Message, Step

def blocking() -> None:
    with windlass.open("s3://team/agents", project="demo", agent="designer", lease=60.0) as p:
        reveal_type(p)  #> windlass.project.Project
        reveal_type(p.steps.claim)  #> CLAIM
        reveal_type(p.memory.get)  #> def (key: str) -> windlass.protocol.memory.Memory
        reveal_type(p.mail.inbox)  #> def (*, new: bool =, limit: int =, wait: float | None =) -> windlass.ops.mail.Inbox
        reveal_type(p.steps.release("a"))  #> windlass.ops.steps.Changed
        reveal_type(p.memory.history("a"))  #> list[windlass.protocol.memory.Memory]
        with p.steps.claim("design") as claim:
            reveal_type(claim)  #> windlass.project.claims.Claim
            reveal_type(claim.step)  #> windlass.protocol.steps.Step
            reveal_type(claim.complete(note="x", state="blocked"))  #> windlass.ops.steps.Changed
            claim.complete(state="done")  #! arg-type
            claim.complete(remark="x")  #! call-arg
        for m in p.mail.inbox(new=True):
            reveal_type(m)  #> windlass.protocol.mail.Mail
        p.steps.add("a", title="x", needs=["b"], max_hold=60)
        p.steps.add("a", titel="x")  #! call-arg
        p.steps.edit("a", priority="high")  #! typeddict-item|arg-type
        p.memory.get(1)  #! arg-type
        reveal_type(p.workspaces.push("site", "dir"))  #> windlass.project.syncing.Pushed
        reveal_type(p.workspaces.pull)  #> PULL
        with p.workspaces.fork("site", 3) as attempts:
            reveal_type(attempts[0].merge_into("site"))  #> windlass.ops.merging.Joined
            attempts[0].pull(3)  #! arg-type
        p.memory.sett("a", 1)  #! attr-defined
        p.mail.send("a")  #! call-arg
        try:
            p.steps.next()
        except windlass.NothingReady as error:
            reveal_type(error.hint)  #> str

async def awaiting() -> None:
    async with windlass.aio.open("s3://team/agents", agent="designer") as p:
        reveal_type(p)  #> windlass.aio.Project
        reveal_type(await p.steps.claim("a"))  #> windlass.project.claims.AsyncClaim
        reveal_type(await p.memory.get("a"))  #> windlass.protocol.memory.Memory
        reveal_type(await p.mail.inbox(new=True))  #> windlass.ops.mail.Inbox
        reveal_type(await p.status())  #> windlass.ops.status.Overview
        async with await p.workspaces.create("x", folder="dir", ttl=60) as w:
            reveal_type(await w.read("a"))  #> bytes
        async with await p.workspaces.fork("x", 2) as attempts:
            reveal_type(await attempts[1].push("dir"))  #> windlass.project.syncing.Pushed
        async with await p.steps.next() as claim:
            reveal_type(await claim.complete())  #> windlass.ops.steps.Changed
        p.memory.get("a").value  #! attr-defined

def annotated(claim: Claim, memory: Memory, message: Message) -> Step:
    return claim.step
"""


CLAIM = (
    "def (name: str, *, lease: float | None =, force: bool =, create: bool =, git: windlass.protocol.steps.Git | None =)"
    " -> windlass.project.claims.Claim"
)


PULL = "def (name: str, folder: str | os.PathLike[str] =, *, force: bool =, links: str =) -> windlass.project.syncing.Pulled"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What mypy says of the sample, by line."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "sample.py").write_text(SAMPLE, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--show-error-codes", "--no-error-summary", "--cache-dir", str(folder / "cache")]
    done = subprocess.run(
        [*command, "--config-file=", "sample.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"MYPYPATH": str(SRC), "PATH": ""},
    )
    assert not done.stderr, done.stderr
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        place, _, text = line.partition(": ")
        name, _, number = place.partition(":")
        if name == "sample.py":
            found.setdefault(int(number), []).append(text)
    return found


def test_the_types_are_exact_and_wrong_uses_are_found(said: dict[int, list[str]]) -> None:
    for number, line in enumerate(SAMPLE.splitlines(), 1):
        texts = [text.replace("builtins.", "") for text in said.pop(number, [])]
        if "#>" in line:
            wanted = line.partition("#> ")[2].strip().replace("CLAIM", CLAIM).replace("PULL", PULL)
            assert texts == [f'note: Revealed type is "{wanted}"'], line
        elif "#!" in line:
            wrong = line.partition("#! ")[2].strip().split("|")
            errors = [text for text in texts if text.startswith("error: ")]
            assert len(errors) == 1, (line, texts)
            assert any(f"[{code}]" in errors[0] for code in wrong), (line, texts)
        else:
            assert not texts, line
    assert not said
