"""Makes methods out of operations, once for blocking and async use: `claim = acting(steps.claim)`.

What is made are plain functions. `help()` and `inspect` find the operation's own signature, without whoever acts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from inspect import Signature
    from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.project.session import Session

    P = ParamSpec("P")
    T = TypeVar("T")

    class Holding(Protocol):
        """What a method of a claim knows."""

        _session: Session
        name: str
        epoch: int

        def _do(self, op: Op[Any]) -> Any: ...
        def _ending(self, op: Op[Any]) -> Op[Any]: ...
else:
    P = T = None

    class Generic:
        """Type checkers only."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    def overload(function: object) -> object:
        return function


class Blocking:
    """A part of a project whose methods return results."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _do(self, op: Op[Any]) -> Any:
        return self._session.run(op)


class Awaiting:
    """A part of a project whose methods return awaitables."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _do(self, op: Op[Any]) -> Any:
        return self._session.run_async(op)


class _Signature:
    """Stands for an operation where a method's signature is asked for: the first `hidden` parameters become `self`."""

    def __init__(self, op: Callable[..., Op[Any]], hidden: int) -> None:
        self._op, self._hidden = op, hidden

    @property
    def __signature__(self) -> Signature:
        import inspect

        whole = inspect.signature(self._op)
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        result = str(whole.return_annotation)
        if result.startswith("Op[") and result.endswith("]"):
            result = result[3:-1]
        return whole.replace(parameters=[me, *list(whole.parameters.values())[self._hidden :]], return_annotation=result)

    def __call__(self) -> None:
        raise TypeError("only a signature")


class _Method(Generic[P, T]):
    """Replaces itself by a function as soon as the class it is in is made."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, part: Blocking, owner: type) -> Callable[P, T]: ...
        @overload
        def __get__(self, part: Awaiting, owner: type) -> Callable[P, Awaitable[T]]: ...  # noqa: F811 (an overload)
        @overload
        def __get__(self, part: None, owner: type) -> Self: ...  # noqa: F811 (an overload)
        def __get__(self, part: Any, owner: type) -> Any: ...  # noqa: F811 (an overload)

    def __init__(self, op: Callable[..., Op[Any]], method: Callable[..., Any], hidden: int, example: str) -> None:
        self._op, self._method, self._hidden, self._example = op, method, hidden, example

    def __set_name__(self, owner: type, name: str) -> None:
        made: Any = self._method
        made.__name__ = name
        made.__qualname__ = f"{owner.__qualname__}.{name}"
        made.__module__ = owner.__module__
        lines = [line.removeprefix("    ") for line in (self._op.__doc__ or "").rstrip().split("\n")]
        made.__doc__ = "\n".join(lines) + f"\n\n{self._example}"
        made.__wrapped__ = _Signature(self._op, self._hidden)
        setattr(owner, name, made)


def looking(op: Callable[P, Op[T]], example: str) -> _Method[P, T]:
    """A method that needs nobody to act and refreshes nobody's presence."""

    def method(part: Any, /, *args: Any, **options: Any) -> Any:
        return part._do(op(*args, **options))

    return _Method(op, method, 0, example)


def acting(op: Callable[Concatenate[Actor, P], Op[T]], example: str) -> _Method[P, T]:
    """A method that acts as the session's agent. Raises Unidentified where there is none."""

    def method(part: Any, /, *args: Any, **options: Any) -> Any:
        return part._do(op(part._session.actor, *args, **options))

    return _Method(op, method, 1, example)


def within(op: Callable[Concatenate[Session, P], Op[T]], example: str) -> _Method[P, T]:
    """A method of what needs the session: it touches files of the user's, or looks up who acts only when it must."""

    def method(part: Any, /, *args: Any, **options: Any) -> Any:
        return part._do(op(part._session, *args, **options))

    return _Method(op, method, 1, example)


def named(op: Callable[Concatenate[Session, str, P], Op[T]], example: str) -> _Method[P, T]:
    """A method of something that has a name, as `within`."""

    def method(part: Any, /, *args: Any, **options: Any) -> Any:
        return part._do(op(part._session, part.name, *args, **options))

    return _Method(op, method, 2, example)


def holding(op: Callable[Concatenate[Actor, str, int, P], Op[T]], example: str) -> _Method[P, T]:
    """A method of a claim: acts under its epoch, and ends it where it succeeds."""

    def method(part: Holding, /, *args: Any, **options: Any) -> Any:
        return part._do(part._ending(op(part._session.actor, part.name, part.epoch, *args, **options)))

    return _Method(op, method, 3, example)


def under(op: Callable[Concatenate[Actor, str, int, P], Op[T]], example: str) -> _Method[P, T]:
    """A method of a claim: acts under its epoch, and leaves it open."""

    def method(part: Holding, /, *args: Any, **options: Any) -> Any:
        return part._do(op(part._session.actor, part.name, part.epoch, *args, **options))

    return _Method(op, method, 3, example)
