"""Each room imports only what the table allows; modules stay small; clocks and randomness have one door; start-up stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).parent.parent / "src"
PATHS = sorted((SRC / "windlass").rglob("*.py"))
MODULES = {".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path for path in PATHS}

FOUNDATION = {"errors", "record", "digest", "jsons", "effects"}
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "record": set(),
    "digest": set(),
    "jsons": set(),
    "choice": set(),
    "effects": {"errors", "record"},
    "protocol": {"errors", "record", "jsons", "choice"},
    "stores": FOUNDATION,
    "drivers": FOUNDATION | {"stores.base"},
    "config": FOUNDATION | {"stores.base"},
    "files": {"errors", "record", "digest", "jsons"},
    "ops": {"protocol", "effects", "errors", "record", "digest", "jsons"},
    "project": {"ops", "protocol", "drivers", "stores", "config", "files", "effects", "errors", "record"}
    | {"testing.hammer", "testing.linearizable"},
    "surfaces": {"project", "config", "errors", "record", "jsons", "__init__"},
    "testing": {"effects", "drivers", "stores.base", "errors", "record"},
    "aio": {"project", "errors", "record", "records"},
    "records": {"ops", "protocol", "project"},  # only gives names of theirs to users
    "__init__": {"project", "errors", "aio", "records"},
    "__main__": {"surfaces"},
}
TYPING_ONLY: dict[str, set[str]] = {"surfaces": {"ops", "protocol"}}
"""Arrows allowed only for type checkers."""

THIRD_PARTY = {
    "obstore": {"stores"},
    "botocore": {"stores"},
    "yaml": {"project", "surfaces"},
    "pytest": {"testing"},
    "hypothesis": {"testing"},
}

CLOCKS_AND_DICE = {"time", "random", "uuid", "secrets"}
SMALL_HASHES = {"_sha2", "_sha256"}
"""Standard, but each only in some versions."""
THEIR_ROOMS = {"drivers", "stores", "testing"}

HOT = ("errors", "effects", "record", "digest", "jsons", "choice", "protocol", "ops", "drivers.sync", "drivers.hints", "stores.base",
       "stores.local", "stores.registry", "config", "surfaces.cli", "__init__")  # fmt: skip
SLOW = {
    "asyncio", "collections.abc", "concurrent", "contextlib", "dataclasses", "datetime", "hashlib", "logging", "obstore", "pathlib",
    "random", "secrets", "subprocess", "tempfile", "threading", "typing", "urllib", "uuid", "yaml",
}  # fmt: skip


class Import(NamedTuple):
    """One name imported; `typing_only` within `if TYPE_CHECKING`, `deferred` within a function or a fallback."""

    name: str
    line: int
    typing_only: bool
    deferred: bool


def imports_of(source: str, module: str, *, package: bool) -> list[Import]:
    """Every import in the source, relative ones made absolute; `from a import b` gives `a.b` where that is a module."""
    found: list[Import] = []

    def visit(node: ast.AST, typing_only: bool, deferred: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, typing_only, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".") if package else module.split(".")[:-1]
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                found.append(Import(full if full in MODULES else origin, node.lineno, typing_only, deferred))
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for branch, unreal in ((node.body, True), (node.orelse, typing_only)):
                for statement in branch:
                    visit(statement, unreal, deferred)
            return
        deferred = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler)
        for child in ast.iter_child_nodes(node):
            visit(child, typing_only, deferred)

    visit(ast.parse(source), False, False)
    return found


def inner(module: str) -> str:
    """The module's name within the package: `stores.local`; the package itself is `__init__`."""
    return module.removeprefix("windlass").removeprefix(".") or "__init__"


def room(module: str) -> str:
    """The room a module lives in: its first name within the package."""
    return inner(module).split(".")[0]


def reaches(target: str, allowed: set[str]) -> bool:
    """Whether an allowed room or module covers the target."""
    return any(inner(target) == name or inner(target).startswith(f"{name}.") for name in allowed)


def wrong_arrows(module: str, source: str, *, package: bool = False) -> list[str]:
    """The imports that the table does not allow, as lines for a reader."""
    here = room(module)
    wrong = []
    for seen in imports_of(source, module, package=package):
        top = seen.name.split(".")[0]
        if top == "windlass":
            allowed = ARROWS[here] | {here} | (TYPING_ONLY.get(here, set()) if seen.typing_only else set())
            fine = reaches(seen.name, allowed)
        elif top in sys.stdlib_module_names | SMALL_HASHES:
            fine = top not in CLOCKS_AND_DICE or here in THEIR_ROOMS or seen.typing_only
        else:
            fine = here in THIRD_PARTY.get(top, set())
        if not fine:
            wrong.append(f"{module}:{seen.line} imports {seen.name}")
    return wrong


def is_hot(module: str) -> bool:
    """Whether every command loads this module. Of the command line only the frame is: each command group loads by itself."""
    name = inner(module)
    return name == "surfaces.cli" if name.startswith("surfaces") else reaches(module, set(HOT))


def slow_imports(module: str, source: str, *, package: bool = False) -> list[str]:
    """Imports at module level that cost a command milliseconds."""
    return [
        f"{module}:{seen.line} imports {seen.name}"
        for seen in imports_of(source, module, package=package)
        if not seen.typing_only and not seen.deferred and (seen.name in SLOW or seen.name.split(".")[0] in SLOW)
    ]


each = pytest.mark.parametrize("module", MODULES)
each_hot = pytest.mark.parametrize("module", [name for name in MODULES if is_hot(name)])


@each
def test_every_import_is_an_arrow_of_the_table(module: str) -> None:
    assert room(module) in ARROWS, f"{module} is in no room: add it to the table, with a reason"
    path = MODULES[module]
    seen = wrong_arrows(module, path.read_text(encoding="utf-8"), package=path.name == "__init__.py")
    assert not seen


@each
def test_every_module_says_what_it_is_for_and_stays_small(module: str) -> None:
    source = MODULES[module].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 500
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), f"{module} has no docstring"


@each_hot
def test_hot_modules_import_nothing_slow(module: str) -> None:
    path = MODULES[module]
    seen = slow_imports(module, path.read_text(encoding="utf-8"), package=path.name == "__init__.py")
    assert not seen


@each_hot
def test_hot_modules_load_nothing_slow_by_way_of_others(module: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(SRC)!r}); import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr
    assert not SLOW & set(done.stdout.split())


def test_median_module_is_short() -> None:
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES.values())
    assert lengths[len(lengths) // 2] <= 200


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("windlass.ops.steps", "from windlass.stores.local import LocalStore"),
        ("windlass.ops.steps", "def f():\n    from windlass.stores import local"),
        ("windlass.ops.steps", "from ..stores import local"),
        ("windlass.ops.steps", "if TYPE_CHECKING:\n    from windlass import config"),
        ("windlass.ops.steps", "import time"),
        ("windlass.protocol.keys", "from random import choice"),
        ("windlass.surfaces.handles", "from windlass.protocol.keys import step"),
        ("windlass.surfaces.cli.steps", "import windlass.protocol.keys"),
        ("windlass.surfaces.cli.steps", "from windlass import stores"),
        ("windlass.drivers.aio", "from windlass.stores.local import LocalStore"),
        ("windlass.ops.steps", "import obstore"),
        ("windlass.errors", "from windlass.record import Record"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, source: str) -> None:
    assert wrong_arrows(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("windlass.ops.steps", "from windlass import effects as fx"),
        ("windlass.ops.steps", "from . import registers"),
        ("windlass.project.handles", "if TYPE_CHECKING:\n    from windlass.protocol.steps import Step"),
        ("windlass.drivers.sync", "import time\nfrom windlass.stores.base import Store"),
        ("windlass.stores.objects", "def f():\n    import obstore"),
    ],
)
def test_a_right_arrow_is_let_through(module: str, source: str) -> None:
    assert not wrong_arrows(module, source)


def test_a_slow_import_is_seen_only_where_every_command_pays_for_it() -> None:
    assert slow_imports("windlass.ops.steps", "from typing import Any")
    assert not slow_imports("windlass.ops.steps", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any")
    assert not slow_imports("windlass.ops.steps", "def f():\n    import datetime")
