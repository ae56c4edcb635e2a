"""Artifacts at the command line: what goes in comes out, whole or not at all, and a lost claim publishes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.cli import Cli, end

if TYPE_CHECKING:
    from collections.abc import Callable

PART = 4 * 1024 * 1024


def content(size: int, seed: str = "") -> bytes:
    """Bytes of which no two parts are equal."""
    return b"".join(sha256(f"{seed}{n}".encode()).digest() * 512 for n in range(-(-size // 16384)))[:size]


def ok(cli: Cli, *args: str, agent: str = "ann", **more: Any) -> str:
    return cli.ok(*args, agent=agent, **more).out


def error(cli: Cli, code: int, *args: str, agent: str = "ann", **more: Any) -> str:
    """What a command says that must fail with that exit code."""
    result = cli.run(*args, agent=agent, **more)
    assert result.code == code, result
    assert result.out == ""
    return result.err


def published(cli: Cli, *args: str) -> list[str]:
    return [one["ref"] for one in cli.json("artifact", "list", *args)["artifacts"]]


def tree(folder: Path) -> dict[str, object]:
    """Everything in a folder: content and exec bit of a file, target of a link, None for a folder."""
    out: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            out[name] = os.readlink(path)
        elif path.is_dir():
            out[name] = None
        else:
            out[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return out


COUNTED = """
import os, signal, sys, threading, windlass
what, kill, *words = sys.argv[1:]
p = windlass.open()
store, lock, keys = p.session.world.store, threading.Lock(), []
call = getattr(store, what)
def counted(key, *more):
    if key.startswith("blobs/"):
        with lock:
            keys.append(key)
            if len(keys) > int(kill) >= 0:
                os.kill(os.getpid(), signal.SIGKILL)
    return call(key, *more)
setattr(store, what, counted)
getattr(p.artifacts, words[0])(*words[1:])
print(len(keys))
"""
"""Calls a method of `p.artifacts`, counts a kind of request for blobs, and is killed before one more than so many (-1: never)."""


def counted(cli: Cli, request: str, *words: str, kill: int = -1) -> int:
    """How many requests for blobs a call made that came to its end; -1 for one that was killed."""
    command = [sys.executable, "-c", COUNTED, request, str(kill), *words]
    done = subprocess.run(command, cwd=cli.cwd, env=cli.env("ann"), capture_output=True, text=True, check=False, timeout=120)
    if kill >= 0:
        assert done.returncode == -9, done
        return -1
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, PART - 1, PART, PART + 1, 10_000_000], ids=str)
def test_a_file_of_any_size_comes_back(everywhere: Cli, size: int) -> None:
    path = everywhere.cwd / "data.bin"
    path.write_bytes(content(size))
    path.chmod(0o755 if size == 1 else 0o600)
    made = everywhere.json("artifact", "upload", "data.bin", agent="ann")["artifacts"][0]
    assert (made["ref"], made["size"], made["sha256"]) == ("data.bin@1", size, sha256(path.read_bytes()).hexdigest())
    ok(everywhere, "artifact", "download", "data.bin", "-o", "back", agent="bob")
    back = everywhere.cwd / "back"
    assert back.read_bytes() == path.read_bytes()
    assert back.stat().st_mode & 0o777 == (0o755 if size == 1 else 0o644)
    assert counted(everywhere, "put", "upload", str(path)) == 0, "the same content is not sent again"
    assert published(everywhere) == ["data.bin@1"]
    assert ok(everywhere, "artifact", "verify", "data.bin").startswith("1 artifact is well")


def make_folder(folder: Path) -> None:
    names = ["a.txt", "sub/run.sh", "sub/deep/er/x", "Ünï ©ode 😀", "with space", "-dash", "back\\slash", "line\nbreak", "\x1b[31m"]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}", encoding="utf-8")
    (folder / "sub/run.sh").chmod(0o755)
    (folder / "empty/inside").mkdir(parents=True)
    (folder / "nothing").write_bytes(b"")
    (folder / "big").write_bytes(content(PART + 5))
    (folder / "link").symlink_to("sub/run.sh")
    (folder / "sub/up").symlink_to("../a.txt")
    (folder / "dangling").symlink_to("no/where")
    for n in range(40):
        (folder / "sub" / f"small{n}").write_bytes(content(3000, str(n)))


def test_a_folder_comes_back_as_it_was(everywhere: Cli) -> None:
    folder = everywhere.cwd / "site"
    make_folder(folder)
    before = tree(folder)
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("secret", encoding="utf-8")
    (folder / ".gitignore").write_text("a.txt", encoding="utf-8")
    before[".gitignore"] = (b"a.txt", False)
    made = everywhere.json("artifact", "upload", "site/", agent="ann")
    assert made["artifacts"][0]["kind"] == "folder"
    assert (made["artifacts"][0]["files"], made["left"]) == (len([one for one in before.values() if one is not None]), [])
    ok(everywhere, "artifact", "download", "site", "-o", "back", agent="bob")
    assert tree(everywhere.cwd / "back") == before
    assert counted(everywhere, "put", "upload", str(folder)) <= 6, "only the folders' own objects are asked for again"
    assert published(everywhere) == ["site@1"]
    ok(everywhere, "artifact", "verify")
    (everywhere.cwd / "void").mkdir()
    ok(everywhere, "artifact", "upload", "void")
    ok(everywhere, "artifact", "download", "void", "-o", "void2")
    assert tree(everywhere.cwd / "void2") == {}


def test_what_cannot_be_kept_is_named(cli: Cli) -> None:
    (cli.cwd / "odd").mkdir()
    os.mkfifo(cli.cwd / "odd/pipe")
    (cli.cwd / "odd/CON").write_text("x", encoding="utf-8")
    result = cli.run("artifact", "upload", "odd", agent="ann")
    assert result.code == 0
    assert "left out: pipe: it is a FIFO" in result.err
    assert "note: CON:" in result.err
    assert cli.json("artifact", "upload", "odd", agent="ann")["left"] == [{"artifact": "odd@1", "path": "pipe", "why": "it is a FIFO"}]
    os.mkfifo(cli.cwd / "pipe")
    assert "regular file" in error(cli, 2, "artifact", "upload", "pipe")


def test_a_killed_upload_sends_only_the_rest(everywhere: Cli) -> None:
    path = everywhere.cwd / "big"
    path.write_bytes(content(16 * PART))
    counted(everywhere, "put", "upload", str(path), kill=12)
    assert published(everywhere) == []
    assert counted(everywhere, "put", "upload", str(path)) <= 17 - 4, "sixteen parts and their index; eight were under way at most"
    assert counted(everywhere, "put", "upload", str(path)) == 0
    ok(everywhere, "artifact", "download", "big", "-o", "back")
    assert (everywhere.cwd / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_download_reads_only_the_rest(everywhere: Cli, kind: str) -> None:
    path = everywhere.cwd / "big"
    if kind == "file":
        path.write_bytes(content(16 * PART))
    else:
        path.mkdir()
        for n in range(60):
            (path / f"f{n}").write_bytes(content(70_000, str(n)))
    ok(everywhere, "artifact", "upload", "big")
    all_, kill, under_way = (17, 12, 8) if kind == "file" else (61, 50, 32)
    counted(everywhere, "get", "download", "big", "back", kill=kill)
    assert not (everywhere.cwd / "back").exists()
    assert counted(everywhere, "get", "download", "big", "back") <= all_ - (kill - under_way - 1)
    back = everywhere.cwd / "back"
    assert (back.read_bytes() == path.read_bytes()) if kind == "file" else (tree(back) == tree(path))
    assert sorted(one.name for one in everywhere.cwd.iterdir()) == ["back", "big"]


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))


@pytest.mark.parametrize("size", [100, 3 * PART], ids=str)
def test_a_flipped_byte_is_found_and_nothing_is_put_in_place(cli: Cli, size: int) -> None:
    (cli.cwd / "data").write_bytes(content(size))
    (cli.cwd / "other").write_bytes(b"fine")
    ok(cli, "artifact", "upload", "data", "other")
    blobs = sorted((Path(cli.store) / "demo/blobs").glob("*/*"), key=lambda path: path.stat().st_size)
    flip(blobs[-1])
    key = f"blobs/{blobs[-1].parent.name}/{blobs[-1].name.removesuffix('=')}"
    assert key in error(cli, 1, "artifact", "download", "data", "-o", "back")
    assert not (cli.cwd / "back").exists()
    found = cli.run("artifact", "verify", "--json", agent="ann")
    assert found.code == 1
    assert [(one["ref"], one["key"]) for one in json.loads(found.out)["damaged"]] == [("data@1", key)]
    text = cli.run("artifact", "verify", agent="ann")
    assert (text.code, key in text.out, key in text.err) == (1, True, True)
    ok(cli, "artifact", "verify", "other")
    streamed = cli.run("artifact", "download", "data", "-o", "-", agent="ann")
    assert streamed.code == 1
    assert content(size).decode("latin-1").startswith(streamed.out) or len(streamed.out) < size


def test_nothing_is_overwritten_without_force(everywhere: Cli) -> None:
    (everywhere.cwd / "a").write_text("new", encoding="utf-8")
    (everywhere.cwd / "d").mkdir()
    (everywhere.cwd / "d/x").write_text("new", encoding="utf-8")
    ok(everywhere, "artifact", "upload", "a", "d")
    (everywhere.cwd / "a").write_text("mine", encoding="utf-8")
    (everywhere.cwd / "d/x").write_text("mine", encoding="utf-8")
    for name in ("a", "d"):
        assert "--force" in error(everywhere, 2, "artifact", "download", name)
    assert (everywhere.cwd / "a").read_text(encoding="utf-8") == (everywhere.cwd / "d/x").read_text(encoding="utf-8") == "mine"
    (everywhere.cwd / "into").mkdir()
    ok(everywhere, "artifact", "download", "a", "-o", "into/")
    assert (everywhere.cwd / "into/a").read_text(encoding="utf-8") == "new"
    for name in ("a", "d"):
        ok(everywhere, "artifact", "download", name, "--force")
    assert (everywhere.cwd / "a").read_text(encoding="utf-8") == (everywhere.cwd / "d/x").read_text(encoding="utf-8") == "new"


def test_an_artifact_of_a_step_is_fenced(everywhere: Cli) -> None:
    (everywhere.cwd / "app").write_text("v1", encoding="utf-8")
    ok(everywhere, "claim", "build")
    ok(everywhere, "artifact", "upload", "app", "--step", "build", "--meta", "tests=12", "--meta", "k=a=b", "--command", "make app")
    shown = everywhere.json("artifact", "show", "app", "--step", "build")["artifact"]
    assert (shown["ref"], shown["meta"], shown["command"], shown["epoch"]) == ("build/app@1", {"tests": "12", "k": "a=b"}, "make app", 1)
    ok(everywhere, "claim", "build", "--force", agent="bob")
    (everywhere.cwd / "app").write_text("v2", encoding="utf-8")
    assert "bob took it over" in error(everywhere, 3, "artifact", "upload", "app", "--step", "build")
    assert "bob took it over" in error(everywhere, 3, "complete", "build", "--artifact", "app")
    error(everywhere, 3, "artifact", "upload", "app", "--step", "build", "--epoch", "1", agent="bob")
    error(everywhere, 3, "artifact", "delete", "app", "--step", "build")
    assert published(everywhere, "--step", "build") == ["build/app@1"]
    assert error(everywhere, 4, "artifact", "download", "app")
    ok(everywhere, "artifact", "upload", "app", "--step", "build", "--epoch", "2", agent="bob")
    assert published(everywhere) == ["build/app@2"]
    ok(everywhere, "artifact", "download", "build/app@1", "-o", "old")
    assert (everywhere.cwd / "old").read_text(encoding="utf-8") == "v1"


def test_a_step_is_completed_with_its_results(everywhere: Cli) -> None:
    ok(everywhere, "plan", "apply", "-", input=json.dumps({"steps": {"build": {}, "test": {"needs": ["build"]}}}))
    (everywhere.cwd / "app").write_text("v1", encoding="utf-8")
    (everywhere.cwd / "report").mkdir()
    (everywhere.cwd / "report/x").write_text("x", encoding="utf-8")
    ok(everywhere, "claim", "build")
    assert "no file" in error(everywhere, 2, "complete", "build", "--artifact", "app", "--artifact", "missing")
    assert everywhere.json("step-status", "build")["status"] == "in_progress"
    assert "with 2 artifacts" in ok(everywhere, "complete", "build", "--note", "n", "--artifact", "app", "--artifact", "report/")
    assert "already" in ok(everywhere, "complete", "build", "--note", "n", "--artifact", "app", "--artifact", "report/")
    lines = "artifact app@1 (2 B): windlass artifact download app --step build"
    for command in (("step", "show", "build"), ("handoff", "build"), ("claim", "test")):
        assert lines in ok(everywhere, *command, agent="bob")
    assert [one["ref"] for one in everywhere.json("handoff", "build")["artifacts"]] == ["build/app@1", "build/report@1"]
    ok(everywhere, "artifact", "download", "report", "--step", "build", "-o", "got", agent="bob")
    assert (everywhere.cwd / "got/x").read_text(encoding="utf-8") == "x"
    assert "[app@1, report@1] n" in ok(everywhere, "log")


def test_two_uploads_of_one_name_at_once_make_two_versions(everywhere: Cli) -> None:
    bodies = {"ann": content(3 * PART, "ann"), "bob": content(3 * PART, "bob")}
    for agent, body in bodies.items():
        (everywhere.cwd / agent).write_bytes(body)
    commands = [everywhere.start("artifact", "upload", agent, "--name", "app", agent=agent) for agent in bodies]
    for process in commands:
        with process:
            assert end(process).code == 0
    versions = everywhere.json("artifact", "history", "app")["versions"]
    assert [one["version"] for one in versions] == [2, 1]
    for one in versions:
        ok(everywhere, "artifact", "download", f"app@{one['version']}", "-o", f"v{one['version']}")
        assert (everywhere.cwd / f"v{one['version']}").read_bytes() == bodies[one["agent"]]


def test_stdin_and_stdout(everywhere: Cli) -> None:
    made = everywhere.json("artifact", "upload", "-", "--name", "notes", agent="ann", input="one\ntwo\n")["artifacts"][0]
    assert (made["ref"], made["size"]) == ("notes@1", 8)
    assert ok(everywhere, "artifact", "download", "notes", "-o", "-") == "one\ntwo\n"
    assert "--name" in error(everywhere, 2, "artifact", "upload", "-", input="x")
    error(everywhere, 2, "artifact", "download", "notes", "-o", "-", "--json")
    whole = content(2 * PART + 7)
    with everywhere.start("artifact", "upload", "-", "--name", "big", agent="ann", stdin=subprocess.PIPE) as process:
        stdin: Any = process.stdin
        stdin.buffer.write(whole)
        assert end(process).code == 0
    with everywhere.start("artifact", "download", "big", "-o", "-", agent="ann") as process:
        stdout: Any = process.stdout
        assert stdout.buffer.read() == whole
    (everywhere.cwd / "d").mkdir()
    ok(everywhere, "artifact", "upload", "d")
    assert "folder" in error(everywhere, 2, "artifact", "download", "d", "-o", "-")


def test_looking_deleting_and_lineage(everywhere: Cli) -> None:
    for name in ("schema", "app"):
        (everywhere.cwd / name).write_text(name, encoding="utf-8")
    ok(everywhere, "artifact", "upload", "schema")
    ok(everywhere, "claim", "build", agent="bob")
    ok(everywhere, "artifact", "upload", "app", "--step", "build", "--input", "schema", agent="bob")
    assert "made from schema@1" in ok(everywhere, "artifact", "show", "build/app")
    told = ok(everywhere, "artifact", "lineage", "schema")
    assert told.splitlines() == ["schema@1  by ann", "  used for:", "    build/app@1  by bob for build"]
    graph = ok(everywhere, "artifact", "lineage", "app", "--step", "build", "--graph")
    assert graph.startswith("graph LR\n")
    assert "schema#64;1" in graph
    assert everywhere.json("artifact", "lineage", "build/app")["edges"] == [{"input": "schema@1", "made": "build/app@1"}]
    assert everywhere.json("artifact", "lineage", "schema", "--back")["edges"] == []
    error(everywhere, 4, "artifact", "upload", "app", "--input", "nothing@1")
    assert "deleted, as ann" in ok(everywhere, "artifact", "delete", "schema")
    error(everywhere, 4, "artifact", "show", "schema")
    error(everywhere, 4, "artifact", "delete", "schema")
    error(everywhere, 4, "artifact", "download", "schema@1", "-o", "x")
    assert [one["deleted"] for one in everywhere.json("artifact", "history", "schema")["versions"]] == [True, True]
    assert published(everywhere) == ["build/app@1"]
    assert "not there any more" in ok(everywhere, "artifact", "lineage", "build/app")
    log = ok(everywhere, "log")
    assert "schema@1" in log
    assert "delete" in log


def test_a_name_that_is_none_gets_a_proposal(cli: Cli) -> None:
    (cli.cwd / "my file (1).txt").write_text("x", encoding="utf-8")
    assert "--name my-file--1-.txt" in error(cli, 2, "artifact", "upload", "my file (1).txt")
    (cli.cwd / ".env").write_text("x", encoding="utf-8")
    assert "--name env" in error(cli, 2, "artifact", "upload", ".env")
    error(cli, 2, "artifact", "upload", ".env", "my file (1).txt", "--name", "x")
    error(cli, 2, "artifact", "upload", ".env", "--name", "x", "--meta", "novalue")
    ok(cli, "artifact", "upload", ".env", "--name", "env")
    assert published(cli) == ["env@1"]


def test_a_link_that_leads_out_is_made_only_when_asked_for(cli: Cli) -> None:
    (cli.cwd / "d").mkdir()
    (cli.cwd / "d/out").symlink_to("/etc/hostname")
    ok(cli, "artifact", "upload", "d")
    assert "--links all" in error(cli, 2, "artifact", "download", "d", "-o", "back")
    assert not (cli.cwd / "back").exists()
    ok(cli, "artifact", "download", "d", "-o", "back", "--links", "all")
    assert tree(cli.cwd / "back") == {"out": "/etc/hostname"}


def test_of_several_paths_those_before_the_one_that_failed_are_told(cli: Cli) -> None:
    (cli.cwd / "a").write_text("x", encoding="utf-8")
    result = cli.run("artifact", "upload", "a", "missing", agent="ann")
    assert (result.code, "a@1 published" in result.out, "no file missing" in result.err) == (2, True, True)
    result = cli.run("artifact", "upload", "a", "missing", "--json", agent="ann")
    assert (result.code, json.loads(result.out)["artifacts"][0]["ref"]) == (2, "a@1")


HOSTILE: dict[str, Callable[[str], dict[str, Any]]] = {
    "climbs": lambda blob: {"../out": ["f", blob, 1]},
    "absolute": lambda blob: {"/tmp/out": ["f", blob, 1]},
    "dots": lambda blob: {"..": ["f", blob, 1]},
    "nul": lambda blob: {"a\0b": ["f", blob, 1]},
    "git": lambda blob: {".git": ["d", "", 0, 0]},
    "Git": lambda blob: {".GIT": ["f", blob, 1]},
    "ours": lambda blob: {".windlass": ["d", "", 0, 0]},
    "link out": lambda blob: {"l": ["l", "/etc"]},
    "link up": lambda blob: {"l": ["l", "../../x"]},
    "long": lambda blob: {"x" * 300: ["f", blob, 1]},
    "device": lambda blob: {"a": ["b", blob, 1]},
    "huge": lambda blob: {"a": ["f", blob, 10**15]},
    "other size": lambda blob: {"a": ["f", blob, 2]},
}


@pytest.mark.parametrize("rows", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_tree_is_refused_whole(cli: Cli, rows: Callable[[str], dict[str, Any]]) -> None:
    (cli.cwd / "d").mkdir()
    (cli.cwd / "d/a").write_text("x", encoding="utf-8")
    ok(cli, "artifact", "upload", "d")
    blob = sha256(b"x").hexdigest()
    body = json.dumps({"format": 1, "kind": "tree", "write_id": "", "seq": 0, "entries": {"fine": ["f", blob, 1], **rows(blob)}}).encode()
    digest = sha256(body).hexdigest()
    there = cli.file(f"blobs/{digest[:2]}/{digest[2:]}.0")
    there.parent.mkdir(exist_ok=True)
    there.write_bytes(body)
    register = cli.file("artifacts/d.json")
    doc = json.loads(register.read_bytes())
    doc["current"]["content"] = ["d", f"{digest}.0", 1, 1]
    register.write_bytes(json.dumps(doc).encode())
    before = {path for path in cli.home.parent.rglob("*") if ".locks" not in str(path)}
    result = cli.run("artifact", "download", "d", "-o", "back", agent="ann")
    assert result.code in (1, 2), result
    assert result.err.startswith("windlass: ")
    assert not (cli.cwd / "back").exists()
    new = {path for path in cli.home.parent.rglob("*") if ".locks" not in str(path)} - before
    assert all(".windlass-part" in str(path) or "home" in path.parts for path in new), new


def test_hostile_text_reaches_no_terminal(cli: Cli) -> None:
    (cli.cwd / "a").write_text("x", encoding="utf-8")
    ok(cli, "artifact", "upload", "a", "--meta", "k=\x1b[31mred", "--command", "\x1b]0;title\x07")
    register = cli.file("artifacts/a.json")
    doc = json.loads(register.read_bytes())
    doc["current"] |= {"media_type": "\x1b[2J", "inputs": ["\x1b[2J@1"], "agent": "\x1b[1mboss"}
    register.write_bytes(json.dumps(doc).encode())
    for command in (("list",), ("show", "a"), ("history", "a"), ("lineage", "a"), ("lineage", "a", "--graph")):
        assert "\x1b" not in ok(cli, "artifact", *command)


TERMINAL = """
import os, pty, sys, termios
pid, fd = pty.fork()
if not pid:
    termios.tcsetwinsize(1, (24, int(os.environ.get("WIDE", "0"))))
    os.execvp(sys.argv[1], sys.argv[1:])
try:
    while chunk := os.read(fd, 65536):
        os.write(1, chunk)
except OSError:
    pass
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def drawn(cli: Cli, wide: int) -> list[str]:
    """What is drawn of an upload on a terminal so many characters wide (0: it does not say)."""
    (cli.cwd / "big").write_bytes(content(6 * PART))
    command = [sys.executable, "-c", TERMINAL, sys.executable, "-m", "windlass", "artifact", "upload", "big"]
    env = {**cli.env("ann"), "WIDE": str(wide)}
    done = subprocess.run(command, cwd=cli.cwd, env=env, capture_output=True, check=True, timeout=120)
    return [line.removeprefix("\x1b[K") for line in done.stdout.decode().split("\r") if "sending" in line]


def test_progress_is_shown_on_a_terminal_in_one_line_and_nowhere_else(cli: Cli) -> None:
    lines = drawn(cli, 0)
    assert lines
    assert all(len(line) <= 78 for line in lines)
    assert "[################] 24 MiB of 24 MiB" in lines[-1]
    ok(cli, "artifact", "download", "big", "-o", "back")  # says nothing on stderr


def test_progress_fits_into_a_narrow_terminal(cli: Cli) -> None:
    lines = drawn(cli, 40)
    assert lines
    assert all(len(line) <= 39 for line in lines)
