"""What must hold in a simulated project, checked from the store's side at every write, and at the end.

Reads documents as plain JSON, so that it shares no code with what it checks.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

from windlass.testing.simulate import EPOCH, Watch

if TYPE_CHECKING:
    from windlass import effects as fx
    from windlass.testing.simulate import Process, Simulation, Task

MARGIN = 2.0
BROADCAST = "_broadcast"
FINISHED = ("complete", "blocked", "needs_review", "failed")
Json = dict[str, Any]


class Violation(AssertionError):
    """A promise was broken. `key` is the object concerned."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key, self.why = key, why


def must(condition: object, key: str, *why: object) -> None:
    """Raises Violation; what it says is put together only then."""
    if not condition:
        raise Violation(key, " ".join(str(part) for part in why))


class Call:
    """One operation as its caller saw it.

    `outcome`: "ok", "again", "unsent", "refused", "store", "unclear", or "running" where it never returned.
    """

    def __init__(self, agent: str, what: str, target: str, began: float, force: bool, mails: bool, text: str, epoch: int | None) -> None:
        self.agent, self.what, self.target, self.began = agent, what, target, began
        self.force, self.mails, self.text, self.epoch = force, mails, text, epoch
        self.outcome = "running"
        self.result: Any = None
        self.error: Exception | None = None
        self.writes: dict[str, str] = {}

    def __str__(self) -> str:
        return f"{self.what} {self.target} by {self.agent} ({self.outcome}: {self.error or self.result!r})"[:400]


PLACE = {
    "claim": "steps/", "next": "steps/", "finish": "steps/", "release": "steps/", "approve": "steps/", "reject": "steps/",
    "cancel": "steps/", "reopen": "steps/", "set": "memory/", "increment": "memory/", "delete": "memory/", "send": "mail/",
}  # fmt: skip
"""Where the one write of an operation lands."""
MAY = {
    "claim": ("claim", "takeover"), "next": ("claim", "takeover"), "finish": FINISHED, "release": ("release",), "approve": ("approve",),
    "reject": ("reject",), "cancel": ("cancel",), "reopen": ("reopen",), "plan": ("define", "edit", "link"),
    "leave": ("release",),
}  # fmt: skip
"""The events that an operation may leave in a step's history."""


class Ledger(Watch):
    """The true record of a run: every accepted write, and what the callers were told."""

    def __init__(self) -> None:
        self.sim: Simulation
        self.calls: list[Call] = []
        self.author: dict[str, Call] = {}
        self.landed_ids: Counter[str] = Counter()
        self.docs: dict[str, Json] = {}
        self.holders: dict[tuple[str, int], tuple[str, int]] = {}
        self.signs: dict[str, tuple[list[float], list[float | None]]] = {}
        """By presence key: when it changed, and the modification time that it had from then on."""
        self.step_at: dict[str, float] = {}
        self.bodies: dict[tuple[str, int], bytes] = {}
        """Memory versions as they were live."""
        self.boxes: dict[str, list[Json]] = {}
        self.progress: dict[str, list[int]] = {}
        self.noted: dict[str, tuple[int, int]] = {}
        self.counts: Counter[str] = Counter()

    # What callers do and are told.

    def begin(
        self, agent: str, what: str, target: str, *, force: bool = False, mails: bool = False, text: str = "", epoch: int | None = None
    ) -> Call:
        """An operation begins. `mails`: it sends mail too; `text`: what it sends; `epoch`: the claim that it names."""
        call = Call(agent, what, target, self.sim.now, force, mails, text, epoch)
        self.calls.append(call)
        return call

    def finish(self, call: Call, outcome: str, result: Any, error: Exception | None) -> None:
        """An operation returned. What it said must be true already."""
        call.outcome, call.result, call.error = outcome, result, error
        self.counts[f"{call.what}: {outcome}"] += 1
        self.check_outcome(call)
        if call.what == "start" and outcome == "ok":
            holder = (call.agent, result.incarnation)
            must(
                self.holders.setdefault(("start:" + call.agent, result.incarnation), holder) is holder,
                call.agent,
                holder,
                "was handed out twice",
            )

    def check_outcome(self, call: Call) -> None:
        """An acknowledged operation landed once, a refused one nowhere, an unclear one at most once."""
        place = PLACE.get(call.what)
        if place is None:
            return
        landed = [(key, write_id) for write_id, key in call.writes.items() if key.startswith(place) and self.landed_ids[write_id]]
        key = landed[0][0] if landed else place + call.target
        must(len(landed) <= 1, key, call, "landed", len(landed), "times")
        if call.outcome == "ok":
            must(len(landed) == 1, key, call, "was acknowledged and is not there")
        elif call.outcome == "again":
            must(not landed, key, call, "said that nothing had to be done, and wrote")
        elif call.outcome == "unsent":
            must(call.mails, key, call, "says that mail was not sent, and sends none")
            self.counts["done, and the mail about it not sent"] += 1
        elif call.outcome in ("refused", "store"):
            must(not landed, key, call, "was refused, and landed all the same")

    # What the store sees.

    def sent(self, task: Task, put: fx.Put) -> None:
        call = task.note
        if call is not None:
            write_id = put.body.partition(b'"write_id":"')[2].partition(b'"')[0].decode()
            if not (put.key.startswith("mail/") and b'"void":true' in put.body):
                call.writes[write_id] = put.key
            if not put.key.startswith("history/"):
                self.author.setdefault(write_id, call)

    def deleted(self, task: Task, key: str) -> None:
        must(key.startswith("presence/"), key, "deleted")
        self._sign(key, None)

    def _sign(self, key: str, modified: float | None) -> None:
        times, values = self.signs.setdefault(key, ([], []))
        times.append(self.sim.now)
        values.append(modified)

    def landed(self, task: Task, put: fx.Put, before: fx.Object | None, after: fx.Object) -> None:
        key = put.key
        kind = key.partition("/")[0]
        if kind == "presence":
            self._sign(key, after.modified)
            return
        if kind in ("clock", "board.json", "survey.json"):
            return
        new = json.loads(after.body)
        old = self.docs.get(key)
        self.docs[key] = new
        if kind not in ("history", "segments"):
            self.landed_ids[new["write_id"]] += 1
            must(self.landed_ids[new["write_id"]] == 1, key, "the write", new["write_id"], "landed twice")
        if kind in ("history", "segments", "mail", "acks"):
            must(old is None, key, "an object that is created once was written again")
        elif kind != "sent":
            must(new["seq"] == (old["seq"] if old else 0) + 1, key, "seq does not grow by one")
        check = _CHECKS.get(kind)
        if check is not None:
            check(self, key, old, new, after)

    def _step(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        lines, past = new["history"], old["history"] if old else []
        must(len(lines) == len(past) + 1 == new["seq"] and lines[:-1] == past, key, "its history does not grow by one line at its end")
        line = lines[-1]
        must(line["write_id"] == new["write_id"], key, "the newest line is not this write's")
        must(line.get("status", "pending") == new.get("status", "pending"), key, "status and history differ")
        epoch, was = new.get("epoch", 0), old.get("epoch", 0) if old else 0
        must(line["epoch"] == epoch and was <= epoch <= was + 1, key, "the epoch went from", was, "to", epoch)
        call = self.author.get(new["write_id"])
        must(call is not None, key, "nobody sent this write")
        assert call is not None
        must(line["by"] == call.agent, key, call, "wrote as", line["by"])
        must(line["event"] in MAY[call.what], key, call, "wrote", line["event"])
        self._transition(key, old, new, call, after)
        claim = new.get("claim")
        must((claim is not None) == (new.get("status") == "in_progress"), key, "a claim and in_progress do not go together")
        if claim is not None:
            must(claim["epoch"] == epoch, key, "the claim has another epoch than its step")
            holder = (claim["agent"], claim["incarnation"])
            must(self.holders.setdefault((key, epoch), holder) == holder, key, "two holders in epoch", epoch)
        self.step_at[key] = after.modified

    def _transition(self, key: str, old: Json | None, new: Json, call: Call, after: fx.Object) -> None:
        line = new["history"][-1]
        event, by = line["event"], (line["by"], line["incarnation"])
        status = old.get("status", "pending") if old else "nothing"
        claim = old.get("claim") if old else None
        holder = (claim["agent"], claim["incarnation"]) if claim else None
        grown = new.get("epoch", 0) - (old.get("epoch", 0) if old else 0)
        if event in ("define", "edit", "link"):
            must((event == "define") == (old is None), key, event, "of", status)
            same = ("status", "claim", "epoch", "worker", "handoff")
            must(old is None or all(old.get(one) == new.get(one) for one in same), key, event, "changed the claim or status")
        elif event == "claim":
            must(status in ("nothing", "pending", "blocked", "needs_review", "failed"), key, "claimed while", status)
            must(grown == 1, key, "claimed without a new epoch")
            must(call.what != "next" or status == "pending", key, "next took what is", status)
            self._needs(key, new)
        elif event == "takeover":
            must(holder is not None and grown == 1, key, "taken over from nobody, or without a new epoch")
            assert holder is not None
            assert old is not None
            self._needs(key, new)
            must(line["of"] == holder[0], key, "the takeover is on record with another holder")
            self._evidence(key, old, holder, by, call)
        elif event == "release" or event in FINISHED:
            if by == holder and grown == 0:
                must(claim and call.epoch in (None, claim["epoch"]), key, call, "named epoch", call.epoch)
            else:
                must(
                    call.force and grown == 1 and status not in ("complete", "cancelled"),
                    key,
                    event,
                    "by",
                    by,
                    "while",
                    holder,
                    "holds it (",
                    status,
                    ")",
                )
                self.counts["forced finishes"] += 1
        elif event in ("approve", "reject"):
            assert old is not None
            must(status == "needs_review" and grown == 0, key, event, "of", status)
            must(event == "reject" or old["worker"] != by[0] or call.force, key, "approved by its own worker")
        elif event == "cancel":
            must(status not in ("complete", "cancelled") and grown == (claim is not None), key, "cancelled while", status)
        elif event == "reopen":
            must(status in ("complete", "failed", "cancelled") and grown == 0, key, "reopened while", status)
        else:
            raise Violation(key, f"an event that nobody asked for: {event}")

    def _needs(self, key: str, new: Json) -> None:
        built = new["claim"].get("needs", {})
        must(set(built) == set(new.get("needs", [])), key, "the claim does not say what it is built on")
        for need, seq in built.items():
            lines = self.docs[f"steps/{need}.json"]["history"]
            must(seq <= len(lines) and lines[seq - 1].get("status") == "complete", key, "claimed while", need, "was not complete at", seq)

    def _evidence(self, key: str, old: Json, holder: tuple[str, int], by: tuple[str, int], call: Call) -> None:
        """A takeover needs a newer incarnation of the holder, force, or a lease that ran out at some moment since its operation began."""
        claim = old["claim"]
        if holder[0] == by[0]:
            must(by[1] > holder[1] or (call.force and by[1] == holder[1]), key, by, "took over from", holder)
            self.counts["takeovers by a newer incarnation"] += 1
            return
        if call.force:
            self.counts["takeovers by force"] += 1
            return
        held = self.step_at[key]
        now = self.sim.store_clock()
        if "max_hold" in old and now - held > old["max_hold"] + MARGIN:
            self.counts["takeovers after the longest hold"] += 1
            return
        times, values = self.signs.get(f"presence/{holder[0]}/{holder[1]:08d}.json", ([], []))
        at = bisect_right(times, call.began)
        # The longest silence seen by anybody who looked between the call's beginning and now ends just before a sign, or now.
        moments = [*times[at:], self.sim.now]
        silent = 0.0
        for i, moment in enumerate(moments):
            sign = values[at + i - 1] if at + i else None
            silent = max(silent, (float(int(moment)) if self.sim.whole else moment) - max(held, sign or 0.0))
        must(
            silent > claim["lease"] + MARGIN,
            key,
            by,
            "took over from",
            holder,
            "after",
            silent,
            "s without a sign, the lease is",
            claim["lease"],
        )
        self.counts["takeovers after the lease"] += 1

    def held(self, agent: str) -> list[str]:
        """The steps that others hold, those alone whose holder has been silent for long where there are such."""
        held = {key: doc["claim"] for key, doc in self.docs.items() if key.startswith("steps/") and "claim" in doc}
        names = [(key[len("steps/") : -len(".json")], claim) for key, claim in held.items() if claim["agent"] != agent]
        left = {name: self.expires(name, one["agent"], one["incarnation"], one["lease"]) - self.sim.now for name, one in names}
        silent = [name for name, one in names if left[name] < 0.6 * one["lease"]]
        return silent or list(left)

    def expires(self, name: str, agent: str, incarnation: int, lease: float) -> float:
        """When a claim's lease runs out unless its holder gives another sign of life, by the true record."""
        _, values = self.signs.get(f"presence/{agent}/{incarnation:08d}.json", ([], [None]))
        return max(self.step_at[f"steps/{name}.json"], values[-1] or 0.0) + lease

    def _memory(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        name = key.removeprefix("memory/").removesuffix(".json")
        self.bodies[name, new["seq"]] = after.body
        if old is not None:
            archived = self.docs.get(f"history/{name}/{old['seq']:08d}.json")
            must(archived is not None, key, "version", old["seq"], "was overwritten before it was archived")
        call = self.author.get(new["write_id"])
        if call is not None and call.what == "increment":
            must(new["value"] == ((old["value"] if old else None) or 0) + 1, key, "an increment was lost")

    def _archive(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        name, _, number = key.removeprefix("history/").removesuffix(".json").rpartition("/")
        must(self.bodies.get((name, int(number))) == after.body, key, "an archived version that never was live")

    def _mail(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        _, box, file = key.split("/")
        slots = self.boxes.setdefault(box, [])
        must(int(file.removesuffix(".json")) == len(slots), key, "a gap: the slots end at", len(slots))
        slots.append(new)

    def _segment(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        _, box, file = key.split("/")
        first = int(file.removesuffix(".json")) * 256
        must(new["slots"] == self.boxes[box][first : first + 256] and len(new["slots"]) == 256, key, "a segment that is no copy")

    def _agent(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        last, before = new["starts"][-1], old["starts"][-1] if old else {"number": 0}
        begun = last["number"] == before["number"] + 1
        must(begun or {**before, "ended": True} == last, key, "an incarnation's number was skipped, repeated or changed")
        numbers = [one["number"] for one in new["starts"]]
        must(numbers == list(range(numbers[0], numbers[-1] + 1)), key, "incarnations out of order")

    def _cursor(self, key: str, old: Json | None, new: Json, after: fx.Object) -> None:
        agent = key.removeprefix("cursors/").removesuffix(".json")
        at = (new.get("direct", 0), new.get("broadcast", 0))
        if old is None:
            newest = len(self.boxes.get(BROADCAST, []))
            must(at[0] == 0 and max(0, at[1]) <= newest, key, "a new reader begins in the middle of its mail")
            self.progress[agent] = [0, at[1]]
            return
        must(at[0] >= old.get("direct", 0) and at[1] >= old.get("broadcast", 0), key, "the cursor went back")
        for i, box in enumerate((agent, BROADCAST)):
            self._silent(key, agent, box, self.progress[agent][i], at[i])

    def _silent(self, key: str, agent: str, box: str, start: int, end: int) -> None:
        """Nothing that a reader must see lies between two slots."""
        for number in range(start, end):
            message = self.boxes.get(box, [])[number]
            quiet = message.get("void") or (box == BROADCAST and message["sender"] == agent)
            must(quiet, key, agent, "never saw", box, ":", number)

    # What readers see.

    def shown(self, agent: str, inbox: Any, noted: tuple[int, int]) -> None:
        """A reader puts messages out; `noted` is what had been noted as read when its look began."""
        progress = self.progress[agent]
        last = [-1, -1]
        for mail in inbox.mails:
            i = int(mail.mailbox == BROADCAST)
            key = f"mail/{mail.mailbox}/{mail.slot:010d}.json"
            must(mail.slot > last[i], key, agent, "sees it out of order")
            must(mail.slot >= noted[i], key, agent, "sees it again after it was noted as read")
            self._silent(key, agent, mail.mailbox, progress[i], mail.slot)
            must(mail.message.text == self.boxes[mail.mailbox][mail.slot].get("text", ""), key, "shown with another text")
            if mail.slot < progress[i]:
                self.counts["messages seen twice"] += 1
            last[i] = mail.slot
            progress[i] = max(progress[i], mail.slot + 1)
            self.counts["messages seen"] += 1

    def note(self, agent: str, inbox: Any) -> None:
        """A reader was told that its cursor is past these."""
        was = self.noted.get(agent, (0, 0))
        self.noted[agent] = (max(was[0], inbox.direct), max(was[1], inbox.broadcast))

    # At the end.

    def end(self, readers: list[str]) -> None:
        """What must hold once nothing is under way any more; `readers` lived to the end and read all their mail."""
        for call in self.calls:
            self.check_outcome(call)
        self._end_of_memory()
        self._end_of_mail(readers)
        for key, doc in self.docs.items():
            if key.startswith("steps/"):
                must(doc.get("status") == "complete", key, "is", doc.get("status", "pending"), "at the end")

    def _end_of_memory(self) -> None:
        for (name, number), body in self.bodies.items():
            live = self.docs[f"memory/{name}.json"]["seq"] == number
            found = self.sim.store.get(f"memory/{name}.json" if live else f"history/{name}/{number:08d}.json")
            must(getattr(found, "body", None) == body, f"memory/{name}.json", "version", number, "is neither live nor archived")

    def _end_of_mail(self, readers: list[str]) -> None:
        for box, slots in self.boxes.items():
            page = self.sim.store.list(f"mail/{box}/", "", 1000)
            must(len(page.entries) == min(len(slots), 1000), f"mail/{box}", "the mailbox is not what was written")
            twice = [text for text, n in Counter(one.get("text", "") for one in slots if not one.get("void")).items() if n > 1]
            must(not twice, f"mail/{box}", "sent twice:", twice[:3])
        for call in self.calls:
            if call.what in ("send", "send once") and call.outcome in ("ok", "again"):
                letters = self.boxes.get(call.target, [])
                there = sum(one.get("text") == call.text and one["sender"] == call.agent for one in letters)
                must(there == 1, f"mail/{call.target}", call, "is there", there, "times")
        for agent in readers:
            at = self.progress.get(agent, [0, 0])
            for i, box in enumerate((agent, BROADCAST)):
                self._silent(f"cursors/{agent}.json", agent, box, at[i], len(self.boxes.get(box, [])))

    def ended(self, process: Process, *, crashed: bool) -> None:
        process.owner.over(process, crashed)

    def paused(self, process: Process) -> None:
        process.owner.paused(process)

    def hours(self) -> float:
        """Simulated time so far."""
        return (self.sim.now - EPOCH) / 3600


_CHECKS = {
    "steps": Ledger._step,
    "memory": Ledger._memory,
    "history": Ledger._archive,
    "mail": Ledger._mail,
    "segments": Ledger._segment,
    "agents": Ledger._agent,
    "cursors": Ledger._cursor,
}
