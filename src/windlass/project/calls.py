"""Makes methods out of operations, once for blocking and async use: `claim = acting(steps.claim)`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

    from windlass.effects import Op
    from windlass.ops.agents import Actor
    from windlass.project.session import Session

    P = ParamSpec("P")
    T = TypeVar("T")
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


class _Method(Generic[P, T]):
    def __init__(self, op: Callable[..., Op[Any]]) -> None:
        self._op = op
        self.__doc__ = op.__doc__

    if TYPE_CHECKING:

        @overload
        def __get__(self, part: Blocking, owner: type) -> Callable[P, T]: ...
        @overload
        def __get__(self, part: Awaiting, owner: type) -> Callable[P, Awaitable[T]]: ...  # noqa: F811 (an overload)
        @overload
        def __get__(self, part: None, owner: type) -> Self: ...  # noqa: F811 (an overload)

    def __get__(self, part: Any, owner: type) -> Any:
        if part is None:
            return self

        def method(*args: Any, **options: Any) -> Any:
            return part._do(self._bind(part, args, options))

        method.__doc__ = self.__doc__
        return method

    def _bind(self, part: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Op[Any]:
        raise NotImplementedError


class _Looking(_Method[P, T]):
    def _bind(self, part: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Op[Any]:
        return self._op(*args, **options)


class _Acting(_Method[P, T]):
    def _bind(self, part: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Op[Any]:
        return self._op(part._session.actor, *args, **options)


def looking(op: Callable[P, Op[T]]) -> _Looking[P, T]:
    """A method that needs nobody to act and refreshes nobody's presence."""
    return _Looking(op)


def acting(op: Callable[Concatenate[Actor, P], Op[T]]) -> _Acting[P, T]:
    """A method that acts as the session's agent. Raises Unidentified where there is none."""
    return _Acting(op)
