"""Small worlds to explore: who does what in them, and what must be true at every write and at every end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ops.world import Place
from tests.reliability.ends import (
    all_applied,
    every_version_is_kept,
    mail_is_in_order,
    one_completion_an_epoch,
    sent_once,
    told_the_truth_about_steps,
)
from tests.reliability.invariants import check_no_gap, check_write

from windlass.errors import Indeterminate, StoreError, WindlassError
from windlass.ops import mail, memory, plans, steps
from windlass.ops.agents import act, start_new
from windlass.ops.work import after_change, next_
from windlass.protocol import keys
from windlass.protocol.agents import LEASE_BARE, MARGIN
from windlass.protocol.plans import Plan
from windlass.protocol.steps import Definition, Handoff, Status
from windlass.testing.explore import End, Landed, Program, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from tests.ops.world import Agent

    from windlass.effects import Op
    from windlass.ops.agents import Actor

    Making = Callable[[tuple[Hashable, ...]], "Op[Hashable] | None"]

EXPIRED = LEASE_BARE + MARGIN + 1
"""Seconds after which a claim of bare commands may be taken over."""
SHORT = (0.6 * LEASE_BARE, 0.6 * LEASE_BARE)
"""Jumps that pass the lease only together."""
UNKNOWN = ("unknown",)


def said(op: Op[Any], tell: Callable[[Any], Hashable] = lambda _: ("done",)) -> Op[Hashable]:
    """An operation with its outcome as a note: ("done" …), ("refused", why), ("unknown",) or ("failed", why)."""
    try:
        result = yield from op
    except Indeterminate:
        return UNKNOWN
    except StoreError as error:
        return ("failed", error.name)
    except WindlassError as error:
        return ("refused", error.name)
    return tell(result)


def changed(done: steps.Changed) -> Hashable:
    """Note of a change of a step: whether it was so already, the step, the epoch."""
    return ("again" if done.again else "done", done.step.name, done.step.epoch)


class Doing:
    """The operations of one agent, for a program's script."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def claim(self, name: str = "s", **more: Any) -> Making:
        """Its note: whether the caller was told that it holds the step already, the step, the epoch, the caller."""
        who = self.actor.agent
        return lambda notes: said(
            steps.claim(self.actor, name, **more), lambda done: ("held" if done.again else "done", done.step.name, done.step.epoch, who)
        )

    def beat(self) -> Making:
        """Show a sign of life."""
        return lambda notes: said(act(self.actor, renew=True), lambda me: ("lives", me.incarnation))

    def finish(self, name: str = "s", state: Status = Status.COMPLETE, **more: Any) -> Making:
        handoff = Handoff(agent="", state=state, at=0.0)
        return lambda notes: said(steps.finish(self.actor, name, handoff, **more), changed)

    def finish_own(self, name: str = "s") -> Making:
        """Complete, unless the claim before was refused; whose outcome is unknown tries all the same."""
        finish = self.finish(name)
        return lambda notes: None if isinstance(notes[-1], tuple) and notes[-1][0] == "refused" else finish(notes)

    def release(self, name: str = "s", **more: Any) -> Making:
        return lambda notes: said(steps.release(self.actor, name, **more), changed)

    def reopen(self, name: str = "s") -> Making:
        return lambda notes: said(steps.reopen(self.actor, name), changed)

    def cancel(self, name: str = "s") -> Making:
        return lambda notes: said(steps.cancel(self.actor, name), changed)

    def approve(self, name: str = "s") -> Making:
        return lambda notes: said(steps.approve(self.actor, name), changed)

    def set(self, value: object, key: str = "k", if_version: int | None = None) -> Making:
        return lambda notes: said(
            memory.set_(self.actor, key, value, if_version), lambda made: ("done", made.version, made.write_id, if_version)
        )

    def delete(self, key: str = "k") -> Making:
        return lambda notes: said(memory.delete(self.actor, key), lambda made: ("done", made.version, made.write_id, None))

    def get(self, key: str = "k") -> Making:
        return lambda notes: said(memory.get(key), lambda found: ("read", found.version, found.write_id))

    def send(self, text: str, to: str = "bob", ident: str | None = None) -> Making:
        def sending(_: tuple[Hashable, ...]) -> Op[Hashable]:
            note = yield from said(mail.send(self.actor, to, text, ident=ident), lambda sent: ("sent", sent.id, text))
            return note if note == UNKNOWN or (isinstance(note, tuple) and note[0] == "sent") else ("unsent", text)

        return sending

    def inbox(self) -> Making:
        """Read what is new and show it."""

        def shown(box: mail.Inbox) -> Hashable:
            return ("read", box.direct, box.broadcast, *((one.id, one.message.text) for one in box.mails))

        return lambda notes: said(mail.unread(self.actor), shown)

    def mark(self) -> Making:
        """Advance the cursor past what was shown."""

        def marking(notes: tuple[Hashable, ...]) -> Op[Hashable] | None:
            note = notes[-1]
            if not isinstance(note, tuple) or note[0] != "read":
                return None
            return said(mail.seen(self.actor, mail.Inbox(mails=(), direct=note[1], broadcast=note[2])), lambda _: ("marked",))

        return marking

    def next(self) -> Making:
        return lambda notes: said(next_(self.actor), lambda won: ("won", won.step.name, won.step.epoch))

    def finish_won(self) -> Making:
        """Complete what `next` gave."""

        def finishing(notes: tuple[Hashable, ...]) -> Op[Hashable] | None:
            note = notes[-1]
            if not isinstance(note, tuple) or note[0] != "won":
                return None

            def both() -> Op[steps.Changed]:
                done = yield from steps.finish(self.actor, note[1], Handoff(agent="", state=Status.COMPLETE, at=0.0))
                yield from after_change(done)
                return done

            return said(both(), changed)

        return finishing

    def apply(self, plan: Plan) -> Making:
        """Several writes: one that fails may have done some of them, and is done again."""

        def applying(_: tuple[Hashable, ...]) -> Op[Hashable]:
            note = yield from said(plans.apply(self.actor, plan))
            return note if note in (("done",), UNKNOWN) else ("partly",)

        return applying

    def new_incarnation(self) -> Making:
        return lambda notes: said(start_new(self.actor), lambda me: ("begun", me.incarnation))


def program(agent: Agent, *script: Making, **more: Any) -> Program:
    """A program of an agent as the place left it."""
    return Program(
        name=agent.name if "name" not in more else more.pop("name"),
        script=script,
        machine=agent.actor.machine,
        clock=agent.skew,
        hints=dict(agent.hints._kept),
        **more,
    )


def scene(place: Place, programs: Sequence[Program], *ends: Callable[[End], None], gaps: bool = False, **more: Any) -> Scene:
    """A scene that begins with what is in the place; invariants of every write are always checked."""

    def landed(write: Landed) -> None:
        check_write(write.key, write.before, write.after, write.look, write.modified, write.now)
        if not gaps and keys.parse_slot(write.key):
            check_no_gap(write.key, write.look)

    def end(state: End) -> None:
        for check in ends:
            check(state)

    begin = {key: (one.body, one.modified) for key, one in place.store._objects.items()}
    return Scene(programs=tuple(programs), begin=begin, now=place.now, landed=landed, end=end, **more)


def claims(agents: int = 2, jumps: int = 0, skew: float = 0.0, restarts: int = 0) -> Scene:
    """All claim one step that nobody declared, and complete it."""
    place = Place()
    names = ("ann", "bob", "cat")[:agents]
    programs = []
    for n, name in enumerate(names):
        agent = place.agent(name, skew=skew * (n - 1)).warm()
        do = Doing(agent.actor)
        programs.append((agent, do))
    return scene(
        place,
        [program(agent, do.claim(), do.finish_own(), restarts=restarts) for agent, do in programs],
        told_the_truth_about_steps("s"),
        one_completion_an_epoch("s"),
        jumps=(EXPIRED,) * jumps,
    )


def takeover(claimers: int = 1, jumps: tuple[float, ...] = (EXPIRED,), force: bool = False, beats: int = 0) -> Scene:
    """Ann holds a step and completes it some time; others claim it, when the clock has jumped past her lease or by force."""
    place = Place()
    ann = place.agent("ann").warm()
    others = [place.agent(name).warm() for name in ("bob", "cat")[:claimers]]
    ann.do(steps.claim(ann.actor, "s"))
    ann.hints.remember("doc:" + keys.step("s"), None)
    do = Doing(ann.actor)
    programs = [program(ann, *[do.beat()] * beats, do.finish())]
    for other in others:
        doing = Doing(other.actor)
        programs.append(program(other, doing.claim(force=force), doing.finish_own()))
    return scene(place, programs, told_the_truth_about_steps("s"), one_completion_an_epoch("s"), jumps=jumps)


def release_and_reopen(jumps: int = 0) -> Scene:
    """One releases and claims again, one completes, one reopens."""
    place = Place()
    ann, bob, cat = (place.agent(name).warm() for name in ("ann", "bob", "cat"))
    a, b, c = Doing(ann.actor), Doing(bob.actor), Doing(cat.actor)
    return scene(
        place,
        [
            program(ann, a.claim(), a.release(), a.claim(), a.finish_own()),
            program(bob, b.claim(), b.finish_own()),
            program(cat, c.reopen()),
        ],
        told_the_truth_about_steps("s"),
        one_completion_an_epoch("s"),
        jumps=(EXPIRED,) * jumps,
    )


def reopen() -> Scene:
    """A step is complete; one reopens and claims it while the other does the same."""
    place = Place()
    ann, bob = (place.agent(name).warm() for name in ("ann", "bob"))
    ann.do(steps.claim(ann.actor, "s"))
    ann.do(steps.finish(ann.actor, "s", Handoff(agent="", state=Status.COMPLETE, at=0.0)))
    ann.hints.remember("doc:" + keys.step("s"), None)
    a, b = Doing(ann.actor), Doing(bob.actor)
    return scene(
        place,
        [program(ann, a.reopen(), a.claim(), a.finish_own()), program(bob, b.reopen(), b.claim(), b.release())],
        told_the_truth_about_steps("s"),
        one_completion_an_epoch("s"),
    )


def review() -> Scene:
    """One hands in for review, the other cancels; a third approves."""
    place = Place()
    ann, bob, cat = (place.agent(name).warm() for name in ("ann", "bob", "cat"))
    a, b, c = Doing(ann.actor), Doing(bob.actor), Doing(cat.actor)
    return scene(
        place,
        [program(ann, a.claim(), a.finish(state=Status.NEEDS_REVIEW)), program(bob, b.approve()), program(cat, c.cancel())],
        told_the_truth_about_steps("s"),
        one_completion_an_epoch("s"),
    )


def incarnations(jumps: int = 0) -> Scene:
    """The same agent on two machines: one goes on with its claim, the other starts anew and claims it too."""
    place = Place()
    old, new = place.agent("ann", machine="one").warm(), place.agent("ann", machine="two")
    old.do(steps.claim(old.actor, "s"))
    old.hints.remember("doc:" + keys.step("s"), None)
    a, b = Doing(old.actor), Doing(new.actor)
    return scene(
        place,
        [program(old, a.finish(), a.claim("t"), name="old"), program(new, b.new_incarnation(), b.claim(), b.finish_own(), name="new")],
        told_the_truth_about_steps("s", "t"),
        one_completion_an_epoch("s", "t"),
        jumps=(EXPIRED,) * jumps,
    )


def shells(restarts: int = 0) -> Scene:
    """Two shells of one agent on one machine, with one memory between them."""
    place = Place()
    ann = place.agent("ann", machine="m").warm()
    bob = place.agent("bob").warm()
    a, b = Doing(ann.actor), Doing(bob.actor)
    return scene(
        place,
        [
            program(ann, a.claim(), a.finish_own(), name="one", restarts=restarts),
            program(ann, a.claim(), a.release(), name="two", restarts=restarts),
            program(bob, b.claim()),
        ],
        told_the_truth_about_steps("s"),
        one_completion_an_epoch("s"),
    )


def values(writers: int = 2, reads: int = 2, start: bool = False) -> Scene:
    """Writers on one key, each twice, and a reader."""
    place = Place()
    agents = [place.agent(name).warm() for name in ("ann", "bob", "eve")[:writers]]
    if start:
        agents[0].do(memory.set_(agents[0].actor, "k", "first"))
    programs = []
    for n, agent in enumerate(agents):
        do = Doing(agent.actor)
        programs.append(program(agent, do.set(agent.name + "1"), do.set("same") if n else do.set("same", if_version=2)))
    cat = place.agent("cat").warm()
    programs.append(program(cat, *[Doing(cat.actor).get()] * reads))
    return scene(place, programs, every_version_is_kept())


def deleting() -> Scene:
    """One sets, one deletes, one sets again with a condition."""
    place = Place()
    ann, bob = place.agent("ann").warm(), place.agent("bob").warm()
    ann.do(memory.set_(ann.actor, "k", "first"))
    a, b = Doing(ann.actor), Doing(bob.actor)
    return scene(
        place,
        [program(ann, a.delete(), a.set("x", if_version=0)), program(bob, b.set("y", if_version=1), b.get())],
        every_version_is_kept(),
    )


def mailbox(senders: int = 2, reads: int = 2, hints: Sequence[int] = (), restarts: int = 0, to: str = "bob") -> Scene:
    """Senders to one mailbox and its reader with a cursor; `hints`: what each sender wrongly remembers of the log's end."""
    place = Place()
    bob = place.agent("bob").warm()
    agents = [place.agent(name).warm() for name in ("ann", "cat", "eve")[:senders]]
    bob.do(mail.unread(bob.actor))
    for agent in agents:
        agent.hints.remember("known:bob", b"1")
    for agent, wrong in zip(agents, hints, strict=False):
        agent.hints.remember("tail:" + to, str(wrong).encode())
    programs = [program(agent, Doing(agent.actor).send(f"from {agent.name}", to)) for agent in agents]
    programs.append(program(bob, *[Doing(bob.actor).inbox(), Doing(bob.actor).mark()] * reads, restarts=restarts))
    return scene(place, programs, mail_is_in_order("bob", "bob", keys.BROADCAST), gaps=any(hints))


def lone_sender(restarts: int = 0) -> Scene:
    """One sends to a mailbox that has a message: the write, and beside it the look at the slot before."""
    place = Place()
    place.agent("bob").warm()
    ann = place.agent("ann").warm()
    ann.do(mail.send(ann.actor, "bob", "first"))
    a = Doing(ann.actor)
    return scene(place, [program(ann, a.send("second"), a.send("third"), restarts=restarts)], mail_is_in_order("nobody", "bob"))


def same_id(restarts: int = 1) -> Scene:
    """A message under an id, sent twice by one who may be cut short and run again, and another sender between."""
    place = Place()
    place.agent("bob").warm()
    ann, eve = place.agent("ann").warm(), place.agent("eve").warm()
    for agent in (ann, eve):
        agent.hints.remember("known:bob", b"1")
    a, e = Doing(ann.actor), Doing(eve.actor)
    once = a.send("once", ident="x")
    return scene(
        place,
        [program(ann, once, once, restarts=restarts), program(eve, e.send("between"))],
        sent_once("ann", "bob", "once"),
        mail_is_in_order("nobody", "bob", repeated=True),
    )


def three_steps(agents: int = 2, rounds: int = 3, *, applied: bool = True, chain: bool = False, begun: bool = False) -> Scene:
    """A plan of three steps, the last of which needs the others (or each the one before); agents ask for the next and complete it."""
    place = Place()
    workers = [place.agent(name).warm() for name in ("ann", "bob", "cat")[:agents]]
    names = ("a", "b", "c")
    programs = []
    needs: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",)} if chain else {"a": (), "b": (), "c": ("a", "b")}
    plan = Plan(steps={name: Definition(needs=needs[name]) for name in names})
    planner = place.agent("pat").warm()
    if applied:
        planner.do(plans.apply(planner.actor, plan))
        if begun:
            planner.do(steps.claim(planner.actor, "a"))
            planner.do(after_change(planner.do(steps.finish(planner.actor, "a", Handoff(agent="", state=Status.COMPLETE, at=0.0)))))
        for worker in workers:
            for key in list(worker.hints._kept):
                if key.startswith("me:"):
                    worker.hints.remember(key, worker.hints._kept[key].replace(b'"planned": false', b'"planned": true'))
    else:
        programs.append(program(planner, Doing(planner.actor).apply(plan)))
    for worker in workers:
        do = Doing(worker.actor)
        programs.append(program(worker, *[do.next(), do.finish_won()] * rounds))
    return scene(place, programs, told_the_truth_about_steps(*names), one_completion_an_epoch(*names), all_applied("pat", plan))
