"""Three-way, path by path: a folder ends with every change of the other side and every one of its own, or with nothing changed at all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.project.folders import fill, held

from windlass.digest import sha256_hex
from windlass.files.scan import scan
from windlass.files.update import apply
from windlass.project.comparing import Sides, odd_in, plan, states_here, states_of, tell_apart
from windlass.protocol.blobs import EMPTY, Blob, blob_name
from windlass.protocol.trees import EMPTY_FOLDER, Entry, file_entry, link_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

Content = bytes | str | None
PATHS = ("a", "a/b", "a/b/c", "a/d", "e", "e/f")


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Content]:
    """A small folder, as `fill` takes it; the same few paths are files, links and folders, so that they get in each other's way."""
    out: dict[str, Content] = {}
    for path in PATHS:
        kind = draw(st.sampled_from(("none", "none", "file", "exec", "link", "folder")))
        if kind == "none" or any((above in out and out[above] is not None) or above + "*" in out for above in above_(path)):
            continue
        content = draw(st.sampled_from((b"", b"1", b"2")))
        key = path + "*" if kind == "exec" else path
        out[key] = None if kind == "folder" else draw(st.sampled_from(("x", "y"))) if kind == "link" else content
    return {path: content for path, content in out.items() if content is not None or not any(one.startswith(f"{path}/") for one in out)}


def above_(path: str) -> list[str]:
    """The folders on the way to a path."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def rows_of(files: Mapping[str, Content]) -> dict[str, Entry]:
    """As a tree has them."""
    rows: dict[str, Entry] = {}
    for key, content in files.items():
        path = key.removesuffix("*")
        rows.update(dict.fromkeys(above_(path), EMPTY_FOLDER))
        if content is None:
            rows[path] = EMPTY_FOLDER
        elif isinstance(content, str):
            rows[path] = link_entry(content)
        else:
            sha = sha256_hex(content)
            blob = Blob(sha=sha, size=len(content), name=blob_name(sha, 0)) if content else Blob(sha=EMPTY, size=0)
            rows[path] = file_entry(blob, executable=key.endswith("*"))
    return rows


def pulled(
    before: dict[str, Content], after: dict[str, Content], here: dict[str, Content], *, force: bool
) -> tuple[dict[str, Content], bool]:
    """What a folder holds after the other side went from one tree to another; and whether there were conflicts."""
    with tempfile.TemporaryDirectory() as name:
        folder = fill(Path(name), here)
        found = {one.path: one for one in scan(name).found}
        shas = {path: sha256_hex((folder / path).read_bytes()) for path, one in found.items() if one.kind in ("file", "exec")}
        rows = rows_of(after)
        sides = Sides(
            before=states_of(rows_of(before)),
            after=states_of(rows),
            here=states_here(found, shas),
            rows=rows,
            found=found,
            unknown=lambda path: False,
        )
        todo = plan(sides, force=force)
        if todo.clashes:
            assert not force
            return held(folder), True
        contents = {key.removesuffix("*"): content for key, content in after.items()}

        def content(path: str) -> list[bytes]:
            one = contents[path]
            assert isinstance(one, bytes)
            return [one]

        done = apply(name, todo.changes(content))
        assert all(one.why == "it is not empty" for one in done.kept), done
        return held(folder), False


def states(files: Mapping[str, Content]) -> dict[str, tuple[str, str]]:
    """Without the folders that only lie on the way."""
    return {path: state for path, state in states_of(rows_of(files)).items() if state[0] != "folder"}


@settings(max_examples=300, deadline=None)
@given(trees(), trees(), trees())
@example({"a": b"1"}, {"a/b": b"1"}, {"a": b"1"})
@example({"a/b": b"1"}, {"a": b"1"}, {"a/b": b"1", "a/d": b"2"})
@example({"a/b": b"1"}, {"a/b": b"2"}, {"a": "x"})
@example({"a": b"1"}, {"a*": b"1"}, {"a": b"1"})
def test_each_path_is_as_the_side_that_changed_it_has_it(
    before: dict[str, Content], after: dict[str, Content], here: dict[str, Content]
) -> None:
    result, clashed = pulled(before, after, here, force=False)
    base, theirs, ours, now = states(before), states(after), states(here), states(result)
    if clashed:
        assert now == ours
        return
    for path in base.keys() | theirs.keys() | ours.keys() | now.keys():
        wanted = ours.get(path) if theirs.get(path) == base.get(path) else theirs.get(path)
        assert now.get(path) == wanted, path
        if ours.get(path) != base.get(path) and theirs.get(path) != base.get(path):
            assert ours.get(path) == theirs.get(path), path


@settings(max_examples=300, deadline=None)
@given(trees(), trees(), trees())
def test_by_force_the_other_side_wins_wherever_it_changed_something(
    before: dict[str, Content], after: dict[str, Content], here: dict[str, Content]
) -> None:
    result, _ = pulled(before, after, here, force=True)
    base, theirs, ours, now = states(before), states(after), states(here), states(result)
    for path in base.keys() | theirs.keys():
        if base.get(path) != theirs.get(path):
            assert now.get(path) == theirs.get(path), path
    for path in now:
        assert now[path] in (ours.get(path), theirs.get(path))


@settings(max_examples=200, deadline=None)
@given(trees(), trees())
def test_an_untouched_folder_becomes_the_other_tree(before: dict[str, Content], after: dict[str, Content]) -> None:
    assert pulled(before, after, before, force=False) == (after, False)


@settings(max_examples=100, deadline=None)
@given(trees(), trees())
def test_what_differs_is_told_once(before: dict[str, Content], after: dict[str, Content]) -> None:
    apart = tell_apart(states_of(rows_of(before)), states_of(rows_of(after)))
    told = [*apart.added, *apart.changed, *apart.removed]
    assert len(told) == len(set(told))
    assert (not told) == (rows_of(before) == rows_of(after))
    assert set(apart.added) <= {path.removesuffix("*") + ("/" if content is None else "") for path, content in after.items()}


def test_a_file_that_gave_way_to_a_folder_is_told_as_removed() -> None:
    apart = tell_apart(states_of(rows_of({"a": b"1", "e": b"1"})), states_of(rows_of({"a/b": b"1", "e": None})))
    assert (apart.added, apart.changed, apart.removed) == (("a/b", "e/"), (), ("a", "e"))


def test_what_could_not_be_looked_at_is_a_conflict_even_by_force() -> None:
    rows = rows_of({"x": b"2"})
    sides = Sides(before=states_of(rows_of({"x": b"1"})), after=states_of(rows), here={}, rows=rows, found={}, unknown=lambda path: True)
    for force in (False, True):
        assert [one.ours for one in plan(sides, force=force).clashes] == ["it cannot be read"]


def test_twins_are_told_by_folder() -> None:
    told = odd_in(["a/README", "a/readme", "b/readme", "con", "x."])
    assert [one.path for one in told] == ["a/readme", "con", "x."]
