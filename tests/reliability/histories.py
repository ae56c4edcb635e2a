"""Recorded histories of real processes: run clients against one store while a nemesis is at them, then judge what they were told.

    python -m tests.reliability.histories --minutes 20 --out FILE.json [--store URL] [--kinds memory,step] [--seed N] [--keep FOLDER]

Without --store: a local directory, and an S3 server of its own behind the proxy that fails on purpose. Histories that are not
linearizable stay in the folder; `python -m windlass.testing.linearizable FOLDER` judges one again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.conftest import KEYS, ROOT, _command, _free_port, _wait_until_it_answers

from windlass.stores.registry import open_store
from windlass.testing import histories
from windlass.testing.linearizable import Verdict
from windlass.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from windlass.testing.histories import Report

KINDS = ("object", "memory", "step", "mailbox")
TROUBLE = {
    "drop": 0.01, "late": 0.01, "delay_request": 0.005, "lose_answer": 0.02, "cut": 0.01, "reset": 0.01, "hang": 0.003, "hang_after": 0.003,
    "duplicate": 0.02, "503": 0.01, "503_after": 0.01, "429_after": 0.005, "409": 0.005, "409_after": 0.01, "500_after": 0.01,
    "502_after": 0.005, "504": 0.005, "truncate_list": 0.005,
}  # fmt: skip
"""The odds of what the proxy does; nearly one request in six."""
TIMEOUT = 0.5
"""Seconds that a client waits for an answer through the proxy; what is held longer lands after its time-out."""
SURELY_NOT = {"Unavailable", "Lost", "TimedOut"}
"""Errors without an effect that faults may cause; any other is a failure of the run."""
LONGEST = 6
"""Times that a run may take longer than it should, on a slow machine, until enough happened."""
PATIENCE = 40.0
"""Seconds that all clients have to come to their end."""


class Run(NamedTuple):
    """One recorded run. `trouble`: why it failed, besides what the report says."""

    kind: str
    where: str
    seed: int
    folder: Path
    report: Report
    fired: Mapping[str, int]
    """By trouble of the proxy, and kill, stop, continue and restart of the nemesis."""
    trouble: tuple[str, ...]

    @property
    def fine(self) -> bool:
        """Whether all was linearizable, and enough happened for that to mean something."""
        return self.report.fine and not self.trouble

    def text(self) -> str:
        """What happened, for people."""
        fired = ", ".join(f"{count} {what}" for what, count in sorted(self.fired.items()) if count)
        again = f"\nkept: python -m windlass.testing.linearizable {self.folder}" if not self.fine else ""
        return "\n".join([f"{self.where}, seed {self.seed}: {self.report.text()}", f"  {fired}", *self.trouble]) + again


class Crew:
    """The client processes of a run and what is done to them."""

    def __init__(self, job: Mapping[str, Any], folder: Path, clients: int, env: Mapping[str, str]) -> None:
        self._job = job
        self._folder = folder
        self._env = {**env, "PYTHONPATH": os.pathsep.join([*filter(None, [env.get("PYTHONPATH")]), str(ROOT)])}
        self._lives = [0] * clients
        self._at_work: list[subprocess.Popen[bytes]] = []
        self._stopped: dict[int, float] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ending = False

    def start(self) -> None:
        """Begin with all clients."""
        self._at_work = [self._spawn(number) for number in range(len(self._lives))]

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        self._lives[number] += 1
        life, name = self._lives[number], f"a{number}"
        process = f"{name}-{life}"
        job = {**self._job, "agent": name, "process": process, "out": str(self._folder / f"{process}.jsonl")}
        before = self._folder / f"{name}-{life - 1}.jsonl"
        return self.run({**job, "before": str(before)} if before.exists() else job)

    def run(self, job: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        """A process with a fresh interpreter."""
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        with (home / f"{job['process']}.stderr").open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.reliability.clients", json.dumps(job)],
                cwd=home,
                env={**self._env, "HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )

    def torment(self, random: Random, long_stop: float) -> None:
        """One deed of the nemesis. `long_stop`: seconds that a client may be stopped, once in a while."""
        number = random.randrange(len(self._lives))
        process = self._at_work[number]
        self.wake()
        if number in self._stopped or process.poll() is not None or not self._acted(number):
            return
        if random.random() < 0.5:
            process.kill()
            process.wait()
            self._at_work[number] = self._spawn(number)
            self.counts.update(("kill", "restart"))
        else:
            process.send_signal(signal.SIGSTOP)
            seconds = long_stop if random.random() < 0.25 else random.random()
            self._stopped[number] = time.monotonic() + seconds
            self.counts["stop"] += 1

    def _acted(self, number: int) -> bool:
        """Whether a client has ended an operation in this life: to kill it before would prove nothing, and be all that happens."""
        path = self._folder / f"a{number}-{self._lives[number]}.jsonl"
        return path.exists() and path.read_bytes().count(b"\n") > 2

    def answered(self) -> int:
        """Operations that were answered so far."""
        return sum(path.read_bytes().count(b'"end": "ok"') for path in self._folder.glob("*.jsonl"))

    def wake(self, *, everybody: bool = False) -> None:
        """Let those go on whose time has come."""
        for number, until in list(self._stopped.items()):
            if everybody or time.monotonic() >= until:
                del self._stopped[number]
                self._at_work[number].send_signal(signal.SIGCONT)
                self.counts["continue"] += 1

    def least(self) -> int:
        """How often the nemesis did what it did least."""
        return min(self.counts["kill"], self.counts["continue"])

    def end(self, *, at_once: bool = False) -> None:
        """Wait for everybody to come to the end, or make an end of them."""
        self._ending = at_once
        self.wake(everybody=True)
        give_up = time.monotonic() + (0 if at_once else PATIENCE)
        for process in self._at_work:
            self.settle(process, max(0.0, give_up - time.monotonic()))
        self._at_work = []

    def settle(self, process: subprocess.Popen[bytes], patience: float) -> None:
        """Wait for one process, and note what was wrong with it."""
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            if not self._ending:
                self.wrong.append("a client did not come to its end")
            return
        if code:
            said = b"\n".join(path.read_bytes() for path in (self._folder / "home").glob("*.stderr")).decode(errors="replace")
            self.wrong.append(f"a client ended with {code}: {said[-2000:]}")


def record(
    kind: str,
    store: str,
    folder: Path,
    *,
    where: str,
    seconds: float,
    seed: int,
    clients: int = 4,
    proxy: Proxy | None = None,
    env: Mapping[str, str] = os.environ,
    long_stop: float = 1.0,
    enough: int = 100,
    faults: int = 0,
    deeds: int = 3,
) -> Run:
    """One run, which goes on for up to `LONGEST` times `seconds` until enough happened.

    It fails where fewer than `enough` operations were answered, `faults` fired or `deeds` of the nemesis were done.
    """
    began = time.monotonic_ns()
    job = {"kind": kind, "store": store, "seed": seed, "began": began, "doubtful": proxy is not None, "parent": os.getpid()}
    folder.mkdir(parents=True)
    over = folder / "over"
    crew = Crew({**job, "until": began + int((LONGEST * seconds + 1) * 1e9), "over": str(over)}, folder, clients, env)
    before: Counter[str] = Counter(proxy.fired) if proxy else Counter()
    random = Random(f"nemesis {seed}")

    def happened() -> bool:
        fired = sum(proxy.fired.values()) - sum(before.values()) if proxy else faults
        return fired >= faults and crew.least() >= deeds and crew.answered() >= enough

    try:
        crew.start()
        while (passed := (time.monotonic_ns() - began) / 1e9) < seconds or (passed < LONGEST * seconds and not happened()):
            time.sleep(0.1 + 0.3 * random.random())
            crew.torment(random, long_stop)
        over.touch()
        crew.end()
    finally:
        crew.end(at_once=True)
    fired: Counter[str] = Counter()
    if proxy:
        fired = Counter(proxy.fired) - before
        proxy.set_odds({})
    keys = sorted({one.key for one in histories.load(str(folder)).operations} - {histories.ALL})
    last = crew.run({**job, "agent": "last", "process": "last", "out": str(folder / "last.jsonl"), "keys": keys})
    crew.settle(last, PATIENCE)
    history = histories.load(str(folder))
    report = histories.judge(history, enough=enough)
    trouble = [*crew.wrong]
    if set(history.failed) - SURELY_NOT:
        trouble.append(f"errors that no fault explains: {dict(history.failed)}")
    if sum(fired.values()) < faults:
        trouble.append(f"too few faults to mean anything: {sum(fired.values())} of at least {faults} fired")
    if crew.least() < deeds:
        trouble.append(f"the nemesis did too little to mean anything: {dict(crew.counts)} of at least {deeds} each")
    return Run(kind, where, seed, folder, report, fired + crew.counts, tuple(trouble))


@contextmanager
def s3_server(home: Path) -> Iterator[str]:
    """The endpoint of an S3 server of our own. Raises RuntimeError where it is not installed."""
    command = _command()
    if command is None:
        raise RuntimeError("ministack is not installed: make .venvs/ministack/.done")
    port = _free_port()
    with (home / "server.log").open("wb") as log:
        env = {**plain_env(), "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"}
        server = subprocess.Popen([command], cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(server, endpoint)
        yield endpoint
    finally:
        server.terminate()
        server.wait(10)


def plain_env() -> dict[str, str]:
    """The environment without anybody's settings, with keys that open a test server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WINDLASS_", "XDG_"))}
    return {**kept, **KEYS, "AWS_EC2_METADATA_DISABLED": "true", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


def behind(proxy: Proxy, bucket: str) -> str:
    """The URL of a bucket by way of a proxy."""
    return f"s3://{bucket}/some/prefix?endpoint={proxy.url}&region=us-east-1&timeout={TIMEOUT}"


def make_bucket(endpoint: str, bucket: str) -> None:
    """A fresh bucket, without the proxy in between."""
    open_store(f"s3://{bucket}?endpoint={endpoint}&region=us-east-1", create=True).close()


def row(runs: Sequence[Run]) -> list[str | int | float]:
    """The figures of all runs of one kind at one place."""
    fired: Counter[str] = Counter()
    for run in runs:
        fired += Counter(run.fired)
    deeds = fired["kill"] + fired["stop"]
    troubles = {what: count for what, count in fired.items() if what not in ("kill", "stop", "continue", "restart")}
    return [
        runs[0].kind,
        runs[0].where,
        len(runs),
        sum(len(run.report.findings) for run in runs),
        sum(run.report.operations for run in runs),
        sum(run.report.unknown for run in runs),
        sum(troubles.values()),
        deeds,
        sum(run.report.count(Verdict.VIOLATION) for run in runs),
        sum(run.report.count(Verdict.UNDECIDED) for run in runs),
        round(sum(run.report.seconds for run in runs), 2),
    ]


COLUMNS = ["object", "store", "runs", "histories", "operations", "unknown outcomes", "faults", "kills and stops", "violations", "undecided",
           "seconds to judge"]  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Many runs, one after the other; 1 where one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.histories")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one run")
    parser.add_argument("--worse", type=float, default=1.0, help="times the usual odds of faults, up to 5")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of objects, separated by commas")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next one has the next")
    parser.add_argument("--store", help="instead of a local directory and a server of our own; everything goes under a prefix that stays")
    parser.add_argument("--keep", default=tempfile.gettempdir(), help="where histories that fail are kept")
    parser.add_argument("--out", help="a file for the figures, as JSON")
    options = parser.parse_args(arguments)
    kinds = options.kinds.split(",")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nobody is left behind
    began = time.monotonic()
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="windlass-histories-") as name:
        scratch = Path(name)
        with places(options.store, scratch, options.seed, options.worse) as where:
            seed = options.seed
            while not runs or time.monotonic() - began < options.minutes * 60:
                kind = kinds[(seed - options.seed) // len(where) % len(kinds)]
                place = where[(seed - options.seed) % len(where)]
                run = place.record(kind, scratch / f"run-{seed}", seed, options.seconds, options.clients)
                if not run.fine:
                    run = run._replace(
                        folder=Path(shutil.copytree(run.folder, Path(options.keep) / f"windlass-history-{os.getpid()}-{seed}"))
                    )
                shutil.rmtree(scratch / f"run-{seed}")
                print(run.text(), flush=True)
                runs.append(run)
                seed += 1
    failed = [run for run in runs if not run.fine]
    if options.out:
        report(options.out, ["python -m tests.reliability.histories", *arguments], runs, time.monotonic() - began)
    print(f"{len(runs)} runs, {len(failed)} failed" + "".join(f"\n  {run.folder}" for run in failed))
    return 1 if failed else 0


def report(path: str, command: Sequence[str], runs: Sequence[Run], seconds: float) -> None:
    """Write the figures."""
    parts: dict[tuple[str, str], list[Run]] = {}
    fired: Counter[str] = Counter()
    for run in runs:
        parts.setdefault((run.kind, run.where), []).append(run)
        fired += Counter(run.fired)
    told = {
        "part": "histories",
        "command": " ".join(command),
        "seconds": round(seconds, 1),
        "columns": COLUMNS,
        "rows": [row(part) for _, part in sorted(parts.items())],
        "notes": [
            f"seeds {runs[0].seed} to {runs[-1].seed}",
            "fired: " + ", ".join(f"{what} {n}" for what, n in sorted(fired.items()) if n),
        ],
    }
    Path(path).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


class Place(NamedTuple):
    """Where runs take place: a store given, a local directory, or a server behind a proxy."""

    name: str
    scratch: Path
    store: str | None = None
    endpoint: str | None = None
    proxy: Proxy | None = None
    worse: float = 1.0

    def record(self, kind: str, folder: Path, seed: int, seconds: float, clients: int) -> Run:
        """One run in a fresh corner."""
        store, env = f"{folder}.store", plain_env()
        if self.store is not None:
            head, mark, query = self.store.partition("?")
            store, env = f"{head.rstrip('/')}/histories-{os.getpid()}-{seed}{mark}{query}", dict(os.environ)
            open_store(store, create="://" not in store).close()
        elif self.proxy is not None and self.endpoint is not None:
            bucket = f"histories-{seed}"
            os.environ.update(KEYS)
            make_bucket(self.endpoint, bucket)
            store = behind(self.proxy, bucket)
            self.proxy.set_odds({what: self.worse * odds for what, odds in TROUBLE.items()})
        else:
            open_store(store, create=True).close()
        faults = int(5 * seconds) if self.proxy else 0
        return record(
            kind,
            store,
            folder,
            where=self.name,
            seconds=seconds,
            seed=seed,
            clients=clients,
            proxy=self.proxy,
            env=env,
            long_stop=9.0 if seconds > 15 else 1.0,
            enough=int(10 * seconds),
            faults=faults,
        )


@contextmanager
def places(store: str | None, scratch: Path, seed: int, worse: float) -> Iterator[list[Place]]:
    """The store given, or a local directory and a server behind a proxy."""
    if store:
        yield [Place("given", scratch, store=store)]
        return
    with s3_server(scratch) as endpoint, Proxy(endpoint, {}, seed, hold=0.7) as proxy:
        yield [Place("local", scratch), Place("s3", scratch, endpoint=endpoint, proxy=proxy, worse=worse)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
