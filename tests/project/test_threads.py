"""One project may be used from many threads, and one program may have many projects."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import windlass
from windlass.records import Status

if TYPE_CHECKING:
    from pathlib import Path

Open = Any
THREADS = 8


def test_threads_work_through_a_plan_together(p: windlass.Project) -> None:
    p.plan.apply({"steps": {f"s{n}": {} for n in range(24)}})

    def work(_: int) -> list[str]:
        done: list[str] = []
        while True:
            try:
                with p.steps.next() as claim:
                    p.memory.set(f"result.{claim.name}", claim.epoch)
                    claim.complete()
            except windlass.ClaimLost:  # two threads are one agent: both were given the same step
                continue
            except (windlass.NothingLeft, windlass.NothingReady):
                return done
            done.append(claim.name)

    with ThreadPoolExecutor(THREADS) as pool:
        finished = [name for names in pool.map(work, range(THREADS)) for name in names]
    assert set(finished) == {f"s{n}" for n in range(24)}
    assert all(one.status is Status.COMPLETE for one in p.steps.list().steps.values())
    assert len(p.memory.list()) == 24


def test_threads_get_each_message_once(p: windlass.Project) -> None:
    for number in range(40):
        p.mail.send("designer", f"{number}")

    def read(_: int) -> list[str]:
        got: list[str] = []
        while inbox := p.mail.inbox(new=True, limit=3):
            got += [m.message.text for m in inbox]
        return got

    with ThreadPoolExecutor(THREADS) as pool:
        got = [text for texts in pool.map(read, range(THREADS)) for text in texts]
    assert sorted(got, key=int) == [f"{number}" for number in range(40)]


def test_threads_that_gather_share_one_pool(p: windlass.Project) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert len({id(one) for one in pool.map(lambda _: p.session.world.pool(), range(64))}) == 1


def test_several_projects_stores_and_agents_in_one_program(home: Path) -> None:
    opened = {
        (store, project, agent): windlass.open(str(home / store), project=project, agent=agent, create=True)
        for store in ("one", "two")
        for project in ("red", "blue")
        for agent in ("ada", "ben")
    }
    try:
        for (store, project, agent), p in opened.items():
            assert (p.name, p.agent, p.store) == (project, agent, str(home / store))
            p.memory.set(f"of.{agent}", f"{store}/{project}")
            p.steps.claim(f"by-{agent}").complete()
        for (store, project, agent), p in opened.items():
            assert {one.key: one.memory.value for one in p.memory.list() if one.memory} == {
                "of.ada": f"{store}/{project}",
                "of.ben": f"{store}/{project}",
            }
            assert p.agents.names() == ["ada", "ben"]
            assert p.steps.show(f"by-{agent}").doc.worker == agent
    finally:
        for p in opened.values():
            p.close()


def test_without_a_home_a_program_still_remembers(home: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("HOME")
    from windlass.stores.wrappers import Counting

    with windlass.open(str(home / "store"), project="demo", agent="ada", create=True) as p:
        if p.session.settings.cache_dir is not None:
            return  # the account has a home all the same
        p.memory.set("a", 1)
        p.session.world.store = counting = Counting(p.session.world.store)
        p.memory.set("a", 2)
        assert counting.counts() == {"get": 1, "put": 2}
