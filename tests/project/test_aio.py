"""The same interface for async programs: many claims at once, and none left behind by a task that is cancelled."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

import windlass
from windlass.records import AsyncClaim, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from windlass.effects import Condition

PATIENCE = 60.0
"""Seconds after which something that must happen does not."""


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run a program to its end; it must not hang."""
    asyncio.run(asyncio.wait_for(work, PATIENCE))


@pytest.fixture
def opened(home: Path) -> Callable[[str], windlass.aio.Project]:
    """Opens the project `demo` in one local store, as an agent."""
    return lambda agent: windlass.aio.open(str(home / "store"), project="demo", agent=agent, create=True)


Opened = Any


def test_the_whole_story(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            await p.plan.apply({"steps": {"design": {}, "build": {"needs": ["design"]}}})
            async with await p.steps.claim("design") as claim:
                await p.memory.set("design.contract", "api.py", if_version=0)
                await claim.complete(note="API in api.py", to="developer")
            assert (await p.steps.show("design")).doc.status is Status.COMPLETE
        async with opened("developer") as p:
            assert ["design" in m.message.text for m in await p.mail.inbox(new=True)] == [True]
            async with await p.steps.next() as claim:
                assert claim.handoffs["design"].note == "API in api.py"
            assert not await p.mail.inbox(new=True)
            assert (await p.status()).counts["pending"] == 1
            assert (await p.whoami()).holds == ()
            assert (await p.log(limit=1)).events[0].event == "release"

    finish(story())


def test_200_claims_at_once_of_one_program(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            claims = await asyncio.gather(*(p.steps.claim(f"s{n}") for n in range(200)))
            assert {claim.name for claim in claims} == {f"s{n}" for n in range(200)}
            assert {claim.step.claim.agent for claim in claims if claim.step.claim} == {"designer"}
            await asyncio.gather(*(claim.complete() for claim in claims))
            assert (await p.status()).counts["complete"] == 200

    finish(story())


def test_200_claims_at_once_of_ten_agents_have_one_winner_each(opened: Opened) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            agents = [await stack.enter_async_context(opened(f"agent-{n}")) for n in range(10)]
            tried = await asyncio.gather(*(p.steps.claim(f"s{n}") for n in range(20) for p in agents), return_exceptions=True)
            won = [one for one in tried if isinstance(one, AsyncClaim)]
            assert sorted(one.name for one in won) == sorted(f"s{n}" for n in range(20))
            assert all(isinstance(one, (AsyncClaim, windlass.ClaimLost)) for one in tried)
            shown = await agents[0].steps.list()
            assert {one.name: one.step.claim.agent for one in won if one.step.claim} == {
                one.name: one.agent for one in shown.steps.values()
            }

    finish(story())


def test_an_exception_in_the_block_gives_the_claim_back(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            with pytest.raises(ZeroDivisionError):
                async with await p.steps.claim("design"):
                    _ = 1 / 0
            step = (await p.steps.show("design")).doc
            assert (step.status, step.history[-1].note) == (Status.PENDING, "left by ZeroDivisionError")

    finish(story())


def test_a_lost_claim_is_told_and_hides_nothing(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p, opened("developer") as other:
            with pytest.raises(windlass.ClaimLost):
                async with await p.steps.claim("design") as claim:
                    await other.steps.claim("design", force=True)
                    await claim.complete()
            with pytest.raises(ZeroDivisionError):
                async with await p.steps.claim("design", force=True):
                    await other.steps.claim("design", force=True)
                    _ = 1 / 0

    finish(story())


def test_a_task_cancelled_in_its_block_gives_the_claim_back(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            inside = asyncio.Event()

            async def work() -> None:
                async with await p.steps.claim("design"):
                    inside.set()
                    await asyncio.sleep(PATIENCE)

            task = asyncio.create_task(work())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            step = (await p.steps.show("design")).doc
            assert (step.status, step.history[-1].note) == (Status.PENDING, "left by CancelledError")

    finish(story())


class Gate:
    """A store whose next write under a prefix waits in its thread until the gate opens."""

    def __init__(self, store: Any, prefix: str) -> None:
        self.inner, self.prefix = store, prefix
        self.capabilities, self.url = store.capabilities, store.url
        self.reached, self.opened = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def put(self, key: str, body: bytes, condition: Condition) -> str:
        if key.startswith(self.prefix):
            self.reached.set()
            assert self.opened.wait(PATIENCE)
        version: str = self.inner.put(key, body, condition)
        return version


@pytest.mark.parametrize("way", ["claim", "next"])
def test_a_claim_cancelled_while_its_write_is_under_way_leaves_none_behind(opened: Opened, way: str) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            await p.steps.add("design")
            p.session.world.store = gate = Gate(p.session.world.store, "steps/")
            task = asyncio.create_task(p.steps.claim("design") if way == "claim" else p.steps.next())
            await asyncio.to_thread(gate.reached.wait, PATIENCE)
            task.cancel()
            await asyncio.sleep(0)
            gate.opened.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            step = (await p.steps.show("design")).doc
            assert (step.status, step.claim) == (Status.PENDING, None)
            assert [line.event for line in step.history] == ["define", "claim", "release"]
            async with await p.steps.claim("design") as claim:
                await claim.complete()

    finish(story())


def test_a_claim_that_was_held_before_outlives_a_cancelled_second_one(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p, await p.steps.claim("design") as claim:
            task = asyncio.create_task(p.steps.claim("design"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await claim.complete()

    finish(story())


def test_a_wait_for_work_that_is_cancelled_ends_at_once(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            await p.plan.apply({"steps": {"design": {}, "build": {"needs": ["design"]}}})
            await p.steps.claim("design")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await p.steps.next(wait=10 * PATIENCE)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await p.mail.inbox(wait=10 * PATIENCE)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await p.steps.wait_for("design")
            assert (await p.steps.list()).steps["build"].status is Status.PENDING

    finish(story())


def test_a_write_that_is_cancelled_settles_nothing_and_breaks_nothing(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            await p.memory.set("a", 1)
            inner = p.session.world.store
            p.session.world.store = gate = Gate(inner, "memory/")
            task = asyncio.create_task(p.memory.set("a", 2))
            await asyncio.to_thread(gate.reached.wait, PATIENCE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.opened.set()
            p.session.world.store = inner
            await p.memory.set("a", 3)
            values = [old.value for old in await p.memory.history("a")]
            assert values[0] == 3
            assert values in ([3, 1], [3, 2, 1])

    finish(story())


def test_the_loop_goes_on_while_the_store_is_slow(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            await p.memory.set("a", 1)
            p.session.world.store = gate = Gate(p.session.world.store, "memory/")
            task = asyncio.create_task(p.memory.set("a", 2))
            await asyncio.to_thread(gate.reached.wait, PATIENCE)
            assert (await p.memory.get("a")).value == 1
            gate.opened.set()
            assert (await task).version == 2

    finish(story())


def test_tasks_get_each_message_once(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            for number in range(30):
                await p.mail.send("designer", f"{number}")

            async def read() -> list[str]:
                got: list[str] = []
                while inbox := await p.mail.inbox(new=True, limit=3):
                    got += [m.message.text for m in inbox]
                return got

            got = [text for texts in await asyncio.gather(*(read() for _ in range(8))) for text in texts]
            assert sorted(got, key=int) == [f"{number}" for number in range(30)]

    finish(story())


def test_closing_ends_the_heartbeat_and_a_failed_block_reads_nothing(opened: Opened) -> None:
    async def story() -> None:
        async with opened("designer") as p:
            await p.mail.send("designer", "one")
            await p.steps.claim("design")
        assert not [one for one in threading.enumerate() if one.name == "windlass-presence"]
        with pytest.raises(ZeroDivisionError):
            async with opened("designer") as p:
                assert len(await p.mail.inbox(new=True)) == 1
                _ = 1 / 0
        async with opened("designer") as p:
            assert len(await p.mail.inbox(new=True)) == 1
        async with opened("designer") as p:
            assert len(await p.mail.inbox(new=True)) == 0

    finish(story())
