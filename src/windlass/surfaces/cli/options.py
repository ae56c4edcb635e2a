"""Reads the options of a plain call without argparse, which costs a command 4 ms; argparse remains the judge of all others.

Whatever is not plain (help, an error, a negative number, `--x=y`, `--`, an option of an unusual kind) is left to it, so
every message is its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_KNOWN = {"action", "choices", "const", "default", "dest", "help", "metavar", "nargs", "required", "type"}


class Given:
    """What a call gave, as attributes; the same as argparse's Namespace."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


class _Action:
    def __init__(self, names: tuple[str, ...], kind: dict[str, Any], group: _Group) -> None:
        self.kind = kind.get("action", "store")
        self.nargs = kind.get("nargs")
        self.type: Callable[[str], Any] | None = kind.get("type")
        self.choices = kind.get("choices")
        self.const = kind.get("const", True)
        self.required = kind.get("required", False)
        self.default = kind.get("default", False if self.kind == "store_true" else None)
        self.group = group
        self.dest: str = kind.get("dest") or next((n for n in names if n.startswith("--")), names[0]).lstrip("-").replace("-", "_")
        named = names[0].startswith("-")
        nargs, kinds = ((None,), ("store", "store_true", "store_const", "append")) if named else ((None, "?", "+"), ("store",))
        odd = self.type is not None and isinstance(self.default, str)  # argparse reads such a default as if it were given
        self.plain = kind.keys() <= _KNOWN and self.nargs in nargs and self.kind in kinds and not odd

    def value(self, word: str) -> Any:
        """Raises ValueError where it is none, and whatever the option's own type does."""
        value = word if self.type is None else self.type(word)
        if self.choices is not None and value not in self.choices:
            raise ValueError(word)
        return value


class _Group:
    """Where options are added, as to a parser of argparse. `exclusive`: at most one of them may be given."""

    def __init__(self, reader: Reader, exclusive: bool = False) -> None:
        self._reader = reader
        self.exclusive = exclusive

    def add_argument(self, *names: str, **kind: Any) -> None:
        """As argparse's."""
        self._reader.add(_Action(names, kind, self), names)

    def add_argument_group(self, *_: object, **__: object) -> _Group:
        """As argparse's."""
        return _Group(self._reader)

    def add_mutually_exclusive_group(self, *, required: bool = False) -> _Group:
        """As argparse's."""
        self._reader.plain &= not required
        return _Group(self._reader, exclusive=True)


class Reader(_Group):
    """A parser's stand-in: takes the same calls of `add_argument`, reads plain calls."""

    def __init__(self) -> None:
        super().__init__(self)
        self.plain = True
        self._all: list[_Action] = []
        self._named: dict[str, _Action] = {}
        self._placed: list[_Action] = []

    def add(self, action: _Action, names: Sequence[str]) -> None:
        """One more option or place."""
        self.plain &= action.plain
        self._all.append(action)
        if names[0].startswith("-"):
            self._named.update(dict.fromkeys(names, action))
        else:
            self._placed.append(action)

    def read(self, words: Sequence[str]) -> Given | None:
        """What argparse would say of these words, or None where that is for it to say."""
        values: dict[str, Any] = {}
        for action in self._all:
            values.setdefault(action.dest, action.default)
        seen: list[_Action] = []
        places: list[tuple[int, str]] = []
        at = 0
        try:
            while at < len(words):
                word = words[at]
                if _is_value(word):
                    places.append((at, word))
                else:
                    action = self._named[word]
                    seen.append(action)
                    if action.kind in ("store", "append"):
                        at += 1
                        if not _is_value(words[at]):
                            return None
                        value = action.value(words[at])
                        values[action.dest] = [*(values[action.dest] or ()), value] if action.kind == "append" else value
                    else:
                        values[action.dest] = action.const
                at += 1
            values.update(self._in_place(places))
        except Exception:  # a mistake of the caller's: for argparse to name
            return None
        exclusive = [action.group for action in dict.fromkeys(seen) if action.group.exclusive]
        missing = any(action.required and action not in seen for action in self._named.values())
        return Given(values) if self.plain and not missing and len(exclusive) == len(set(exclusive)) else None

    def _in_place(self, places: list[tuple[int, str]]) -> dict[str, Any]:
        """Raises ValueError where there are not as many as there should be."""
        if all(action.nargs is None for action in self._placed):
            return {action.dest: action.value(word) for action, (_, word) in zip(self._placed, places, strict=True)}
        (action,) = self._placed
        if len(places) > 1 and places[-1][0] - places[0][0] >= len(places):  # options between them
            raise ValueError
        found = [action.value(word) for _, word in places]
        if action.nargs == "+" and found:
            return {action.dest: found}
        if action.nargs == "?" and len(found) < 2:
            return {action.dest: found[0] if found else action.default}
        raise ValueError


def _is_value(word: str) -> bool:
    return not word.startswith("-") or word == "-"
