"""Wake-up: from an event to the end of a process that waited for it; and what waiting costs meanwhile."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import listed, requests
from benchmarks.figures import Figures, Plot, Table, Target
from benchmarks.spread import quantile, ratio, short

import windlass
from windlass.effects import Always
from windlass.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.bench import Bench, Side

WAITS = (0.5, 1.0, 3.0, 10.0)
LONG = 60.0
NEAR, FAR = 0.150, 0.05
"""To reach on S3: seconds after waits up to 3 s, share of the time waited beyond."""
LOCAL = 0.030
"""To reach on a local store: seconds."""
PEER = 5.0
"""Seconds between tracecraft's polls: its waits are spread evenly over one such."""
BUSY = 100
"""Changes a second of other steps, in a busy store."""
PLACES = ("local", "S3")


class Kind(NamedTuple):
    """A way to wait: a side and its command for the n-th wait; what to do before it starts, and the event."""

    name: str
    place: str
    side: Side
    command: Callable[[int], Sequence[str]]
    before: Callable[[int], object]
    event: Callable[[int], object]


class Woken(NamedTuple):
    """Seconds from the event's acknowledgement to the waiter's first output and to its end."""

    output: float
    end: float


def run(bench: Bench) -> Figures:
    """All kinds at once in threads, each by turns over the waits; events come at random moments."""
    kinds, close = ways(bench)
    rounds = bench.times(2, 6)
    peer = [kind for kind in kinds if kind.side.name == "tracecraft"]
    ours = [kind for kind in kinds if kind not in peer]
    found: dict[tuple[str, str, float], list[Woken]] = {}
    over = threading.Event()
    theirs: list[Woken] = []
    thread = threading.Thread(target=lambda: peers(peer[0], theirs, over))
    thread.start()
    try:
        for wait in (*WAITS, *([] if bench.quick else [LONG])):
            bench.say(f"waits of {wait:g} s")
            together(ours, wait, max(2, round(rounds * min(1.0, 5 / wait))), found)
        while len(theirs) < bench.times(3, 10):
            time.sleep(0.5)
    finally:
        over.set()
        thread.join()
    bench.say("idle")
    idle = [*idling(bench, kinds), *busy(bench)]
    close()
    return report(found, theirs, idle)


def ways(bench: Bench) -> tuple[list[Kind], Callable[[], None]]:
    """Every kind of waiting, on a project of its own place."""
    kinds: list[Kind] = []
    opened: list[windlass.Project] = []
    for place, store in zip(PLACES, (bench.local(), bench.s3()), strict=True):
        waiter, reader = (bench.windlass(store, agent) for agent in ("carol", "bob"))
        acting = windlass.open(store, project="bench", agent="ann")
        opened.append(acting)
        acting.steps.claim("before")  # not the first thing that this agent ever does
        acting.mail.send("bob", "before")
        reader("inbox", "--new")
        kinds += [
            Kind(
                "wait-for",
                place,
                waiter,
                lambda n: ("wait-for", f"s{n}", "--timeout", "600"),
                lambda n, p=acting: p.steps.claim(f"s{n}"),  # type: ignore[misc]
                lambda n, p=acting: p.steps.complete(f"s{n}"),  # type: ignore[misc]
            ),
            Kind(
                "inbox --new --wait",
                place,
                reader,
                lambda _: ("inbox", "--new", "--wait", "600"),
                lambda _: None,
                lambda n, p=acting: p.mail.send("bob", f"news {n}"),  # type: ignore[misc]
            ),
        ]
    store = bench.s3()
    waiter, actor = (bench.tracecraft(store, agent) for agent in ("carol", "ann"))
    kinds.append(
        Kind(
            "wait-for",
            "S3",
            waiter,
            lambda n: ("wait-for", f"s{n}", "--timeout", "600"),
            lambda n: actor("claim", f"s{n}"),
            lambda n: run_quietly(actor, "complete", f"s{n}"),
        )
    )

    def close() -> None:
        for one in opened:
            one.close()

    return kinds, close


def run_quietly(side: Side, *arguments: str) -> None:
    """A command beside others: `side(…)` measures one at a time."""
    subprocess.run([str(side.command), *arguments], env=side.env, cwd=side.folder, capture_output=True, check=True, timeout=60)


def start(side: Side, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """A waiter whose output is read."""
    return subprocess.Popen(
        [str(side.command), *arguments],
        env=side.env,
        cwd=side.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )


def wake(kind: Kind, number: int, wait: float) -> Woken:
    """Start a waiter, let the event happen after `wait` seconds. Raises RuntimeError where it does not wake."""
    kind.before(number)
    waiter = start(kind.side, kind.command(number))
    ends: list[float] = []

    def watch() -> None:
        assert waiter.stdout is not None
        word = "complete" if kind.name == "wait-for" else "news"
        said = b""
        while word.encode() not in said and (piece := os.read(waiter.stdout.fileno(), 65536)):
            said += piece
        ends.append(time.perf_counter())
        waiter.stdout.close()
        waiter.wait(120)
        ends.append(time.perf_counter())

    watching = threading.Thread(target=watch)
    watching.start()
    time.sleep(wait)
    kind.event(number)
    acknowledged = time.perf_counter()
    watching.join(120)
    if waiter.returncode != 0 or len(ends) != 2:
        waiter.kill()
        raise RuntimeError(f"{kind.name} on {kind.place} did not wake: {waiter.returncode}")
    return Woken(ends[0] - acknowledged, ends[1] - acknowledged)


_number = iter(range(1, 1_000_000))


def together(kinds: Sequence[Kind], wait: float, rounds: int, found: dict[tuple[str, str, float], list[Woken]]) -> None:
    """Each kind in a thread of its own, with events at moments of its own."""

    def work(kind: Kind, at: int) -> None:
        random = Random(f"{wait}-{at}")
        time.sleep(at * 0.4)
        for _ in range(rounds):
            # polls come at most 150 ms or 5 % of the wait apart: an event at a random moment between them
            moment = wait + random.uniform(0, max(0.2, 0.06 * wait))
            found.setdefault((kind.name, kind.place, wait), []).append(wake(kind, next(_number), moment))

    threads = [threading.Thread(target=work, args=(kind, at)) for at, kind in enumerate(kinds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def peers(kind: Kind, into: list[Woken], over: threading.Event) -> None:
    """The peer's waits, one after the other as long as ours go on."""
    random = Random(5)
    while not over.is_set():
        into.append(wake(kind, next(_number), 0.6 + random.uniform(0, PEER)))


class Idle(NamedTuple):
    """A process that waits in vain."""

    name: str
    cpu: float
    """Share of one processor."""
    memory: int
    """Bytes resident."""
    requests: str


def cpu_of(pid: int) -> float:
    """Seconds of processor time so far."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> int:
    """Bytes resident now."""
    with open(f"/proc/{pid}/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idling(bench: Bench, kinds: Sequence[Kind]) -> list[Idle]:
    """One waiter of each kind, all at once; those on S3 each through a proxy of its own, which counts."""
    proxies, named, commands = [], [], []
    for kind in kinds:
        proxy, side = bench.proxy(), kind.side
        if kind.place != "local":
            store = bench.s3(proxy.url)
            side = bench.windlass(store, "bob") if side.name == "windlass" else bench.tracecraft(store, "bob")
        if kind.name == "wait-for":
            side("claim", "never")
        else:
            side("inbox", "--new")
        proxies.append(proxy)
        named.append(f"{side.name} {kind.name}, {kind.place}")
        commands.append((side, ("wait-for", "never") if kind.name == "wait-for" else kind.command(0)))
    seconds = bench.times(5, 20)
    found = measured(commands, seconds, lambda: [requests(list(proxy.log)) for proxy in proxies])
    out = []
    for kind, name, (cpu, memory, sent) in zip(kinds, named, found, strict=True):
        out.append(Idle(name, cpu, memory, "files only" if kind.place == "local" else f"{listed(sent)} in {seconds} s"))
    return out


def measured(
    commands: Sequence[tuple[Side, Sequence[str]]], seconds: float, count: Callable[[], list[dict[str, int]]]
) -> list[tuple[float, int, dict[str, int]]]:
    """Share of a processor, memory and requests of each of some processes that wait at the same time, after their first three seconds."""
    waiters = [start(side, arguments) for side, arguments in commands]
    try:
        time.sleep(3)
        before, sent = [cpu_of(one.pid) for one in waiters], count()
        time.sleep(seconds)
        used, since = [cpu_of(one.pid) for one in waiters], count()
        memory = [memory_of(one.pid) for one in waiters]
    finally:
        for one in waiters:
            one.kill()
            one.wait()
    shares = [(now - was) / seconds for now, was in zip(used, before, strict=True)]
    more = [{kind: number - was.get(kind, 0) for kind, number in now.items()} for now, was in zip(since, sent, strict=True)]
    return list(zip(shares, memory, more, strict=True))


def busy(bench: Bench) -> list[Idle]:
    """Who waits on a local store while others change other steps all the time."""
    folder = bench.local()
    side = bench.windlass(folder, "bob")
    side("claim", "there")
    store = LocalStore(folder)
    over = threading.Event()

    def work() -> None:
        number, due = 0, time.monotonic()
        while not over.is_set():
            store.put(f"bench/steps/other-{number % 50}.json", b"{}", Always())
            number, due = number + 1, due + 1 / BUSY
            time.sleep(max(0.0, due - time.monotonic()))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        found = measured([(side, ("wait-for", name)) for name in ("there", "absent")], bench.times(5, 20), lambda: [{}, {}])
    finally:
        over.set()
        worker.join()
    names = ("a step", "a step that does not exist")
    return [
        Idle(f"windlass wait-for {name}, local, {BUSY} changes a second of others", cpu, memory, "")
        for name, (cpu, memory, _) in zip(names, found, strict=True)
    ]


def report(found: dict[tuple[str, str, float], list[Woken]], theirs: list[Woken], idle: Sequence[Idle]) -> Figures:
    """Tables, targets and the plot."""
    rows: list[Sequence[object]] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    peer = [one.end for one in theirs]
    pooled: dict[str, list[tuple[float, float]]] = {}
    for (name, place, wait), woken in sorted(found.items(), key=lambda item: (item[0][1] == "S3", item[0])):
        ends, outputs = [one.end for one in woken], [one.output for one in woken]
        middle = quantile(ends, 0.5)
        goal = LOCAL if place == "local" else NEAR if wait <= 3 else FAR * wait
        lines.setdefault(f"{name}, {place}", []).append((wait, max(middle * 1000, 1.0)))
        times = str(ratio(*([max(one, 0.001) for one in side] for side in (peer, ends)))) if place == "S3" and name == "wait-for" else ""
        rows.append(
            [
                f"{name}, {place}",
                f"{wait:g}",
                len(woken),
                short(quantile(outputs, 0.5) * 1000),
                short(middle * 1000),
                short(quantile(ends, 0.95) * 1000),
                short(goal * 1000),
                times,
            ]
        )
        what = f"{name}, {place}" + ("" if place == "local" else ", waits up to 3 s" if wait <= 3 else ", longer waits")
        pooled.setdefault(what, []).extend((one.end / goal, one.output / goal) for one in woken)
    rows.append(
        [
            "tracecraft wait-for, S3",
            "0.6–5.6",
            len(peer),
            short(quantile([one.output for one in theirs], 0.5) * 1000),
            short(quantile(peer, 0.5) * 1000),
            short(quantile(peer, 0.95) * 1000),
            "",
            "",
        ]
    )
    lines["tracecraft wait-for"] = [(wait, quantile(peer, 0.5) * 1000) for wait in sorted({key[2] for key in found})]
    targets = []
    for what, shares in pooled.items():
        most, unit = (30.0, "ms") if "local" in what else (150.0, "ms") if "up to" in what else (5.0, "% of the time waited")
        end, output = (quantile(side, 0.5) * most for side in zip(*shares, strict=True))
        reached = f"{short(end)} {unit} at the process' end, {short(output)} at its output"
        targets.append(Target(5, f"wake-up: {what}, median", f"≤ {most:g} {unit}", reached, end <= most))
    waiting = [one for one in idle if one.name.startswith("windlass")]
    most = max(one.cpu for one in waiting)
    targets.append(Target(5, "CPU while waiting, idle or busy", "< 1 %", f"{most:.2%} at most", most < 0.01))
    columns = [
        "Command",
        "Waited, s",
        "Runs",
        "Output, median ms",
        "End, median ms",
        "End, p95 ms",
        "To reach, ms",
        "tracecraft, times as long",
    ]
    first = Table("From the event's acknowledgement to the waiter's output and end", columns, rows)
    second = Table(
        "While waiting in vain, from the third second on",
        ["Command", "CPU, % of one core", "Resident, MB", "Requests"],
        [[one.name, f"{one.cpu:.2%}", f"{one.memory / 1e6:.1f}", one.requests] for one in idle],
    )
    return Figures([first, second], targets, NOTES, [Plot("wake", "Wake-up after the event", "seconds waited", "ms, median", lines)])


NOTES = (
    (
        "The event is a call of the library (`steps.complete`, `mail.send`) in another process; it is acknowledged when the call returns,"
        " on a local store after fsync. The waiter may see it before that: such times are negative. Of tracecraft, it is its command."
    ),
    (
        "End is when the waiting process has ended, an interpreter's end included: a parent acts on that, or on the output."
        " `inbox` notes between the two what was read: it is a write."
    ),
    (
        "Events come at random moments between polls: waits are the given seconds and up to 6 %, or 0.2 s, more;"
        " tracecraft's are spread over one of its 5 s."
    ),
    "Local waits are woken by file notification; polls go on beside it, as on S3, in case a notice is lost or cannot be had.",
)
