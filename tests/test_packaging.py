"""What a user gets: the public names, one version, types, locked requirements."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import windlass
from windlass import errors

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
DOORS = {"Project", "aio", "open", "records"}


def test_public_names_are_sorted_and_are_the_door_and_every_error() -> None:
    every = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, errors.WindlassError)}
    assert windlass.__all__ == sorted(DOORS | every)


@pytest.mark.parametrize("name", [name for name in windlass.__all__ if name not in DOORS])
def test_each_error_is_the_one_of_the_tree(name: str) -> None:
    assert getattr(windlass, name) is getattr(errors, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        windlass.nonsense  # noqa: B018


def test_importing_the_package_loads_nothing_else() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); old = set(sys.modules); import windlass; print(*set(sys.modules) - old)"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"windlass", "__future__"}


def test_the_wheel_is_typed_and_its_readme_declared() -> None:
    assert (ROOT / "src/windlass/py.typed").exists()
    assert ("readme" in PYPROJECT["project"]) == (ROOT / "README.md").exists()


def test_the_changelog_knows_this_version() -> None:
    assert windlass.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_each_direct_dependency_is_locked_and_has_its_reason() -> None:
    named = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["aws"]]
    named += [wanted for group in PYPROJECT["dependency-groups"].values() for wanted in group]
    locked = "\n".join(lock.read_text(encoding="utf-8") for lock in LOCKS).lower()
    reasons = (ROOT / "docs/decisions/0001-dependencies.md").read_text(encoding="utf-8").lower()
    for wanted in named:
        name = re.match(r"[\w-]+", wanted)
        assert name
        assert f"{name[0]}==".lower() in locked, wanted
        assert f"| {name[0]} |".lower() in reasons, wanted


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_hold_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    for pinned in re.split(r"\n(?=[a-z])", text)[1:]:
        assert "--hash=sha256:" in pinned
