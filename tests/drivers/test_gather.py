"""The requests of a gather are under way at once where the store is distant."""

from __future__ import annotations

from _thread import get_ident
from threading import Barrier, Event, active_count

import pytest

from windlass import effects as fx
from windlass.drivers import sync
from windlass.drivers.hints import MemoryHints
from windlass.stores.memory import MemoryStore


class Meeting(MemoryStore):
    """Answers a read only when so many are under way."""

    def __init__(self, of: int) -> None:
        super().__init__()
        self.barrier = Barrier(of, timeout=10)

    def get(self, key: str, unless: str | None = None) -> fx.Object | fx.Unchanged | None:
        self.barrier.wait()
        return super().get(key, unless)


def distant(store: MemoryStore) -> sync.World:
    """A world whose store says that it is far away."""
    store.capabilities = store.capabilities.but(distant=True)
    return sync.World(store, MemoryHints())


def gets(number: int) -> fx.Gather:
    return fx.Gather(effects=tuple(fx.Get(key=f"k{n}") for n in range(number)))


@pytest.mark.parametrize("number", [2, 5, 12, sync.WORKERS])
def test_all_are_under_way_at_once_and_answered_in_order(number: int) -> None:
    store = Meeting(number)
    for n in range(number):
        store.put(f"k{n}", f"{n}".encode(), fx.Always())
    world = distant(store)
    found = world.perform(gets(number))
    world.close()
    assert [one.body for one in found] == [f"{n}".encode() for n in range(number)]


def test_they_leave_no_thread() -> None:
    before = active_count()
    assert distant(Meeting(20)).perform(gets(20)) == [None] * 20
    assert active_count() <= before


def test_a_librarys_panic_is_not_taken_for_an_answer() -> None:
    class Panic(BaseException):
        """As a native library raises it."""

    class Panicking(MemoryStore):
        def get(self, key: str, unless: str | None = None) -> fx.Object | fx.Unchanged | None:
            asked.append(key)
            meeting.wait()
            if key == "k1":
                raise Panic
            return None

    asked: list[str] = []
    meeting = Barrier(sync.WORKERS, timeout=10)
    with pytest.raises(Panic):
        distant(Panicking()).perform(gets(sync.WORKERS))
    asked.clear()
    meeting = Barrier(1)
    with pytest.raises(Panic):
        distant(Panicking()).perform(gets(500))
    assert len(asked) < 500, "nothing more is begun after it"


def test_an_error_is_a_result_like_any_other() -> None:
    world = distant(MemoryStore())
    bad, good = world.perform(fx.Gather(effects=(fx.Get(key="//"), fx.Get(key="k"))))
    assert isinstance(bad, Exception)
    assert good is None


def test_where_no_thread_can_be_started_they_are_carried_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sync, "start_new_thread", none_left)
    assert distant(MemoryStore()).perform(gets(3)) == [None] * 3


def test_an_interrupt_waits_for_what_is_under_way() -> None:
    ended: list[str] = []

    class Interrupted(MemoryStore):
        def get(self, key: str, unless: str | None = None) -> fx.Object | fx.Unchanged | None:
            meeting.wait()
            if get_ident() == here:
                raise KeyboardInterrupt
            Event().wait(0.05)
            ended.append(key)
            return None

    here, meeting = get_ident(), Barrier(3, timeout=10)
    with pytest.raises(KeyboardInterrupt):
        distant(Interrupted()).perform(gets(3))
    assert len(ended) == 2
