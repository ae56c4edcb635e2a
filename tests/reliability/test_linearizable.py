"""The checker finds every order that there is and no other: against recorded histories with verdicts, and against all permutations."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windlass.testing.histories import judge, load, merge
from windlass.testing.linearizable import MISFIT, Model, Operation, Verdict, check, check_each
from windlass.testing.models import MAILBOX, MODELS, OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parent.parent.parent
OURS = sorted((Path(__file__).parent / "data" / "histories").glob("*.jsonl"))
ETCD = Path(os.environ.get("WINDLASS_ETCD_HISTORIES", ROOT.parent / "shared" / "data" / "etcd-histories"))


def _register(state: int | None, one: Operation) -> Any:
    """Jepsen's register: read, write and cas, an answer of False for a cas that failed."""
    if one.do == "read":
        return state if not one.known or one.answer == state else MISFIT
    if one.do == "write":
        return one.args
    old, new = one.args
    if one.known and one.answer is not (state == old):
        return MISFIT
    return new if state == old else state


REGISTER = Model(name="register", start=None, step=_register, looks=lambda one: one.do == "read" or one.answer is False)


def jepsen(path: Path) -> list[Operation]:
    """One of etcd's histories; a line's number is its time."""
    ended: list[Operation] = []
    at_work: dict[str, Operation] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        found = re.fullmatch(r"INFO\s+jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*)", line)
        if found is None:
            continue
        process, event, do, value = found.groups()
        if event == "invoke":
            numbers = tuple(int(one) for one in re.findall(r"\d+", value))
            args = numbers if do == "cas" else numbers[0] if do == "write" else None
            at_work[process] = Operation(process=process, key="register", do=do, args=args, called=number)
            continue
        one = at_work.pop(process)
        if event == "info":
            ended.append(one)
        elif event == "ok":
            answer = True if do != "read" else None if value == "nil" else int(value)
            ended.append(one.but(returned=number, answer=answer))
        elif do == "cas":
            ended.append(one.but(returned=number, answer=False))
        else:
            assert (event, do) == ("fail", "read")
    return [*ended, *at_work.values()]


def test_it_gives_every_verdict_on_the_histories_of_etcd() -> None:
    if not (ETCD / "verdicts.csv").is_file():
        pytest.skip(f"no histories of etcd at {ETCD}; name their folder in WINDLASS_ETCD_HISTORIES")
    with (ETCD / "verdicts.csv").open(encoding="utf-8") as file:
        verdicts = {line["history"]: line["linearizable"] for line in csv.DictReader(file)}
    assert len(verdicts) == 102
    meaning = {Verdict.LINEARIZABLE: "yes", Verdict.VIOLATION: "no", Verdict.UNDECIDED: "undecided"}
    assert {name: meaning[check(REGISTER, jepsen(ETCD / name)).verdict] for name in verdicts} == verdicts


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_it_tells_our_good_histories_from_the_bad(path: Path) -> None:
    report = judge(load(str(path)))
    assert report.fine is ("-good-" in path.name), report.text()
    if not report.fine:
        assert "does not fit: [" in report.text()


def test_there_are_good_and_bad_histories_of_every_model() -> None:
    assert {tuple(path.stem.split("-")[:2]) for path in OURS} == {(name, kind) for name in MODELS for kind in ("good", "bad")}


@pytest.mark.parametrize("path", OURS[:1] + OURS[-1:], ids=lambda path: path.stem)
def test_a_recorded_file_can_be_judged_from_the_command_line(path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "windlass.testing.linearizable", str(path)], capture_output=True, text=True, check=False)
    assert not done.stderr
    assert done.returncode == (0 if "-good-" in path.name else 1), done.stdout
    assert "violations" in done.stdout


class Draw:
    """Random histories of a model: what may be asked, and every answer that could be told to it."""

    def __init__(self, model: Model, asked: Sequence[tuple[str, Callable[[int], Any]]], answers: Callable[[str], Sequence[Any]]) -> None:
        self.model, self.asked, self.answers = model, asked, answers

    def history(self, data: st.DataObject) -> list[Operation]:
        """Up to six operations, answered as one order would have it, and then perhaps spoilt."""
        size = data.draw(st.integers(1, 6), "size")
        drafts = []
        for number in range(size):
            do, args = data.draw(st.sampled_from(self.asked), "asked")
            called = data.draw(st.integers(0, 9), "called")
            returned = data.draw(st.none() | st.integers(called, 12), "returned")
            drafts.append(Operation(process=f"p{number}", key="k", do=do, args=args(number), called=called, returned=returned))
        moments = {one.process: data.draw(st.integers(one.called, one.returned or 20), "moment") for one in drafts}
        state, told = self.model.start, []
        for one in sorted(drafts, key=lambda one: moments[one.process]):
            fits = [
                one.but(answer=answer) for answer in self.answers(one.do) if self.model.step(state, one.but(answer=answer)) is not MISFIT
            ]
            chosen = data.draw(st.sampled_from(fits), "answer") if fits else one.but(returned=None)
            if chosen.returned is not None or data.draw(st.booleans(), "landed"):
                state = self.model.step(state, chosen)
            told.append(chosen if chosen.returned is not None else chosen.but(answer=None))
        if data.draw(st.booleans(), "spoil"):
            spoilt = data.draw(st.integers(0, size - 1), "which")
            one = told[spoilt]
            if one.known:
                told[spoilt] = one.but(answer=data.draw(st.sampled_from(self.answers(one.do)), "lie"))
        return told


def _object_answers(do: str) -> Sequence[Any]:
    if do in ("create", "replace"):
        return [{"won": True}, {"won": False}, {"won": None}]
    return [{"value": None}, *({"value": f"v{number}"} for number in range(6)), *([{"value": "*"}] if do == "list" else [])]


def _mail_answers(do: str) -> Sequence[Any]:
    if do == "append":
        return [{"slot": slot} for slot in range(4)]
    names = [f"m{number}" for number in range(6)]
    return [{"messages": list(some)} for size in range(4) for some in permutations(names, size)]


def _register_answers(do: str) -> Sequence[Any]:
    answers: dict[str, Sequence[Any]] = {"read": [None, 0, 1], "write": [True], "cas": [True, False]}
    return answers[do]


DRAWS = {
    "register": Draw(
        REGISTER,
        [
            ("read", lambda _: None),
            *(("write", lambda _, v=v: v) for v in (0, 1)),
            *(("cas", lambda _, v=v: v) for v in ((0, 1), (1, 0), (1, 1))),
        ],
        _register_answers,
    ),
    "object": Draw(
        OBJECT,
        [
            ("create", lambda number: {"value": f"v{number}"}),
            *(("replace", lambda number, old=old: {"value": f"v{number}", "over": old}) for old in ("v0", "v1")),
            *((do, lambda _: {}) for do in ("get", "list")),
        ],
        _object_answers,
    ),
    "mailbox": Draw(
        MAILBOX, [*(("append", lambda number: {"message": f"m{number}"}),) * 2, ("read", lambda _: {"slot": 0, "most": 9})], _mail_answers
    ),
}


def by_all_permutations(model: Model, operations: Sequence[Operation]) -> bool:
    """The definition: some order of all that returned and any of the rest, in which nothing comes before what had ended before its call."""
    certain = [one for one in operations if one.known]
    open_ = [one for one in operations if not one.known]
    for size in range(len(open_) + 1):
        for some in combinations(open_, size):
            for order in permutations([*certain, *some]):
                if any(b.returned is not None and b.returned < a.called for i, a in enumerate(order) for b in order[i + 1 :]):
                    continue
                state = model.start
                for one in order:
                    state = model.step(state, one)
                    if state is MISFIT:
                        break
                else:
                    return True
    return False


@pytest.mark.parametrize("name", DRAWS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_it_agrees_with_the_definition_on_small_histories(name: str, data: st.DataObject) -> None:
    draw = DRAWS[name]
    history = draw.history(data)
    expected = Verdict.LINEARIZABLE if by_all_permutations(draw.model, history) else Verdict.VIOLATION
    assert check(draw.model, history).verdict is expected


def _write(process: str, value: str, called: int, returned: int | None, *, over: str | None = None, won: bool | None = True) -> Operation:
    do, args = ("replace", {"value": value, "over": over}) if over else ("create", {"value": value})
    return Operation(process=process, key="k", do=do, args=args, called=called, returned=returned, answer={"won": won})


def _read(process: str, value: str | None, called: int, returned: int | None) -> Operation:
    return Operation(process=process, key="k", do="get", called=called, returned=returned, answer={"value": value})


def test_a_violation_is_told_by_what_fits_and_the_operation_that_does_not() -> None:
    history = [
        _write("a", "x", 1, 2),
        _write("b", "y", 3, 4, over="x"),
        _read("c", "x", 5, 6),
        _read("d", "y", 7, 8),
        _read("e", "z", 9, 10),
    ]
    lines = check(OBJECT, history).why.splitlines()
    assert lines == [
        "one order of the 2 operations that fit:",
        "  [0 … 1] a: create {'value': 'x'} = {'won': True}  → x",
        "  [2 … 3] b: replace {'value': 'y', 'over': 'x'} = {'won': True}  → y",
        "does not fit: [4 … 5] c: get = {'value': 'x'}",
        "  tried in the state y",
    ]


def test_a_write_that_would_change_nothing_now_may_come_later() -> None:
    def asked(process: str, do: str, args: int | None, called: int, returned: int, answer: object) -> Operation:
        return Operation(process=process, key="k", do=do, args=args, called=called, returned=returned, answer=answer)

    again = [
        asked("a", "write", 1, 0, 0, True),
        asked("b", "write", 1, 1, 9, True),
        asked("c", "write", 2, 1, 9, True),
        asked("d", "read", None, 10, 11, 1),
    ]
    assert check(REGISTER, again).verdict is Verdict.LINEARIZABLE
    untold = [
        _write("a", "v", 1, 9, over="x", won=None),
        _write("b", "x", 1, None),
        _read("c", None, 2, 3),
        _write("d", "w", 4, 5, over="v", won=False),
        _read("e", "v", 6, 9),
    ]
    assert check(OBJECT, untold).verdict is Verdict.LINEARIZABLE


def test_it_gives_no_verdict_when_its_steps_run_out_and_that_is_a_failure() -> None:
    open_ = [_write(f"p{number}", f"v{number}", 1, None, over="v0").but(answer=None) for number in range(30)]
    history = [_write("a", "v0", 0, 1), *open_, _read("b", "nobody's", 5, 6)]
    assert check(OBJECT, history).verdict is Verdict.VIOLATION
    finding = check(OBJECT, history, most=10)
    assert finding.verdict is Verdict.UNDECIDED
    lines = (Path(__file__).parent / "data" / "histories" / "object-good-lands-late.jsonl").read_bytes().splitlines()
    report = judge(merge(lines), most=3)
    assert (report.count(Verdict.UNDECIDED), report.fine) == (1, False)
    assert "undecided" in report.text()


def test_keys_are_judged_apart() -> None:
    good, bad = _write("a", "x", 1, 2), _write("b", "x", 1, 2, won=False).but(key="other")
    assert {one.key: one.verdict for one in check_each(OBJECT, [good, bad])} == {"k": Verdict.LINEARIZABLE, "other": Verdict.VIOLATION}


def test_ten_thousand_operations_with_unknown_outcomes_are_decided() -> None:
    history, value = [_write("a", "v", 0, 1)], "v"
    for number in range(5_000):
        at = 10 * number + 10
        lost = number % 50 == 0
        now = f"v{number}"
        if lost:
            history.append(_write("a", now, at, None, over=value).but(answer=None))
        else:
            history.append(_write("a", now, at, at + 8, over=value))
        value = now if not lost or number % 100 == 0 else value
        history.append(_read("b", value, at + 4, at + 9))
    assert check(OBJECT, history).verdict is Verdict.LINEARIZABLE
    assert check(OBJECT, [*history, _read("c", "v1", 60_000, 60_001)], explain=False).verdict is Verdict.VIOLATION


def test_histories_of_two_models_or_of_none_are_refused() -> None:
    begin = [json.dumps({"history": 1, "model": name}).encode() for name in ("object", "step", "something")]
    for lines in ([], begin[:2], begin[2:], [b'{"n": 1, "p": "a", "at": 1, "key": "k", "do": "get"}']):
        with pytest.raises(ValueError, match="model"):
            merge(lines)
