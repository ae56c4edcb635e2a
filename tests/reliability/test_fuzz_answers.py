"""Whatever a server answers: an error that says so, or an answer that can be used; never for ever, no guess at a write."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reliability.fuzz_answers import GETS, LISTS, PUTS, SECRET, Server
from tests.reliability.fuzz_text import budget, steered
from tests.reliability.fuzz_world import alarm, alone, command, judge
from tests.stores.s3_double import Answer

from windlass.effects import IfAbsent, IfMatch, Object
from windlass.errors import Damaged, PutRefused, PutUnclear, StoreError, WindlassError
from windlass.stores import answers, objects
from windlass.stores.location import Location
from windlass.stores.objects import S3Store, open_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "NO_PROXY": "127.0.0.1",
}
PATIENCE = 60.0


class Hang(BaseException):
    """It goes on for ever."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """A store there, that does not wait between attempts."""
    monkeypatch.setattr(objects, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(objects, "LISTING", 1)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return open_s3(f"s3://bucket/p?endpoint={server.endpoint}&region=us-east-1&timeout=1")


def attempt(action: Callable[[], Any]) -> Any:
    """What comes of it; an error must be one of ours, and quiet."""
    with alarm(PATIENCE, Hang()):
        try:
            return action()
        except (WindlassError, PutRefused, PutUnclear) as error:
            told = f"{error} {getattr(error, 'hint', '')}"
            assert not steered(told), told
            assert SECRET not in told, told
            return error


@pytest.mark.parametrize("what", LISTS)
def test_a_listing_ends_and_holds_only_keys_of_ours_in_their_order(server: Server, store: S3Store, what: str) -> None:
    server.be(list=LISTS[what])
    after = ""
    for _ in range(3):
        page = attempt(partial(store.list, "demo/steps/", after, 1000))
        if isinstance(page, Exception):
            assert isinstance(page, (StoreError, Damaged)), page
            break
        keys = [entry.key for entry in page.entries]
        assert all(key.startswith("demo/steps/") and key > after for key in keys), keys
        assert keys == sorted(set(keys)), keys
        if page.more is None:
            break
        assert page.more > after
        after = page.more
    folders = attempt(lambda: store.folders("demo/"))
    assert isinstance(folders, (tuple, Exception))


@pytest.mark.parametrize("what", GETS)
def test_a_read_gives_the_object_or_an_error(server: Server, store: S3Store, what: str) -> None:
    server.be(get=GETS[what], head=GETS[what])
    for unless in (None, "abc"):
        found = attempt(partial(store.get, "demo/steps/a.json", unless))
        if isinstance(found, Object):
            assert found.body == GETS[what].body[: len(found.body)]
            assert found.version
        elif found is None:
            assert GETS[what].status == 404
    assert len(server.seen) < 100, "a library follows ten redirects of each of three attempts"


@pytest.mark.parametrize("what", PUTS)
def test_a_write_is_done_refused_or_unclear_and_tried_once(server: Server, store: S3Store, what: str) -> None:
    for condition in (IfAbsent(), IfMatch(version="abc")):
        server.be(put=PUTS[what])
        came = attempt(partial(store.put, "demo/steps/a.json", b"{}", condition))
        if not isinstance(came, Exception):
            assert PUTS[what].status == 200
            assert came
        assert len([one for one in server.seen if one.method == "PUT"]) == 1
        if PUTS[what].status in (200, 500, 429, 409):
            assert not isinstance(came, PutRefused), "nobody said that the condition fails"


COMMANDS = (("status",), ("claim", "a"), ("memory", "list", "--json"), ("inbox", "--json"), ("log",), ("doctor", "--policy"))


@pytest.mark.parametrize("kind", ["list", "get", "put"])
def test_no_answer_is_a_traceback_for_a_command(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(objects, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(objects, "LISTING", 1)
    monkeypatch.setattr("windlass.ops.registers.RESEND", (0.0, 0.0))
    url = f"s3://bucket/p?endpoint={server.endpoint}&region=us-east-1&timeout=1"
    chosen = {"list": LISTS, "get": GETS, "put": PUTS}[kind]
    with alone(tmp_path, **KEYS, WINDLASS_STORE=url):
        for number, (what, answer) in enumerate(chosen.items()):
            server.be(**{kind: answer, **({"head": answer} if kind == "get" else {})})
            result = command(COMMANDS[number % len(COMMANDS)])
            judge(result)
            assert SECRET not in result.out + result.err, (what, result)
            assert result.code in (0, 1, 3, 4, 7), (what, result)


PLACE = Location(url="s3://bucket/p", bucket="bucket", prefix="p")


@budget(400)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.tuples(
            st.sampled_from(
                [
                    "status code: ",
                    "status code: 403",
                    "<Code>",
                    "<Region>",
                    "HttpError { kind: Connect,",
                    "source: MissingEtag,",
                    "<ServerTime>",
                    "error sending request for url (http://h/?X-Amz-Signature=",
                ]
            ),
            st.text(max_size=30),
            st.sampled_from(["", "</Code>", "</Region>", "</ServerTime><RequestTime>x</RequestTime>"]),
        ).map("".join),
    )
)
def test_no_error_of_the_library_is_a_traceback_or_passed_on(text: str) -> None:
    answer = answers.understand(Exception(text + f" https://h/?X-Amz-Signature={SECRET}"))
    for error in (
        answers.of_read(answer, PLACE, None, "k"),
        answers.of_put(answer, PLACE, None, "k", True),
        answers.of_put(answer, PLACE, None, "k", False),
    ):
        assert SECRET not in f"{error}{getattr(error, 'hint', '')}"
        assert isinstance(error, (WindlassError, PutRefused, PutUnclear))


def test_a_huge_answer_is_not_read_to_its_end(server: Server, store: S3Store) -> None:
    server.be(get=Answer(200, b"x" * (5 * 1024 * 1024), {"etag": '"a"', "last-modified": "Fri, 20 Nov 2026 12:00:00 GMT"}))
    begun = time.monotonic()
    assert isinstance(attempt(lambda: store.get("k")), Damaged)
    assert time.monotonic() - begun < PATIENCE
