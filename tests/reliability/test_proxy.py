"""The fault proxy changes nothing unasked, and does each harm that it promises, seen by a client that shows every byte."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.reliability.wires import OK, Client, Server

from windlass.errors import UsageError
from windlass.testing.proxy import Proxy
from windlass.testing.troubles import ONLY_FOR, Trouble, scripted, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUT = b"PUT /bucket/k HTTP/1.1\r\nHost: s3.example\r\nIf-None-Match: *\r\nContent-Length: 3\r\n\r\nabc"
GET = b"GET /bucket/k HTTP/1.1\r\nHost: s3.example\r\n\r\n"
LIST = b"GET /bucket/?list-type=2&prefix=p%2F HTTP/1.1\r\nHost: s3.example\r\n\r\n"
ENTRIES = b"".join(b"<Contents><Key>%d</Key></Contents>" % n for n in range(4))
LISTING = b"<ListBucketResult><IsTruncated>true</IsTruncated>" + ENTRIES + b"</ListBucketResult>"


def answer(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"Content-Length: %d" % len(body), b"", body])


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url, lateness=None, patience=10) as one:
        yield one


@pytest.fixture
def new_client(proxy: Proxy) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(seconds: float = 10.0) -> Client:
        made.append(Client(proxy.url, seconds))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def client(new_client: Callable[..., Client]) -> Client:
    return new_client()


def always(proxy: Proxy, trouble: Trouble) -> None:
    proxy.plan = lambda kind, key: trouble


def until(condition: Callable[[], bool]) -> None:
    """Let other threads go on until it holds."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came about")


@pytest.mark.parametrize(
    "request_",
    [
        PUT,
        GET,
        LIST,
        b"PUT /bucket/a%2Bb+c?x-id=PutObject HTTP/1.1\r\nhOST: other:1\r\nX-Two: 1\r\nX-Two:  2\r\nContent-Length: 0\r\n\r\n",
        b"PUT /bucket/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;sig=x\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"DELETE /bucket/k HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
@pytest.mark.parametrize(
    "given",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 77\r\n\r\n',
        b"HTTP/1.1 412 Precondition Failed\r\nset-cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n",
        answer(bytes(range(256)) * 1000),
    ],
)
def test_every_byte_passes_unchanged_both_ways_on_one_connection(
    server: Server, proxy: Proxy, client: Client, request_: bytes, given: bytes
) -> None:
    server.answer = lambda head, body: given
    for _ in range(3):
        assert client.ask(request_, len(given)) == given
    assert [head + body for head, body in server.seen] == [request_] * 3
    assert server.connections == 1
    assert not any(proxy.fired.values())


def test_an_answer_without_a_length_ends_with_its_connection(server: Server, client: Client) -> None:
    server.answer = lambda head, body: b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    server.hang_up = True
    client.send(GET)
    assert client.rest() == b"HTTP/1.1 200 OK\r\n\r\nuntil the end"


def test_the_answer_to_a_head_has_no_body(server: Server, client: Client) -> None:
    given = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
    server.answer = lambda head, body: given
    for _ in range(2):
        assert client.ask(GET.replace(b"GET", b"HEAD"), len(given)) == given


def test_a_client_that_asks_first_is_told_to_go_on(server: Server, client: Client) -> None:
    head, _, body = PUT.replace(b"Host", b"Expect: 100-continue\r\nHost").partition(b"abc")
    server.answer = lambda head, body: b"HTTP/1.1 100 Continue\r\n\r\n" + OK
    assert client.ask(head, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.ask(b"abc" + body) == OK
    assert server.seen[0][1] == b"abc"


def test_a_client_that_says_close_is_hung_up_on(client: Client) -> None:
    client.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
    assert client.rest() == OK


def test_a_server_that_hung_up_meanwhile_is_asked_again_by_a_new_connection(server: Server, client: Client) -> None:
    server.hang_up = True
    for _ in range(3):
        assert client.ask(PUT) == OK
        until(lambda: all(one.fileno() == -1 for one in server._open))
    assert (server.connections, len(server.seen)) == (3, 3)


def test_a_server_that_is_gone_drops_the_connection(server: Server, client: Client, proxy: Proxy) -> None:
    server.close()
    assert client.ask(PUT) == b""
    assert [entry.status for entry in proxy.log] == [0]


def test_what_is_no_http_drops_the_connection(server: Server, client: Client) -> None:
    assert client.ask(b"EHLO there\r\n\r\n") == b""
    assert not server.seen


def test_a_process_with_more_than_a_thousand_open_files_is_served(new_client: Callable[..., Client]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this system lets nobody open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with contextlib.ExitStack() as files:
            for _ in range(1100):
                files.enter_context(open(os.devnull, "rb"))
            client = new_client()
            assert [client.ask(GET, len(OK)) for _ in range(3)] == [OK] * 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_clients_get_each_its_own_answers(server: Server, new_client: Callable[..., Client]) -> None:
    def mirror(head: bytes, body: bytes) -> bytes:
        return answer(body)

    server.answer = mirror

    def talk(number: int) -> bool:
        client = new_client()
        for turn in range(20):
            mine = b"%04d" % (100 * number + turn)
            wanted = answer(mine)
            got = client.ask(b"PUT /bucket/%d HTTP/1.1\r\nContent-Length: 4\r\n\r\n" % number + mine, len(wanted))
            assert got == wanted
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(talk, range(16)))
    assert len(server.seen) == 320


NOTHING = b""
HALF = OK[: len(OK) - 2]
PLAIN: list[tuple[Trouble, int, bytes]] = [
    (Trouble.DROP, 0, NOTHING),
    (Trouble.LATE, 0, NOTHING),
    (Trouble.LOSE_ANSWER, 1, NOTHING),
    (Trouble.CUT, 1, HALF),
    (Trouble.DUPLICATE, 2, OK),
    (Trouble.BUSY, 0, b"HTTP/1.1 503"),
    (Trouble.BUSY_AFTER, 1, b"HTTP/1.1 503"),
    (Trouble.THROTTLED, 0, b"HTTP/1.1 429"),
    (Trouble.THROTTLED_AFTER, 1, b"HTTP/1.1 429"),
    (Trouble.CONFLICT, 0, b"HTTP/1.1 409"),
    (Trouble.CONFLICT_AFTER, 1, b"HTTP/1.1 409"),
    (Trouble.FAILED, 0, b"HTTP/1.1 500"),
    (Trouble.FAILED_AFTER, 1, b"HTTP/1.1 500"),
    (Trouble.BAD_GATEWAY, 0, b"HTTP/1.1 502"),
    (Trouble.BAD_GATEWAY_AFTER, 1, b"HTTP/1.1 502"),
    (Trouble.GATEWAY_TIMEOUT, 0, b"HTTP/1.1 504"),
    (Trouble.GATEWAY_TIMEOUT_AFTER, 1, b"HTTP/1.1 504"),
]


@pytest.mark.parametrize(("trouble", "arrived", "told"), PLAIN, ids=lambda value: getattr(value, "value", ""))
def test_what_the_client_is_told_and_what_reaches_the_server(
    server: Server, proxy: Proxy, client: Client, trouble: Trouble, arrived: int, told: bytes
) -> None:
    always(proxy, trouble)
    assert client.ask(PUT, len(told) or 1) == told
    assert server.seen == [(PUT[:-3], b"abc")] * arrived
    assert proxy.fired[trouble.value] == sum(proxy.fired.values()) == 1
    if not told.startswith(b"HTTP") or trouble is Trouble.CUT:
        assert client.rest() == b""
    (entry,) = proxy.log
    assert (entry.method, entry.kind, entry.key, entry.trouble) == ("PUT", "put", "k", trouble.value)
    assert entry.status == (0 if told in (NOTHING, HALF) else int(told[9:12]))


def test_a_refusal_looks_like_a_stores_or_a_gateways(proxy: Proxy, client: Client) -> None:
    for status, sign in (
        (503, b"<Code>SlowDown</Code>"),
        (409, b"<Code>ConditionalRequestConflict</Code>"),
        (502, b"<html>"),
        (504, b"<html>"),
    ):
        always(proxy, Trouble(str(status)))
        head = b""
        client.send(PUT)
        while not head.endswith(b"\r\n\r\n"):
            head += client.read(1)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert (b"Retry-After: 1" in head) == (status == 503)
        assert sign in client.read(int(head.partition(b"Content-Length: ")[2].split()[0]))


def test_a_refused_head_has_no_body_and_the_connection_goes_on(proxy: Proxy, client: Client) -> None:
    always(proxy, Trouble.BUSY)
    client.send(GET.replace(b"GET", b"HEAD"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.read(1)
    proxy.set_odds({})
    assert client.ask(GET) == OK


def test_a_reset_is_a_reset(server: Server, proxy: Proxy, client: Client) -> None:
    always(proxy, Trouble.RESET)
    client.send(PUT)
    with pytest.raises(ConnectionResetError):
        client.rest()
    assert len(server.seen) == 1


def test_an_empty_answer_is_cut_within_its_head(server: Server, proxy: Proxy, client: Client) -> None:
    server.answer = lambda head, body: b"HTTP/1.1 204 No Content\r\n\r\n"
    always(proxy, Trouble.CUT)
    client.send(PUT)
    assert client.rest() == b"HTTP/1.1 204 "


@pytest.mark.parametrize(("trouble", "arrived"), [(Trouble.HANG, 0), (Trouble.HANG_AFTER, 1)])
def test_no_answer_comes_until_the_client_gives_up(
    server: Server, proxy: Proxy, new_client: Callable[..., Client], trouble: Trouble, arrived: int
) -> None:
    always(proxy, trouble)
    client = new_client(0.2)
    with pytest.raises(TimeoutError):
        client.ask(PUT)
    assert not proxy.log, "it still hangs"
    client.close()
    until(lambda: proxy.fired[trouble.value] == 1)
    assert len(server.seen) == arrived


def test_what_hangs_does_not_hang_for_ever(server: Server, new_client: Callable[..., Client]) -> None:
    with Proxy(server.url, {"hang": 1.0}, patience=0.05) as proxy:
        client = Client(proxy.url)
        assert client.ask(PUT) == b""
        client.close()


def test_a_late_request_lands_when_it_is_let(server: Server, proxy: Proxy, new_client: Callable[..., Client]) -> None:
    always(proxy, Trouble.LATE)
    for n in range(3):
        assert new_client().ask(PUT.replace(b"/k", b"/k%d" % n)) == b""
    assert not server.seen
    assert proxy.land_late(1) == ["k0"]
    server.answer = lambda head, body: answer(b"", status=b"412 Precondition Failed")
    assert proxy.land_late() == [], "reached the server, which refused"
    assert [head.split()[1] for head in server.heads()] == [b"/bucket/k0", b"/bucket/k1", b"/bucket/k2"]
    assert (proxy.landed_late, proxy.never_landed) == (3, 0)


def test_a_late_request_lands_by_itself_in_the_end(server: Server) -> None:
    with Proxy(server.url, {"late": 1.0}, lateness=0.01) as proxy:
        client = Client(proxy.url)
        assert client.ask(PUT) == b""
        client.close()
        until(lambda: proxy.landed_late == 1)
    assert len(server.seen) == 1


def test_what_is_late_at_the_end_never_lands_and_is_counted(server: Server) -> None:
    with Proxy(server.url, {"late": 1.0}, lateness=1000) as proxy:
        client = Client(proxy.url)
        assert client.ask(PUT) == b""
        client.close()
    assert (proxy.landed_late, proxy.never_landed) == (0, 1)
    assert not server.seen


def test_a_delayed_request_lands_though_its_client_is_gone(server: Server, proxy: Proxy, new_client: Callable[..., Client]) -> None:
    proxy.hold = 0.3
    always(proxy, Trouble.DELAY_REQUEST)
    client = new_client(0.05)
    with pytest.raises(TimeoutError):
        client.ask(PUT)
    client.close()
    assert not server.seen
    until(lambda: len(server.seen) == 1)


def test_a_delayed_request_is_answered_where_the_client_waits(proxy: Proxy, client: Client) -> None:
    proxy.hold = 0.05
    always(proxy, Trouble.DELAY_REQUEST)
    assert client.ask(PUT) == OK


def test_a_listing_is_cut_in_the_middle_and_says_that_it_is_whole(server: Server, proxy: Proxy, client: Client) -> None:
    server.answer = lambda head, body: answer(LISTING)
    always(proxy, Trouble.TRUNCATE_LIST)
    client.send(LIST.replace(b"Host", b"Connection: close\r\nHost"))
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert body == LISTING[: len(LISTING) // 2]
    assert b"Content-Length: %d" % len(body) in head


def test_a_listing_may_lie_about_its_end(server: Server, proxy: Proxy, client: Client) -> None:
    server.answer = lambda head, body: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(LISTING), LISTING)
    )
    always(proxy, Trouble.SHORTEN_LIST)
    client.send(LIST.replace(b"Host", b"Connection: close\r\nHost"))
    body = client.rest().partition(b"\r\n\r\n")[2]
    assert body == LISTING.replace(b"true", b"false").partition(b"<Contents><Key>2")[0] + b"</ListBucketResult>"


def test_a_lie_takes_the_conditions_away(server: Server, proxy: Proxy, client: Client) -> None:
    always(proxy, Trouble.STRIP_CONDITIONS)
    assert client.ask(PUT) == OK
    assert client.ask(PUT.replace(b"If-None-Match: *", b'IF-MATCH: "e1"')) == OK
    assert client.ask(PUT.replace(b"If-None-Match: *\r\n", b"")) == OK
    assert [head for head, _ in server.seen] == [PUT[:-3].replace(b"If-None-Match: *\r\n", b"")] * 3
    assert proxy.fired["strip_conditions"] == 2, "the third had none"


def test_a_lie_answers_reads_from_the_past(server: Server, proxy: Proxy, client: Client) -> None:
    proxy.plan = scripted(Trouble.STALE_READS, None, Trouble.STALE_READS, Trouble.STALE_READS, kind="get")
    head = b""
    client.send(GET)
    while not head.endswith(b"\r\n\r\n"):
        head += client.read(1)
    assert head.startswith(b"HTTP/1.1 404"), "as before it was written"
    client.read(int(head.partition(b"Content-Length: ")[2].split()[0]))
    assert client.ask(GET) == OK
    server.answer = lambda head, body: answer(b"newer")
    assert client.ask(GET) == OK, "as it was at the last look"
    unless = GET.replace(b"Host", b'If-None-Match: "e1"\r\nHost')
    assert client.ask(unless, 12) == b"HTTP/1.1 304"


def test_troubles_befall_only_the_requests_that_they_are_for(server: Server, proxy: Proxy, client: Client) -> None:
    ways = {"put": PUT, "get": GET, "list": LIST}
    for trouble, kinds in ONLY_FOR.items():
        always(proxy, trouble)
        for kind, request_ in ways.items():
            if kind not in kinds:
                assert client.ask(request_) == OK
    assert not any(proxy.fired.values())


@pytest.mark.parametrize(
    "line", [b"PUT /bucket", b"GET /bucket?lifecycle", b"HEAD /bucket/", b"POST /bucket?delete", b"GET /bucket?location="]
)
def test_requests_about_a_bucket_always_go_well(server: Server, proxy: Proxy, client: Client, line: bytes) -> None:
    always(proxy, Trouble.DROP)
    assert client.ask(line + b" HTTP/1.1\r\n\r\n", 12) == b"HTTP/1.1 200"
    assert proxy.log[-1].kind == "other"


def test_every_request_takes_longer_by_the_delay(proxy: Proxy, client: Client) -> None:
    proxy.delay = 0.03
    start = time.monotonic()
    for request_ in (PUT, GET, LIST):
        assert client.ask(request_) == OK
    assert time.monotonic() - start >= 3 * 0.03


def test_one_seed_gives_the_same_troubles_again() -> None:
    odds = {"drop": 0.2, "503_after": 0.3, "late": 0.1}

    def drawn(seed: int) -> list[Trouble | None]:
        plan = seeded(seed, odds)
        return [plan("put", "k") for _ in range(1000)]

    assert drawn(1) == drawn(1) != drawn(2)
    counts = Counter(drawn(1))
    assert set(counts) == {None, Trouble.DROP, Trouble.BUSY_AFTER, Trouble.LATE}
    assert 150 < counts[Trouble.DROP] < 250
    assert 250 < counts[Trouble.BUSY_AFTER] < 350


@pytest.mark.parametrize("odds", [{"no_such": 0.1}, {"drop": 0.6, "late": 0.5}, {"drop": -0.1}])
def test_odds_that_mean_nothing_are_refused(server: Server, odds: dict[str, float]) -> None:
    with pytest.raises(UsageError) as met:
        Proxy(server.url, odds)
    assert met.value.hint
    with Proxy(server.url) as proxy, pytest.raises(UsageError):
        proxy.set_odds(odds)


@pytest.mark.parametrize("target", ["https://127.0.0.1:1", "127.0.0.1:9000", "http://", "http://127.0.0.1/path"])
def test_only_plain_endpoints_can_be_stood_before(target: str) -> None:
    with pytest.raises(UsageError, match="no address of an S3 server"):
        Proxy(target)


def test_odds_can_be_changed_while_it_runs(proxy: Proxy, new_client: Callable[..., Client]) -> None:
    assert new_client().ask(PUT) == OK
    proxy.set_odds({"drop": 1.0})
    assert new_client().ask(PUT) == b""
    proxy.set_odds({})
    assert new_client().ask(PUT) == OK


def test_a_request_that_is_held_at_the_end_never_lands(server: Server) -> None:
    with Proxy(server.url, {"delay_request": 1.0}, hold=1000) as proxy:
        client = Client(proxy.url)
        client.send(PUT)
        until(lambda: len(proxy._wires) > 0)
    assert client.rest() == b""
    client.close()
    assert not server.seen


def test_closing_ends_every_thread_and_every_connection(server: Server) -> None:
    before = set(threading.enumerate())
    proxy = Proxy(server.url, {"hang": 0.2, "hang_after": 0.2, "delay_request": 0.2, "late": 0.1}, seed=1, hold=100, patience=100)
    clients = [Client(proxy.url) for _ in range(20)]
    for client in clients:
        client.send(PUT)
    until(lambda: len(server.seen) > 0)
    proxy.close()
    proxy.close()
    left = {thread for thread in threading.enumerate() if thread not in before and thread.name == "windlass-proxy"}
    assert not left
    for client in clients:
        try:
            client.rest()
        except ConnectionError:
            pass
        client.close()
    with pytest.raises(OSError):
        Client(proxy.url)
    gc.collect()  # an unclosed socket is a warning, and warnings are errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_on_the_command_line_it_serves_until_it_is_interrupted(server: Server, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "windlass.testing.proxy", server.url, "--odds", "drop=1", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            client = Client(process.stdout.readline().strip())
            assert client.ask(PUT) == b""
            client.close()
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[0].split() == ["1", "drop"]


@pytest.mark.parametrize("wrong", ["no_such=1", "drop", "drop=often", "drop=2"])
def test_on_the_command_line_wrong_odds_are_told(wrong: str) -> None:
    command = [sys.executable, "-m", "windlass.testing.proxy", "http://127.0.0.1:1", "--odds", wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_no_port_is_taken_that_is_in_use(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        Proxy(server.url, port=taken.getsockname()[1])
