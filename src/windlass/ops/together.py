"""Operations side by side: a look at a project takes the round trips of its longest part, not of all parts in turn."""

from __future__ import annotations

from windlass import effects as fx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from windlass.effects import Op

_REQUESTS = (fx.Get, fx.List, fx.Folders, fx.Gather)


def together(*ops: Op[Any]) -> Op[list[Any]]:
    """Run operations that look; what they ask for at the same time goes out in one gather. Their results, in order.

    Raises the first error met; the others end there, as a crash would end them: nothing that they write may matter.
    """
    results: list[Any] = [None] * len(ops)
    asking: dict[int, fx.Effect] = {}

    def on(number: int, answer: Any) -> Op[None]:
        """Give an operation its answer and carry out what is no request, up to its next request or its end."""
        op = ops[number]
        try:
            effect = op.throw(answer) if isinstance(answer, Exception) else op.send(answer)
            while not isinstance(effect, _REQUESTS):
                try:
                    told = yield effect
                except Exception as error:
                    effect = op.throw(error)
                else:
                    effect = op.send(told)
        except StopIteration as end:
            results[number] = end.value
        else:
            asking[number] = effect

    try:
        for number in range(len(ops)):
            yield from on(number, None)
        while asking:
            asked = list(asking.items())
            asking.clear()
            answers = iter((yield from fx.gather([one for _, effect in asked for one in _parts(effect)])))
            for number, effect in asked:
                parts = [next(answers) for _ in _parts(effect)]
                yield from on(number, parts if isinstance(effect, fx.Gather) else parts[0])
    finally:
        for op in ops:
            op.close()
    return results


def _parts(effect: fx.Effect) -> tuple[fx.Effect, ...]:
    return effect.effects if isinstance(effect, fx.Gather) else (effect,)
