"""What must be true of every write that lands, whoever runs the operations: in an exploration, a simulation, on a real store."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from windlass.protocol import keys
from windlass.protocol.agents import MARGIN, Agent
from windlass.protocol.codec import decode
from windlass.protocol.mail import Cursor, Message
from windlass.protocol.memory import Memory
from windlass.protocol.steps import Status, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOLDERS_ONLY = ("complete", "release", "blocked", "failed", "needs_review")
"""Events that only the holder may bring about, or whoever forces it, on record."""

FROM = {
    "approve": (Status.NEEDS_REVIEW,),
    "reject": (Status.NEEDS_REVIEW,),
    "reopen": (Status.COMPLETE, Status.FAILED, Status.CANCELLED),
}
"""States in which a step must be for an event."""

step_of = lru_cache(maxsize=100_000)(lambda body: decode(Step, "step", body))
memory_of = lru_cache(maxsize=100_000)(lambda body: decode(Memory, "memory", body))
message_of = lru_cache(maxsize=100_000)(lambda body: decode(Message, "message", body))
cursor_of = lru_cache(maxsize=10_000)(lambda body: decode(Cursor, "cursor", body))
agent_of = lru_cache(maxsize=10_000)(lambda body: decode(Agent, "agent", body))


def check_write(
    key: str,
    before: bytes | None,
    after: bytes,
    look: Callable[[str], bytes | None],
    modified: Callable[[str], float | None],
    now: float,
) -> None:
    """One write that landed. `look` and `modified` see the store just before it. Raises AssertionError."""
    if key.startswith(keys.STEPS):
        check_step(step_of(before) if before is not None else None, step_of(after), look, modified(key), now)
    elif key.startswith(keys.MEMORY):
        check_memory(key, before, after, look)
    elif key.startswith(keys.HISTORY):
        check_archive(key, before, after, look)
    elif key.startswith(keys.MAIL):
        check_slot(key, before, look)
    elif key.startswith("cursors/"):
        check_cursor(before, after)
    elif key.startswith(keys.AGENTS):
        check_agent(before, after)


def check_step(before: Step | None, after: Step, look: Callable[[str], bytes | None], since: float | None, now: float) -> None:
    """One line of history a write; epochs only grow, one holder each; only the holder finishes; needs were finished."""
    history = before.history if before else ()
    assert after.seq == (before.seq if before else 0) + 1, f"seq {after.seq} does not follow"
    assert after.history[:-1] == history, "the history before changed, or not exactly one line came to it"
    line = after.history[-1]
    assert line.write_id == after.write_id
    old = before.claim if before else None
    old_epoch = before.epoch if before else 0
    assert after.epoch >= old_epoch, f"the epoch went back from {old_epoch} to {after.epoch}"
    assert line.epoch == after.epoch
    if after.claim is not None and (old is None or after.claim.epoch != old.epoch):
        assert after.epoch == old_epoch + 1, "a claim without an epoch of its own"
        assert after.claim.epoch == after.epoch
        assert (after.claim.agent, after.claim.incarnation) == (line.by, line.incarnation)
        if old is None:
            assert before is None or before.status not in (Status.COMPLETE, Status.CANCELLED), f"claimed although {before.status}"
        elif old.agent == line.by:
            assert old.incarnation <= line.incarnation, "an older incarnation took a newer one's claim"
        elif line.note != "forced":
            assert since is not None
            assert now - since > old.lease + MARGIN, f"taken over {now - since:g} s after its last change under a lease of {old.lease:g} s"
        for need, seq in after.claim.needs.items():
            found = look(keys.step(need))
            assert found is not None, f"claimed though {need} is not there"
            assert step_of(found).history[seq - 1].status is Status.COMPLETE, f"claimed though {need} was not complete"
        if before is not None:
            assert set(after.claim.needs) == set(before.needs), "needs that were not looked at"
    elif after.claim is not None:
        assert after.claim == old, "a claim changed hands within its epoch"
    if line.event in HOLDERS_ONLY and not line.of and line.note != "forced":
        assert old is not None, f"{line.event} without a claim"
        assert (old.agent, old.incarnation) == (line.by, line.incarnation), f"{line.event} by {line.by}, though {old.agent} holds it"
        assert after.claim is None
    if line.event in FROM:
        assert before is not None
        assert before.status in FROM[line.event], f"{line.event} of a step that is {before.status.value}"
    if line.of and line.event in HOLDERS_ONLY:
        assert before is not None
        assert before.status not in (Status.COMPLETE, Status.CANCELLED), f"{line.event} by force of a step that is {before.status.value}"
    if old is not None and after.claim is None and line.event not in HOLDERS_ONLY:
        assert line.event in ("cancel", "complete"), f"{line.event} dropped a claim"
        assert after.epoch == old_epoch + 1, "a claim was dropped and its epoch left to be used again"


def check_memory(key: str, before: bytes | None, after: bytes, look: Callable[[str], bytes | None]) -> None:
    """The version before is in the archive, byte for byte, when it is overwritten."""
    number = memory_of(after).version
    if before is None:
        assert number == 1
        return
    old = memory_of(before)
    assert number == old.version + 1
    name = keys.parse_memory(key)
    assert name is not None
    assert look(keys.memory_version(name, old.version)) == before, f"version {old.version} is overwritten and not in the archive"


def check_archive(key: str, before: bytes | None, after: bytes, look: Callable[[str], bytes | None]) -> None:
    """What comes into the archive is live at that moment."""
    assert before is None, "an archived version was overwritten"
    live = look("memory/" + key[len("history/") :].rpartition("/")[0] + ".json")
    assert live == after, "a version was archived that is not live"


def check_slot(key: str, before: bytes | None, look: Callable[[str], bytes | None]) -> None:
    """A slot is written once."""
    assert before is None, "a slot was overwritten"
    assert keys.parse_slot(key) is not None


def check_no_gap(key: str, look: Callable[[str], bytes | None]) -> None:
    """Where every hint is right, a slot comes directly behind another."""
    place = keys.parse_slot(key)
    assert place is not None
    mailbox, number = place
    assert number == 0 or look(keys.slot(mailbox, number - 1)) is not None, f"slot {number} without the one before"


def check_cursor(before: bytes | None, after: bytes) -> None:
    """It never goes back."""
    if before is not None:
        old, new = cursor_of(before), cursor_of(after)
        assert (new.direct, new.broadcast) >= (old.direct, old.broadcast)
        assert new.direct >= old.direct
        assert new.broadcast >= old.broadcast, "the cursor went back"


def check_agent(before: bytes | None, after: bytes) -> None:
    """Numbers are handed out once, in order."""
    old = agent_of(before).current if before is not None else None
    new = agent_of(after).current
    assert new is not None
    assert new.number in ((old.number, old.number + 1) if old else (1,)), "an incarnation was skipped or handed out twice"
    if old is not None and new.number == old.number:
        assert new.write_id == old.write_id, "an incarnation was handed out twice"


def check_log(mailbox: str, objects: Mapping[str, bytes]) -> list[Message]:
    """The messages of a mailbox in order. Raises AssertionError where there is a gap or a message twice."""
    numbers = sorted(place[1] for place in map(keys.parse_slot, objects) if place is not None and place[0] == mailbox)
    assert numbers == list(range(len(numbers))), f"gaps in {mailbox}: {numbers}"
    messages = [message_of(objects[keys.slot(mailbox, number)]) for number in numbers]
    ids = [message.write_id for message in messages if not message.void]
    assert len(ids) == len(set(ids)), "a message is there twice"
    return messages


def check_versions(key: str, objects: Mapping[str, bytes]) -> list[Memory]:
    """Every version of a memory key, oldest first. Raises AssertionError where one is missing."""
    live = objects.get(keys.memory(key))
    if live is None:
        return []
    newest = memory_of(live)
    out = []
    for number in range(1, newest.version):
        body = objects.get(keys.memory_version(key, number))
        assert body is not None, f"version {number} is lost"
        out.append(memory_of(body))
    return [*out, newest]
