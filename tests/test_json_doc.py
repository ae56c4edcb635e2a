"""docs/json-output.md says what every command prints with --json: a scripted session compares each document with it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cli import Cli, Result, end

from windlass import errors
from windlass.surfaces.cli.table import COMMANDS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/json-output.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[(\w+)\]\(#[\w-]+\)")
PARTS = re.split(r"^#{2,3} (.+)$", TEXT, flags=re.MULTILINE)
SECTIONS = dict(zip(PARTS[1::2], PARTS[2::2], strict=True))

Shape = dict[str, str]


def shape(heading: str) -> Shape:
    """Field → type of the object that a section describes."""
    text = SECTIONS[heading]
    inherited = re.search(r"(?:^As|The fields of) \[([^\]]+)\]", text, re.MULTILINE)
    own = {name: LINK.sub(r"\1", kind) for name, kind, _ in ROW.findall(text) if not kind.isdigit()}
    return {**(shape(inherited[1]) if inherited else {}), **own}


OBJECTS = {
    name: shape(name) for name in SECTIONS if re.fullmatch(r"[A-Z][A-Za-z]+", name) and ROW.search(SECTIONS[name]) and name != "Errors"
}
OBJECTS["WholeStep"] = shape("WholeStep")
PLAIN: dict[str, tuple[type, ...]] = {"text": (str,), "whole": (int,), "number": (int, float), "true or false": (bool,)}


class Reader:
    """Compares documents with the page; knows afterwards which objects it has met."""

    def __init__(self) -> None:
        self.met: set[str] = set()
        self.commands: set[str] = set()
        self._before: dict[Path, bytes | None] = {}

    def spoil(self, path: Path) -> None:
        """Write garbage over an object."""
        self._before[path] = path.read_bytes() if path.exists() else None
        path.write_bytes(b"{")

    def mend(self) -> None:
        """Take the garbage away."""
        for path, content in self._before.items():
            path.unlink()
            if content is not None:
                path.write_bytes(content)

    def command(self, name: str, document: Any, *, more: frozenset[str] = frozenset()) -> None:
        """One document of a command; `more` are fields that the page tells of beside the table."""
        self.commands.add(name)
        assert isinstance(document, dict), name
        wanted = shape(f"windlass {name}")
        assert set(document) == set(wanted) | more, name
        for field, kind in wanted.items():
            self.value(f"{name}: {field}", document[field], kind)
        inherited = re.search(r"The fields of \[(\w+)\]", SECTIONS[f"windlass {name}"])
        self.met |= {inherited[1]} if inherited else set()

    def value(self, where: str, value: Any, kind: str) -> None:
        """One value against its type."""
        if kind.endswith(" or null"):
            if value is not None:
                self.value(where, value, kind.removesuffix(" or null"))
        elif kind.startswith("list of "):
            assert isinstance(value, list), where
            for one in value:
                self.value(where, one, kind.removeprefix("list of "))
        elif kind.startswith("map of "):
            assert isinstance(value, dict), where
            for one in value.values():
                self.value(where, one, kind.removeprefix("map of "))
        elif kind in PLAIN:
            assert isinstance(value, PLAIN[kind]), (where, value)
            assert isinstance(value, bool) == (kind == "true or false"), (where, value)
        elif kind == "PlannedStep":
            assert set(value) <= {"title", "description", "acceptance", "needs", "priority", "labels", "max_hold"}, where
        elif kind != "any JSON":
            self.met.add(kind)
            assert isinstance(value, dict), where
            assert set(value) == set(OBJECTS[kind]), (where, kind)
            for field, inner in OBJECTS[kind].items():
                self.value(f"{where}.{field}", value[field], inner)

    def error(self, result: Result, name: str) -> None:
        """The last line on stderr of a command that must fail with an error of that name."""
        report = json.loads(result.err.splitlines()[-1])
        assert report["error"] == name, result
        assert report["exit"] == result.code
        assert (name, result.code) in ERRORS
        documented = shape("Errors")
        for field, value in report.items():
            kinds = documented[field].split(", or ")
            assert kinds, field
            for kind in kinds:
                try:
                    self.value(f"{name}: {field}", value, kind)
                    break
                except AssertionError:
                    if kind is kinds[-1]:
                        raise


ERRORS = {(name, int(code)) for name, code in re.findall(r"^\| `(\w+)` \| (\d) \|", SECTIONS["Errors"], re.MULTILINE)}


def test_every_command_is_documented_and_no_other() -> None:
    assert {name.removeprefix("windlass ") for name in SECTIONS if name.startswith("windlass ")} == set(COMMANDS)


def test_every_error_is_documented_with_its_exit_code() -> None:
    every = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, errors.WindlassError)]
    assert {(found.name, found.exit) for found in every} == ERRORS


def test_every_detail_that_an_error_of_the_code_carries_is_documented() -> None:
    names = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, errors.WindlassError)}
    carried = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                carried |= {word.arg for word in node.keywords if word.arg}
    assert carried - {"message", "hint", "why"} <= set(shape("Errors"))


PLAN = json.dumps(
    {
        "steps": {
            "design": {"title": "Design", "priority": 5, "labels": ["api"], "max_hold": 9000},
            "build": {"needs": ["design"]},
            "review": {},
            "stuck": {},
            "broken": {},
            "old": {},
            "spare": {},
        }
    }
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader that has seen a session of all commands."""
    read = Reader()
    root = tmp_path_factory.mktemp("session")
    cli = Cli(root)
    (root / "demo").mkdir()
    demo = Cli(root / "demo")
    with demo.start("demo", "--fast", "--json") as playing:
        session(cli, read)
        shown = end(playing)
    assert shown.code == 0, shown
    read.command("demo", shown.json)
    return read


def session(cli: Cli, read: Reader) -> None:
    """Two agents work through a plan and look at everything; some of it is damaged."""
    steps(cli, read)
    mail(cli, read)
    memory(cli, read)
    artifacts(cli, read)
    workspaces(cli, read)
    looking(cli, read)
    setting_up(cli, read)


def ok(cli: Cli, read: Reader, *args: str, agent: str = "ann", **more: Any) -> Any:
    """A command that must succeed, checked; its document."""
    name = " ".join(args[:2]) if " ".join(args[:2]) in COMMANDS else args[0]
    document = cli.json(*args, agent=agent, **more)
    read.command(name, document)
    return document


def steps(cli: Cli, read: Reader) -> None:
    git(cli.cwd)
    read.error(cli.run("next", "--json", agent="ann"), "nothing_left")
    ok(cli, read, "plan", "apply", "-", input=PLAN)
    claimed = ok(cli, read, "next")
    assert claimed["step"]["name"] == "design"
    assert claimed["step"]["claim"]["git"]
    read.error(cli.run("claim", "design", "--json", agent="bob"), "claim_lost")
    read.error(cli.run("claim", "build", "--json", agent="bob"), "unmet")
    read.error(cli.run("claim", "desing", "--json", agent="bob"), "not_found")
    read.error(cli.run("wait-for", "design", "--timeout", "0", "--json", agent="bob"), "timed_out")
    done = ok(cli, read, "complete", "design", "--note", "n", "--evidence", '{"exit": 0}', "--changed-files-from-git", "--to", "bob")
    assert done["changed_files"] == ["api.py"]
    assert ok(cli, read, "claim", "build", agent="bob")["handoffs"]["design"]["evidence"] == [{"exit": 0}]
    ok(cli, read, "release", "build", agent="bob")
    ok(cli, read, "claim", "build", agent="bob")
    ok(cli, read, "complete", "build", agent="bob")
    ok(cli, read, "step", "reopen", "design")
    for step, state in (("review", "--needs-review"), ("stuck", "--blocked"), ("broken", "--failed")):
        ok(cli, read, "claim", step)
        ok(cli, read, "complete", step, state)
    ok(cli, read, "reject", "review", "--note", "no", agent="bob")
    ok(cli, read, "claim", "review")
    ok(cli, read, "complete", "review", "--needs-review")
    ok(cli, read, "step", "cancel", "old")
    ok(cli, read, "step", "add", "more", "--needs", "design")
    ok(cli, read, "step", "edit", "more", "--title", "More")
    ok(cli, read, "claim", "spare", "--lease", "600")
    read.spoil(cli.file("steps/torn.json"))
    assert ok(cli, read, "step", "show", "build", "--all")["step"]["history"]
    for document in (ok(cli, read, "step", "list"), ok(cli, read, "plan", "graph")):
        assert document["steps"]
        assert document["damaged"]
    ok(cli, read, "step-status", "build")
    ok(cli, read, "handoff", "build")
    ok(cli, read, "wait-for", "build")
    read.error(cli.run("wait-for", "stuck", "--json", agent="bob"), "unmet")
    assert ok(cli, read, "plan", "export")["steps"]["more"] == {"title": "More", "needs": ["design"]}
    status = ok(cli, read, "status")
    for name in ("in_progress", "ready", "needs_review", "blocked", "failed", "stale", "damaged", "agents"):
        assert status[name], name
    ok(cli, read, "approve", "review", agent="bob")


def git(folder: Path) -> None:
    """A repository with one commit and one new file."""
    for command in (["init", "-q"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", "m"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    (folder / "api.py").write_text("", encoding="utf-8")


def mail(cli: Cli, read: Reader) -> None:
    first = ok(cli, read, "send", "bob", "x", "--step", "build", "--needs-ack", "--id", "k")["id"]
    read.error(cli.run("send", "bob", "y", "--id", "k", "--json", agent="ann"), "lost")
    ok(cli, read, "send", "bob", "a" * 3000, "--reply-to", first)
    number = int(first.rpartition(":")[2]) + 2
    ok(cli, read, "send", "bob", "torn")
    read.spoil(cli.file(f"mail/bob/{number:010d}.json"))
    ok(cli, read, "inbox", agent="bob")
    new = ok(cli, read, "inbox", "--new", agent="bob")
    assert new["messages"]
    assert new["damaged"]
    read.error(cli.run("inbox", "--wait", "0", "--json", agent="bob"), "timed_out")
    ok(cli, read, "message", first, agent="bob")
    assert ok(cli, read, "ack", first, agent="bob")["acked"]
    assert ok(cli, read, "receipts", first)["receipts"][0]["acked_at"]
    read.error(cli.run("message", "nonsense", "--json", agent="bob"), "usage")


def memory(cli: Cli, read: Reader) -> None:
    for key, value in (("design.api", '{"a": 1}'), ("design.old", "1"), ("design.torn", "1"), ("design.api", "[2]")):
        ok(cli, read, "memory", "set", key, value, "--json-value")
    read.error(cli.run("memory", "set", "design.api", "3", "--if-version", "1", "--json", agent="ann"), "version_moved")
    ok(cli, read, "memory", "get", "design.api")
    ok(cli, read, "memory", "delete", "design.old")
    read.spoil(cli.file("memory/design/torn.json"))
    listed = ok(cli, read, "memory", "list", "design")
    assert listed["memory"]
    assert listed["damaged"]
    assert len(ok(cli, read, "memory", "history", "design.old")["versions"]) == 2
    read.error(cli.run("memory", "get", "design.old", "--json", agent="ann"), "not_found")
    read.error(cli.run("memory", "get", "design.torn", "--json", agent="ann"), "damaged")


def artifacts(cli: Cli, read: Reader) -> None:
    (cli.cwd / "site").mkdir()
    (cli.cwd / "site/index").write_text("x", encoding="utf-8")
    os.mkfifo(cli.cwd / "site/pipe")
    assert ok(cli, read, "artifact", "upload", "site", "api.py", "--meta", "k=v")["left"]
    ok(cli, read, "claim", "made", "--create")
    assert ok(cli, read, "artifact", "upload", "site", "--step", "made", "--input", "site", "--epoch", "1")["artifacts"][0]["git"]
    ok(cli, read, "complete", "made", "--artifact", "api.py")
    assert ok(cli, read, "handoff", "made")["artifacts"]
    assert ok(cli, read, "step", "show", "made")["step"]["artifacts"]
    ok(cli, read, "step", "add", "uses", "--needs", "made")
    assert ok(cli, read, "claim", "uses", agent="bob")["artifacts"]
    ok(cli, read, "release", "uses", agent="bob")
    ok(cli, read, "artifact", "download", "site", "--step", "made", "-o", "copy")
    read.error(cli.run("artifact", "download", "site", "-o", "copy", "--json", agent="ann"), "usage")
    ok(cli, read, "artifact", "show", "made/site@1")
    assert ok(cli, read, "artifact", "lineage", "site")["edges"]
    ok(cli, read, "artifact", "verify", "site")
    ok(cli, read, "artifact", "upload", "api.py", "--name", "old")
    ok(cli, read, "artifact", "delete", "old")
    assert len(ok(cli, read, "artifact", "history", "old")["versions"]) == 2
    read.error(cli.run("artifact", "show", "old", "--json", agent="ann"), "not_found")
    ok(cli, read, "artifact", "upload", "api.py", "--name", "torn")
    read.spoil(cli.file("artifacts/torn.json"))
    assert ok(cli, read, "artifact", "list")["damaged"]
    flawed = cli.run("artifact", "verify", "--json", agent="ann")
    read.error(flawed, "damaged")
    read.command("artifact verify", json.loads(flawed.out))


def workspaces(cli: Cli, read: Reader) -> None:
    folder = cli.cwd / "tree"
    folder.mkdir()
    for name in ("aux", "x.log", "x"):
        (folder / name).write_text("1")
    os.mkfifo(folder / "pipe")
    (folder / ".windlassignore").write_text("*.log\n")
    made = ok(cli, read, "workspace", "create", "site", "--from", "./tree", "--ttl", "1h")
    assert made["odd"]
    assert made["left"]
    ok(cli, read, "workspace", "checkpoint", "site", "--label", "v1", "--note", "n")
    (folder / "x").write_text("2")
    assert ok(cli, read, "workspace", "status", "tree")["changed"] == ["x"]
    assert ok(cli, read, "workspace", "push", "tree")["odd"]
    assert ok(cli, read, "workspace", "pull", "copy", "--from", "site")["odd"]
    assert ok(cli, read, "workspace", "diff", "site@v1", "site")["changed"] == ["x"]
    assert ok(cli, read, "workspace", "fork", "site", "-n", "2")["workspaces"] == ["site-1", "site-2"]
    assert ok(cli, read, "workspace", "restore", "site", "v1")["kept"]
    assert ok(cli, read, "workspace", "checkpoints", "site")["checkpoints"]
    assert ok(cli, read, "workspace", "show", "site")["workspace"]["ttl"] == 3600
    (cli.cwd / "copy" / "x").write_text("3")
    read.error(cli.run("workspace", "pull", "copy", "--json", agent="ann"), "conflicting")
    read.error(cli.run("workspace", "push", "copy", "--json", agent="ann"), "lost")
    read.error(cli.run("workspace", "push", "copy", "--to", "site-1", "--json", agent="ann"), "usage")
    read.error(cli.run("workspace", "restore", "site", "v2", "--json", agent="ann"), "not_found")
    read.error(cli.run("workspace", "show", "sitr", "--json", agent="ann"), "not_found")
    ok(cli, read, "workspace", "merge", "site-1", "site")
    read.spoil(cli.file("workspaces/site-2.json"))
    listed = ok(cli, read, "workspace", "list")
    assert listed["workspaces"]
    assert listed["damaged"]
    ok(cli, read, "workspace", "teardown", "site-1")
    ok(cli, read, "workspace", "expire", "--dry-run")


def looking(cli: Cli, read: Reader) -> None:
    assert ok(cli, read, "whoami")["holds"]
    assert ok(cli, read, "agents")["agents"]
    lines = cli.run("log", "--all", "--json").lines
    assert {"step", "message", "memory", "artifact", "workspace", "agent", "damage"} == {line["kind"] for line in lines}
    for line in lines:
        read.command("log", line)
    ok(cli, read, "doctor", "--quick")
    ok(cli, read, "beat")
    orphan = subprocess.run(["sh", "-c", "sleep 0.5 >&- 2>&- & echo $!"], capture_output=True, text=True, check=True).stdout.strip()
    read.command("beat", cli.json("beat", "--while-pid", orphan, agent="ann"), more=frozenset({"pid"}))
    ok(cli, read, "primer")
    for shell in ("bash", "zsh", "fish"):
        ok(cli, read, "completion", shell)
    for command in (("status", "--watch", "0.5"), ("log", "--follow")):
        with cli.start(*command, "--json", agent="ann") as process:
            assert process.stdout
            read.command(command[0], json.loads(process.stdout.readline()))
            process.terminate()


def setting_up(cli: Cli, read: Reader) -> None:
    ran = cli.run("run", "--agent", "eve", "--", "echo", "hello")
    assert (ran.code, ran.out) == (0, "hello\n")
    read.commands.add("run")
    read.mend()
    gc(cli, read)
    ok(cli, read, "move", str(cli.home / "moved"), "--force")
    read.error(cli.run("claim", "spare", "--json", agent="ann"), "moved")
    new = {"WINDLASS_STORE": None, "WINDLASS_PROJECT": None}
    ok(cli, read, "init", "--store", str(cli.home / "new"), "--project", "other", env=new)
    ok(cli, read, "trust", env=new)
    assert set(cli.json("doctor", "--policy", "--store", "s3://bucket/prefix")) == {"policy", "why"}


def gc(cli: Cli, read: Reader) -> None:
    """Something to delete, and an upload that is under way for ever."""
    pending = {"format": 1, "kind": "pending", "write_id": "w", "seq": 1, "agent": "ann", "targets": ["artifacts/a.json"]}
    sha = sha256(b"garbage").hexdigest()
    for key, body in ((f"blobs/{sha[:2]}/{sha[2:]}.0", b"garbage"), ("pending/p.json", json.dumps(pending).encode())):
        cli.file(key).parent.mkdir(parents=True, exist_ok=True)
        cli.file(key).write_bytes(body)
    assert ok(cli, read, "gc", "--dry-run")["uploading"]
    read.error(cli.run("gc", "--wait", "0", "--json", agent="ann"), "timed_out")
    assert ok(cli, read, "gc", "--dry-run", "--grace", "0")["blobs"]
    assert ok(cli, read, "gc", "--grace", "0")["abandoned"]


def test_a_session_of_all_commands_prints_what_is_documented(reader: Reader) -> None:
    assert reader.commands == set(COMMANDS)


def test_every_object_that_is_documented_was_printed(reader: Reader) -> None:
    assert reader.met == set(OBJECTS)
