"""Frozen records: data classes without the 14 ms that importing `dataclasses` costs a command."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs a command 3 ms; type checkers read this name as true
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_: object):
        return lambda cls: cls


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Record:
    """A frozen value whose fields are its annotations; defaults are class attributes.

    Raises TypeError for unknown or missing fields, AttributeError on assignment.
    """

    __fields__: ClassVar[tuple[str, ...]] = ()
    __names__: ClassVar[frozenset[str]] = frozenset()
    __defaults__: ClassVar[dict[str, Any]] = {}
    __match_args__ = ()

    def __init_subclass__(cls) -> None:
        own = [n for n, a in cls.__dict__.get("__annotations__", {}).items() if not str(a).startswith("ClassVar")]
        cls.__fields__ = cls.__fields__ + tuple(n for n in own if n not in cls.__fields__)
        cls.__names__ = frozenset(cls.__fields__)
        cls.__defaults__ = {n: getattr(cls, n) for n in cls.__fields__ if hasattr(cls, n)}

    def __init__(self, **values: Any) -> None:
        fields = self.__dict__
        cls = type(self)
        fields.update(cls.__defaults__)
        fields.update(values)
        if fields.keys() != cls.__names__:
            for name in values:
                if name not in cls.__fields__:
                    raise TypeError(f"{cls.__name__} has no field {name!r}")
            for name in cls.__fields__:
                if name not in fields:
                    raise TypeError(f"{cls.__name__} needs {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[n] for n in self.__fields__)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={self.__dict__[n]!r}' for n in self.__fields__)})"

    def but(self, **changes: Any) -> Self:
        """The same record with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})


def plain(value: object) -> Any:
    """Records, enums and tuples as JSON types, every field of a record included."""
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in value.__fields__ if name != "extra"}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return getattr(value, "value", value) if not isinstance(value, (str, int, float, bool, type(None))) else value
