"""Every error that Windlass raises; the class says what the caller should do, `exit` is the command's exit code.

    WindlassError                1  failed
    ├── UsageError               2  a name, key, value, file or option is wrong: mend it
    │   └── Unidentified         2  nobody knows who is acting: pass an agent
    ├── Lost                     3  somebody or something moved on: look again before acting
    │   ├── ClaimLost            3  the claim is somebody else's, or the step is not in a state for this
    │   ├── VersionMoved         3  a compare-and-set found another version
    │   ├── Conflicting          3  both sides of a merge changed the same files; nothing was written
    │   └── Fenced               3  a newer incarnation of this agent acts, or it is active elsewhere
    ├── NotFound                 4  there is no such thing
    │   └── NothingLeft          4  `next`: the plan is done
    ├── TimedOut                 5  it has not happened yet: wait again
    │   └── NothingReady         5  `next`: work is left, but none of it is ready
    ├── Unmet                    6  a need or a thing waited for cannot complete
    ├── Indeterminate            7  a write may or may not have landed: look before repeating it
    ├── StoreError               1  the store cannot be used as it is
    │   ├── StoreMissing         1  no such bucket or directory
    │   ├── AccessDenied         1  credentials missing, refused or expired
    │   ├── StoreReadOnly        1  a sandbox or file system denies writes
    │   ├── StoreFull            1  disk or quota full
    │   ├── Unavailable          1  no usable answer in time; a plain read or list may be tried again
    │   └── Unsafe               1  the store failed the doctor's probes
    ├── FormatTooNew             1  written by a newer Windlass: upgrade this one
    ├── Damaged                  1  an object is torn or hostile; carries its key
    └── Moved                    1  the project lives in another store now

Between stores and the code that settles writes there are two more, which never reach a user:

    PutRefused                      the store said the condition does not hold
    PutUnclear                      the store did not say whether the write landed
"""

from __future__ import annotations


class WindlassError(Exception):
    """The root. `message` says what happened, `hint` what to do next; both are one line for people."""

    exit = 1
    name = "failed"

    def __init__(self, message: str, hint: str = "", **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class UsageError(WindlassError):
    """Something the caller passed is wrong; nothing was sent."""

    exit = 2
    name = "usage"


class Unidentified(UsageError):
    """Nobody knows which agent is acting."""

    name = "unidentified"


class Lost(WindlassError):
    """Somebody else holds it, or the state or version moved on."""

    exit = 3
    name = "lost"


class ClaimLost(Lost):
    """The claim is not the caller's (any more), or the step's state does not allow this."""

    name = "claim_lost"


class VersionMoved(Lost):
    """A compare-and-set on memory found another version."""

    name = "version_moved"


class Conflicting(Lost):
    """Both sides of a merge changed the same files, each in its own way. `details["conflicts"]` names them."""

    name = "conflicting"


class Fenced(Lost):
    """A newer incarnation of this agent exists, or the name is active on another machine."""

    name = "fenced"


class NotFound(WindlassError):
    """There is no such step, key, message, agent or project."""

    exit = 4
    name = "not_found"


class NothingLeft(NotFound):
    """`next` found no step that could ever become ready without somebody reopening one."""

    name = "nothing_left"


class TimedOut(WindlassError):
    """What was waited for has not happened yet."""

    exit = 5
    name = "timed_out"


class NothingReady(TimedOut):
    """`next` found unfinished steps, none of them ready."""

    name = "nothing_ready"


class Unmet(WindlassError):
    """A need, or a step waited for, is not complete and this cannot go on."""

    exit = 6
    name = "unmet"


class Indeterminate(WindlassError):
    """The store did not say whether a write landed and reading back could not tell."""

    exit = 7
    name = "indeterminate"


class StoreError(WindlassError):
    """The store cannot be used as it is; a write that met this did not land."""

    name = "store"


class StoreMissing(StoreError):
    """No such bucket or directory."""

    name = "store_missing"


class AccessDenied(StoreError):
    """Credentials are missing, refused or expired. Never read as "not found"."""

    name = "access_denied"


class StoreReadOnly(StoreError):
    """A sandbox or the file system denies the write."""

    name = "read_only"


class StoreFull(StoreError):
    """The disk or a quota is full."""

    name = "full"


class Unavailable(StoreError):
    """No usable answer in time to a read, list or delete."""

    name = "unavailable"


class Unsafe(StoreError):
    """The store does not keep its conditional writes apart."""

    name = "unsafe"


class FormatTooNew(WindlassError):
    """A document or project was written by a newer major format."""

    name = "format_too_new"


class Damaged(WindlassError):
    """An object in the store is torn, of the wrong type or hostile. `key` names it."""

    name = "damaged"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key} is damaged: {why}", "look at it with your store's own tools; the rest is unaffected", key=key)
        self.key = key
        self.why = why


class Moved(WindlassError):
    """The project was moved; `to` is the store's new URL."""

    name = "moved"

    def __init__(self, to: str) -> None:
        word = shell_word(to)
        super().__init__(f"this project moved to {word}", f"export WINDLASS_STORE={word} or run: windlass init --store {word}", to=to)
        self.to = to


def shell_word(text: str) -> str:
    """Text from anywhere as one word of a command that a reader may copy: printable characters only, quoted where it needs it."""
    plain = "".join(char for char in text[:2000] if char.isprintable())
    if plain and all(char.isalnum() or char in "_-./:=@%+," for char in plain):
        return plain
    return "'" + plain.replace("'", "'\\''") + "'"


class PutRefused(Exception):
    """The store answered that the condition does not hold (412, or 404 for a replace)."""


class PutUnclear(Exception):
    """Time-out, dropped connection, 409, 429 or 5xx: the write may have landed, or land later."""
