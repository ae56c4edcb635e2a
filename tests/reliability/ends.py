"""What must be true at every end of an exploration: what each program was told, against what is in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.ops.world import Place
from tests.reliability.invariants import check_log, check_versions, step_of

from windlass.ops import logs, mail
from windlass.protocol import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windlass.testing.explore import End


def told_the_truth_about_steps(*names: str) -> Callable[[End], None]:
    """Done: in the history once. Refused or failed: nothing of it is there. Only the unknown may be either."""

    def check(end: End) -> None:
        histories = [step_of(body).history for name in names if (body := end.objects.get(keys.step(name)))]
        for name, notes in end.notes.items():
            for place, note in enumerate(notes):
                if not isinstance(note, tuple):
                    continue
                this_life = [
                    [line for line in lines if line.write_id.startswith(f"{name}{place}life{end.lives[name]}n")] for lines in histories
                ]
                any_life = [line for lines in histories for line in lines if line.write_id.startswith(f"{name}{place}life")]
                assert all(len(lines) <= 1 for lines in this_life), f"{name} did one thing and it happened twice"
                if note[0] in ("done", "won"):
                    assert any_life, f"{name} was told {note}, and there is nothing of it"
                elif note[0] in ("refused", "failed", "again"):
                    assert not any(this_life), f"{name} was told {note}, and yet it is there"

    return check


def one_completion_an_epoch(*names: str) -> Callable[[End], None]:
    """Nobody's work is accepted twice under one claim."""

    def check(end: End) -> None:
        for name in names:
            body = end.objects.get(keys.step(name))
            epochs = [line.epoch for line in (step_of(body).history if body else ()) if line.event == "complete"]
            assert len(epochs) == len(set(epochs))

    return check


def every_version_is_kept(key: str = "k") -> Callable[[End], None]:
    """Each set that was told done is a version, with that number; none that was refused is."""

    def check(end: End) -> None:
        versions = check_versions(key, end.objects)
        ids = [one.write_id for one in versions]
        assert len(ids) == len(set(ids))
        for name, notes in end.notes.items():
            read = 0
            for place, note in enumerate(notes):
                if not isinstance(note, tuple):
                    continue
                if note[0] == "done":
                    assert ids[note[1] - 1] == note[2], f"{name} was told version {note[1]}, which is another's"
                elif note[0] in ("refused", "failed"):
                    assert not any(one.startswith(f"{name}{place}life{end.lives[name]}n") for one in ids), (
                        f"{name}: {note}, yet it is there"
                    )
                elif note[0] == "read":
                    assert note[1] >= read, "a value older than one read before"
                    assert ids[note[1] - 1] == note[2], "a value that never was live"
                    read = note[1]

    return check


def mail_is_in_order(reader: str, *mailboxes: str) -> Callable[[End], None]:
    """Each message told sent is in the log once; what the reader saw is the log's beginning, in order, each once, or more often
    only where it could not note what it had read. Whatever gap was left, the next sender and reader get past it.
    """

    def check(end: End) -> None:
        healed = go_on(end.objects, mailboxes)
        logs_ = {box: check_log(box, healed) for box in mailboxes}
        reads = [note for note in end.notes.get(reader, ()) if isinstance(note, tuple) and note[0] == "read"]
        again = end.lives.get(reader) or not all(note[1] for note in reads)
        shown = [one for note in reads for one in note[2:]]
        for box, messages in logs_.items():
            here = [(int(ident.rpartition(":")[2]), text) for ident, text in shown if ident.rpartition(":")[0] == box]
            there = [
                (n, one.text) for n, one in enumerate(messages) if not one.void and not (box == keys.BROADCAST and one.sender == reader)
            ]
            if again:
                here = sorted(set(here))
            assert here == there[: len(here)], f"{reader} was shown {here} of {there}"
        for name, notes in end.notes.items():
            for note in notes:
                if isinstance(note, tuple) and note[0] == "sent":
                    box, _, number = note[1].rpartition(":")
                    assert logs_[box][int(number)].text == note[2], f"{name} was told {note}"

    return check


def go_on(objects: Mapping[str, bytes], mailboxes: Sequence[str]) -> dict[str, bytes]:
    """What is in the store after somebody new has sent to each mailbox and read it whole, without a fault."""
    place = Place()
    for key, body in objects.items():
        place.write(key, body)
    late = place.agent("late").warm()
    for box in mailboxes:
        late.do(mail.send(late.actor, box, "afterwards"))
        late.do(logs.read_whole(box, 100))
    return dict(zip(found := place.keys(), map(place.body, found), strict=True))


def sent_once(sender: str, mailbox: str, text: str) -> Callable[[End], None]:
    """However often it was sent under one id."""

    def check(end: End) -> None:
        found = sum(one.text == text for one in check_log(mailbox, end.objects))
        assert found <= 1, f"{text!r} is there {found} times"
        if any(isinstance(note, tuple) and note[0] == "sent" for note in end.notes[sender]):
            assert found == 1, f"{text!r} is not there"

    return check
