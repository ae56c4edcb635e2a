"""A small world for operations: one store in memory with a clock of its own, several agents, time that only moves when told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from windlass import effects as fx
from windlass.drivers.hints import MemoryHints
from windlass.drivers.sync import World, run
from windlass.errors import PutRefused, PutUnclear, WindlassError
from windlass.ops.agents import Actor, act
from windlass.protocol.agents import Keeper
from windlass.stores.memory import MemoryStore
from windlass.stores.wrappers import Counting
from windlass.testing.faults import Fault, Faulty

if TYPE_CHECKING:
    from collections.abc import Callable

    from windlass.protocol.codec import Document
    from windlass.stores.base import Store

T = TypeVar("T")
D = TypeVar("D", bound="Document")

HOUR = 3600.0
DAY = 24 * HOUR


class Refused409:
    """A fault beyond those of `Fault`: the store answers that the condition fails, though nothing landed and nothing was there."""


REFUSED = Refused409()
WAYS: dict[str, list[object]] = {
    "the answer is lost": [Fault.LOSE_ANSWER],
    "412 although it landed": [Fault.REFUSE_AFTER],
    "dropped on the way": [Fault.DROP],
    "409 though nothing stood in the way": [REFUSED],
    "lands later": [Fault.DELAY],
    "dropped, then the answer is lost": [Fault.DROP, Fault.LOSE_ANSWER],
    "a proxy in trouble": [Fault.DROP, Fault.REFUSE_AFTER, REFUSED],
    "a throttling storm": [Fault.DROP] * 4,
}
"""How the answer to a write can be spoilt though the write can be settled."""


class Place:
    """One store and its time, shared by all agents. `whole` seconds where the store's clock is coarse."""

    def __init__(self, *, whole: bool = False) -> None:
        self.now = 1_800_000_000.0
        self.store = MemoryStore(clock=lambda: float(int(self.now)) if whole else self.now)
        self.agents = 0

    def pass_(self, seconds: float) -> None:
        """Let time go by, for everybody."""
        self.now += seconds

    def agent(self, name: str, *, skew: float = 0.0, machine: str = "", **more: Any) -> Agent:
        """An agent on a machine of its own, whose clock is `skew` seconds off."""
        return Agent(self, name, skew=skew, machine=machine or f"machine-{name}", **more)

    def keys(self, prefix: str = "") -> list[str]:
        """Every key there is."""
        return [entry.key for entry in self.store.list(prefix, "", 1000).entries]

    def body(self, key: str) -> bytes:
        """The bytes of an object that must be there."""
        found = self.store.get(key)
        assert isinstance(found, fx.Object), key
        return found.body

    def write(self, key: str, body: bytes) -> None:
        """Put something there behind everybody's back."""
        self.store.put(key, body, fx.Always())


class InTurn(World):
    """Carries out a gather one effect after the other, and leaves a spread to its caller, so that a test sees the same order each time."""

    def _gather(self, effects: tuple[fx.Effect, ...]) -> list[Any]:
        return [self._attempt(effect) for effect in effects]

    def _spread(self, effect: fx.Spread) -> None:
        return None


class Agent:
    """Runs operations as one agent, counts its requests and spoils them on demand."""

    def __init__(
        self,
        place: Place,
        name: str,
        *,
        skew: float,
        machine: str,
        keeper: Keeper = Keeper.COMMANDS,
        incarnation: int | None = None,
        lease: float | None = None,
        store: Store | None = None,
    ) -> None:
        self.place = place
        self.name = name
        self.skew = skew
        self.script: list[tuple[str, str, object, bool]] = []
        self.faulty = Faulty(store or place.store, self._plan)
        self.counting = Counting(self.faulty)
        self.hints = MemoryHints()
        self.told: list[str] = []
        self.slept = 0.0
        self.world = InTurn(
            self.counting,
            self.hints,
            tell=lambda what: self.told.append(what.what),
            sleep=self._sleep,
            clock=lambda: place.now + self.skew,
        )
        self.actor = Actor(agent=name, machine=machine, host=machine, keeper=keeper, incarnation=incarnation, lease=lease)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.place.pass_(seconds)

    def _plan(self, kind: str, key: str) -> Fault | None:
        for i, (wanted, prefix, fault, forever) in enumerate(self.script):
            if wanted == kind and key.startswith(prefix):
                if not forever:
                    del self.script[i]
                if isinstance(fault, Exception):
                    raise fault
                if fault is REFUSED:
                    raise PutRefused(key)
                assert fault is None or isinstance(fault, Fault)
                return fault
        return None

    def spoil(self, *faults: object, kind: str = "put", key: str = "", forever: bool = False) -> Agent:
        """What goes wrong with the next requests of a kind whose key starts like this; None: nothing. Exceptions are raised."""
        self.script += [(kind, key, fault, forever) for fault in faults]
        return self

    def heal(self) -> Agent:
        """Nothing goes wrong any more."""
        self.script.clear()
        return self

    def do(self, op: fx.Op[T]) -> T:
        """Run an operation to its end."""
        return run(op, self.world)

    def warm(self) -> Agent:
        """Be known and fresh, as an agent at work is."""
        self.do(act(self.actor))
        return self

    def cost(self, op: fx.Op[T]) -> dict[str, int]:
        """The requests of an operation, by kind; its WindlassError counts as an end."""
        self.counting.reset()
        try:
            self.do(op)
        except WindlassError:
            pass
        return self.counting.counts()


def error_of(kind: type[T], call: Callable[[], object]) -> T:
    """The error of that kind which the call must raise."""
    try:
        result = call()
    except Exception as error:
        if isinstance(error, kind):
            return error
        raise
    raise AssertionError(f"no {kind.__name__}, but {result!r}")


def stop_before(op: fx.Op[Any], agent: Agent, request: int) -> bool:
    """Run an operation and kill it just before its n-th request to the store (from 0); whether it got that far."""
    kill = Killer(agent.faulty, request)
    agent.counting.store = kill
    try:
        agent.do(op)
    except Killed:
        return True
    finally:
        agent.counting.store = agent.faulty
    return False


class Between:
    """Spoils the answer to an agent's first put under `key`, and lets others act before the agent looks what became of it."""

    def __init__(
        self, agent: Agent, then: Callable[[], object], *, key: str = "", lands: bool = True, answer: type[Exception] = PutUnclear
    ) -> None:
        self.inner, self.then, self.key, self.lands, self.answer = agent.faulty, then, key, lands, answer
        self.url, self.capabilities = self.inner.url, self.inner.capabilities
        self.done = False
        agent.counting.store = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put(self, key: str, body: bytes, condition: fx.Condition) -> str:
        if self.done or not key.startswith(self.key):
            return self.inner.put(key, body, condition)
        self.done = True
        if self.lands:
            self.inner.put(key, body, condition)
        self.then()
        raise self.answer(key)


class Killed(BaseException):
    """The process ended here. No operation may catch it."""


class Killer:
    """Ends the process before its n-th request."""

    def __init__(self, store: Faulty, left: int) -> None:
        self.inner = store
        self.left = left
        self.url = store.url
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def counted(*args: Any) -> Any:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return call(*args)

        return counted
