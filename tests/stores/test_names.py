"""Keys as file names: every legal key has one name, and no two names meet where the file system ignores case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.errors import UsageError
from windlass.stores.names import MAX_SEGMENT, check_folder, check_key, check_prefix, decode, encode

SEGMENTS = st.text("aAbBzZ019._-~f", min_size=1, max_size=12).filter(lambda text: text.strip("."))
RESERVED = {".tmp", ".locks", ".git", ".gitignore"}


@given(SEGMENTS)
def test_a_name_tells_its_segment(segment: str) -> None:
    check_key(segment)
    assert decode(encode(segment)) == segment
    assert encode(segment) not in RESERVED


@given(SEGMENTS, SEGMENTS)
def test_names_stay_apart_without_case(one: str, other: str) -> None:
    if one != other:
        assert encode(one).lower() != encode(other).lower()


@given(st.text(max_size=12))
def test_only_names_of_ours_are_read(name: str) -> None:
    segment = decode(name)
    assert segment is None or encode(segment) == name


def test_the_longest_names_fit_a_file_system() -> None:
    assert len(encode("A" * MAX_SEGMENT) + "=") <= 255
    assert len(encode("A" * 128) + "=") < 170


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "..", "a/.."])
def test_prefixes_that_can_begin_a_key_are_fine(prefix: str) -> None:
    check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["/", "//", "../", "a//", "./", "a/../b", "a b", "é"])
def test_prefixes_that_cannot_are_refused(prefix: str) -> None:
    with pytest.raises(UsageError):
        check_prefix(prefix)
    with pytest.raises(UsageError):
        check_folder(prefix + "/")
