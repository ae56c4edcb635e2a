"""How simulated agents behave: they look for work, work, hand over, write, read, and manage; crash, come back, and fall asleep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from windlass import effects as fx
from windlass.errors import Fenced, Indeterminate, NothingLeft, StoreError, Unmet, WindlassError
from windlass.ops import agents, mail, memory, plans, steps, work
from windlass.ops.agents import Actor
from windlass.ops.survey import survey
from windlass.protocol.agents import Keeper
from windlass.protocol.plans import Plan
from windlass.protocol.steps import Definition, Handoff, Status
from windlass.protocol.transitions import Held

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.reliability.simulation_checks import Call, Ledger

    from windlass.ops.survey import Survey
    from windlass.protocol.steps import Step
    from windlass.protocol.survey import Brief
    from windlass.testing.simulate import Machine, Process, Simulation, Task

COUNTERS = ("hits", "hits", "hits", "count.a")
NOTES = ("design", "shared.plan", "shared.url")
ENDS = (
    (Status.COMPLETE, 0.86), (Status.NEEDS_REVIEW, 0.06), (Status.BLOCKED, 0.03), (Status.FAILED, 0.03), (Status.PENDING, 0.02),
)  # fmt: skip
"""How work ends; PENDING is a release."""


class Over(Exception):
    """This life is over: another one of the same agent acts, or all is done."""


class Member:
    """One agent through all its lives. `left_for_good`: it crashed and nobody starts it again."""

    def __init__(self, team: Team, number: int, home: Machine) -> None:
        self.team, self.name, self.home = team, f"agent{number:02d}", home
        self.kind = team.sim.random.choice((Keeper.COMMANDS, Keeper.RUN, Keeper.RUN, Keeper.PYTHON))
        self.lease = team.sim.random.choice((20.0, 60.0, 300.0, 600.0))
        self.lives = 0
        self.left_for_good = self.stayed = False
        self.living = 0
        self.newest: Life | None = None
        self.letters: list[tuple[str, str, str]] = []
        """Sent under an id, and not known to be there."""
        self.written = 0

    def live(self, machine: Machine, *, fresh: bool, look: bool = False) -> None:
        """Start a life on a machine; `fresh`: as a new incarnation, on purpose; `look`: only to read the last mail."""
        self.lives += 1
        self.living += 1
        self.newest = life = Life(self, machine, fresh=fresh)
        life.task = self.team.sim.spawn(f"{self.name}.{self.lives}", machine, life.last_look() if look else life.main(), life)

    def text(self, what: str) -> str:
        """A text that is never used again."""
        self.written += 1
        return f"{what} {self.written} from {self.name}"


class Team:
    """Twenty agents, a plan, and the time at which trouble ends. `calm`: everybody now does what finishes the plan."""

    def __init__(self, sim: Simulation, ledger: Ledger, *, size: int, steps: int, machines: int) -> None:
        self.sim, self.ledger = sim, ledger
        self.calm = self.planned = False
        self.steps = [f"s{number:03d}" for number in range(steps)]
        self.machines = [
            sim.machine(f"m{number}", sim.random.choice((0.0, 0.3, -45.0, 3600.0, -3600.0)), sim.random.choice((0.0, 1e-4, -1e-4)))
            for number in range(machines)
        ]
        self.members = [Member(self, number, self.machines[number % machines]) for number in range(size)]
        self.plan = self._layers()

    def begin(self) -> None:
        """Everybody comes to work; the first one brings the plan."""
        for member in self.members:
            self.sim.after(self.sim.random.uniform(0, 30), lambda one=member: one.live(one.home, fresh=False))

    def _layers(self) -> Plan:
        """Steps in layers: each needs up to three of those shortly before it."""
        random = self.sim.random
        made: dict[str, Definition] = {}
        for number, name in enumerate(self.steps):
            near = self.steps[max(0, number - 60) : max(0, number - len(self.members))]
            needs = tuple(sorted(random.sample(near, min(len(near), random.choice((0, 1, 1, 2, 3))))))
            made[name] = Definition(
                title=f"step {number}", needs=needs, priority=random.choice((0, 0, 0, 5)), max_hold=random.choice((None, None, None, 900.0))
            )
        return Plan(steps=made)

    def settle(self) -> None:
        """No more trouble: those who are down and not gone for good are on their way back by themselves."""
        self.calm = True

    def last_look(self) -> list[str]:
        """Once all is quiet, those who stayed read what came since; their names."""
        readers = [one for one in self.members if one.stayed]
        for one in readers:
            one.kind = Keeper.PYTHON
            one.live(one.home, fresh=False, look=True)
        return [one.name for one in readers]


def _outcome(met: WindlassError) -> str:
    if type(met) is WindlassError:  # done, and only the mail about it was not sent
        return "unsent"
    return "unclear" if isinstance(met, Indeterminate) else "store" if isinstance(met, StoreError) else "refused"


class Life:
    """One process of an agent."""

    def __init__(self, member: Member, machine: Machine, *, fresh: bool) -> None:
        self.member, self.team, self.machine, self.fresh = member, member.team, machine, fresh
        self.sim, self.ledger, self.random = member.team.sim, member.team.ledger, member.team.sim.random
        self.task: Task
        self.actor = Actor(agent=member.name, machine=machine.name, host=machine.name, keeper=member.kind, lease=member.lease)
        self.incarnation = 0
        self.noted = (0, 0)

    # What its surroundings do to it.

    def over(self, process: Process, crashed: bool) -> None:
        """The process is gone. Where the agent has no other, somebody starts it again, here or elsewhere, or nobody does."""
        member, random, ledger = self.member, self.random, self.ledger
        member.living -= 1
        if member.stayed or (member.newest is not self and member.living):
            return
        if crashed and random.random() < 0.06 and sum(one.left_for_good for one in self.team.members) < len(self.team.members) // 3:
            member.left_for_good = True
            ledger.counts["agents gone for good"] += 1
            return
        where, fresh = self.machine, False
        draw = random.random()
        if draw < 0.15:
            where.hints.clear()
            ledger.counts["restarts without hints"] += 1
        elif draw < 0.45:
            where, fresh = random.choice(self.team.machines), random.random() < 0.6
            ledger.counts["restarts elsewhere"] += 1
        else:
            ledger.counts["restarts in place"] += 1
        if random.random() < 0.1:
            where.skew += random.uniform(-120.0, 120.0)
        self.sim.after(random.uniform(0.5, 240.0), lambda: member.live(where, fresh=fresh))

    def paused(self, process: Process) -> None:
        """It stands still, as if stopped; often somebody takes it for dead and starts the agent anew elsewhere."""
        member = self.member
        if process.paused_until - self.sim.now > member.lease:
            self.ledger.counts["pauses beyond the lease"] += 1
        if self.random.random() < 0.5 and member.newest is self:
            self.ledger.counts["replaced while paused"] += 1
            where = self.random.choice(self.team.machines)
            self.sim.after(self.random.uniform(1.0, 120.0), self._replace, where)

    def _replace(self, where: Machine) -> None:
        if self.member.newest is self:
            self.member.live(where, fresh=True)

    # What it does.

    def do(self, what: str, target: str, op: fx.Op[Any], **more: Any) -> fx.Op[Call]:
        """Carry out one operation, and put what it said on record. Raises Over where a newer life acts."""
        call = self.ledger.begin(self.member.name, what, target, **more)
        self.task.note = call
        error: WindlassError | None = None
        result = None
        try:
            result = yield from op
            outcome = "again" if getattr(result, "again", False) else "ok"
        except WindlassError as met:
            error = met
            outcome = _outcome(met)
        self.task.note = None
        self.ledger.finish(call, outcome, result, error)
        if outcome == "refused":
            self.ledger.counts[f"refused: {type(error).__name__}"] += 1
        if isinstance(error, Fenced) and what != "start":
            raise Over
        return call

    def main(self) -> fx.Op[None]:
        """One life."""
        try:
            yield from self._start()
            if self.member is self.team.members[0]:
                yield from self._bring_plan()
            yield from self._adopt()
            while True:
                yield from (self._drain() if self.team.calm else self._turn())
        except Over:
            return

    def _bring_plan(self) -> fx.Op[None]:
        """Apply the plan, unless somebody has been told that it is there. Who was killed over it begins again."""
        if not self.team.planned:
            yield from self._until_done("plan", "", lambda: plans.apply(self.actor, self.team.plan))
            self.team.planned = True

    def last_look(self) -> fx.Op[None]:
        """Read all that came while the others left, as a new incarnation."""
        yield from self.do("start", "", agents.start_new(self.actor))
        while (yield from self._read()):
            pass

    def _start(self) -> fx.Op[None]:
        """Be somebody: `run` and a restart on purpose take a new incarnation; bare commands go on, or wait for their predecessor's end."""
        member = self.member
        fresh = self.fresh or member.kind is Keeper.RUN
        while True:
            op = agents.start_new(self.actor) if fresh else agents.act(self.actor)
            call = yield from self.do("start" if fresh else "look in", "", op)
            if call.outcome == "ok":
                break
            fresh = fresh or (isinstance(call.error, Fenced) and self.random.random() < 0.3)
            yield fx.Sleep(seconds=self.random.uniform(5.0, 60.0))
            if member.newest is not self:
                raise Over
        self.incarnation = call.result.incarnation
        if member.kind is Keeper.RUN:
            self.actor = self.actor.but(incarnation=self.incarnation)
        if member.kind is not Keeper.COMMANDS:
            process = self.task.process
            self.sim.fork(process, process.name + "/beat", self._beat())

    def _beat(self) -> fx.Op[None]:
        """Signs of life beside the work, as `run` and an open project give them."""
        while self.member.newest is self and not self.team.calm:
            yield fx.Sleep(seconds=min(30.0, self.member.lease / 4))
            try:
                yield from agents.act(self.actor, renew=True)
            except Fenced:
                return
            except WindlassError:
                continue

    def _until_done(self, what: str, target: str, op: Callable[[], fx.Op[Any]], **more: Any) -> fx.Op[Call]:
        """Repeat a command whose outcome is open, as people do."""
        while True:
            call = yield from self.do(what, target, op(), **more)
            if call.outcome in ("ok", "again", "refused"):
                return call
            yield fx.Sleep(seconds=self.random.uniform(1.0, 30.0))

    def _turn(self) -> fx.Op[None]:
        """Something an agent does."""
        draw = self.random.random()
        if draw < 0.25:
            yield from self._read()
        elif draw < 0.40:
            yield from self._remember()
        elif draw < 0.55:
            yield from self._send()
        elif draw < 0.62:
            yield from self._manage()
        elif draw < 0.63:
            yield from self.do("leave", "", work.leave(self.actor, self.incarnation, "gone home"))
            raise Over
        else:
            yield from self._work()
        if self.random.random() < 0.5:
            yield fx.Sleep(seconds=self.random.expovariate(1 / 20))

    def _drain(self) -> fx.Op[None]:
        """All is well again: finish the plan and read the mail."""
        yield from self._bring_plan()
        while self.member.letters:
            yield from self._send_letter()
        call = yield from self.do("next", "", work.next_(self.actor, lease=self.member.lease, wait=self.random.choice((None, None, 20.0))))
        if call.outcome == "ok":
            yield from self._labour(call.result.step)
            return
        if isinstance(call.error, NothingLeft):
            found = yield from self._look()
            if found is not None and all(one.status is Status.COMPLETE for one in found.steps.values()):
                self.member.stayed = True
                raise Over
        yield from self._tend()
        yield from self._read()
        yield from self._adopt()
        yield fx.Sleep(seconds=self.random.uniform(20.0, 180.0))

    def _look(self) -> fx.Op[Survey | None]:
        call = yield from self.do("status", "", survey())
        found: Survey | None = call.result
        return found

    def _adopt(self) -> fx.Op[None]:
        """Finish what this incarnation holds, as `status` shows it: a claim that was unclear, or from before a crash."""
        found = yield from self._look()
        mine = (
            [one for one in found.steps.values() if (one.agent, one.incarnation) == (self.member.name, self.incarnation)] if found else []
        )
        for one in mine:
            yield from self._claim(one.name)

    def _claim(self, name: str, *, force: bool = False) -> fx.Op[None]:
        """Claim one step by its name, and work on it."""
        op = steps.claim(self.actor, name, lease=self.member.lease, force=force)
        call = yield from self.do("claim", name, op, force=force)
        if isinstance(call.error, Held) and self.random.random() < 0.7:
            call = yield from self._lurk(name, call.error.step)
        if call.outcome in ("ok", "again"):
            yield from self._labour(call.result.step)

    def _lurk(self, name: str, step: Step) -> fx.Op[Call]:
        """Come back again and again around the moment at which the holder's lease runs out, as far as the true record tells."""
        assert step.claim is not None
        left = self.ledger.expires(name, step.claim.agent, step.claim.incarnation, step.claim.lease) - self.sim.now
        yield fx.Sleep(seconds=min(max(0.0, left - self.random.uniform(0.5, 2.0)), 700.0))
        for _ in range(4):
            call = yield from self.do("claim", name, steps.claim(self.actor, name, lease=self.member.lease))
            if not isinstance(call.error, Held):
                break
            yield fx.Sleep(seconds=self.random.uniform(0.3, 2.0))
        return call

    def _work(self) -> fx.Op[None]:
        random = self.random
        draw = random.random()
        if draw < 0.2:
            names = self.ledger.held(self.member.name) if draw < 0.1 else self.team.steps
            yield from self._claim(random.choice(names or self.team.steps), force=random.random() < 0.15)
            return
        op = work.next_(self.actor, lease=self.member.lease, wait=random.choice((None, None, None, 20.0, 100.0)))
        call = yield from self.do("next", "", op)
        if call.outcome in ("ok", "again"):
            yield from self._labour(call.result.step)
        elif call.outcome == "refused":
            if isinstance(call.error, NothingLeft) and self.ledger.docs:
                yield from self._add()
            elif isinstance(call.error, Unmet):
                yield from self._tend()
            yield fx.Sleep(seconds=random.uniform(5.0, 240.0))
        else:
            yield fx.Sleep(seconds=random.uniform(1.0, 20.0))
            yield from self._adopt()

    def _labour(self, step: Step) -> fx.Op[None]:
        """Work for minutes, and hand over."""
        random, member = self.random, self.member
        name, epoch = step.name, step.epoch if random.random() < 0.5 else None
        left = random.expovariate(1 / (60.0 if self.team.calm else 420.0))
        showing = self.member.kind is not Keeper.COMMANDS or random.random() < 0.6
        while left > 0:
            late = self.random.uniform(0.3, 1.1) if member.kind is Keeper.COMMANDS else 0.3
            stretch = min(left, member.lease * late) if showing else left
            yield fx.Sleep(seconds=stretch)
            left -= stretch
            if showing and member.kind is Keeper.COMMANDS:
                beat = yield from self.do("beat", "", agents.act(self.actor))
                self.incarnation = beat.result.incarnation if beat.result is not None else self.incarnation
            if random.random() < 0.05:
                yield from self._read()
        state = Status.COMPLETE if self.team.calm else _choose(random.random())
        yield from self._finish(name, state, epoch)

    def _finish(self, name: str, state: Status, epoch: int | None, *, force: bool = False) -> fx.Op[None]:
        random = self.random
        if state is Status.PENDING:
            yield from self._change(
                "release", name, lambda: steps.release(self.actor, name, epoch=epoch, force=force), force=force, epoch=epoch
            )
            return
        to = random.choice(self.team.members).name if random.random() < 0.15 else ""
        note = self.member.text("done")
        handoff = Handoff(agent="", state=state, at=0.0, note=note, to=to)
        op = lambda: steps.finish(self.actor, name, handoff, epoch=epoch, force=force)  # noqa: E731 (made anew for each repetition)
        call = yield from self._change("finish", name, op, force=force, mails=bool(to), epoch=epoch)
        if to and call.outcome in ("ok", "again"):
            kept = call.result.step.handoff.note
            there = [one for one in self.ledger.boxes.get(to, []) if kept in one.get("text", "")]
            assert len(there) == 1, f"{call}: {len(there)} mails about it"

    def _change(self, what: str, name: str, op: Callable[[], fx.Op[Any]], **more: Any) -> fx.Op[Call]:
        """A change of a step and what it means for the board, repeated until its outcome is known."""
        call = yield from self._until_done(what, name, op, **more)
        if call.outcome in ("ok", "again"):
            yield from self.do("board", name, work.after_change(call.result))
        return call

    def _manage(self) -> fx.Op[None]:
        """What happens more rarely: going back on things, and force."""
        random, me = self.random, self.actor
        name, draw = random.choice(self.team.steps), random.random()
        if draw < 0.5:
            yield from self._tend()
        elif draw < 0.58:
            yield from self._change("reopen", name, lambda: steps.reopen(me, name, "again"))
        elif draw < 0.66:
            yield from self._change("cancel", name, lambda: steps.cancel(me, name))
        elif draw < 0.76:
            yield from self._finish(name, Status.COMPLETE, None, force=random.random() < 0.5)
        elif draw < 0.82:
            yield from self._finish(name, Status.PENDING, None, force=random.random() < 0.5)
        elif draw < 0.92:
            yield from self._add()
        else:
            yield from self.do("plan", name, plans.edit(me, name, {"priority": random.randrange(9)}))

    def _add(self) -> fx.Op[None]:
        """More work turns up."""
        fresh, need = f"x{len(self.team.steps):03d}", self.random.choice(self.team.steps)
        self.team.steps.append(fresh)
        yield from self.do("plan", fresh, plans.add(self.actor, fresh, Definition(needs=(need,))))

    def _tend(self) -> fx.Op[None]:
        """Look at everything, and help on what stands still."""
        found = yield from self._look()
        stuck = [one for one in found.steps.values() if one.status in _STUCK] if found else []
        if stuck:
            yield from self._help(self.random.choice(stuck))

    def _help(self, one: Brief) -> fx.Op[None]:
        me, name, calm = self.actor, one.name, self.team.calm
        if one.status is Status.NEEDS_REVIEW:
            if calm or self.random.random() < 0.7:
                yield from self._change("approve", name, lambda: steps.approve(me, name, force=calm), force=calm)
            else:
                note = self.member.text("not yet")
                yield from self._change("reject", name, lambda: steps.reject(me, name, note), mails=True)
        elif one.status is Status.CANCELLED:
            yield from self._change("reopen", name, lambda: steps.reopen(me, name))
        else:
            yield from self._claim(name)

    def _remember(self) -> fx.Op[None]:
        random, me = self.random, self.actor
        if random.random() < 0.6:
            key = random.choice(COUNTERS)
            seen = yield from self.do("get", key, memory.get(key))
            if seen.outcome == "store":
                return
            if random.random() < 0.6:
                yield fx.Sleep(seconds=random.expovariate(1 / 60))
            value, version = (seen.result.value, seen.result.version) if seen.result is not None else (0, 0)
            yield from self.do("increment", key, memory.set_(me, key, value + 1, if_version=version))
            return
        key = random.choice(NOTES)
        if random.random() < 0.1:
            yield from self.do("delete", key, memory.delete(me, key))
        else:
            yield from self.do("set", key, memory.set_(me, key, self.member.text("value")))

    def _send(self) -> fx.Op[None]:
        member, random = self.member, self.random
        to = "_broadcast" if random.random() < 0.35 else random.choice(self.team.members).name
        text = member.text("letter")
        if random.random() < 0.4:
            member.letters.append((to, text, f"id{member.written}"))
        if member.letters:
            yield from self._send_letter()
        else:
            yield from self.do("send", to, mail.send(self.actor, to, text), text=text)

    def _send_letter(self) -> fx.Op[None]:
        """Send the oldest letter that is not known to be there, under its id: also where an earlier life had begun to."""
        to, text, ident = letter = self.member.letters[0]
        call = yield from self.do("send once", to, mail.send(self.actor, to, text, ident=ident), text=text)
        if call.outcome in ("ok", "again") and letter in self.member.letters:
            self.member.letters.remove(letter)

    def _read(self) -> fx.Op[bool]:
        """Read what is new, put it out, note it as read; whether there was anything."""
        name = self.member.name
        noted = self.ledger.noted.get(name, (0, 0))
        call = yield from self.do("read", "", mail.unread(self.actor, self.random.choice((3, 20))))
        if call.outcome != "ok":
            return call.outcome != "refused"
        inbox = call.result
        self.ledger.shown(name, inbox, noted)
        draw = self.random.random()
        if draw < 0.3:
            if draw < 0.05 and not self.team.calm:  # between showing and noting is where it matters most
                self.sim.after(0.1, *((self.sim.crash, self.task.process) if draw < 0.01 else (self.sim.pause, self.task.process, 300.0)))
            yield fx.Sleep(seconds=self.random.expovariate(1 / 30))
        done = yield from self.do("note", "", mail.seen(self.actor, inbox))
        if done.outcome == "ok":
            self.ledger.note(name, inbox)
        for one in inbox.mails[:1]:
            if self.random.random() < 0.1:
                yield from self.do("ack", one.id, mail.ack(self.actor, one.id))
        return bool(inbox.mails)


_STUCK = (Status.NEEDS_REVIEW, Status.BLOCKED, Status.FAILED, Status.CANCELLED)


def _choose(draw: float) -> Status:
    for state, chance in ENDS:
        if draw < chance:
            return state
        draw -= chance
    return Status.COMPLETE
