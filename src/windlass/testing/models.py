"""Sequential models for the checker: a bare object of a store, a memory key, a step and a mailbox of a project.

Every value written is written once only, so that a value names its write. Arguments and answers are JSON as histories keep it.
"""

from __future__ import annotations

from windlass.record import Record
from windlass.testing.linearizable import MISFIT, Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from windlass.testing.linearizable import Operation

ANY = "*"
"""A listing's answer where an object is there, but of which content it does not say."""
SECOND = 1_000_000_000
"""Ns."""
SHORT = 60.0
"""Seconds: a longer lease does not run out while a history is recorded."""

DONE = ("complete", "cancelled")


def _object(state: str | None, one: Operation) -> Any:
    """State: the value, None where there is no object.

    create {value}, replace {value, over} = {won}, None where the refusal may hide a write that landed; write {value} = {};
    get = {value}; list = {value}, ANY where it only says that it is there.
    """
    if one.do in ("get", "list"):
        if one.answer is None:
            return state
        seen = one.answer["value"]
        return state if seen == state or (seen == ANY and state is not None) else MISFIT
    if one.do == "write":
        return one.args["value"]
    fits = state == one.args.get("over")
    won = None if one.answer is None else one.answer["won"]
    if won is not None and won is not fits:
        return MISFIT
    return one.args["value"] if fits else state


def _memory(state: tuple[Any, ...], one: Operation) -> Any:
    """State: the value of each version, None where that version is a deletion; its length is the version.

    set {value, if}, delete {if} = {version}, {moved} or {gone}; get = {version, value} or {gone};
    history = {values}, all versions, oldest first.
    """
    version, there = len(state), bool(state) and state[-1] is not None
    answer = one.answer
    if one.do == "get":
        if answer is None:
            return state
        return state if answer == ({"version": version, "value": state[-1]} if there else {"gone": True}) else MISFIT
    if one.do == "history":
        return state if answer is None or tuple(answer["values"]) == state else MISFIT
    wanted = one.args.get("if")
    if wanted is not None and wanted != version and (wanted or there):
        outcome, after = "moved", state
    elif one.do == "delete" and not there:
        outcome, after = "gone", state
    else:
        outcome, after = "version", (*state, one.args.get("value"))
    return after if answer is None or answer == {outcome: len(after) if outcome == "version" else True} else MISFIT


class Held(Record):
    """A step: `seq` counts its writes. `last` is the last event and by whom; `since` when it was claimed at the earliest, in ns."""

    seq: int = 0
    status: str = ""
    epoch: int = 0
    holder: str | None = None
    lease: float = 0.0
    since: int = 0
    last: tuple[str, str, int] = ("", "", 0)

    def after(self, event: str, by: str, status: str, *, more: int = 0, **changes: Any) -> Held:
        """One transition on; `more` is added to the epoch."""
        epoch = self.epoch + more
        return Held(seq=self.seq + 1, status=status, epoch=epoch, last=(event, by, epoch), **changes)


def _step(state: Held, one: Operation) -> Any:
    """State: as `Held` has it. A claim's answer names in `from` whom it was taken from.

    claim {by, lease, force}, complete {by, as, epoch, force}, release {by, epoch, force}, reopen {by} = {seq, epoch}, {lost} or {none};
    show = {seq, epoch, status, holder} or {none}.
    """
    answer = one.answer
    if one.do == "show":
        if answer is None:
            return state
        seen = {"seq": state.seq, "epoch": state.epoch, "status": state.status, "holder": state.holder} if state.seq else {"none": True}
        return state if answer == seen else MISFIT
    after = _CHANGES[one.do](state, one.args, one)
    if answer is None:
        return state if isinstance(after, str) else after
    if isinstance(after, str):
        return state if answer.get(after) else MISFIT
    if answer.get("seq") != after.seq or answer.get("epoch") != after.epoch:
        return MISFIT
    taken = state.holder if one.do == "claim" and after is not state and state.holder is not None else ""
    return after if answer.get("from", "") == taken else MISFIT


def _claimed(state: Held, args: Any, one: Operation) -> Held | str:
    by, lease = args["by"], args["lease"]
    event, force = "claim", args.get("force", False)
    if state.holder is not None:
        if state.holder == by and not force:
            return state
        if not force and not _ran_out(state, one):
            return "lost"
        event = "takeover"
    elif state.status in DONE:
        return "lost"
    return state.after(event, by, "in_progress", more=1, holder=by, lease=lease, since=one.called)


def _ran_out(state: Held, one: Operation) -> bool:
    """Whether a takeover without force may be right: it says that it was one, and the lease has passed since the claim at the earliest.

    The margin that the protocol adds is left to a store whose clock gives whole seconds. Nobody waits for a long lease here.
    """
    if one.returned is None:
        return state.lease <= SHORT
    return one.answer is not None and bool(one.answer.get("from")) and one.returned - state.since > state.lease * SECOND


def _finished(state: Held, args: Any, one: Operation) -> Held | str:
    by, event = args["by"], args["as"]
    epoch, force = args.get("epoch"), args.get("force", False)
    if not state.seq:
        return "none"
    if _holds(state, by, epoch):
        return state.after(event, by, event)
    if state.holder is None and state.status == event and _repeats(state, event, by, epoch):
        return state
    if force and state.status not in DONE:
        return state.after(event, by, event, more=1)
    return "lost"


def _released(state: Held, args: Any, one: Operation) -> Held | str:
    by, epoch = args["by"], args.get("epoch")
    if not state.seq:
        return "none"
    if _holds(state, by, epoch):
        return state.after("release", by, "pending")
    if state.holder is None and state.status == "pending" and _repeats(state, "release", by, epoch):
        return state
    if args.get("force", False) and state.holder is not None:
        return state.after("release", by, "pending", more=1)
    return "lost"


def _reopened(state: Held, args: Any, one: Operation) -> Held | str:
    if not state.seq:
        return "none"
    if state.status == "pending":
        return state
    if state.status not in ("complete", "failed", "cancelled"):
        return "lost"
    return state.after("reopen", args["by"], "pending")


_CHANGES = {"claim": _claimed, "complete": _finished, "release": _released, "reopen": _reopened}


def _holds(state: Held, by: str, epoch: int | None) -> bool:
    return state.holder == by and epoch in (None, state.epoch)


def _repeats(state: Held, event: str, by: str, epoch: int | None) -> bool:
    return state.last[:2] == (event, by) and epoch in (None, state.last[2])


def _mailbox(state: tuple[str, ...], one: Operation) -> Any:
    """State: the messages, by slot. append {message} = {slot}, the same message once only; read {slot, most} = {messages}."""
    if one.do == "read":
        start = one.args["slot"]
        return state if one.answer is None or tuple(one.answer["messages"]) == state[start : start + one.args["most"]] else MISFIT
    message = one.args["message"]
    slot, after = (state.index(message), state) if message in state else (len(state), (*state, message))
    return after if one.answer is None or one.answer["slot"] == slot else MISFIT


def _placed(operations: Sequence[Operation]) -> Sequence[Operation]:
    """With the slots of messages that readers found, where their senders never heard: such a message is there and nowhere else.

    One that is in no slot although every slot is accounted for can only be behind all that anybody saw, where it needs no place.
    """
    slots: dict[str, int] = {}
    for one in operations:
        if one.answer is not None and one.do == "read":
            for offset, message in enumerate(one.answer["messages"]):
                slots.setdefault(message, one.args["slot"] + offset)
        elif one.answer is not None:
            slots.setdefault(one.args["message"], one.answer["slot"])
    whole = set(slots.values()) == set(range(len(slots)))
    out = []
    for one in operations:
        if one.do == "append" and not one.known:
            slot = slots.get(one.args["message"])
            if slot is None and whole:
                continue
            one = one if slot is None else one.but(answer={"slot": slot})
        out.append(one)
    return out


def _looks(one: Operation) -> bool:
    if one.do in ("get", "list", "history", "show", "read"):
        return True
    answer = one.answer or {}
    return answer.get("won") is False or any(name in answer for name in ("moved", "gone", "lost", "none"))


OBJECT = Model(name="object", start=None, step=_object, looks=_looks)
MEMORY = Model(name="memory", start=(), step=_memory, looks=_looks)
STEP = Model(name="step", start=Held(), step=_step, looks=_looks)
MAILBOX = Model(name="mailbox", start=(), step=_mailbox, looks=_looks, prepare=_placed)
MODELS = {model.name: model for model in (OBJECT, MEMORY, STEP, MAILBOX)}
