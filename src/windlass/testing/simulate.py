"""A seeded simulation in virtual time: many processes run operations against one store, and all that can go wrong does.

Programs are generators of effects. Latency, order, faults, storms, crashes and pauses are drawn from one seed; no wall clock
and no real randomness takes part, so the same seed gives the same run, event by event, and the same `hash`.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum
from hashlib import sha256
from heapq import heappop, heappush
from itertools import accumulate
from random import Random

from windlass import effects as fx
from windlass.errors import PutRefused, PutUnclear, Unavailable
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any, TypeAlias

    from windlass.effects import Object
    from windlass.stores.base import Store

    Program: TypeAlias = Generator[fx.Effect, Any, Any]
    Request: TypeAlias = fx.Get | fx.Put | fx.Delete | fx.List | fx.Folders

EPOCH = 1_800_000_000.0
"""The store's time at which a simulation begins."""
KEPT = 300_000
"""Events that are kept for a report."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz012345"


class Fate(Enum):
    """What becomes of a request."""

    WELL = "well"
    DROP = "dropped on the way"
    LOSE_ANSWER = "answer lost"
    REFUSE_AFTER = "412 though it landed"
    REFUSE_NOTHING = "409 with nothing in the way"
    DELAY = "lands late"
    THROTTLE = "503"
    UNREACHABLE = "unreachable"


class Storm(Record):
    """A time of trouble: the odds of each fate for puts and for all else, and how much slower requests are."""

    puts: Mapping[Fate, float] = {}
    others: Mapping[Fate, float] = {}
    slower: float = 1.0


STORMS = {
    "throttling": Storm(puts={Fate.THROTTLE: 0.7, Fate.LOSE_ANSWER: 0.02}, others={Fate.THROTTLE: 0.7}),
    "black hole": Storm(puts={Fate.DROP: 0.4, Fate.LOSE_ANSWER: 0.3, Fate.DELAY: 0.2}, others={Fate.UNREACHABLE: 0.9}),
    "bad proxy": Storm(puts={Fate.REFUSE_AFTER: 0.3, Fate.REFUSE_NOTHING: 0.2, Fate.LOSE_ANSWER: 0.1}, others={Fate.THROTTLE: 0.05}),
    "stalled writes": Storm(puts={Fate.THROTTLE: 0.5, Fate.DELAY: 0.4}),
    "slow": Storm(puts={Fate.DELAY: 0.1}, slower=30.0),
}


class Weather(Record):
    """How bad it is: odds of each fate in calm hours, how often and how long it storms, odds of a crash or pause at a request."""

    puts: Mapping[Fate, float] = {
        Fate.DROP: 0.003, Fate.LOSE_ANSWER: 0.006, Fate.REFUSE_AFTER: 0.004, Fate.REFUSE_NOTHING: 0.003, Fate.DELAY: 0.004,
        Fate.THROTTLE: 0.003, Fate.UNREACHABLE: 0.002,
    }  # fmt: skip
    others: Mapping[Fate, float] = {Fate.THROTTLE: 0.002, Fate.UNREACHABLE: 0.002}
    latency: float = 0.03
    """Seconds on the way, in the mean, each way."""
    patience: float = 20.0
    """Seconds at most until a client gives a silent request up."""
    latest: float = 600.0
    """Seconds at most that a late put is on its way."""
    storm_gap: float = 1200.0
    storm_length: float = 60.0
    crash: float = 0.0006
    pause: float = 0.0004
    pause_length: float = 300.0


FINE = Weather(puts={}, others={}, storm_gap=0.0, crash=0.0, pause=0.0)
"""Nothing goes wrong."""


class Machine:
    """Where processes run: a clock that is `skew` seconds off and gains `drift` seconds a second, and what is remembered there."""

    def __init__(self, name: str, skew: float = 0.0, drift: float = 0.0) -> None:
        self.name, self.skew, self.drift = name, skew, drift
        self.hints: dict[str, bytes] = {}


class Process:
    """Lives, and pauses, as one; its tasks run side by side. `owner` is whatever the caller wants to find there again."""

    def __init__(self, name: str, machine: Machine, owner: Any = None) -> None:
        self.name, self.machine, self.owner = name, machine, owner
        self.alive = True
        self.paused_until = 0.0
        self.tasks: list[Task] = []


class Task:
    """One program under way. `note` is the caller's: what the task is doing."""

    __slots__ = ("answers", "left", "name", "note", "process", "program")

    def __init__(self, name: str, process: Process, program: Program) -> None:
        self.name, self.process, self.program = name, process, program
        self.note: Any = None
        self.answers: list[Any] = []
        self.left = 0


class Watch:
    """What an observer is told; subclasses override what they want."""

    def sent(self, task: Task, put: fx.Put) -> None:
        """A put was sent."""

    def landed(self, task: Task, put: fx.Put, before: Object | None, after: Object) -> None:
        """A put changed the store."""

    def deleted(self, task: Task, key: str) -> None:
        """An object was deleted."""

    def ended(self, process: Process, *, crashed: bool) -> None:
        """A process is over: killed, or all its tasks have come to their end."""

    def paused(self, process: Process) -> None:
        """A process was stopped for a while, until `paused_until`."""


class Simulation:
    """One run. `make_store` builds the store around the clock that it must show, `whole` seconds where it is coarse.

    `counts` has every fate by name, and what else happened; `events` the last lines of the run.
    """

    def __init__(
        self,
        seed: int,
        make_store: Callable[[Callable[[], float]], Store],
        weather: Weather = FINE,
        *,
        watch: Watch | None = None,
        whole: bool = False,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = EPOCH
        self.whole = whole
        self.store = make_store(self.store_clock)
        self.watch = watch or Watch()
        self.counts: Counter[str] = Counter()
        self.requests = 0
        self.events: deque[str] = deque(maxlen=KEPT)
        self.show: Callable[[str], None] | None = None
        self._hash = sha256()
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._storm: Storm | None = None
        self._storm_at: Machine | None = None
        self.machines: list[Machine] = []
        self.set_weather(weather)
        if weather.storm_gap:
            self.after(self.random.expovariate(1 / weather.storm_gap), self._begin_storm)

    def store_clock(self) -> float:
        """The time that the store gives to what is written now."""
        return float(int(self.now)) if self.whole else self.now

    def set_weather(self, weather: Weather) -> None:
        """Change how bad it is; FINE ends a storm under way too. What is late stays late."""
        self.weather = weather
        self._odds = {True: _ladder(weather.puts), False: _ladder(weather.others)}
        if not weather.storm_gap:
            self._storm = None

    @property
    def hash(self) -> str:
        """SHA-256 of every event so far, hexadecimal."""
        return self._hash.hexdigest()

    def machine(self, name: str, skew: float = 0.0, drift: float = 0.0) -> Machine:
        """One more machine."""
        made = Machine(name, skew, drift)
        self.machines.append(made)
        return made

    def spawn(self, name: str, machine: Machine, program: Program, owner: Any = None) -> Task:
        """Start a process with one task, now; the task."""
        return self.fork(Process(name, machine, owner), name, program)

    def fork(self, process: Process, name: str, program: Program) -> Task:
        """Start one more task in a process."""
        task = Task(name, process, program)
        process.tasks.append(task)
        self.after(0.0, self._step, task, None, None)
        return task

    def after(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        """Call something later in virtual time."""
        self._number += 1
        heappush(self._queue, (self.now + seconds, self._number, act, args))

    def crash(self, process: Process) -> None:
        """Kill a process. What it sent stays on its way."""
        if process.alive:
            process.alive = False
            self.counts["crashes"] += 1
            self.event(process.name, "crashes", "", "")
            for task in process.tasks:
                task.program.close()
            self.watch.ended(process, crashed=True)

    def pause(self, process: Process, seconds: float) -> None:
        """Stop a process; answers wait for it."""
        process.paused_until = self.now + seconds
        self.counts["pauses"] += 1
        self.event(process.name, "pauses", "", f"{seconds:.3f}")
        self.watch.paused(process)

    def run(self, until: float) -> bool:
        """Go on until nothing is left to happen, or `until`; whether nothing is left."""
        queue = self._queue
        while queue:
            if queue[0][0] > until:
                return False
            self.now, _, act, args = heappop(queue)
            act(*args)
        return True

    def event(self, who: str, what: str, key: str, answer: str) -> None:
        """Put one line on record."""
        line = f"{self.now - EPOCH:.9f} {who} {what} {key} {answer}\n"
        self._hash.update(line.encode())
        self.events.append(line)
        if self.show is not None:
            self.show(line)

    def _begin_storm(self) -> None:
        if not self.weather.storm_gap or not self._queue:  # nobody is left to feel it
            return
        name = self.random.choice(sorted(STORMS))
        self._storm = STORMS[name]
        self._storm_at = self.random.choice(self.machines) if self.machines and self.random.random() < 0.5 else None
        self._odds_in_storm = {True: _ladder(self._storm.puts), False: _ladder(self._storm.others)}
        self.counts[f"storm: {name}"] += 1
        self.event("-", "storm", name, self._storm_at.name if self._storm_at else "everywhere")
        self.after(self.random.expovariate(1 / self.weather.storm_length), self._end_storm)

    def _end_storm(self) -> None:
        if self._storm is not None:
            self._storm = None
            self.event("-", "storm ends", "", "")
        if self.weather.storm_gap:
            self.after(self.random.expovariate(1 / self.weather.storm_gap), self._begin_storm)

    def _step(self, task: Task, value: Any, error: BaseException | None) -> None:
        """Run a task until it waits for something."""
        process, program = task.process, task.program
        if not process.alive:
            return
        if process.paused_until > self.now:
            self.after(process.paused_until - self.now, self._step, task, value, error)
            return
        while True:
            try:
                effect = program.send(value) if error is None else program.throw(error)
            except StopIteration:
                self._over(task)
                return
            error = None
            kind = type(effect)
            if kind is fx.Gather:
                effects: tuple[fx.Effect, ...] = effect.effects  # type: ignore[attr-defined]
                task.answers = [_called(one) if type(one) is fx.Call else None for one in effects]
                task.left = sum(type(one) is not fx.Call for one in effects)
                if not task.left:
                    value = task.answers
                    continue
                for i, one in enumerate(effects):
                    if type(one) is not fx.Call and process.alive:
                        self._send(task, one, i)  # type: ignore[arg-type]
                return
            if kind is fx.Sleep:
                self.after(effect.seconds, self._step, task, None, None)  # type: ignore[attr-defined]
                return
            here = _HERE.get(kind)
            if here is None:
                self._send(task, effect, -1)  # type: ignore[arg-type]
                return
            try:
                value = here(self, process.machine, effect)
            except Exception as failed:
                error = failed

    def _over(self, task: Task) -> None:
        process = task.process
        process.tasks.remove(task)
        if not process.tasks:
            process.alive = False
            self.event(process.name, "ends", "", "")
            self.watch.ended(process, crashed=False)

    def _send(self, task: Task, request: Request, index: int) -> None:
        """Let one request go, to whatever fate; the process may crash before or after, or pause."""
        weather, process, random = self.weather, task.process, self.random.random
        doom = random()
        if doom < weather.crash / 2:
            self.crash(process)
            return
        self.requests += 1
        storm = self._storm if self._storm_at is None or self._storm_at is process.machine else None
        is_put = type(request) is fx.Put
        fate = _draw((self._odds if storm is None else self._odds_in_storm)[is_put], random())
        pace = weather.latency * (storm.slower if storm else 1.0)
        up, down = self.random.expovariate(1 / pace), self.random.expovariate(1 / pace)
        if is_put:
            self.watch.sent(task, request)  # type: ignore[arg-type]
        if fate is Fate.WELL:
            self.after(up, self._arrive, task, request, index, down, fate)
        else:
            self._spoil(task, request, index, up, down, fate)
        if doom < weather.crash:
            self.crash(process)
        elif doom > 1 - weather.pause:
            self.pause(process, self.random.expovariate(1 / weather.pause_length))

    def _spoil(self, task: Task, request: Request, index: int, up: float, down: float, fate: Fate) -> None:
        is_put = type(request) is fx.Put
        self.counts[f"{'put' if is_put else 'other'}: {fate.value}"] += 1
        unclear: Exception = PutUnclear(fate.value) if is_put else Unavailable(fate.value)
        silence = self.weather.patience * self.random.random() ** 2  # connections are reset at once more often than they hang
        if fate in (Fate.LOSE_ANSWER, Fate.REFUSE_AFTER):
            self.after(up, self._arrive, task, request, index, down if fate is Fate.REFUSE_AFTER else silence, fate)
        elif fate is Fate.DELAY:
            late = self.weather.latest ** self.random.random()  # from a second on, each order of magnitude as likely
            self.after(up + late, self._arrive, task, request, index, 0.0, fate)
            self.after(up + silence, self._answer, task, request, index, unclear)
        elif fate is Fate.REFUSE_NOTHING and self.random.random() < 0.5:
            self.after(up + down, self._answer, task, request, index, PutRefused(request.key))  # type: ignore[union-attr]
        elif fate in (Fate.DROP, Fate.REFUSE_NOTHING, Fate.THROTTLE):
            self.after(up + (silence if fate is Fate.DROP else down), self._answer, task, request, index, unclear)
        else:
            self.after(up + silence, self._answer, task, request, index, Unavailable(fate.value))

    def _arrive(self, task: Task, request: Request, index: int, back: float, fate: Fate) -> None:
        """The request reaches the store, whether or not anybody waits for it still."""
        try:
            answer = self._perform(task, request)
        except PutRefused as refused:
            answer = refused
        if type(request) is fx.Put:
            self.event(task.name, "put", request.key, str(answer) if isinstance(answer, str) else "refused")
            if fate is Fate.DELAY:
                self.counts["late puts landed" if isinstance(answer, str) else "late puts refused"] += 1
                if isinstance(answer, str) and not task.process.alive:
                    self.counts["late puts landed after their process died"] += 1
                return
            if fate is Fate.LOSE_ANSWER:
                answer = PutUnclear(fate.value)
            elif fate is Fate.REFUSE_AFTER:
                answer = PutRefused(request.key)
        elif fate is not Fate.WELL:
            answer = Unavailable(fate.value)
        self.after(back, self._answer, task, request, index, answer)

    def _perform(self, task: Task, request: Request) -> Any:
        store = self.store
        kind = type(request)
        if kind is fx.Get:
            return store.get(request.key, request.unless)  # type: ignore[union-attr]
        if isinstance(request, fx.Put):
            before = store.get(request.key)
            version = store.put(request.key, request.body, request.condition)
            after = store.get(request.key)
            self.watch.landed(task, request, before, after)  # type: ignore[arg-type]
            return version
        if isinstance(request, fx.List):
            return store.list(request.prefix, request.after, request.limit)
        if isinstance(request, fx.Folders):
            return store.folders(request.prefix)
        store.delete(request.key)
        self.event(task.name, "delete", request.key, "")
        self.watch.deleted(task, request.key)
        return None

    def _answer(self, task: Task, request: Request, index: int, answer: Any) -> None:
        process = task.process
        if not process.alive:
            return
        if process.paused_until > self.now:
            self.after(process.paused_until - self.now, self._answer, task, request, index, answer)
            return
        self.event(task.name, type(request).__name__, str(getattr(request, "key", None) or getattr(request, "prefix", "")), _short(answer))
        if index < 0:
            if isinstance(answer, Exception):
                self._step(task, None, answer)
            else:
                self._step(task, answer, None)
            return
        task.answers[index] = answer
        task.left -= 1
        if not task.left:
            self._step(task, task.answers, None)

    def fresh_id(self) -> str:
        """20 characters out of the seed."""
        bits = self.random.getrandbits(100)
        return "".join([_ALPHABET[bits >> shift & 31] for shift in range(0, 100, 5)])


def _short(answer: Any) -> str:
    if isinstance(answer, fx.Object):
        return answer.version
    if isinstance(answer, fx.Page):
        last = answer.entries[-1] if answer.entries else None
        return f"{len(answer.entries)} up to {last.key if last else ''}"
    if isinstance(answer, Exception):
        return f"{type(answer).__name__} {answer}"
    return "unchanged" if isinstance(answer, fx.Unchanged) else str(answer)


def _ladder(odds: Mapping[Fate, float]) -> list[tuple[float, Fate]]:
    return list(zip(accumulate(odds.values()), odds, strict=True))


def _draw(ladder: list[tuple[float, Fate]], draw: float) -> Fate:
    if not ladder or draw >= ladder[-1][0]:
        return Fate.WELL
    return next(fate for upto, fate in ladder if draw < upto)


def _remember(sim: Simulation, machine: Machine, effect: Any) -> None:
    if effect.body is None:
        machine.hints.pop(effect.name, None)
    else:
        machine.hints[effect.name] = effect.body


def _called(effect: Any) -> Any:
    """What the work returns, or its error."""
    try:
        return effect.work()
    except Exception as error:
        return error


_HERE: dict[type, Callable[[Simulation, Machine, Any], Any]] = {
    fx.Now: lambda sim, machine, _: sim.now + machine.skew + machine.drift * (sim.now - EPOCH),
    fx.NewId: lambda sim, _m, _e: sim.fresh_id(),
    fx.Pick: lambda sim, _, effect: int(sim.random.random() * effect.below),
    fx.Recall: lambda _, machine, effect: machine.hints.get(effect.name),
    fx.Remember: _remember,
    fx.Tell: lambda _sim, _m, _e: None,
    fx.Call: lambda _sim, _m, effect: effect.work(),
    fx.Spread: lambda _sim, _m, _e: None,
}
"""Effects that are no requests: carried out at once, on the machine."""
