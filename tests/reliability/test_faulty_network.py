"""What a network does to requests, done to the S3 store by the fault proxy: answers are understood and writes settled."""

from __future__ import annotations

import threading
import urllib.request
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.e2e.cli import Cli, end
from tests.reliability import commands

from windlass.drivers.hints import NoHints
from windlass.drivers.sync import World, run
from windlass.effects import IfAbsent, IfMatch, Object
from windlass.errors import Indeterminate, PutRefused, PutUnclear, Unavailable
from windlass.ops import registers
from windlass.protocol.memory import Memory
from windlass.stores.registry import open_store
from windlass.testing.proxy import Proxy
from windlass.testing.troubles import LIES, ONLY_FOR, Trouble, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from windlass.ops.registers import Version, Write
    from windlass.stores.base import Store

KEY = "memory/k.json"
NOT_SENT = {
    Trouble.DROP, Trouble.LATE, Trouble.HANG, Trouble.BUSY, Trouble.THROTTLED, Trouble.CONFLICT, Trouble.FAILED, Trouble.BAD_GATEWAY,
    Trouble.GATEWAY_TIMEOUT,
}  # fmt: skip
HARMLESS = {Trouble.TRUNCATE_LIST}
HARMS = [trouble for trouble in Trouble if trouble not in LIES | HARMLESS]
SLOW = {Trouble.HANG, Trouble.HANG_AFTER}
CONDITIONS = ("create", "replace")


class Net(NamedTuple):
    """One bucket, seen through a proxy and directly."""

    proxy: Proxy
    store: Store
    direct: Store
    url: str


@pytest.fixture(scope="module")
def bucket(ministack: str) -> str:
    """One for all tests here; each has a prefix of its own."""
    name = f"test-{uuid.uuid4().hex}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(f"{ministack}/{name}", method="PUT"), timeout=10).close()
    return name


@pytest.fixture
def net(ministack: str, bucket: str, s3_env: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    monkeypatch.setattr("windlass.stores.objects.PAUSES", (0.0, 0.0))
    place = f"s3://{bucket}/{uuid.uuid4().hex}"
    with Proxy(ministack, hold=0.0, lateness=None) as proxy:
        url = f"{place}?endpoint={proxy.url}&region=us-east-1"
        yield Net(proxy, open_store(url), open_store(f"{place}?endpoint={ministack}&region=us-east-1"), url)


def impatient(net: Net) -> Net:
    """The same with a short time-out, for what waits until it ends."""
    return net._replace(store=open_store(f"{net.url}&timeout=0.5"))


def eventually(holds: Callable[[], bool]) -> None:
    """What the proxy goes on with after its client gave up comes to that."""
    pause = threading.Event()
    for _ in range(500):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came about")


def body(store: Store, key: str) -> bytes | None:
    found = store.get(key)
    return found.body if isinstance(found, Object) else None


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("trouble", HARMS, ids=lambda trouble: trouble.value)
def test_a_put_in_trouble_is_unclear_or_refused_and_never_sent_twice(net: Net, trouble: Trouble, condition: str) -> None:
    before = None if condition == "create" else net.direct.put("a", b"old", IfAbsent())
    if trouble in SLOW:
        net = impatient(net)
    net.proxy.plan = scripted(trouble)
    wanted = PutRefused if trouble is Trouble.DUPLICATE else PutUnclear
    if trouble is Trouble.DELAY_REQUEST:
        net.store.put("a", b"new", IfAbsent() if before is None else IfMatch(version=before))
    else:
        with pytest.raises(wanted) as met:
            net.store.put("a", b"new", IfAbsent() if before is None else IfMatch(version=before))
        assert type(met.value) is wanted
    eventually(lambda: net.proxy.fired[trouble.value] == 1)
    assert (body(net.direct, "a") == b"new") == (trouble not in NOT_SENT)
    assert len([entry for entry in net.proxy.log if entry.kind == "put"]) == 1
    if trouble is Trouble.LATE:
        assert [key.rpartition("/")[2] for key in net.proxy.land_late()] == ["a"]
        assert body(net.direct, "a") == b"new"


def test_a_put_that_lands_after_its_time_out_is_unclear(net: Net) -> None:
    net.proxy.plan = scripted(Trouble.DELAY_REQUEST)
    net.proxy.hold = 2.0
    with pytest.raises(PutUnclear):
        impatient(net).store.put("a", b"new", IfAbsent())
    assert body(net.direct, "a") is None
    eventually(lambda: body(net.direct, "a") == b"new")


@pytest.mark.parametrize("kind", ["get", "list"])
@pytest.mark.parametrize("trouble", [one for one in (*HARMS, *HARMLESS) if one not in SLOW], ids=lambda trouble: trouble.value)
def test_a_read_gets_over_a_passing_trouble_and_names_a_lasting_one(net: Net, trouble: Trouble, kind: str) -> None:
    for n in range(5):
        net.direct.put(f"p/{n}", b"x" * 500, IfAbsent())
    whole = [f"p/{n}" for n in range(5)]

    def look() -> list[str]:
        if kind == "list":
            return [entry.key for entry in net.store.list("p/").entries]
        found = [net.store.get(key) for key in whole]
        return [one.key for one in found if isinstance(one, Object) and one.body == b"x" * 500]

    net.proxy.plan = scripted(trouble, trouble, kind=kind)
    assert look() == whole
    net.proxy.plan = lambda asked, key: trouble
    if trouble in (Trouble.DELAY_REQUEST, Trouble.DUPLICATE) or kind not in ONLY_FOR.get(trouble, (kind,)):
        assert look() == whole
        return
    with pytest.raises(Unavailable):
        look()
    assert net.proxy.fired[trouble.value] == 5


@pytest.mark.parametrize("trouble", [Trouble.HANG, Trouble.HANG_AFTER])
def test_a_read_that_hangs_ends_with_its_time_out(net: Net, trouble: Trouble) -> None:
    net.proxy.plan = lambda kind, key: trouble
    with pytest.raises(Unavailable, match="no answer in time"):
        impatient(net).store.get("a")


@pytest.mark.parametrize("trouble", [Trouble.LOSE_ANSWER, Trouble.DROP, Trouble.BUSY, Trouble.BUSY_AFTER, Trouble.RESET, Trouble.CUT])
def test_a_delete_gets_over_a_passing_trouble(net: Net, trouble: Trouble) -> None:
    net.direct.put("a", b"x", IfAbsent())
    net.proxy.plan = scripted(trouble, kind="delete")
    net.store.delete("a")
    assert body(net.direct, "a") is None


def count(net: Net) -> Version[Memory]:
    """Add one to a register, through the proxy."""

    def decide(entry: Version[Memory] | None, write: Write) -> Memory:
        return Memory(key="k", value=(entry.doc.value if entry else 0) + 1)

    done = run(registers.update(KEY, Memory, decide), World(net.store, NoHints(), sleep=lambda seconds: None))
    assert done is not None
    return done


def truth(net: Net) -> Memory:
    found = run(registers.fetch(KEY, Memory), World(net.direct, NoHints()))
    assert found is not None
    return found.doc


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("trouble", HARMS, ids=lambda trouble: trouble.value)
def test_a_register_in_trouble_is_changed_once_and_known_to_be(net: Net, trouble: Trouble, condition: str, times: int) -> None:
    start = 0
    if trouble in SLOW:
        net = impatient(net)
    if condition == "replace":
        start = count(net).doc.value
    net.proxy.plan = scripted(*[trouble] * (1 if trouble in SLOW else times))
    mine = count(net)
    assert mine.doc.value == start + 1
    for _ in range(2):
        now = truth(net)
        assert (now.value, now.seq, now.write_id) == (start + 1, start + 1, mine.doc.write_id)
        assert net.proxy.land_late() == [], "what comes late finds that it came before"
    eventually(lambda: net.proxy.fired[trouble.value] >= 1)


def test_a_register_whose_first_write_lands_just_before_its_second_is_changed_once(net: Net) -> None:
    count(net)
    puts: list[str] = []

    def plan(kind: str, key: str) -> Trouble | None:
        if kind != "put":
            return None
        puts.append(key)
        if len(puts) == 2:
            assert [one.endswith(KEY) for one in net.proxy.land_late()] == [True]
        return Trouble.LATE if len(puts) == 1 else None

    net.proxy.plan = plan
    mine = count(net)
    assert len(puts) == 2
    now = truth(net)
    assert (now.value, now.write_id) == (2, mine.doc.write_id)


@pytest.mark.parametrize("trouble", [Trouble.DROP, Trouble.LOSE_ANSWER, Trouble.BUSY_AFTER, Trouble.LATE], ids=lambda one: one.value)
def test_a_register_that_cannot_be_read_back_is_not_guessed_about(net: Net, trouble: Trouble) -> None:
    count(net)
    sent: list[str] = []

    def plan(kind: str, key: str) -> Trouble | None:
        if kind == "put":
            sent.append(key)
            return trouble
        return Trouble.BUSY if sent else None

    net.proxy.plan = plan
    with pytest.raises(Indeterminate):
        count(net)
    net.proxy.set_odds({})
    net.proxy.land_late()
    assert truth(net).value in (1, 2)


def test_every_command_in_a_storm_tells_the_truth(ministack: str, s3_env: None, tmp_path: Path) -> None:
    outcome = commands.weather(ministack, tmp_path / "storm", rounds=2, seed=1)
    assert not outcome.lies
    assert sum(outcome.fired.values()) > 20, "the storm was one"
    assert sum(one.code == 0 for one in outcome.told) > len(outcome.told) / 4


def test_a_command_that_cannot_know_whether_it_wrote_says_so(net: Net, tmp_path: Path) -> None:
    cli = Cli(tmp_path, net.url)
    cli.ok("init", agent="ann")
    sent: set[str] = set()

    def plan(kind: str, key: str) -> Trouble | None:
        if not key.endswith(("memory/kept.json", "memory/gone.json")):
            return None
        if kind == "put":
            sent.add(key)
            return Trouble.LOSE_ANSWER if "kept" in key else Trouble.DROP
        return Trouble.BUSY if key in sent else None

    net.proxy.plan = plan
    ends = [end(one) for one in [cli.start("memory", "set", name, "v", "--json", agent="ann") for name in ("kept", "gone")]]
    net.proxy.set_odds({})
    for result in ends:
        assert (result.code, result.json["error"]) == (7, "indeterminate"), result
        assert "windlass status" in result.json["hint"]
    assert cli.ok("memory", "get", "kept").out == "v\n"
    assert cli.run("memory", "get", "gone").code == 4


def test_a_store_that_ignores_conditions_makes_commands_lie(ministack: str, s3_env: None, tmp_path: Path) -> None:
    outcome = commands.weather(ministack, tmp_path / "storm", rounds=2, seed=1, odds={"strip_conditions": 1.0})
    assert outcome.lies, "this test would notice"
