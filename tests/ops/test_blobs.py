"""The content store: equal content is there once, is sent once, and is what it was when it is read again."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.world import REFUSED, WAYS, Agent, Place

from windlass.errors import Damaged, Unavailable, UsageError, WindlassError
from windlass.ops import blobs, pending, receiving, sending
from windlass.ops.agents import act
from windlass.ops.registers import update
from windlass.protocol import keys
from windlass.protocol.blobs import EMPTY, MAX_PARTS, PACK, PACKED, PART, Blob, Index, checked
from windlass.protocol.codec import encode
from windlass.protocol.pending import Sweep
from windlass.protocol.trees import Kind
from windlass.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windlass.effects import Op
    from windlass.ops.pending import Upload


class Content:
    """Bytes as a source; counts what was read. `broken_at`: the part that cannot be read."""

    def __init__(self, body: bytes, *, sized: bool = True, broken_at: int | None = None) -> None:
        self.body, self.broken_at = body, broken_at
        self.size = len(body) if sized else None

    def read(self, number: int) -> bytes:
        if number == self.broken_at:
            raise WindlassError("the disk is gone", "mend it")
        return self.body[number * PART : (number + 1) * PART]

    def close(self) -> None:
        self.closed = True


class Endless(Content):
    """A part whatever the number."""

    def read(self, number: int) -> bytes:
        return b"x"


class Kept:
    """A sink in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.writes = 0

    def have(self, path: str, offset: int, size: int) -> bytes | None:
        found = bytes(self.files.get(path, b"")[offset : offset + size])
        return found if len(found) == size else None

    def write(self, path: str, offset: int, body: bytes) -> None:
        self.writes += 1
        file = self.files.setdefault(path, bytearray())
        file.extend(bytes(max(0, offset + len(body) - len(file))))
        file[offset : offset + len(body)] = body


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def ann(place: Place) -> Agent:
    return place.agent("ann").warm()


def content(size: int, seed: int = 1) -> bytes:
    """Bytes of which no two parts are equal."""
    out = b"".join(sha256(f"{seed}/{n}".encode()).digest() * 512 for n in range(-(-size // 16384)))
    return out[:size]


def begun(agent: Agent) -> Upload:
    def op() -> Op[Upload]:
        me = yield from act(agent.actor)
        return (yield from pending.begin(me, ["workspaces/w.json"]))

    return agent.do(op())


def upload(agent: Agent, source: Content, under: Upload | None = None) -> Blob:
    progress = blobs.Progress("sending", source.size or 0)
    return agent.do(blobs.upload(under or begun(agent), source, progress))


def read(agent: Agent, blob: Blob) -> bytes:
    sink = Kept()
    agent.do(receiving.receive({"file": blob}, sink))
    return bytes(sink.files.get("file", b""))


def objects(place: Place) -> list[str]:
    return place.keys("blobs/")


def puts(agent: Agent) -> list[str]:
    return [one.key for one in agent.counting.requests if one.kind == "put" and one.key.startswith("blobs/")]


def gets(agent: Agent) -> list[str]:
    return [one.key for one in agent.counting.requests if one.kind == "get" and one.key.startswith("blobs/")]


def sweep(agent: Agent, epoch: int, *, sweeping: bool) -> None:
    agent.do(update(keys.SWEEP, Sweep, lambda entry, _: (entry.doc if entry else Sweep()).but(epoch=epoch, sweeping=sweeping)))


@pytest.mark.parametrize("size", [0, 1, PACKED, PACKED + 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7])
@pytest.mark.parametrize("sized", [True, False])
def test_content_of_any_size_comes_back_as_it_was(ann: Agent, size: int, sized: bool) -> None:
    body = content(size)
    blob = upload(ann, Content(body, sized=sized))
    assert (blob.sha, blob.size) == (sha256(body).hexdigest(), size)
    assert read(ann, blob) == body


def test_every_object_is_named_after_its_bytes_and_no_larger_than_a_store_reads(place: Place, ann: Agent) -> None:
    upload(ann, Content(content(2 * PART + 7)))
    for key in objects(place):
        body = place.body(key)
        assert keys.parse_blob(key) == f"{sha256(body).hexdigest()}.0"
        assert len(body) <= PART


def test_a_second_upload_of_the_same_content_sends_no_data(ann: Agent, place: Place) -> None:
    first = upload(ann, Content(content(3 * PART)))
    before = objects(place)
    bob = place.agent("bob").warm()
    assert upload(bob, Content(content(3 * PART), sized=False)) == first
    assert puts(bob) == []
    assert objects(place) == before


def test_equal_parts_of_one_file_are_there_once(ann: Agent, place: Place) -> None:
    blob = upload(ann, Content(bytes(4 * PART)))
    assert len(objects(place)) == 2, "the part and the index"
    assert read(ann, blob) == bytes(4 * PART)


def test_an_upload_that_broke_off_goes_on_where_it_was(ann: Agent, place: Place) -> None:
    with pytest.raises(WindlassError, match="disk is gone"):
        upload(ann, Content(content(6 * PART), broken_at=4))
    there = set(objects(place))
    assert there
    ann.counting.reset()
    blob = upload(ann, Content(content(6 * PART)))
    assert not there & set(puts(ann)), "nothing finished is sent again"
    assert read(ann, blob) == content(6 * PART)


def test_a_file_that_shrank_while_it_was_read_is_refused(ann: Agent) -> None:
    source = Content(content(PART + 5))
    source.size = PART + 9
    with pytest.raises(WindlassError, match="changed while it was read"):
        upload(ann, source)


def test_content_with_more_parts_than_an_index_holds_is_refused() -> None:
    pieces = blobs._Pieces(Content(b"x"))
    pieces.taken = MAX_PARTS
    pieces._source.body = bytes(0)  # type: ignore[attr-defined]
    assert pieces.take() is None
    pieces = blobs._Pieces(Endless(b""))
    pieces.taken = MAX_PARTS
    with pytest.raises(UsageError, match="more than 195 GiB"):
        pieces.take()


@pytest.mark.parametrize("way", WAYS)
def test_a_blob_lands_whatever_becomes_of_the_answers(ann: Agent, place: Place, way: str) -> None:
    under = begun(ann)
    ann.spoil(*WAYS[way], key="blobs/")
    blob = upload(ann, Content(b"content"), under)
    place.pass_(3600)
    assert read(ann, blob) == b"content"


def test_a_store_that_takes_nothing_is_said_to_be_so(ann: Agent) -> None:
    under = begun(ann)
    ann.spoil(Fault.DROP, key="blobs/", forever=True)
    with pytest.raises(Unavailable, match="did not take"):
        upload(ann, Content(b"content"), under)
    ann.heal().spoil(REFUSED, key="blobs/", forever=True)
    with pytest.raises(Unavailable, match="did not take"):
        upload(ann, Content(b"content"), under)


@pytest.mark.parametrize("size", [100, PART, 2 * PART + 1])
def test_one_flipped_bit_is_found_and_the_object_is_named(ann: Agent, place: Place, size: int) -> None:
    blob = upload(ann, Content(content(size)))
    for key in objects(place):
        whole = place.body(key)
        place.write(key, bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(Damaged) as found:
            read(ann, blob)
        assert found.value.key == key
        place.write(key, whole)
    assert read(ann, blob) == content(size)


def test_a_missing_object_is_found_and_named(ann: Agent, place: Place) -> None:
    blob = upload(ann, Content(content(PART + 1)))
    for key in objects(place):
        whole = place.body(key)
        place.store.delete(key)
        with pytest.raises(Damaged, match="missing") as found:
            read(ann, blob)
        assert found.value.key == key
        place.write(key, whole)


def test_checking_names_every_damaged_object_and_goes_on(ann: Agent, place: Place) -> None:
    files = {name: upload(ann, Content(content(size, seed))) for seed, (name, size) in enumerate([("a", 10), ("b", PART + 1), ("c", 20)])}
    told: list[tuple[str, str]] = []
    assert ann.do(receiving.check(files, lambda path, error: told.append((path, error.key)))) > PART
    assert told == []
    spoilt = [keys.blob(files["a"].name), keys.blob(files["c"].name)]
    for key in spoilt:
        place.write(key, b"other")
    ann.do(receiving.check(files, lambda path, error: told.append((path, error.key))))
    assert sorted(told) == sorted([("a", spoilt[0]), ("c", spoilt[1])])


def test_a_download_that_broke_off_reads_only_the_rest(ann: Agent, place: Place) -> None:
    body = content(5 * PART)
    blob = upload(ann, Content(body))
    sink = Kept()
    sink.files["file"] = bytearray(body[: 3 * PART]) + bytearray(2 * PART)
    ann.counting.reset()
    ann.do(receiving.receive({"file": blob}, sink))
    assert bytes(sink.files["file"]) == body
    assert len(gets(ann)) == 1 + 2, "the index and what was not there"


def test_what_an_earlier_attempt_left_damaged_is_read_again(ann: Agent) -> None:
    body = content(2 * PART)
    blob = upload(ann, Content(body))
    sink = Kept()
    sink.files["file"] = bytearray(len(body))
    ann.do(receiving.receive({"file": blob}, sink))
    assert bytes(sink.files["file"]) == body


def test_while_a_gc_runs_only_objects_of_its_epoch_are_relied_on(ann: Agent, place: Place) -> None:
    old = upload(ann, Content(b"content"))
    sweep(ann, 1, sweeping=True)
    new = upload(ann, Content(b"content"))
    assert (old.name, new.name) == (f"{old.sha}.0", f"{old.sha}.1")
    bob = place.agent("bob").warm()
    assert upload(bob, Content(b"content")) == new
    assert puts(bob) == []


def test_after_a_gc_what_it_left_is_relied_on_again(ann: Agent) -> None:
    old = upload(ann, Content(b"content"))
    sweep(ann, 1, sweeping=False)
    assert upload(ann, Content(b"content")) == old
    assert upload(ann, Content(b"other")).name.endswith(".1")


def items(bodies: Iterable[tuple[str, bytes]]) -> list[sending.Item]:
    return [
        sending.Item(path=path, kind=Kind.FILE, size=len(body), load=lambda body=body: body, open=lambda body=body: Content(body))  # type: ignore[misc]
        for path, body in bodies
    ]


def send(agent: Agent, files: dict[str, bytes], by_sha: dict[str, Blob] | None = None) -> dict[str, Blob]:
    found = agent.do(sending.send(begun(agent), items(files.items()), by_sha or {}))
    return {path: entry.blob for path, entry in found.items()}


def receive(agent: Agent, found: dict[str, Blob]) -> dict[str, bytes]:
    sink = Kept()
    agent.do(receiving.receive(found, sink))
    return {path: bytes(sink.files.get(path, b"")) for path in found}


def test_many_small_files_are_a_few_objects(ann: Agent, place: Place) -> None:
    files = {f"f{n}": content(4096, n) for n in range(1000)}
    found = send(ann, files)
    assert len(objects(place)) == -(-1000 * 4096 // PACK)
    ann.counting.reset()
    assert receive(ann, found) == files
    assert len(gets(ann)) == len(objects(place))


def test_few_small_files_are_an_object_each_and_are_found_again(ann: Agent, place: Place) -> None:
    files = {f"f{n}": content(10 + n, n) for n in range(blobs.FEW - 1)}
    assert receive(ann, send(ann, files)) == files
    assert len(objects(place)) == len(files)
    bob = place.agent("bob").warm()
    send(bob, dict(list(files.items())[:3]))
    assert puts(bob) == []


def test_the_same_files_sent_again_send_no_data(ann: Agent, place: Place) -> None:
    files = {f"f{n}": content(3000, n) for n in range(500)}
    first = send(ann, files)
    bob = place.agent("bob").warm()
    assert send(bob, files) == first
    assert puts(bob) == []


def test_equal_small_files_lie_in_a_pack_once(ann: Agent, place: Place) -> None:
    files = {f"f{n}": content(1000, n % 20) for n in range(200)}
    assert receive(ann, send(ann, files)) == files
    assert sum(len(place.body(key)) for key in objects(place)) == 20 * 1000


def test_content_that_is_known_is_neither_asked_for_nor_sent(ann: Agent) -> None:
    known = send(ann, {f"f{n}": content(500, n) for n in range(100)})
    ann.counting.reset()
    by_sha = {blob.sha: blob for blob in known.values()}
    moved = send(ann, {f"moved/{n}": content(500, n) for n in range(100)}, by_sha)
    assert list(moved.values()) == list(known.values())
    assert [one for one in ann.counting.requests if one.key.startswith("blobs/")] == []


def test_a_file_in_a_damaged_pack_is_not_given_out(ann: Agent, place: Place) -> None:
    found = send(ann, {f"f{n}": content(1000, n) for n in range(50)})
    (key,) = objects(place)
    whole = place.body(key)
    place.write(key, whole[:-1] + b"?")
    with pytest.raises(Damaged):
        receive(ann, found)


def test_a_place_in_a_pack_that_holds_something_else_is_found(ann: Agent) -> None:
    found = send(ann, {f"f{n}": content(1000, n) for n in range(50)})
    one, other = list(found.values())[:2]
    with pytest.raises(Damaged, match="should lie in it"):
        receive(ann, {"f": one.but(offset=other.offset)})


def test_a_file_that_changed_between_hashing_and_sending_is_refused(ann: Agent) -> None:
    bodies = iter([b"one", b"two"])
    item = sending.Item(path="f", kind=Kind.FILE, size=3, load=lambda: next(bodies))
    with pytest.raises(WindlassError, match="f changed"):
        ann.do(sending.send(begun(ann), [item], {}))


def test_an_index_of_another_size_is_refused(ann: Agent) -> None:
    blob = upload(ann, Content(content(2 * PART)))
    with pytest.raises(Damaged, match="index of other content"):
        read(ann, blob.but(size=blob.size + 1))


def test_a_part_of_another_length_is_no_part_though_its_bytes_are_what_it_is_named_after(ann: Agent, place: Place) -> None:
    part = upload(ann, Content(b"short"))
    index = encode(Index(size=PART + 5, parts=(part.name, part.name)))
    name = upload(ann, Content(index)).name
    lying = Blob(sha=part.sha, size=PART + 5, name=name)
    with pytest.raises(Damaged, match="no part of this length"):
        read(ann, lying)
    told: list[str] = []
    ann.do(receiving.check({"f": lying}, lambda _, error: told.append(error.why)))
    assert told == ["it is no part of this length"]


@given(st.lists(st.binary(max_size=3000), max_size=60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_is_sent_comes_back(bodies: list[bytes], twice: bool) -> None:
    ann = Place().agent("ann").warm()
    files = {f"f{n}": body for n, body in enumerate(bodies)}
    found = send(ann, files)
    if twice:
        assert send(ann, files) == found
    assert receive(ann, found) == files


SHA = sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "blob",
    [
        ("", 1, f"{SHA}.0", None),
        (SHA, -1, f"{SHA}.0", None),
        (SHA, True, f"{SHA}.0", None),
        (SHA, 1, "", None),
        (SHA, 1, SHA, None),
        (SHA, 1, f"{SHA}.00", None),
        (SHA, 1, f"{SHA}.1/../x", None),
        (SHA, 1, f"{EMPTY}.0", None),
        (SHA.upper(), 1, f"{SHA.upper()}.0", None),
        (SHA, PACKED + 1, f"{EMPTY}.0", 0),
        (SHA, 1, f"{EMPTY}.0", -1),
        (SHA, 1, f"{EMPTY}.0", PACK),
        (SHA, 0, "", None),
        (EMPTY, 0, f"{EMPTY}.0", None),
        (SHA, PART * MAX_PARTS + 1, f"{EMPTY}.0", None),
    ],
)
def test_a_place_that_cannot_be_is_refused(blob: tuple[object, ...]) -> None:
    with pytest.raises(ValueError):
        checked(*blob)
