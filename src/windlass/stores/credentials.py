"""AWS profiles: static keys are read natively, everything that needs a conversation goes through botocore. Nothing is written."""

from __future__ import annotations

import os

from windlass.errors import AccessDenied, UsageError
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_COMPLEX = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session", "web_identity_token_file")
_REFRESH = 300
"""Seconds after which credentials that can expire are asked for again; botocore keeps those that are still good."""


class Keys(Record):
    """An access key. Its text form hides the secrets."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Keys({self.access_key[:4]}…)"


class Profile(Record):
    """One profile of the AWS files, both sections merged."""

    name: str
    values: Mapping[str, str]


def environment_keys(env: Mapping[str, str]) -> Keys | None:
    """The keys that the environment holds."""
    access, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    return Keys(access_key=access, secret_key=secret, token=env.get("AWS_SESSION_TOKEN") or None) if access and secret else None


def read_profile(name: str | None, env: Mapping[str, str]) -> Profile | None:
    """The profile asked for, else AWS_PROFILE's, else the default one; None if nobody named one and there is none.

    Raises UsageError for a file that cannot be read, or a named profile that does not exist.
    """
    wanted = name or env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE")
    home = os.path.expanduser("~/.aws")
    config = os.path.expanduser(env.get("AWS_CONFIG_FILE") or os.path.join(home, "config"))
    secrets = os.path.expanduser(env.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, "credentials"))
    called = wanted or "default"
    # the config file says [profile NAME] where the credentials file says [NAME]; keys of the credentials file win
    found = _section(config, ["default", "profile default"] if called == "default" else [f"profile {called}"])
    found.update(_section(secrets, [called]))
    if found:
        return Profile(name=called, values=found)
    if wanted:
        raise UsageError(f"there is no AWS profile called {wanted!r}", f"look into {config} and {secrets}, or run: aws configure")
    return None


def _section(path: str, names: list[str]) -> dict[str, str]:
    if not os.path.isfile(path):
        return {}
    from configparser import Error, RawConfigParser

    parser = RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, OSError, UnicodeDecodeError):  # their texts may quote a secret
        hint = "mend it, or set AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE"
        raise UsageError(f"{path} cannot be read as an AWS profile file", hint) from None
    found: dict[str, str] = {}
    for name in names:
        if parser.has_section(name):
            found.update(parser.items(name))
    return found


class Provider:
    """Hands a profile's credentials to obstore, anew when they near their end. `failure` keeps why it last could not."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.failure: AccessDenied | UsageError | None = None
        self._source: Any = None

    def keys(self) -> Keys:
        """Raises AccessDenied where the profile gives none, UsageError where reading it needs the extra."""
        values = self.profile.values
        if "role_arn" not in values and values.get("aws_access_key_id") and values.get("aws_secret_access_key"):
            token = values.get("aws_session_token") or None
            return Keys(access_key=values["aws_access_key_id"], secret_key=values["aws_secret_access_key"], token=token)
        return self._through_botocore()

    def __call__(self) -> dict[str, Any]:
        try:
            keys = self.keys()
        except (AccessDenied, UsageError) as error:
            self.failure = error
            raise
        self.failure = None
        from datetime import UTC, datetime, timedelta

        expires = None if self._source is None else datetime.now(UTC) + timedelta(seconds=_REFRESH)
        return {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key, "token": keys.token, "expires_at": expires}

    def _through_botocore(self) -> Keys:
        name, values = self.profile.name, self.profile.values
        if "mfa_serial" in values:  # botocore would ask for the code on the terminal
            hint = f'run: eval "$(aws configure export-credentials --profile {name} --format env)"'
            raise AccessDenied(f"the AWS profile {name!r} asks for a code (MFA)", hint)
        try:
            from botocore.exceptions import BotoCoreError, ClientError
            from botocore.session import Session
        except ImportError:
            raise UsageError(f"the AWS profile {name!r} needs SSO, a role or a program", "run: pip install 'windlass[aws]'") from None
        try:
            if self._source is None:
                self._source = Session(profile=name).get_credentials()
            frozen = self._source.get_frozen_credentials() if self._source else None
        except (BotoCoreError, ClientError):
            frozen = None
        if frozen is None:
            raise AccessDenied(f"the AWS profile {name!r} gives no credentials, or they expired", login_hint(self.profile))
        return Keys(access_key=frozen.access_key, secret_key=frozen.secret_key, token=frozen.token)


def provider(name: str | None, env: Mapping[str, str]) -> tuple[Provider | None, Profile | None]:
    """Where credentials come from, and the profile that settles region and endpoint; no provider = environment or the machine's identity.

    A profile named in the URL wins over keys in the environment, and those over AWS_PROFILE and [default].
    """
    has_keys = environment_keys(env) is not None
    if not name and has_keys and not env.get("AWS_PROFILE"):
        return None, None
    profile = read_profile(name, env)
    if profile is None or (has_keys and not name) or (env.get("AWS_WEB_IDENTITY_TOKEN_FILE") and not name):
        return None, profile
    if "aws_access_key_id" not in profile.values and not any(key in profile.values for key in _COMPLEX):
        return None, profile
    return Provider(profile), profile


def login_hint(profile: Profile | None) -> str:
    """The command that renews expired credentials."""
    if profile is None:
        return "set fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or name a profile"
    if any(key.startswith("sso_") for key in profile.values) or "source_profile" in profile.values:
        return f"run: aws sso login --profile {profile.name}"
    if "login_session" in profile.values:
        return f"run: aws login --profile {profile.name}"
    return f"renew the credentials of the AWS profile {profile.name!r}"
