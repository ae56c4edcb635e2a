"""What the parts of the benchmarks share: an S3 server, fresh projects of both sides on it, and commands measured one by one."""

from __future__ import annotations

import itertools
import json
import marshal
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from windlass.stores.registry import open_store
from windlass.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from windlass.testing.proxy import Entry

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".venvs"
TRACECRAFT = ENVIRONMENTS / "tracecraft/bin/tracecraft"
MINISTACK = Path(os.environ.get("WINDLASS_TEST_MINISTACK") or ENVIRONMENTS / "ministack/bin/ministack")
PYTHON = Path(sys.executable)
WINDLASS = PYTHON.with_name("windlass")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class Spent(NamedTuple):
    """What a command cost: seconds, seconds, bytes resident at most; and what it said."""

    wall: float
    cpu: float
    memory: int
    code: int
    output: str


class Side:
    """A command line in a folder and a home of its own: one agent of one product, alone on its machine."""

    def __init__(self, bench: Bench, name: str, command: Path, folder: Path, env: Mapping[str, str]) -> None:
        self.bench = bench
        self.name = name
        self.command = command
        self.folder = folder
        self.env = dict(env)

    def __call__(self, *arguments: str, ok: Sequence[int] = (0,)) -> Spent:
        """Run a command to its end. Raises RuntimeError for an exit code that is not in `ok`."""
        spent = self.bench.spend([str(self.command), *arguments], self.env, self.folder)
        if spent.code not in ok:
            raise RuntimeError(f"{self.name} {' '.join(arguments)}: exit {spent.code}\n{spent.output}")
        return spent


class Bench:
    """One run: its S3 server (ministack, started here, or the place given as s3://BUCKET/PREFIX?endpoint=…), folders and sides."""

    def __init__(self, *, quick: bool = True, store: str | None = None) -> None:
        self.quick = quick
        self._given = store
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self.run = f"{int(time.time()):x}"

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="windlass-bench-")))
        self._launcher = subprocess.Popen(
            [sys.executable, "-S", "-E", str(ROOT / "benchmarks/launch.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._stack.callback(self._end_launcher)
        if self._given is None:
            for name in [name for name in os.environ if name.startswith(("AWS_", "WINDLASS_"))]:
                del os.environ[name]
            os.environ.update(KEYS | {"no_proxy": "127.0.0.1", "AWS_CONFIG_FILE": str(self.folder / "none")})
            self.endpoint = self._start_server()
            self.server = "ministack"
        else:
            place, query = urlsplit(self._given), parse_qs(urlsplit(self._given).query)
            self.endpoint = query.get("endpoint", ["https://s3.amazonaws.com"])[0]
            self.server = f"s3://{place.netloc} at {self.endpoint}"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def times(self, quick: int, full: int) -> int:
        """How often to repeat, or how large to build, in this run."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """Progress, for whoever watches."""
        print(f"  {text}", file=sys.stderr, flush=True)

    # Places

    def folder_for(self, name: str) -> Path:
        """A fresh folder."""
        made = self.folder / f"{next(self._numbers)}-{name}"
        made.mkdir()
        return made

    def s3(self, endpoint: str | None = None) -> str:
        """The URL of a fresh project's store on the server: a bucket of its own where the server is ours."""
        number = next(self._numbers)
        if self._given is None:
            url = f"s3://bench-{self.run}-{number}/store?" + urlencode({"endpoint": self.endpoint, "region": "us-east-1"})
            open_store(url, create=True).close()
            return url if endpoint is None else self.through(url, endpoint)
        place, mark, query = self._given.partition("?")
        url = f"{place.rstrip('/')}/bench-{self.run}-{number}{mark}{query}"
        return url if endpoint is None else self.through(url, endpoint)

    def through(self, url: str, endpoint: str) -> str:
        """The same store by way of another address, such as a proxy's."""
        place, _, query = url.partition("?")
        options = {name: values[0] for name, values in parse_qs(query).items()}
        return f"{place}?{urlencode(options | {'endpoint': endpoint})}"

    def local(self) -> str:
        """A fresh folder as a store."""
        return str(self.folder_for("store"))

    def proxy(self, delay: float = 0.0) -> Proxy:
        """A proxy before the server that adds `delay` seconds to each request and logs all; closed at the end. http:// servers only."""
        proxy = self._stack.enter_context(Proxy(self.endpoint, delay=delay))
        proxy.log = type(proxy.log)()  # without a limit
        return proxy

    # Sides

    def windlass(self, store: str, agent: str = "alice", project: str = "bench") -> Side:
        """An agent of a Windlass project on that store, in a folder that `windlass init` has set up."""
        home, folder = self.folder_for(f"{agent}-home"), self.folder_for(agent)
        env = self._environment(home) | {"WINDLASS_AGENT": agent}
        side = Side(self, "windlass", WINDLASS, folder, env)
        side("init", "--store", store, "--project", project)
        return side

    def tracecraft(self, store: str, agent: str = "alice") -> Side:
        """An agent of a tracecraft project in the same bucket. `store`: an s3:// URL, of which it takes bucket, prefix and endpoint."""
        home, folder = self.folder_for(f"{agent}-home"), self.folder_for(agent)
        place = urlsplit(store)
        side = Side(self, "tracecraft", TRACECRAFT, folder, self._environment(home))
        endpoint = parse_qs(place.query).get("endpoint", [self.endpoint])[0]
        keys = ["--access-key", os.environ["AWS_ACCESS_KEY_ID"], "--secret-key", os.environ["AWS_SECRET_ACCESS_KEY"]]
        name = place.path.strip("/").replace("/", "-") + "-tracecraft"
        side("init", "--endpoint", endpoint, "--bucket", place.netloc, "--project", name, "--agent", agent, *keys)
        return side

    def spend(self, command: Sequence[str], env: Mapping[str, str], folder: Path) -> Spent:
        """Run a process to its end and say what it cost."""
        out = self.folder / "output"
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        marshal.dump((list(command), dict(env), str(folder), str(out)), self._launcher.stdin)
        self._launcher.stdin.flush()
        wall, cpu, memory, code = marshal.load(self._launcher.stdout)
        return Spent(wall, cpu, memory, code, out.read_text(encoding="utf-8", errors="replace"))

    def peer(self, script: str, *arguments: str) -> object:
        """Run a script of this folder with tracecraft's Python; the JSON of its last line. Raises RuntimeError."""
        return self._script(TRACECRAFT.with_name("python"), script, arguments)

    def ours(self, script: str, *arguments: str) -> object:
        """The same with Windlass' Python: both sides of a comparison in a process of their own."""
        return self._script(PYTHON, script, arguments)

    def _script(self, python: Path, script: str, arguments: Sequence[str]) -> object:
        command = [str(python), str(ROOT / "benchmarks" / script), *arguments]
        home = self.folder_for("home")
        spent = self.bench_run(command, home)
        return json.loads(spent.output.splitlines()[-1])

    def bench_run(self, command: Sequence[str], home: Path) -> Spent:
        """A process in a fresh home that must succeed. Raises RuntimeError."""
        return self.run_in(command, self._environment(home), home)

    def run_in(self, command: Sequence[str], env: Mapping[str, str], folder: Path | None = None) -> Spent:
        """A process with that environment that must succeed. Raises RuntimeError."""
        spent = self.spend(command, env, folder or self.folder)
        if spent.code:
            raise RuntimeError(f"{' '.join(command)}: exit {spent.code}\n{spent.output}")
        return spent

    def _environment(self, home: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return kept | {"PATH": os.environ["PATH"], "HOME": str(home), "no_proxy": "127.0.0.1", "LC_ALL": "C.UTF-8"}

    def _end_launcher(self) -> None:
        assert self._launcher.stdin is not None
        self._launcher.stdin.close()
        self._launcher.wait()

    def _start_server(self) -> str:
        if not shutil.which(MINISTACK):
            raise SystemExit("ministack is not installed; run: make bench")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WINDLASS_"))}
        server = subprocess.Popen(
            [str(MINISTACK)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=keep | {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"},
        )
        self._stack.callback(_end, server)
        endpoint = f"http://127.0.0.1:{port}"
        _await(endpoint, server)
        return endpoint


def rounds(times: int, *runs: Callable[[int], Spent]) -> list[list[Spent]]:
    """Each of `runs` in turn, `times` times over, so that a slow minute of the machine falls on all alike. Given the round's number."""
    found: list[list[Spent]] = [[] for _ in runs]
    for number in range(times):
        for one, kept in zip(runs, found, strict=True):
            kept.append(one(number))
    return found


def requests(entries: Sequence[Entry]) -> dict[str, int]:
    """A proxy's log by kind of request: put, get, list, delete, head."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.kind] = counts.get(entry.kind, 0) + 1
    return counts


def listed(counts: Mapping[str, int]) -> str:
    """Such as: 1 PUT + 2 GET."""
    return " + ".join(f"{number:,} {kind.upper()}" for kind, number in sorted(counts.items(), reverse=True) if number) or "none"


def _await(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + 30
    while True:
        try:
            opener.open(endpoint, timeout=2).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
