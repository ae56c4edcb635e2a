"""Builds and parses every key of a project. Nothing else spells a key. Source of the layout: docs/protocol.md."""

from __future__ import annotations

from windlass.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

BROADCAST = "_broadcast"
MAX_NAME = 128
"""Bytes of one name."""
MAX_MEMORY_KEY = 512
"""Bytes of a whole memory key, dots included."""

MARKER = "windlass.json"
BOARD = "board.json"
SURVEY = "survey.json"
AGENTS = "agents/"
PRESENCE = "presence/"
STEPS = "steps/"
MEMORY = "memory/"
HISTORY = "history/"
MAIL = "mail/"
SWEEP = "gc.json"
PENDING = "pending/"
BLOBS = "blobs/"
ARTIFACTS = "artifacts/"
VERSIONS = "versions/"
WORKSPACES = "workspaces/"
SHARED = "_shared"
"""Where a step's name would be in the key of an artifact that belongs to none."""
SHARED_VERSIONS = f"{VERSIONS}{SHARED}/"

_IN_PARTS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_IN_NAMES = _IN_PARTS + b"."
_ODD_ENDS = ("\n\n", "\n.", "\n_", "\n-", ".\n")


def check_name(name: str, what: str) -> str:
    """The name itself. Raises UsageError unless it is letters, digits and `. _ -`, starting with a letter or digit and ending in no dot."""
    if is_name(name):
        return name
    raise UsageError(
        f"{_shown(name)} is no {what} name",
        f"use letters, digits, '.', '_', '-'; start with a letter or digit, end in no dot; at most {MAX_NAME} bytes",
        name=name,
    )


def is_name(name: str) -> bool:
    """Whether it could name an agent, step, project or label."""
    return is_text(name) and name[-1:] != "." and _consists(name, _IN_NAMES)


def are_names(names: AbstractSet[str]) -> bool:
    """Whether `is_name` holds for each of these texts, in a fraction of the time."""
    together = "\n".join(["", *names, ""])
    return (
        together.isascii()
        and not together.encode().translate(None, _IN_NAMES + b"\n")
        and together.count("\n") == len(names) + 1
        and max(map(len, names), default=0) <= MAX_NAME
        and not any(odd in together for odd in _ODD_ENDS)
    )


def _consists(text: str, of: bytes) -> bool:
    """Whether it starts with a letter or digit, holds nothing else than `of`, and is no longer than a name may be."""
    return 0 < len(text) <= MAX_NAME and text.isascii() and text[0].isalnum() and not text.encode().translate(None, of)


def _is_number(text: str, digits: int) -> bool:
    return len(text) == digits and text.isascii() and text.isdigit()


def is_text(value: object) -> bool:
    """Whether a program passed what it should."""
    return isinstance(value, str)


def check_memory_key(key: str) -> str:
    """The key itself. Raises UsageError unless it is names without dots, joined by dots."""
    if is_text(key) and len(key) <= MAX_MEMORY_KEY and all(_consists(part, _IN_PARTS) for part in key.split(".")):
        return key
    raise UsageError(
        f"{_shown(key)} is no memory key",
        f"join names of letters, digits, '_' and '-' by dots, like design.contract; at most {MAX_MEMORY_KEY} bytes",
        key=key,
    )


def check_mailbox(name: str) -> str:
    """The mailbox's name: an agent's, or `_broadcast`."""
    return name if name == BROADCAST else check_name(name, "agent")


def _shown(given: object) -> str:
    text = given if isinstance(given, str) else str(given)
    return repr(text if len(text) <= 60 else text[:57] + "…")


def agent(name: str) -> str:
    """The agent register."""
    return f"agents/{check_name(name, 'agent')}.json"


def presence(agent: str, incarnation: int) -> str:
    """The presence object of one incarnation."""
    return f"presence/{check_name(agent, 'agent')}/{incarnation:08d}.json"


def clock(machine: str) -> str:
    """An object that a machine overwrites to learn the store's time."""
    return f"clock/{check_name(machine, 'machine')}.json"


def step(name: str) -> str:
    """The step register."""
    return f"steps/{check_name(name, 'step')}.json"


def memory(key: str) -> str:
    """The live register of a memory key."""
    return f"memory/{check_memory_key(key).replace('.', '/')}.json"


def memory_prefix(prefix: str) -> str:
    """What the keys of all memory keys starting with `prefix` start with."""
    if prefix or not is_text(prefix):
        check_memory_key((prefix.rstrip(".") if is_text(prefix) else prefix) or ".")
    return "memory/" + prefix.replace(".", "/")


def memory_version(key: str, version: int) -> str:
    """The archived version of a memory key."""
    return f"history/{check_memory_key(key).replace('.', '/')}/{version:08d}.json"


def slot(mailbox: str, number: int) -> str:
    """One message of a mailbox."""
    return f"mail/{check_mailbox(mailbox)}/{number:010d}.json"


def slots(mailbox: str) -> str:
    """What the keys of all messages of a mailbox start with."""
    return f"mail/{check_mailbox(mailbox)}/"


def segment(mailbox: str, number: int) -> str:
    """The copy of slots 256·number up to 256·number + 255."""
    return f"segments/{check_mailbox(mailbox)}/{number:08d}.json"


def cursor(agent: str) -> str:
    """How far an agent has read."""
    return f"cursors/{check_name(agent, 'agent')}.json"


def ack(mailbox: str, number: int, agent: str) -> str:
    """An agent's acknowledgement of one message."""
    return f"acks/{check_mailbox(mailbox)}/{number:010d}/{check_name(agent, 'agent')}.json"


def sent(agent: str, ident: str) -> str:
    """What an agent sent under an id of its own choosing."""
    return f"sent/{check_name(agent, 'agent')}/{check_name(ident, 'message id')}.json"


def blob(name: str) -> str:
    """An object of the content store, by its name `SHA256.EPOCH`. Raises UsageError."""
    if not is_blob_name(name):
        raise UsageError(f"{_shown(name)} names no blob", "a blob's name is its SHA-256, a dot and the epoch of its creation")
    return f"blobs/{name[:2]}/{name[2:]}"


def blobs(digest: str) -> str:
    """What the keys of all objects with that content start with."""
    return f"blobs/{digest[:2]}/{digest[2:]}."


def is_blob_name(name: object) -> bool:
    """Whether it is 64 lower-case hexadecimal digits, a dot and an epoch without leading zeros."""
    if not isinstance(name, str) or len(name) > 80:
        return False
    digest, dot, epoch = name.partition(".")
    return bool(dot) and is_digest(digest) and epoch.isascii() and epoch.isdigit() and (epoch == "0" or epoch[0] != "0")


def is_digest(text: object) -> bool:
    """Whether it is a SHA-256 as 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and len(text) == 64 and text.isascii() and not text.encode().translate(None, b"0123456789abcdef")


def pending(ident: str) -> str:
    """The record of an upload that is not published yet."""
    return f"pending/{check_name(ident, 'upload')}.json"


def artifact(name: str) -> str:
    """The register of an artifact that belongs to no step."""
    return f"artifacts/{check_name(name, 'artifact')}.json"


def artifact_version(step: str, name: str, version: int) -> str:
    """An archived version of an artifact; `step` is empty for one that belongs to none."""
    return f"{artifact_versions(step, name)}{version:08d}.json"


def artifact_versions(step: str, name: str) -> str:
    """What the keys of an artifact's archived versions start with."""
    return f"versions/{check_name(step, 'step') if step else SHARED}/{check_name(name, 'artifact')}/"


def workspace(name: str) -> str:
    """The workspace register."""
    return f"workspaces/{check_name(name, 'workspace')}.json"


def message_id(mailbox: str, number: int) -> str:
    """A message's id as people and agents type it, like `designer:12`."""
    return f"{mailbox}:{number}"


def parse_message_id(ident: str) -> tuple[str, int]:
    """Mailbox and slot. Raises UsageError."""
    mailbox, _, number = ident.rpartition(":") if is_text(ident) else ("", "", "")
    if mailbox and number.isascii() and number.isdigit() and len(number) <= 10:
        return check_mailbox(mailbox), int(number)
    raise UsageError(f"{_shown(ident)} is no message id", "ids look like designer:12; `windlass inbox --all` shows them")


def parse_agent(key: str) -> str | None:
    """The agent of an agent register's key, or None for any other key."""
    return _between(key, "agents/")


def parse_presence(key: str) -> tuple[str, int] | None:
    """Agent and incarnation of a presence object's key."""
    name = _between(key, "presence/", names=False)
    agent_name, _, number = (name or "").partition("/")
    if is_name(agent_name) and _is_number(number, 8):
        return agent_name, int(number)
    return None


def parse_step(key: str) -> str | None:
    """The step of a step register's key."""
    return _between(key, "steps/")


def parse_artifact(key: str) -> str | None:
    """The artifact of a register's key."""
    return _between(key, "artifacts/")


def parse_artifact_version(key: str) -> tuple[str, str, int] | None:
    """Step (empty for none), artifact and version of an archived version's key."""
    step, _, rest = (_between(key, "versions/", names=False) or "").partition("/")
    name, _, number = rest.partition("/")
    if (step == SHARED or is_name(step)) and is_name(name) and _is_number(number, 8):
        return "" if step == SHARED else step, name, int(number)
    return None


def parse_workspace(key: str) -> str | None:
    """The workspace of a register's key."""
    return _between(key, "workspaces/")


def parse_pending(key: str) -> str | None:
    """The upload of a pending record's key."""
    return _between(key, "pending/")


def parse_blob(key: str) -> str | None:
    """The name `SHA256.EPOCH` of an object of the content store."""
    if not key.startswith("blobs/") or key[8:9] != "/":
        return None
    name = key[6:8] + key[9:]
    return name if is_blob_name(name) else None


def parse_memory(key: str) -> str | None:
    """The memory key of a live register's key."""
    inner = _between(key, "memory/", names=False)
    if inner is None or len(inner) > MAX_MEMORY_KEY or not all(_consists(part, _IN_PARTS) for part in inner.split("/")):
        return None
    return inner.replace("/", ".")


def parse_slot(key: str) -> tuple[str, int] | None:
    """Mailbox and number of a message's key."""
    inner = _between(key, "mail/", names=False)
    mailbox, _, number = (inner or "").partition("/")
    if (mailbox == BROADCAST or is_name(mailbox)) and _is_number(number, 10):
        return mailbox, int(number)
    return None


def _between(key: str, prefix: str, names: bool = True) -> str | None:
    if not key.startswith(prefix) or not key.endswith(".json"):
        return None
    inner = key[len(prefix) : -len(".json")]
    return inner if not names or is_name(inner) else None
