"""Kills or fails a process of the local store at each of its system calls, with strace, and judges what the next one finds.

The points come from a trace of an undisturbed run, so that a call that the code makes tomorrow is tried tomorrow.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from windlass.digest import sha256_hex
from windlass.effects import Always, IfAbsent, IfMatch, Object
from windlass.stores import local
from windlass.stores.local import LEFTOVER_AGE, LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

SRC = Path(local.__file__).parents[2]
WORKER = Path(__file__).with_name("crash_worker.py")
PATIENCE = 20.0
"""Seconds after which a traced child hangs."""

State = dict[str, bytes]
"""The objects of a store."""

CHANGES = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
ERRORS = {
    "openat": ("EMFILE", "EACCES", "EIO", "ENOSPC", "EROFS"),
    "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "flock": ("EIO", "ENOLCK", "EINTR"),
    "close": ("EIO", "EINTR", "ENOSPC"),
    **dict.fromkeys(("linkat", "link"), (*CHANGES, "EINTR", "EPERM")),
    **dict.fromkeys(("renameat", "renameat2", "rename", "unlinkat", "unlink", "mkdirat", "mkdir", "rmdir"), (*CHANGES, "EINTR")),
    **dict.fromkeys(("utimensat", "ftruncate", "fchmod"), CHANGES),
}
"""What each call is made to answer; any other call that touches a file answers EIO."""
KILL = "KILL"


class Point(NamedTuple):
    """The `when`th call of that name in a process, and what it was about in the undisturbed run."""

    call: str
    when: int
    about: str

    def inject(self, fault: str) -> str:
        """The argument for strace's -e."""
        how = "signal=KILL" if fault == KILL else f"error={fault}"
        return f"inject={self.call}:{how}:when={self.when}"

    def __str__(self) -> str:
        return f"{self.call} #{self.when} {self.about}"


class Ended(NamedTuple):
    """How a child ended: its code (-9 = killed) and what it had said."""

    code: int
    said: list[dict[str, Any]]
    trace: str
    out: str = ""
    err: str = ""


class Nursery:
    """A parent of traced children. Use with `with`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._jobs = 0
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        self._parent = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True, cwd=folder
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(PATIENCE)
        self._parent.stdout.close()

    def run(self, job: Mapping[str, Any], strace: Sequence[str] | None = None) -> Ended:
        """One child to its end, under strace with these options where there are any."""
        self._jobs += 1
        out = self._folder / f"said-{self._jobs}"
        log = self._folder / f"trace-{self._jobs}"
        pid = self.begin({**job, "out": str(out)})
        tracer = None
        if strace is not None:
            tracer = subprocess.Popen(
                ["strace", "-f", "-y", "-s", "64", "-o", str(log), *strace, "-p", str(pid)], stderr=subprocess.PIPE, text=True
            )
            assert tracer.stderr
            assert "attached" in (said := tracer.stderr.readline()), said
        code = self.let_go()
        trace = ""
        if tracer:
            tracer.communicate(timeout=PATIENCE)
            trace = log.read_text(errors="replace")
            log.unlink()
        told = [json.loads(line) for line in _taken(out).splitlines()]
        return Ended(code, told, trace, _taken(Path(f"{out}.1")), _taken(Path(f"{out}.2")))

    def begin(self, job: Mapping[str, Any]) -> int:
        """Fork a child, which waits; its id."""
        self._tell(json.dumps(job))
        return int(self._hear())

    def let_go(self) -> int:
        """Let the child begin, and wait until it ends; its code."""
        self._tell("go")
        return int(self._hear())

    def _tell(self, line: str) -> None:
        assert self._parent.stdin
        self._parent.stdin.write(line + "\n")
        self._parent.stdin.flush()

    def _hear(self) -> str:
        assert self._parent.stdout
        line = self._parent.stdout.readline()
        assert line, "the children's parent died"
        return line


def _taken(file: Path) -> str:
    if not file.exists():
        return ""
    text = file.read_text(errors="replace")
    file.unlink()
    return text


def why_not(folder: Path) -> str | None:
    """Why nothing can be traced here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    try:
        done = subprocess.run(["strace", "-o", str(folder / "probe"), "true"], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else f"strace may not trace here: {done.stderr.strip()[:200]}"


_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


def points(trace: str, root: str) -> list[Point]:
    """Every call of a trace that touches something under `root`. Raises AssertionError where a second process or thread shows up."""
    counts: Counter[str] = Counter()
    found = []
    first = None
    for line in trace.splitlines():
        if not (match := _LINE.match(line)):
            continue
        pid, call, rest = match.groups()
        first = first or pid
        assert pid == first, f"a second thread or process, whose calls this does not count: {line}"
        counts[call] += 1
        if _concerns(rest, root):
            found.append(Point(call, counts[call], _about(rest, root)))
    return found


def _concerns(rest: str, root: str) -> bool:
    """Whether a call's descriptor or path is under `root`; that the current folder is there says nothing about an absolute path."""
    rest = re.sub(r'AT_FDCWD<[^>]*>, "/', '"/', rest)
    return re.search(f'[<"]{re.escape(root)}[/">]', rest) is not None


def _about(rest: str, root: str) -> str:
    """A call's arguments, without what differs from run to run."""
    return re.sub(r"\d+-[0-9a-f]{16}|\b\d+-\d+\.tmp", "TMP", rest.replace(root, "").rsplit(" = ", 1)[0])[:160]


def struck(trace: str, point: Point, root: str) -> bool:
    """Whether a fault met the very call that it was meant for, or one like it: the same name, about the same thing."""
    lines = [match.group(2, 3) for line in trace.splitlines() if (match := _LINE.match(line))]
    hit = [rest for call, rest in lines if call == point.call and ("(INJECTED)" in rest or rest.endswith("= ?"))]
    thing = re.compile(r"<(?!unfinished)[^>]*>|\"[^\"]*\"")
    return len(hit) == 1 and thing.findall(_about(hit[0], root))[:1] == thing.findall(point.about)[:1]


def faults(point: Point) -> tuple[str, ...]:
    """What can befall a call."""
    if "O_RDONLY" in point.about:
        return (KILL, "EMFILE", "EACCES", "EIO")
    return (KILL, *ERRORS.get(point.call, ("EIO",)))


class Scenario(NamedTuple):
    """Objects that are there, and what a process then does with them."""

    name: str
    before: State
    calls: tuple[dict[str, Any], ...]
    reads: bool = False
    leftovers: int = 0
    """Temporary files of earlier crashes."""


OTHER = {"dir/other": b"another object, in the same folder"}
OLD, NEW = "the old body " * 9, "the new body, which is longer " * 9


def _call(do: str, key: str, body: str = NEW, **more: str) -> dict[str, Any]:
    return {"do": do, "key": key, "body": body, **more}


_OLD_VERSION = sha256_hex(OLD.encode())
_WITH_OLD = {**OTHER, "dir/one": OLD.encode()}
SCENARIOS = (
    Scenario("create", OTHER, (_call("create", "dir/one"),)),
    Scenario("create the first object", {}, (_call("create", "one"),)),
    Scenario("create in new folders", OTHER, (_call("create", "dir/Deep/er/one"),)),
    Scenario("create what is there", _WITH_OLD, (_call("create", "dir/one"),)),
    Scenario("replace", _WITH_OLD, (_call("replace", "dir/one", version=_OLD_VERSION),)),
    Scenario("replace another version", _WITH_OLD, (_call("replace", "dir/one", version="0" * 64),)),
    Scenario("overwrite", _WITH_OLD, (_call("overwrite", "dir/one"),)),
    Scenario("overwrite what is absent", OTHER, (_call("overwrite", "dir/one"),)),
    Scenario("delete", _WITH_OLD, (_call("delete", "dir/one"),)),
    Scenario("delete the last of its folders", {"a/b/c/one": OLD.encode(), **OTHER}, (_call("delete", "a/b/c/one"),)),
    Scenario("sweep what crashes left", OTHER, (_call("create", "dir/one"),), leftovers=3),
    Scenario(
        "several in turn",
        OTHER,
        (
            _call("create", "log/0", "zero " * 50),
            _call("create", "log/1", "one " * 50),
            _call("overwrite", "log/0", "zero again " * 50),
            _call("delete", "log/1"),
        ),
    ),
    Scenario("get", _WITH_OLD, (_call("get", "dir/one"), _call("get", "dir/none")), reads=True),
    Scenario("list", _WITH_OLD, (_call("list", "dir/"), _call("folders", "")), reads=True),
)


def applied(state: State, call: Mapping[str, Any]) -> tuple[State, Any]:
    """What a call makes of a store, and its answer ("refused" where it is)."""
    key, body = call["key"], call["body"].encode()
    match call["do"]:
        case "create" | "naive" if key in state:
            return state, "refused"
        case "replace" if key not in state or sha256_hex(state[key]) != call["version"]:
            return state, "refused"
        case "create" | "replace" | "overwrite" | "naive":
            return {**state, key: body}, sha256_hex(body)
        case "delete":
            return {name: kept for name, kept in state.items() if name != key}, None
        case "get":
            return state, state[key].decode() if key in state else None
        case "list":
            return state, sorted(name for name in state if name.startswith(key))
        case "folders":
            return state, sorted({name.split("/")[0] for name in state if "/" in name})
        case other:
            raise AssertionError(other)


class Verdict(NamedTuple):
    """What came of one fault: how it ended for the caller, and what is wrong with that."""

    outcome: str
    wrong: tuple[str, ...]


def judge(scenario: Scenario, ended: Ended, root: str, fault: str, starts: Sequence[State] = ()) -> Verdict:
    """Compare what a process said with what the next one finds, and let that one go on. `starts`: what it may have found itself."""
    wrong: list[str] = []
    possible, outcome = _possible(scenario, ended, wrong, starts)
    found = look(root, wrong)
    bodies = {call["body"].encode() for call in scenario.calls} | set(scenario.before.values())
    for key, body in found.items():
        if body not in bodies:
            wrong.append(f"torn: {key} holds {body[:40]!r}")
    if found not in possible and not wrong:
        wrong.append(f"after {outcome} there is {_brief(found)}, not {' or '.join(_brief(state) for state in possible)}")
    killed = (fault == KILL) + bool(starts)
    wrong += strangers(root, most=scenario.leftovers + killed, unlink_failed="unlink" in ended.trace)
    wrong += go_on(root, sorted({call["key"] for call in scenario.calls if not call["key"].endswith("/")} - {""}))
    return Verdict(outcome, tuple(wrong))


def _possible(scenario: Scenario, ended: Ended, wrong: list[str], starts: Sequence[State] = ()) -> tuple[list[State], str]:
    """The states that a store may be in after what a process said, and how its last call ended."""
    states = list(starts) or [scenario.before]
    outcome = "done"
    said = list(ended.said)
    for call in scenario.calls:
        after = [applied(state, call) for state in states]
        if not said:
            if ended.code == 0:
                wrong.append("it ended well and did not say how")
            return states + [state for state, _ in after if state not in states], "killed"
        line = said.pop(0)
        if line["kind"] == "ack":
            if line["answer"] not in [answer for _, answer in after]:
                wrong.append(f"answered {line['answer']!r}, not {after[0][1]!r}")
            states = [state for state, answer in after if answer == line["answer"]]
        elif line["kind"] == "error":
            outcome = line["names"][0]
            if outcome == "PutRefused" and "refused" not in [answer for _, answer in after]:
                wrong.append("refused, although the condition holds")
            unclear = outcome in {"PutUnclear", "Indeterminate"} or (call["do"] == "delete" and "Unavailable" in line["names"])
            if unclear:
                states += [state for state, _ in after if state not in states]
        else:
            wrong.append(line["text"].strip())
            return states + [state for state, _ in after if state not in states], "traceback"
    return states, outcome


def _brief(state: State) -> str:
    return str({key: body[:12].decode(errors="replace") for key, body in state.items()})


def look(root: str, wrong: list[str]) -> State:
    """All objects as a fresh store object reads them."""
    store = LocalStore(root)
    state: State = {}
    for entry in store.list("").entries:
        found = store.get(entry.key)
        if not isinstance(found, Object):
            wrong.append(f"{entry.key} is listed and cannot be read")
            continue
        if len(found.body) != entry.size or found.version != sha256_hex(found.body):
            wrong.append(f"{entry.key} has {len(found.body)} bytes and is listed with {entry.size}, or another version")
        state[entry.key] = found.body
    return state


def strangers(root: str, most: int, unlink_failed: bool) -> list[str]:
    """Files that neither are objects nor will be swept."""
    wrong = []
    staged = 0
    for path in Path(root).rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_dir():
            continue
        if parts[0] == ".tmp" and len(parts) == 2:
            staged += 1
        elif not (parts[0] == ".locks" and re.fullmatch(r"\d\d", parts[-1])) and not parts[-1].endswith("="):
            wrong.append(f"a stray file: {'/'.join(parts)}")
    if staged > most + unlink_failed:
        wrong.append(f"{staged} temporary files were left")
    return wrong


def go_on(root: str, keys: Iterable[str]) -> list[str]:
    """Let the next process do everything with these keys: nothing may be in its way, and it sweeps what is an hour old."""
    wrong = []
    for path in Path(root, ".tmp").glob("*"):
        os.utime(path, (time.time() - 2 * LEFTOVER_AGE,) * 2)
    store = LocalStore(root)
    patience, local.LOCK_WAIT = local.LOCK_WAIT, 3.0
    try:
        for key in keys:
            found = store.get(key)
            version = store.put(key, b"later", IfMatch(version=found.version) if isinstance(found, Object) else IfAbsent())
            store.put(key, b"later still", IfMatch(version=version))
            store.put(key, b"last", Always())
            store.delete(key)
            if store.get(key) is not None:
                wrong.append(f"{key} cannot be deleted")
        store.put("swept", b"", Always())
    except Exception as error:
        wrong.append(f"the next process fails: {error!r}")
    finally:
        local.LOCK_WAIT = patience
    if left := [path.name for path in Path(root, ".tmp").glob("*")]:
        wrong.append(f"never swept: {left}")
    return wrong


class Bench:
    """One scenario's place: makes its store anew for each run. `folder` is this bench's own."""

    def __init__(self, folder: Path, nursery: Nursery, scenario: Scenario) -> None:
        self.root = str(folder / "store")
        self._nursery = nursery
        self.scenario = scenario
        self._template = str(folder / "template")
        store = LocalStore.create(self._template)
        for key, body in scenario.before.items():
            store.put(key, body, IfAbsent())
        for number in range(scenario.leftovers):
            path = Path(self._template, ".tmp", f"99{number}-left")
            path.write_bytes(b"half of a bo")
            os.utime(path, (time.time() - 2 * LEFTOVER_AGE,) * 2)

    def fresh(self) -> None:
        """The store as it was before."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root)

    def run(self, *strace: str) -> Ended:
        """The scenario once more, as it is or with faults."""
        return self._nursery.run({"root": self.root, "calls": self.scenario.calls}, strace)

    def points(self) -> list[Point]:
        """Where it can be hit."""
        self.fresh()
        ended = self.run()
        wrong: list[str] = []
        states, _ = _possible(self.scenario, ended, wrong)
        assert ended.code == 0, ended
        assert not wrong, wrong
        assert states == [look(self.root, wrong)], "an undisturbed run does what it says"
        found = points(ended.trace, self.root)
        assert len(found) >= 5, "the trace shows the store's calls"
        return found

    def hit(self, point: Point, fault: str) -> Verdict:
        """One fault at one point."""
        return again(lambda: self._hit(point, fault))

    def _hit(self, point: Point, fault: str) -> Verdict:
        self.fresh()
        ended = self.run("-e", f"trace={point.call}", "-e", point.inject(fault))
        if not struck(ended.trace, point, self.root):
            return Verdict("missed", (f"the fault met another call, or none: {ended}",))
        return judge(self.scenario, ended, self.root, fault)

    def hit_twice(self, first: Point, second: Point) -> Verdict:
        """Kill a process, and then the next one, which tries the same."""
        self.fresh()
        ended = self.run("-e", f"trace={first.call}", "-e", first.inject(KILL))
        starts, _ = _possible(self.scenario, ended, [])
        ended = self.run("-e", f"trace={second.call}", "-e", second.inject(KILL))
        return judge(self.scenario, ended, self.root, KILL, starts)


def again(hit: Callable[[], Verdict]) -> Verdict:
    """A fault that missed its call, since a module was read anew for instance, is tried again."""
    for _ in range(3):
        verdict = hit()
        if verdict.outcome != "missed":
            break
    return verdict


class Tally:
    """Counts of what was tried and what came of it, for one table."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Counter[str]] = {}
        self.violations: list[str] = []

    def add(self, operation: str, fault: str, where: str, verdict: Verdict) -> None:
        """Count one run."""
        row = self.rows.setdefault((operation, fault), Counter())
        row["points"] += 1
        row["recovered"] += not verdict.wrong
        row["torn"] += any(text.startswith("torn") for text in verdict.wrong)
        row["lost"] += verdict.outcome == "done" and any(text.startswith("after done") for text in verdict.wrong)
        self.violations += [f"{operation}: {fault} at {where}: {text}" for text in verdict.wrong]


CHANGING = frozenset(
    {
        *("openat", "write", "pwrite64", "fsync", "fdatasync", "linkat", "link", "renameat", "renameat2", "rename", "unlinkat", "unlink"),
        *("mkdirat", "mkdir", "rmdir", "utimensat", "ftruncate", "flock"),
    }
)
"""The calls that change something on disk, or may; what lies between two of them makes no difference to a kill."""


def sweep(bench: Bench, tally: Tally, wanted: Callable[[Point, str], bool] = lambda point, fault: True) -> None:
    """Every fault at every point of one scenario."""
    for point in bench.points():
        for fault in faults(point):
            if wanted(point, fault):
                tally.add(bench.scenario.name, fault, str(point), bench.hit(point, fault))


if __name__ == "__main__":
    from tests.reliability.crash_soak import crashes_main

    sys.exit(crashes_main())
