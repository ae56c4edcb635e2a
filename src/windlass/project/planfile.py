"""Plan files: YAML (its 1.2 core, so that `no` and `on` stay words) or JSON, which is YAML too."""

from __future__ import annotations

import json
import re

import yaml

from windlass.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_PLAN = 32 * 1024 * 1024
"""Bytes of a plan file."""
MAX_DEPTH = 20


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Without YAML 1.1's guesses (dates, octals, sexagesimals, yes and no), doubled keys and references."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, (str, int, float, bool)):
                raise yaml.constructor.ConstructorError(None, None, "a key that is no name", key.start_mark)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands here twice", key.start_mark)
            seen.add(name)
        return dict(super().construct_mapping(node, deep=deep))


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 would guess at and what `parse` would, so that all readers agree."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> Any:
        """Escapes the line breaks that YAML folds and others do not know."""
        style = '"' if any(sign in text for sign in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


for _tag, _pattern, _first in (
    ("bool", r"(?:true|false)\Z", "tf"),
    ("null", r"(?:null|~|)\Z", ["n", "~", ""]),
    ("int", r"[-+]?[0-9]+\Z", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789"),
):
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def parse(text: str) -> Any:
    """The data in a plan file. Raises UsageError with line and column."""
    if len(text) > MAX_PLAN:
        raise UsageError("the plan file is too large", f"at most {MAX_PLAN // 2**20} MiB")
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text, object_pairs_hook=_pairs)
        except RecursionError:
            raise UsageError("the plan is nested too deeply", "a plan is steps, each with plain fields") from None
        except ValueError:
            pass  # YAML in flow style, or broken: the other parser says where
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                raise UsageError(f"the plan uses a reference (*{event.anchor})", "write it out: references can make a small file huge")
            tag = getattr(event, "tag", None)
            if tag is not None:
                mark: Any = event.start_mark
                raise yaml.constructor.ConstructorError(None, None, f"a tag ({tag}), which no plan needs", mark)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UsageError("the plan is nested too deeply", "a plan is steps, each with plain fields")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (derived from the safe loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(f"the plan is not valid YAML{where}: {error.problem or error.context}", "mend it there") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"the plan is not valid YAML: {str(error).splitlines()[0]}", "mend it and apply it again") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs:
        if name in out:
            raise UsageError(f"the plan says {name!r} twice in one place", "keep one of them")
        out[name] = value
    return out


def dump(plan: dict[str, Any], *, ascii_only: bool = False) -> str:
    """A plan as YAML text that `parse` reads back."""
    return str(yaml.dump(plan, Dumper=_Dumper, sort_keys=False, allow_unicode=not ascii_only, width=100))
