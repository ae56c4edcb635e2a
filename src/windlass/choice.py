"""Enumerations without the 5 ms that importing `enum` costs a command. Where a program has imported it, they are its own."""

from __future__ import annotations

import sys

__all__ = ["Choice"]

TYPE_CHECKING = False
if TYPE_CHECKING or "enum" in sys.modules:
    from enum import Enum as Choice
else:

    class _Kind(type):
        """Makes the public attributes of a class its members, in order."""

        def __new__(mcs, name, bases, body):
            cls = super().__new__(mcs, name, bases, body)
            members = {}
            for key, value in body.items():
                if key[0] != "_" and isinstance(value, str):
                    member = object.__new__(cls)
                    member.__dict__.update(name=key, value=value)
                    members[key] = member
                    type.__setattr__(cls, key, member)
            type.__setattr__(cls, "__members__", members)
            type.__setattr__(cls, "_by_value", {member.value: member for member in members.values()})
            return cls

        def __call__(cls, value):
            try:
                return value if type(value) is cls else cls._by_value[value]
            except (KeyError, TypeError):
                raise ValueError(f"{value!r} is not a valid {cls.__name__}") from None

        def __getitem__(cls, name):
            return cls.__members__[name]

        def __iter__(cls):
            return iter(cls.__members__.values())

        def __len__(cls):
            return len(cls.__members__)

        def __contains__(cls, value):
            return type(value) is cls or value in cls._by_value

        def __setattr__(cls, name, value):
            if name in cls.__members__:
                raise AttributeError(f"{cls.__name__}.{name} cannot be another")
            super().__setattr__(name, value)

    class Choice(metaclass=_Kind):
        """One of the few values that its class names, each there once: compare by `is`. What `enum.Enum` is for texts."""

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__} is frozen")

        def __repr__(self):
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __str__(self):
            return f"{type(self).__name__}.{self.name}"

        def __reduce__(self):
            return type(self), (self.value,)
