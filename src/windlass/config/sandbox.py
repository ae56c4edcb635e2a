"""The exact setting that lets a command out of the sandbox of the host tool around it."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def _tool(env: Mapping[str, str]) -> str:
    if env.get("CODEX_SANDBOX") or env.get("CODEX_THREAD_ID") or env.get("CODEX_SESSION_ID"):
        return "codex"
    if env.get("CLAUDECODE") or env.get("CLAUDE_CODE_SESSION_ID"):
        return "claude"
    return ""


def sandbox_hint(path: str, env: Mapping[str, str]) -> str:
    """What to set so that commands may write below `path`, in one line."""
    quoted = json.dumps(path, ensure_ascii=False)
    match _tool(env):
        case "claude":
            return (
                f'in .claude/settings.local.json set {{"permissions": {{"additionalDirectories": [{quoted}]}}, '
                f'"sandbox": {{"filesystem": {{"allowWrite": [{quoted}]}}}}}}'
            )
        case "codex":
            return (
                f"start codex with --add-dir {_shell(path)}, or in ~/.codex/config.toml "
                f"under [sandbox_workspace_write] set writable_roots = [{quoted}]"
            )
    return f"make {path} writable here, or set WINDLASS_STORE to a store that this command may write"


def network_hint(store: str, env: Mapping[str, str]) -> str:
    """What to set so that commands may reach a store (its URL), in one line."""
    host = _host(store)
    match _tool(env):
        case "claude":
            return f'in .claude/settings.local.json set {{"sandbox": {{"network": {{"allowedDomains": [{json.dumps(host)}]}}}}}}'
        case "codex":
            return "in ~/.codex/config.toml under [sandbox_workspace_write] set network_access = true"
    return f"let this command reach {host}, or set WINDLASS_STORE to a store that it can reach"


def _host(store: str) -> str:
    from urllib.parse import parse_qs, urlsplit

    parts = urlsplit(store)
    endpoint = parse_qs(parts.query).get("endpoint")
    if endpoint:
        return urlsplit(endpoint[0]).hostname or endpoint[0]
    return "*.amazonaws.com" if parts.scheme == "s3" else parts.hostname or store


def _shell(path: str) -> str:
    from shlex import quote

    return quote(path)
