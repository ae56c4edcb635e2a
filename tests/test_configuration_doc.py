"""docs/configuration.md names every setting there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from windlass.config import files, sandbox, who
from windlass.errors import UsageError
from windlass.project import open_session, settings_for
from windlass.protocol.agents import LEASE_BARE, LEASE_BEATING, LEASE_MIN
from windlass.stores import location

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))}


def read_by_code() -> set[str]:
    """Every environment variable that the code names."""
    code = "\n".join(SOURCES.values())
    named = set(re.findall(r"\bWINDLASS_[A-Z]+\b", code)) | set(
        re.findall(r"(?:env|environ|environment)(?:\.get)?[(\[]\"([A-Z][A-Z_]+)\"", code)
    )
    named |= set(re.findall(r"\"(XDG_[A-Z_]+)\"", code)) | {name for _, names in who.SESSIONS for name in names}
    return named


def first_cells(after: str) -> tuple[str, ...]:
    """What the first column of the first table after some text names in backquotes."""
    found = re.search(r"(?:^\|.*\n)+", TEXT.split(after, 1)[1], re.MULTILINE)
    assert found
    return tuple(re.findall(r"^\| `(\w+)` \|", found[0], re.MULTILINE))


@pytest.mark.parametrize("name", sorted(read_by_code()))
def test_every_variable_that_the_code_reads_is_documented(name: str) -> None:
    assert f"`{name}`" in TEXT


def test_every_variable_documented_is_read() -> None:
    passed_on = {"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}
    documented = set(re.findall(r"`((?:WINDLASS|XDG|AWS|CLAUDE|CODEX|COPILOT|CURSOR|GEMINI|HERMES|OPENCODE)[A-Z_]+[A-Z])`", TEXT))
    assert documented <= read_by_code() | passed_on


def test_every_key_of_the_file_is_documented_and_no_other() -> None:
    assert first_cells("## `.windlass.toml`") == files._KNOWN


def test_the_example_file_is_a_good_one(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.+?)```", TEXT, re.DOTALL)
    assert example
    (tmp_path / ".windlass.toml").write_text(example[1], encoding="utf-8")
    found = files.read_file(str(tmp_path / ".windlass.toml"))
    assert found.store
    assert found.project
    assert found.lease


def test_every_option_of_an_s3_url_is_documented_and_no_other() -> None:
    assert first_cells("Options of an S3 URL") == location.OPTIONS
    assert f"| `timeout` | seconds for a whole request, 0.1 to 600 | {location.REQUEST_TIMEOUT:g} |" in TEXT


def test_the_addresses_of_stores_that_it_shows_are_good() -> None:
    shown = re.findall(r"`(s3://[^`]+)`", TEXT) + re.findall(r"\"(s3://[^\"]+)\"", TEXT)
    assert shown
    for url in shown:
        assert location.parse(url.replace("BUCKET", "bucket").replace("NAMESPACE", "name")).bucket


@pytest.mark.parametrize("tool", [{"CLAUDECODE": "1"}, {"CODEX_SANDBOX": "seatbelt"}])
def test_sandbox_settings_are_those_that_errors_print(tool: dict[str, str]) -> None:
    hint = sandbox.sandbox_hint("PATH", tool)
    assert all(part in TEXT for part in re.findall(r"\{.*\}|writable_roots = \[.*\]|--add-dir PATH|\.\w+/[\w.]+\b", hint)), hint
    network = sandbox.network_hint("s3://bucket?endpoint=https://HOST", tool).replace("host", "HOST")
    assert all(part in TEXT for part in re.findall(r"\{.*\}|network_access = true", network)), network


def test_json_that_it_shows_is_json() -> None:
    for shown in re.findall(r"`(\{.+?\})`", TEXT):
        json.loads(shown)


def test_leases_are_those_of_the_protocol() -> None:
    assert f"{LEASE_BARE:,.0f} s; {LEASE_BEATING:g} s under `windlass run`" in TEXT
    assert TEXT.count(f"{LEASE_MIN:g} or more") == 2


def test_a_lease_too_short_for_the_stores_clock_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    settings = settings_for({"store": "memory://lease", "project": "p", "agent": "a"}, {"WINDLASS_LEASE": "4.9"}, str(tmp_path))
    with pytest.raises(UsageError, match=r"4\.9 s is not possible"):
        open_session(settings)
