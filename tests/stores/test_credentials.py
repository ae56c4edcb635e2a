"""AWS profiles, read without ever telling a secret or asking a question."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from windlass.errors import AccessDenied, UsageError
from windlass.stores.credentials import Keys, Profile, Provider, login_hint, provider, read_profile


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


def write(env: dict[str, str], credentials: str = "", config: str = "") -> None:
    Path(env["AWS_SHARED_CREDENTIALS_FILE"]).write_text(credentials)
    Path(env["AWS_CONFIG_FILE"]).write_text(config)


STATIC = "[{0}]\naws_access_key_id = AK{0}\naws_secret_access_key = S%K{0}\n"


def keys_of(env: dict[str, str], name: str | None = None) -> str | None:
    chosen, _ = provider(name, env)
    return chosen.keys().access_key if chosen else None


def test_who_wins(env: dict[str, str]) -> None:
    write(
        env, STATIC.format("default") + STATIC.format("work"), "[profile other]\naws_access_key_id = AKother\naws_secret_access_key = x\n"
    )
    assert keys_of(env) == "AKdefault"
    assert keys_of(env, "work") == "AKwork"
    assert keys_of(env, "other") == "AKother"
    assert keys_of({**env, "AWS_PROFILE": "work"}) == "AKwork"
    with_keys = {**env, "AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "E"}
    assert keys_of(with_keys) is None
    assert keys_of({**with_keys, "AWS_PROFILE": "work"}) is None
    assert keys_of(with_keys, "work") == "AKwork"
    assert keys_of({**env, "AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}) is None


def test_no_files_leave_it_to_the_machines_identity(env: dict[str, str]) -> None:
    assert provider(None, env) == (None, None)
    with pytest.raises(UsageError, match="no AWS profile called 'work'"):
        provider("work", env)


def test_a_broken_file_is_named_and_not_quoted(env: dict[str, str]) -> None:
    write(env, "aws_secret_access_key = SECRETVALUE\n")
    with pytest.raises(UsageError) as met:
        read_profile(None, env)
    assert env["AWS_SHARED_CREDENTIALS_FILE"] in met.value.message
    assert "SECRETVALUE" not in met.value.message
    assert met.value.__suppress_context__


def test_keys_do_not_print() -> None:
    assert "SECRETVALUE" not in repr(Keys(access_key="AKIAXXXX", secret_key="SECRETVALUE", token="SECRETVALUE"))


@pytest.mark.parametrize(
    "config", ["sso_session = s", "role_arn = arn:x\nsource_profile = default", "credential_process = /bin/x", "sso_start_url = https://x"]
)
def test_profiles_that_need_a_conversation_name_the_extra(env: dict[str, str], monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    write(env, "", f"[profile p]\n{config}\n")
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    chosen, _ = provider("p", env)
    assert chosen
    with pytest.raises(UsageError, match="'p'") as met:
        chosen()
    assert "windlass[aws]" in met.value.hint
    assert chosen.failure is met.value
    monkeypatch.setattr(chosen, "keys", lambda: Keys(access_key="A", secret_key="S"))
    assert chosen()["access_key_id"] == "A"
    assert chosen.failure is None, "good keys end it"


def test_a_code_is_never_asked_for(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(env, "", "[profile p]\nrole_arn = arn:x\nmfa_serial = arn:y\nsource_profile = default\n")
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asked"))
    chosen, _ = provider("p", env)
    assert chosen
    with pytest.raises(AccessDenied) as met:
        chosen.keys()
    assert "aws configure export-credentials --profile p" in met.value.hint


def fake_botocore(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    """The two modules that are used, so that the extra need not be installed."""

    class BotoCoreError(Exception): ...

    class ClientError(Exception): ...

    class Session:
        def __init__(self, profile: str) -> None:
            self.profile = profile

        def get_credentials(self) -> Any:
            if result is None:
                raise BotoCoreError("token expired; SECRETVALUE")
            return result

    session, exceptions = ModuleType("botocore.session"), ModuleType("botocore.exceptions")
    session.Session = Session  # type: ignore[attr-defined]
    exceptions.BotoCoreError, exceptions.ClientError = BotoCoreError, ClientError  # type: ignore[attr-defined]
    for module in (ModuleType("botocore"), session, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_an_expired_login_names_its_command(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(env, "", "[profile p]\nsso_session = s\n")
    fake_botocore(monkeypatch, None)
    chosen, _ = provider("p", env)
    assert chosen
    with pytest.raises(AccessDenied) as met:
        chosen.keys()
    assert met.value.hint == "run: aws sso login --profile p"
    assert "SECRETVALUE" not in met.value.message


def test_what_botocore_gives_is_asked_for_again_in_time(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Credentials:
        access_key, secret_key, token = "A", "S", "T"

        def get_frozen_credentials(self) -> Credentials:
            return self

    write(env, "", "[profile p]\ncredential_process = x\n")
    fake_botocore(monkeypatch, Credentials())
    chosen, _ = provider("p", env)
    assert chosen
    given = chosen()
    assert (given["access_key_id"], given["secret_access_key"], given["token"]) == ("A", "S", "T")
    assert given["expires_at"] is not None
    static = Provider(Profile(name="s", values={"aws_access_key_id": "A", "aws_secret_access_key": "S"}))
    assert static()["expires_at"] is None


def test_hints_for_expired_credentials() -> None:
    assert "aws login --profile x" in login_hint(Profile(name="x", values={"login_session": "y"}))
    assert "AWS_SESSION_TOKEN" in login_hint(None)
