"""New mail is got once: it counts as read when the program asks for more, or ends well."""

from __future__ import annotations

from typing import Any

import pytest

import windlass

Open = Any


def texts(inbox: windlass.records.Inbox) -> list[str]:
    return [m.message.text for m in inbox]


def test_an_inbox_is_its_mails(p: windlass.Project) -> None:
    assert not p.mail.inbox(new=True)
    for number in range(3):
        p.mail.send("designer", f"{number}")
    inbox = p.mail.inbox(new=True)
    assert inbox
    assert len(inbox) == 3
    assert texts(inbox) == ["0", "1", "2"] == [m.message.text for m in inbox.mails]


def test_what_was_got_counts_as_read_at_the_next_call(p: windlass.Project, open_as: Open) -> None:
    p.mail.send("designer", "one")
    assert texts(p.mail.inbox(new=True)) == ["one"]
    assert texts(open_as("designer").mail.inbox(new=True)) == ["one"]
    assert texts(p.mail.inbox(new=True)) == []
    assert texts(open_as("designer").mail.inbox(new=True)) == []
    assert texts(p.mail.inbox()) == ["one"]


def test_what_was_got_counts_as_read_where_the_block_ends_well(open_as: Open) -> None:
    with open_as("designer") as p:
        p.mail.send("designer", "one")
        for m in p.mail.inbox(new=True):
            assert m.message.sender == "designer"
    assert texts(open_as("designer").mail.inbox(new=True)) == []


def test_what_was_got_is_seen_again_where_the_block_ends_by_an_exception(open_as: Open) -> None:
    with pytest.raises(ZeroDivisionError), open_as("designer") as p:
        p.mail.send("designer", "one")
        for _ in p.mail.inbox(new=True):
            _ = 1 / 0
    assert texts(open_as("designer").mail.inbox(new=True)) == ["one"]


def test_looking_at_all_mail_reads_nothing(p: windlass.Project, open_as: Open) -> None:
    p.mail.send("designer", "one")
    p.mail.inbox(new=True)
    assert texts(p.mail.inbox()) == ["one"]
    assert texts(open_as("designer").mail.inbox(new=True)) == ["one"]


def test_the_rest_comes_with_the_next_call(p: windlass.Project) -> None:
    for number in range(5):
        p.mail.send("designer", f"{number}")
    first = p.mail.inbox(new=True, limit=3)
    assert (texts(first), first.more) == (["0", "1", "2"], True)
    assert texts(p.mail.inbox(new=True)) == ["3", "4"]


def test_waiting_ends_with_a_message_or_in_time(p: windlass.Project, open_as: Open) -> None:
    with pytest.raises(windlass.TimedOut):
        p.mail.inbox(wait=0)
    open_as("developer").mail.send("designer", "one")
    assert texts(p.mail.inbox(wait=100)) == ["one"]
    with pytest.raises(windlass.TimedOut):
        p.mail.inbox(wait=0.01)


def test_a_store_that_fails_while_noting_what_was_read_loses_no_note(p: windlass.Project) -> None:
    p.mail.send("designer", "one")
    p.mail.inbox(new=True)
    world = p.session.world
    store, world.store = world.store, Down()
    with pytest.raises(windlass.Unavailable):
        p.mail.inbox(new=True)
    world.store = store
    assert texts(p.mail.inbox(new=True)) == []


class Down:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Any:
        raise windlass.Unavailable("the store is down")
