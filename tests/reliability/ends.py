"""What must be true at every end of an exploration: what each program was told, against what is in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.ops.world import Place
from tests.reliability.invariants import check_log, check_versions, step_of

from windlass.ops import logs, mail
from windlass.protocol import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windlass.protocol.plans import Plan
    from windlass.testing.explore import End


def told_the_truth_about_steps(*names: str) -> Callable[[End], None]:
    """Done: that very change is in the step's history, under that epoch. Refused or failed: nothing of it is anywhere. Held already:
    that epoch was handed to the caller. Only the unknown may be either.
    """

    def check(end: End) -> None:
        histories = {name: step_of(body).history for name in names if (body := end.objects.get(keys.step(name)))}
        for who, notes in end.notes.items():
            for place, (note, life) in enumerate(zip(notes, end.lives[who], strict=True)):
                mine = {
                    name: [line for line in lines if line.write_id.startswith(f"{who}{place}life{life}n")]
                    for name, lines in histories.items()
                }
                assert all(len(lines) <= 1 for lines in mine.values()), f"{who} did one thing and it happened twice"
                match note:
                    case ("done" | "won", str(name), int(epoch), *_):
                        assert [line.epoch for line in mine[name]] == [epoch], f"{who} was told {note}, and {mine[name]} is there"
                    case ("held", str(name), int(epoch), by):
                        taken = [line.by for line in histories[name] if line.epoch == epoch and line.event in ("claim", "takeover")]
                        assert taken == [by], f"{who} was told {note}, and the epoch is {taken}'s"
                        assert not any(mine.values()), f"{who} was told {note}, and wrote"
                    case ("refused" | "failed" | "again", *_):
                        assert not any(mine.values()), f"{who} was told {note}, and yet it is there"

    return check


def all_applied(planner: str, plan: Plan) -> Callable[[End], None]:
    """Who was told that the plan is applied finds each step of it, with its needs."""

    def check(end: End) -> None:
        if ("done",) in end.notes.get(planner, ()):
            for name, definition in plan.steps.items():
                assert step_of(end.objects[keys.step(name)]).needs == definition.needs, f"{name} was not applied"

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
    """Each set that was told done is the version it was told, over the one it asked for; none that was refused is there."""

    def check(end: End) -> None:
        versions = check_versions(key, end.objects)
        ids = [one.write_id for one in versions]
        assert len(ids) == len(set(ids))
        for who, notes in end.notes.items():
            read = 0
            for place, (note, life) in enumerate(zip(notes, end.lives[who], strict=True)):
                match note:
                    case ("done", int(version), write_id, wanted):
                        assert ids[version - 1] == write_id, f"{who} was told version {version}, which is another's"
                        there = version == 1 or not versions[version - 2].deleted
                        over = version - 1 if wanted or (there and version > 1) else 0
                        assert wanted in (None, over), f"{who} asked for version {wanted} and replaced {version - 1}"
                    case ("refused" | "failed", *_):
                        mine = [one for one in ids if one.startswith(f"{who}{place}life{life}n")]
                        assert not mine, f"{who}: {note}, yet it is there"
                    case ("read", int(version), write_id):
                        assert version >= read, "a value older than one read before"
                        assert ids[version - 1] == write_id, "a value that never was live"
                        read = version

    return check


def mail_is_in_order(reader: str, *mailboxes: str, repeated: bool = False) -> Callable[[End], None]:
    """Each message told sent is in the log once, each told not sent is not there. What the reader saw, with what it sees when it
    reads on, is the whole log in order: each message once, or again only where it could not note what it had read. Whatever gap was
    left, the next sender and reader get past it. `repeated`: the same is sent more than once under one id.
    """

    def check(end: End) -> None:
        place = go_on(end.objects, mailboxes)
        objects = {key: place.body(key) for key in place.keys(keys.MAIL)}
        logs_ = {box: check_log(box, objects) for box in mailboxes}
        reads = [note for note in end.notes.get(reader, ()) if isinstance(note, tuple) and note[0] == "read"]
        marks = [note for note in end.notes.get(reader, ()) if note == ("marked",)]
        again = any(end.lives.get(reader, ())) or reader in end.dead or len(marks) < len(reads)
        batches = [note[3:] for note in reads] + (read_on(place, reader) if reader in end.notes else [])
        for box, messages in logs_.items() if batches else ():
            there = [
                (n, one.text) for n, one in enumerate(messages) if not one.void and not (box == keys.BROADCAST and one.sender == reader)
            ]
            seen: dict[tuple[int, str], None] = {}
            for batch in batches:
                here = [(int(ident.rpartition(":")[2]), text) for ident, text in batch if ident.rpartition(":")[0] == box]
                assert here == sorted(here), f"{reader} was shown {here}"
                assert again or seen.keys().isdisjoint(here), f"{reader} was shown {here} again"
                seen |= dict.fromkeys(here)
            assert list(seen) == there, f"{reader} was shown {list(seen)} of {there}"
        ids = [one.write_id for messages in logs_.values() for one in messages if not one.void]
        for name, notes in end.notes.items():
            for at, (note, life) in enumerate(zip(notes, end.lives[name], strict=True)):
                match note:
                    case ("sent", str(ident), text):
                        box, _, number = ident.rpartition(":")
                        assert logs_[box][int(number)].text == text, f"{name} was told {note}"
                    case ("unsent", _) if not repeated:
                        assert not any(one.startswith(f"{name}{at}life{life}n") for one in ids), f"{name} was told {note}"

    return check


def go_on(objects: Mapping[str, bytes], mailboxes: Sequence[str]) -> Place:
    """The store after somebody new has sent to each mailbox and read it whole, without a fault."""
    place = Place()
    for key, body in objects.items():
        place.write(key, body)
    late = place.agent("late").warm()
    for box in mailboxes:
        late.do(mail.send(late.actor, box, "afterwards"))
        late.do(logs.read_whole(box, 100))
    return place


def read_on(place: Place, name: str) -> list[tuple[tuple[str, str], ...]]:
    """What a reader is shown until nothing is new."""
    reader = place.agent(name)
    out: list[tuple[tuple[str, str], ...]] = []
    while inbox := reader.do(mail.unread(reader.actor)):
        assert len(out) < 20, f"{name} is shown the same again and again"
        out.append(tuple((one.id, one.message.text) for one in inbox.mails))
        reader.do(mail.seen(reader.actor, inbox))
    return out


def sent_once(sender: str, mailbox: str, text: str) -> Callable[[End], None]:
    """However often it was sent under one id."""

    def check(end: End) -> None:
        found = sum(one.text == text for one in check_log(mailbox, end.objects))
        assert found <= 1, f"{text!r} is there {found} times"
        if any(isinstance(note, tuple) and note[0] == "sent" for note in end.notes[sender]):
            assert found == 1, f"{text!r} is not there"

    return check
