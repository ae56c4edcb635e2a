"""A store that fails on purpose, in every way that a network lets a store fail."""

from __future__ import annotations

from enum import Enum
from random import Random
from threading import Lock

from windlass.errors import PutRefused, PutUnclear, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from windlass.effects import Condition, Object, Page, Unchanged
    from windlass.stores.base import Store

    Plan: TypeAlias = Callable[[str, str], "Fault | None"]


class Fault(Enum):
    """What may go wrong with one request. All but UNAVAILABLE are for puts; elsewhere they count as UNAVAILABLE."""

    DROP = "drop"
    """Never arrives: PutUnclear, and nothing landed."""
    LOSE_ANSWER = "lose-answer"
    """Carried out as asked, win or lose, but the answer is lost: PutUnclear."""
    REFUSE_AFTER = "refuse-after"
    """Lands, but a proxy repeated it, so that the answer says PutRefused."""
    DELAY = "delay"
    """PutUnclear now; it reaches the store only at `land_late`."""
    UNAVAILABLE = "unavailable"
    """No usable answer to a read, list or delete; for a put, Unavailable and nothing landed."""


def seeded(seed: int, odds: Mapping[Fault, float]) -> Plan:
    """A plan that draws each fault with its odds (0 to 1, in sum at most 1), the same for the same seed and requests."""
    random = Random(seed)
    lock = Lock()

    def plan(kind: str, _key: str) -> Fault | None:
        with lock:
            draw = random.random()
        for fault, chance in odds.items():
            if draw < chance:
                return fault if kind == "put" or fault is Fault.UNAVAILABLE else None
            draw -= chance
        return None

    return plan


def scripted(*faults: Fault | None, kind: str = "put") -> Plan:
    """A plan for the first requests of one kind, in order; all others go well."""
    rest = list(faults)

    def plan(asked: str, _key: str) -> Fault | None:
        return rest.pop(0) if asked == kind and rest else None

    return plan


class Faulty:
    """`plan(kind, key)` decides about each request, with kind "get", "put", "delete", "list" or "folders". `fired` counts."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store = store
        self.plan = plan
        self.url = store.url
        self.capabilities = store.capabilities
        self.fired: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._late: list[tuple[str, bytes, Condition]] = []
        self._lock = Lock()

    def land_late(self, most: int | None = None) -> list[str]:
        """Let delayed puts (the oldest `most`, or all) reach the store now; the keys of those that landed."""
        with self._lock:
            cut = len(self._late) if most is None else most
            due, self._late = self._late[:cut], self._late[cut:]
        landed = []
        for key, body, condition in due:
            try:
                self.store.put(key, body, condition)
            except PutRefused:
                continue
            landed.append(key)
        return landed

    def get(self, key: str, unless: str | None = None) -> Object | Unchanged | None:
        self._hinder("get", key)
        return self.store.get(key, unless)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        fault = self._fire("put", key)
        if fault is None:
            return self.store.put(key, body, condition)
        if fault is Fault.UNAVAILABLE:
            raise Unavailable(f"{key}: injected", "try again")
        if fault is Fault.DELAY:
            with self._lock:
                self._late.append((key, body, condition))
        elif fault is Fault.REFUSE_AFTER:
            self.store.put(key, body, condition)
            raise PutRefused(key)
        elif fault is Fault.LOSE_ANSWER:
            try:
                self.store.put(key, body, condition)
            except PutRefused:
                pass
        raise PutUnclear(f"{key}: injected {fault.value}")

    def delete(self, key: str) -> None:
        self._hinder("delete", key)
        self.store.delete(key)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        self._hinder("list", prefix)
        return self.store.list(prefix, after, limit)

    def folders(self, prefix: str) -> tuple[str, ...]:
        self._hinder("folders", prefix)
        return self.store.folders(prefix)

    def close(self) -> None:
        self.store.close()

    def _fire(self, kind: str, key: str) -> Fault | None:
        fault = self.plan(kind, key)
        if fault is not None:
            with self._lock:
                self.fired[fault] += 1
        return fault

    def _hinder(self, kind: str, key: str) -> None:
        if self._fire(kind, key) is not None:
            raise Unavailable(f"{key}: injected", "try again")
