"""Plans: named steps with needs, checked before anything is written."""

from __future__ import annotations

from windlass.errors import UsageError
from windlass.protocol import keys
from windlass.protocol.steps import Definition
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

FIELDS = ("title", "description", "acceptance", "needs", "priority", "labels", "max_hold")


class Plan(Record):
    """Steps by name, in the file's order."""

    steps: Mapping[str, Definition]


def build(data: object) -> Plan:
    """A plan out of parsed YAML or JSON: `steps`, a mapping by name or a list with `name`. Raises UsageError naming what is wrong."""
    if not isinstance(data, dict) or "steps" not in data:
        raise UsageError("the plan has no `steps`", "write steps: with a name for each; `windlass plan apply -h` shows an example")
    unknown = sorted(str(key) for key in data if key not in ("steps", "title"))
    if unknown:
        raise UsageError(
            f"the plan has an unknown field {unknown[0]!r}", "at the top there is only `steps` (and `title`)", field=unknown[0]
        )
    steps: dict[str, Definition] = {}
    for name, fields in _named(data["steps"]):
        if not isinstance(name, str):
            raise UsageError(f"{name!r} is no step name", "put the name in quotes", step=str(name))
        keys.check_name(name, "step")
        if name in steps:
            raise UsageError(f"the plan names {name} twice", "give each step one entry", step=name)
        steps[name] = _definition(name, fields)
    cycle = find_cycle({name: step.needs for name, step in steps.items()})
    if cycle:
        raise cyclic(cycle)
    return Plan(steps=steps)


def _named(steps: object) -> list[tuple[object, object]]:
    if isinstance(steps, dict):
        return list(steps.items())
    if isinstance(steps, list):
        out: list[tuple[object, object]] = []
        for i, one in enumerate(steps):
            if not isinstance(one, dict) or "name" not in one:
                raise UsageError(f"step {i + 1} of the plan has no `name`", "give it one")
            out.append((one["name"], {key: value for key, value in one.items() if key != "name"}))
        return out
    raise UsageError("`steps` is neither a mapping nor a list", "write steps: with a name for each")


def checked(name: str, definition: Definition) -> Definition:
    """A definition as a plan file would give it. Raises UsageError where none could."""
    return _definition(name, {field: getattr(definition, field) for field in FIELDS})


def _definition(name: str, fields: object) -> Definition:
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise UsageError(f"step {name} is not a mapping", "write its title, needs and so on below its name", step=name)
    unknown = sorted(str(key) for key in fields if key not in FIELDS)
    if unknown:
        raise UsageError(f"step {name} has an unknown field {unknown[0]!r}", f"known: {', '.join(FIELDS)}", step=name, field=unknown[0])
    given = {key: _field(name, key, value) for key, value in fields.items() if value is not None}
    return Definition(**given)


def _field(name: str, key: str, value: object) -> Any:
    if key in ("title", "description", "acceptance"):
        if isinstance(value, str):
            return value.strip("\n")
        raise _wrong(name, key, "text: put it in quotes")
    if key in ("needs", "labels"):
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return tuple(dict.fromkeys(keys.check_name(one, "step" if key == "needs" else "label") for one in value))
        raise _wrong(name, key, "a list of names")
    if isinstance(value, bool):
        raise _wrong(name, key, "a number")
    if key == "priority":
        if isinstance(value, int) and abs(value) <= 1_000_000:
            return value
        raise _wrong(name, key, "a whole number up to a million")
    if isinstance(value, (int, float)) and 0 < value < 1e15:
        return float(value)
    raise _wrong(name, key, "a number of seconds")


def _wrong(name: str, key: str, what: str) -> UsageError:
    return UsageError(f"step {name}: {key} is not {what}", "mend it in the plan file", step=name, field=key)


def find_cycle(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A cycle as names, the first one again at the end; empty where there is none."""
    state: dict[str, int] = {}
    for root in needs:
        if root in state:
            continue
        path: list[str] = [root]
        todo = [iter(needs[root])]
        state[root] = 1
        while todo:
            need = next(todo[-1], None)
            if need is None:
                todo.pop()
                state[path.pop()] = 2
            elif state.get(need) == 1:
                return (*path[path.index(need) :], need)
            elif need in needs and need not in state:
                state[need] = 1
                path.append(need)
                todo.append(iter(needs[need]))
    return ()


def cyclic(cycle: Sequence[str]) -> UsageError:
    """The error for a cycle, which it names."""
    return UsageError(f"the needs go in a circle: {' → '.join(cycle)}", "take one of these needs away", cycle=list(cycle))


def exported(steps: Mapping[str, Definition]) -> dict[str, Any]:
    """A plan as plain data, as `build` reads it."""
    out: dict[str, Any] = {}
    for name, step in steps.items():
        fields: dict[str, Any] = {}
        for key in FIELDS:
            value = getattr(step, key)
            if value != getattr(Definition, key):
                fields[key] = list(value) if isinstance(value, tuple) else value
        out[name] = fields
    return {"steps": out}
