"""One client process of a recorded history: a seeded random mix of operations against a store, until its time is over.

    python -m tests.reliability.clients '{"kind": "memory", "store": URL, "agent": "a1", "process": "a1.1", "seed": 5, "out": FILE,
                                          "began": NS, "until": NS, "over": FILE, "parent": PID}'

It ends as soon as there is that file, or its parent is gone. `keys` instead of both: read these once, in full, and end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from random import Random
from typing import TYPE_CHECKING, Any

import windlass
from windlass.errors import ClaimLost, NotFound, VersionMoved
from windlass.ops import logs
from windlass.stores.registry import open_store
from windlass.testing.hammer import Hammer, turns
from windlass.testing.histories import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from windlass.project import Project
    from windlass.project.steps import State
    from windlass.protocol.mail import Mail
    from windlass.protocol.memory import Memory
    from windlass.protocol.steps import Step

    class Client(Protocol):
        """Does one random operation after the other, and in the end reads each key in full."""

        def act(self) -> None: ...
        def read(self, key: str) -> None: ...


EVERYTHING = 1_000_000
STATES: tuple[State, ...] = ("complete", "complete", "blocked", "failed", "needs_review")
SLOW_LEASE = 5.0
"""Seconds: short enough to run out while a client is stopped."""


class Base:
    """What the clients of a project have in common: whom they are, dice, and keys that everybody leaves behind after a while."""

    turn = 1.0
    """Seconds."""

    def __init__(self, project: Project, recorder: Recorder, random: Random, began: float) -> None:
        self.p = project
        self.me = project.agent or ""
        self.random = random
        self._recorder = recorder
        self._began = began
        self._count = 0

    def group(self) -> int:
        """The number of the keys that all clients use now."""
        return int((time.monotonic() - self._began) / self.turn)

    def fresh(self) -> str:
        """A value that nobody else writes, nor this one again."""
        self._count += 1
        return f"{self._recorder.process}.{self._count}"

    def ask(self, key: str, do: str, args: dict[str, Any] | None, act: Callable[[], Any]) -> Any:
        """One operation, recorded."""
        given = None if args is None else {name: value for name, value in args.items() if value is not None}
        return self._recorder.ask(key, do, given, act)


class MemoryClient(Base):
    """Sets, compares and sets, deletes and reads memory keys."""

    def __init__(self, project: Project, recorder: Recorder, random: Random, began: float) -> None:
        super().__init__(project, recorder, random, began)
        self._versions: dict[str, int] = {}

    def act(self) -> None:
        key = f"k{self.group()}.{self.random.randrange(2)}"
        draw = self.random.random()
        if draw < 0.25:
            self._read(key, "get", lambda: {"version": (now := self.p.memory.get(key)).version, "value": now.value})
        elif draw < 0.35:
            self.read(key)
        elif draw < 0.8:
            value = self.fresh()
            if_version = self._if_version(key)
            self._change(key, "set", {"value": value, "if": if_version}, lambda: self.p.memory.set(key, value, if_version))
        else:
            if_version = self._if_version(key)
            self._change(key, "delete", {"if": if_version}, lambda: self.p.memory.delete(key, if_version))

    def read(self, key: str) -> None:
        """All versions that there ever were; a key without one has no history."""

        def act() -> dict[str, Any]:
            versions = self.p.memory.history(key, EVERYTHING)
            return {"values": [None if one.deleted else one.value for one in reversed(versions)]}

        def whole() -> dict[str, Any]:
            try:
                return act()
            except NotFound:
                return {"values": []}

        self.ask(key, "history", None, whole)

    def _if_version(self, key: str) -> int | None:
        draw = self.random.random()
        return None if draw < 0.4 else 0 if draw < 0.5 else max(0, self._versions.get(key, 0) - (draw > 0.95))

    def _read(self, key: str, do: str, act: Callable[[], dict[str, Any]]) -> None:
        def seen() -> dict[str, Any]:
            try:
                return act()
            except NotFound:
                return {"gone": True}

        self._note(key, self.ask(key, do, None, seen))

    def _change(self, key: str, do: str, args: dict[str, Any], act: Callable[[], Memory]) -> None:
        def changed() -> dict[str, Any]:
            try:
                return {"version": act().version}
            except VersionMoved:
                return {"moved": True}
            except NotFound:
                return {"gone": True}

        self._note(key, self.ask(key, do, args, changed))

    def _note(self, key: str, answer: dict[str, Any] | None) -> None:
        if answer and "version" in answer:
            self._versions[key] = answer["version"]


class StepClient(Base):
    """Claims, by force too, finishes, releases, reopens and looks at steps."""

    def __init__(self, project: Project, recorder: Recorder, random: Random, began: float) -> None:
        super().__init__(project, recorder, random, began)
        self._epochs: dict[str, int] = {}

    def act(self) -> None:
        slow = self.random.random() < 0.05
        key = f"slow-{self.random.randrange(3)}" if slow else f"s{self.group()}-{self.random.randrange(2)}"
        by, steps = self.me, self.p.steps
        epoch = self._epochs.get(key) if self.random.random() < 0.5 else None
        force = not slow and self.random.random() < 0.3
        forced = force or None
        draw = self.random.random()
        if draw < 0.35 or (slow and draw < 0.9):
            lease = SLOW_LEASE if slow else 600.0
            args = {"by": by, "lease": lease, "force": forced}

            def claim() -> tuple[Step, str]:
                done = steps.try_claim(key, lease=lease, force=force)
                return done.step, done.taken_from

            answer = self._change(key, "claim", args, claim)
            if answer and "epoch" in answer:
                self._epochs[key] = answer["epoch"]
        elif draw < 0.6:
            state: State = self.random.choice(STATES)
            args = {"by": by, "as": state, "epoch": epoch, "force": forced}
            self._change(key, "complete", args, lambda: (steps.complete(key, state=state, epoch=epoch, force=force).step, ""))
        elif draw < 0.75:
            self._change(
                key, "release", {"by": by, "epoch": epoch, "force": forced}, lambda: (steps.release(key, epoch=epoch, force=force).step, "")
            )
        elif draw < 0.85:
            self._change(key, "reopen", {"by": by}, lambda: (steps.reopen(key).step, ""))
        else:
            self.read(key)

    def read(self, key: str) -> None:
        def look() -> dict[str, Any]:
            try:
                step = self.p.steps.show(key).doc
            except NotFound:
                return {"none": True}
            holder = step.claim.agent if step.claim else None
            return {"seq": step.seq, "epoch": step.epoch, "status": step.status.value, "holder": holder}

        self.ask(key, "show", None, look)

    def _change(self, key: str, do: str, args: dict[str, Any], act: Callable[[], tuple[Step, str]]) -> Any:
        def changed() -> dict[str, Any]:
            try:
                step, taken = act()
            except ClaimLost:
                return {"lost": True}
            except NotFound:
                return {"none": True}
            answer = {"seq": step.seq, "epoch": step.epoch}
            return {**answer, "from": taken} if taken else answer

        return self.ask(key, do, args, changed)


class MailClient(Base):
    """Sends to mailboxes, under an id or not, and reads them."""

    turn = 3.0

    def __init__(self, project: Project, recorder: Recorder, random: Random, began: float) -> None:
        super().__init__(project, recorder, random, began)
        self._ends: dict[str, int] = {}
        self._again: list[tuple[str, str]] = []

    def repeat(self, path: str) -> None:
        """Send once more what the process before this one was sending under an id when it died."""
        with open(path, "rb") as file:
            events = [json.loads(line) for line in file.read().split(b"\n")[:-1]]
        if "do" in events[-1] and (events[-1].get("in") or {}).get("id"):
            self._append(events[-1]["key"], events[-1]["in"]["message"], ident=True)

    def act(self) -> None:
        box = f"box{self.group()}"
        draw = self.random.random()
        if draw < 0.35:
            self._append(box, self.fresh(), ident=False)
        elif draw < 0.5:
            message = self.fresh()
            self._again = [*self._again[-5:], (box, message)]
            self._append(box, message, ident=True)
        elif draw < 0.55 and self._again:
            self._append(*self.random.choice(self._again), ident=True)
        elif draw < 0.7:
            slot = max(0, self._ends.get(box, 0) - self.random.randrange(3))
            self._ask_read(box, slot, 1, lambda: self._one(box, slot))
        else:
            end = self._ends.get(box, 0)
            slot = self.random.choice((0, end, end, max(0, end - 5)))
            most = self.random.choice((1, 10, 100, 1000))
            self._ask_read(box, slot, most, lambda: self._texts(self.p.session.run(logs.read(box, slot, most))))

    def read(self, key: str) -> None:
        self._ask_read(key, 0, EVERYTHING, lambda: self._texts(self.p.session.run(logs.read_whole(key, EVERYTHING))))

    def _append(self, box: str, message: str, *, ident: bool) -> None:
        def act() -> dict[str, Any]:
            return {"slot": int(self.p.mail.send(box, message, ident=message if ident else None).id.rpartition(":")[2])}

        answer = self.ask(box, "append", {"message": message, "id": ident or None}, act)
        if answer:
            self._ends[box] = max(self._ends.get(box, 0), answer["slot"] + 1)

    def _ask_read(self, box: str, slot: int, most: int, act: Callable[[], list[str]]) -> None:
        answer = self.ask(box, "read", {"slot": slot, "most": most}, lambda: {"messages": act()})
        if answer:
            self._ends[box] = max(self._ends.get(box, 0), slot + len(answer["messages"]))

    def _one(self, box: str, slot: int) -> list[str]:
        try:
            return [self.p.mail.read(f"{box}:{slot}").message.text]
        except NotFound:
            return []

    @staticmethod
    def _texts(mails: list[Mail]) -> list[str]:
        return [one.damaged or ("(void)" if one.message.void else one.message.text) for one in mails]


class ObjectClient:
    """The bare objects of the store, without Windlass. `doubtful`: a refusal on this way may hide a write that landed."""

    def __init__(self, store: str, recorder: Recorder, random: Random, began: float, doubtful: bool) -> None:
        self._hammer = Hammer(open_store(store), "objects/", recorder, random, turns(began), doubtful=doubtful)
        self._listed = False

    def act(self) -> None:
        self._hammer.act()

    def read(self, key: str) -> None:
        if not self._listed:
            self._hammer.list(whole=True)
        self._listed = True
        self._hammer.get(key)


PROJECT_CLIENTS: dict[str, Callable[..., Client]] = {"memory": MemoryClient, "step": StepClient, "mailbox": MailClient}


def main(job: dict[str, Any]) -> None:
    """A client's life."""
    recorder = Recorder.into(job["out"], job["process"], job["kind"], seed=job["seed"], store=job["store"])
    random, began = Random(f"{job['seed']} {job['process']}"), job["began"] / 1e9
    if job["kind"] == "object":
        live(ObjectClient(job["store"], recorder, random, began, job["doubtful"]), job)
        return
    with windlass.open(job["store"], project="histories", agent=job["agent"]) as project:
        client = PROJECT_CLIENTS[job["kind"]](project, recorder, random, began)
        if isinstance(client, MailClient) and job.get("before"):
            client.repeat(job["before"])
        live(client, job)


def live(client: Client, job: dict[str, Any]) -> None:
    """Act until told to end, or read what is asked for."""
    for key in job.get("keys", ()):
        client.read(key)
    while time.monotonic_ns() < job.get("until", 0) and os.getppid() == job["parent"] and not os.path.exists(job["over"]):
        client.act()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
