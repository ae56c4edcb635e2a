"""Plans: apply, export. Applying again changes only what differs, and never touches a claim."""

from __future__ import annotations

from windlass import effects as fx
from windlass.errors import ClaimLost, UsageError
from windlass.ops import registers, steps
from windlass.ops.agents import act, note_planned
from windlass.ops.board import offer, put_on_board
from windlass.ops.steps import Changed
from windlass.ops.survey import survey
from windlass.protocol import keys
from windlass.protocol.plans import Plan, checked, cyclic, find_cycle
from windlass.protocol.project import Marker
from windlass.protocol.steps import Definition, Status, Step
from windlass.protocol.transitions import Act, defined, unmet
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from windlass.effects import Op
    from windlass.ops.agents import Actor, Me
    from windlass.ops.registers import Version, Write


class Applied(Record):
    """What applying a plan did, by step name."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


def apply(actor: Actor, plan: Plan) -> Op[Applied]:
    """Declare or change the steps of a plan. Raises UsageError before anything is written: unknown needs, cycles, texts too large."""
    applied = yield from _apply(actor, plan)
    yield from _mark_planned()
    yield from note_planned(actor, (yield from act(actor)))
    return applied


def add(actor: Actor, name: str, definition: Definition) -> Op[Changed]:
    """Declare one step; `again` where it is there and says the same. Raises ClaimLost where it says something else, UsageError."""
    keys.check_name(name, "step")
    definition = checked(name, definition)
    there = yield from registers.fetch(keys.step(name), Step)
    if there is not None and there.doc.definition != definition:
        raise ClaimLost(f"{name} exists already", f"change it: windlass step edit {name}", step=name)
    done = yield from _apply(actor, Plan(steps={name: definition}))
    return Changed(step=(yield from steps.fetch(name)).doc, again=not done.added)


def edit(actor: Actor, name: str, changes: Mapping[str, object]) -> Op[Changed]:
    """Change some fields of a step's definition, those alone. Raises NotFound, UsageError as `apply` does."""
    there = (yield from steps.fetch(name)).doc
    done = yield from _apply(actor, Plan(steps={name: there.definition.but(**changes)}), only=tuple(changes))
    return Changed(step=(yield from steps.fetch(name)).doc, again=not done.changed)


def _apply(actor: Actor, plan: Plan, only: tuple[str, ...] | None = None) -> Op[Applied]:
    plan = Plan(steps={name: checked(name, definition) for name, definition in plan.steps.items()})
    for name, definition in plan.steps.items():
        steps.check_definition(name, definition)
    there = yield from _read(list(plan.steps))
    outside = yield from _check(plan)
    me = yield from act(actor)
    needed_by: dict[str, list[str]] = {}
    for name, definition in plan.steps.items():
        for need in definition.needs:
            needed_by.setdefault(need, []).append(name)
    waiting = {name: tuple(needed_by.get(name, ())) for name in plan.steps}
    missing = [name for name in plan.steps if there[name] is None]
    added = yield from _add(me, plan, missing, waiting)
    changed: list[str] = []
    unchanged: list[str] = []
    for name in plan.steps:
        if name in added:
            continue
        before = there[name]
        known = set(before.needed_by) if before else set()
        if before is not None and before.definition == plan.steps[name] and known >= set(waiting[name]):
            unchanged.append(name)
            continue
        done = yield from steps.define(actor, name, plan.steps[name], needed_by=waiting[name], only=only)
        same = done.again or (before is not None and before.definition == plan.steps[name])
        (unchanged if same else changed).append(name)
    for need, names in needed_by.items():
        if need in outside and not set(outside[need].needed_by) >= set(names):
            yield from steps.link(actor, need, *names)
    yield from _offer(plan, {**outside, **there}, added)
    return Applied(added=tuple(name for name in missing if name in added), changed=tuple(changed), unchanged=tuple(unchanged))


def _read(names: list[str]) -> Op[dict[str, Step | None]]:
    there: dict[str, Step | None] = {}
    for start in range(0, len(names), 64):
        there |= yield from steps.fetch_all(names[start : start + 64])
        if len(names) > 64:
            yield from fx.tell("reading steps", len(there), len(names))
    return there


def _check(plan: Plan) -> Op[dict[str, Step]]:
    """Every need exists, here or in the store, and together they go in no circle. The steps that the plan builds on and does not hold."""
    needs: dict[str, tuple[str, ...]] = {name: definition.needs for name, definition in plan.steps.items()}
    outside: dict[str, Step] = {}
    by = {need: name for name, names in needs.items() for need in names}
    looked = set(needs)
    wanted = sorted(by.keys() - looked)
    while wanted:
        looked |= set(wanted)
        for name, step in (yield from _read(wanted)).items():
            if step is not None:
                outside[name] = step
            elif name in by:
                hint = "add it to the plan, or mend its name"
                raise UsageError(f"{by[name]} needs {name}, which does not exist", hint, step=by[name], need=name)
        wanted = sorted({need for name in wanted if name in outside for need in outside[name].needs} - looked)
    cycle = find_cycle({**needs, **{name: step.needs for name, step in outside.items()}})
    if cycle:
        raise cyclic(cycle)
    return outside


def _add(me: Me, plan: Plan, names: list[str], waiting: Mapping[str, tuple[str, ...]]) -> Op[dict[str, str]]:
    """Declare steps that nobody had; those that came into being, with their versions."""
    at = yield from fx.now()
    documents = []
    for name in names:
        write_id = yield from fx.new_id()
        by = Act(agent=me.agent, incarnation=me.incarnation, at=at, write_id=write_id)
        step = defined(None, name, by, plan.steps[name], waiting[name]).but(write_id=write_id, seq=1)
        documents.append((keys.step(name), step))
    made = yield from registers.create_all(documents, Step)
    return {name: version for name, version in zip(names, made, strict=True) if version is not None}


def _mark_planned() -> Op[None]:
    def decide(entry: Version[Marker] | None, write: Write) -> Marker | None:
        return entry.doc.but(planned=True) if entry and not entry.doc.planned else entry.doc if entry else None

    def landed(write_id: str, seq: int, now: Marker) -> Op[bool | None]:
        yield from ()
        return now.planned

    yield from registers.update(keys.MARKER, Marker, decide, landed=landed)


def _offer(plan: Plan, there: Mapping[str, Step | None], added: Mapping[str, str]) -> Op[None]:
    """Put what is ready on the board."""
    ready = []
    for name, definition in plan.steps.items():
        step = there[name]
        if name not in added and (step is None or step.status is not Status.PENDING):
            continue
        probe = Step(name=name, needs=definition.needs, priority=definition.priority, labels=definition.labels, seq=step.seq if step else 1)
        if not unmet(probe, {need: there.get(need) for need in definition.needs}):
            ready.append(offer(probe, added.get(name, "")))
    if ready:
        yield from put_on_board(ready, [])


def definitions() -> Op[dict[str, Definition]]:
    """What every step of the project says, for export. Reads each step once."""
    found = yield from survey()
    there = yield from _read(list(found.steps))
    return {name: step.definition for name, step in there.items() if step is not None}
