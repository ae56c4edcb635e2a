"""Documents as bytes: JSON with `format`, `kind`, `write_id` and `seq` in the body; fields we do not know survive a rewrite."""

from __future__ import annotations

from windlass import jsons
from windlass.errors import Damaged, FormatTooNew, UsageError
from windlass.protocol.keys import is_name, is_text
from windlass.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar, Self, TypeVar

    from windlass.choice import Choice

    E = TypeVar("E", bound=Choice)
    D = TypeVar("D", bound="Document")
    V = TypeVar("V")

FORMAT = 1
"""The major format that this code writes; a newer one is refused."""
MAX_DEPTH = 100
"""Lists and objects within one another in a value."""
MAX_NESTING = 120
"""The same in a whole document, as read: below what any Python can write again, wherever it does so."""
MAX_WHOLE = 2**53
"""Whole numbers stay below: beyond it JSON readers round."""
MAX_TEXT = 256 * 1024
"""Bytes, as UTF-8, of one value, message, note or description."""
MAX_DOCUMENT = 4 * 1024 * 1024
"""Bytes of one document as encoded: no store reads a larger object."""

_HEAD = ("format", "kind", "write_id", "seq")


class Fields:
    """Takes typed fields out of a decoded JSON object. Raises ValueError naming the field that is wrong."""

    def __init__(self, values: object, where: str = "") -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{where or 'the document'} is not an object")
        self._left: dict[str, Any] = dict(values)
        self._where = where + "." if where else ""

    def _take(self, name: str, kind: type | tuple[type, ...], what: str, default: Any) -> Any:
        value = self._left.pop(name, None)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{self._where}{name} is not {what}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        return str(self._take(name, str, "a string", default))

    def maybe_text(self, name: str) -> str | None:
        """A string, or None where absent."""
        value: str | None = self._take(name, str, "a string", None)
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number, at least 0 and below 2^53."""
        value = int(self._take(name, int, "a whole number", default))
        if not 0 <= value < MAX_WHOLE:
            raise ValueError(f"{self._where}{name} is out of range")
        return value

    def maybe_whole(self, name: str) -> int | None:
        """A whole number as `whole` takes it, or None where absent."""
        return self.whole(name) if self._left.get(name) is not None else self._take(name, int, "", None)

    def signed(self, name: str, default: int = 0) -> int:
        """A whole number of either sign."""
        value = int(self._take(name, int, "a whole number", default))
        if abs(value) >= MAX_WHOLE:
            raise ValueError(f"{self._where}{name} is out of range")
        return value

    def number(self, name: str, default: float = 0.0) -> float:
        """A finite number."""
        return self._finite(name, self._take(name, (int, float), "a number", default))

    def maybe_number(self, name: str) -> float | None:
        """A finite number, or None where absent."""
        value = self._take(name, (int, float), "a number", None)
        return None if value is None else self._finite(name, value)

    def _finite(self, name: str, value: float) -> float:
        if not -1e15 < value < 1e15:
            raise ValueError(f"{self._where}{name} is out of range")
        return float(value)

    def flag(self, name: str) -> bool:
        """true, or false where absent."""
        return bool(self._take(name, bool, "true or false", False))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self._take(name, list, "a list", [])
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{self._where}{name} is not a list of strings")
        return tuple(values)

    def one_name(self, name: str) -> str:
        """A legal name, the part of a key."""
        value = self.text(name)
        if not is_name(value):
            raise ValueError(f"{self._where}{name} is no name")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list of legal names."""
        values = self.texts(name)
        if not all(is_name(value) for value in values):
            raise ValueError(f"{self._where}{name} has something that is no name")
        return values

    def objects(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """A list of JSON objects, as they are."""
        values = self._take(name, list, "a list", [])
        if not all(isinstance(value, dict) for value in values):
            raise ValueError(f"{self._where}{name} is not a list of objects")
        return tuple(values)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A JSON object, as it is."""
        value: dict[str, Any] = self._take(name, dict, "an object", {})
        return value

    def counts(self, name: str) -> Mapping[str, int]:
        """A JSON object of whole numbers."""
        inner = Fields(self._take(name, dict, "an object", {}), self._where + name)
        return {key: inner.whole(key) for key in list(inner._left)}

    def anything(self, name: str) -> Any:
        """Any JSON value, None where absent."""
        return self._left.pop(name, None)

    def choice(self, name: str, of: type[E], default: E) -> E:
        """One of an enum's values."""
        value = self._take(name, str, "a string", default.value)
        try:
            return of(value)
        except ValueError:
            raise ValueError(f"{self._where}{name} is {str(value)[:40]!r}, which this version does not know") from None

    def record(self, name: str, build: Callable[[Fields], V]) -> V | None:
        """An object read by `build`, or None where absent."""
        value = self._take(name, dict, "an object", None)
        return None if value is None else build(Fields(value, self._where + name))

    def records(self, name: str, build: Callable[[Fields], V]) -> tuple[V, ...]:
        """A list of objects, each read by `build`."""
        values = self._take(name, list, "a list", [])
        return tuple(build(Fields(value, f"{self._where}{name}[{i}]")) for i, value in enumerate(values))

    def records_by_name(self, name: str, build: Callable[[Fields], V]) -> dict[str, V]:
        """An object of objects under legal names, each read by `build`."""
        values = self.mapping(name)
        if not all(map(is_name, values)):
            raise ValueError(f"{self._where}{name} has something that is no name")
        return {key: build(Fields(value, f"{self._where}{name}.{key}")) for key, value in values.items()}

    def rest(self) -> Mapping[str, Any]:
        """What was not taken: fields of a newer minor version."""
        return self._left


class Document(Record):
    """One object's content. `write_id` is fresh for every write; `seq` grows by one with each write of a register."""

    KIND: ClassVar[str] = ""

    write_id: str = ""
    seq: int = 0
    extra: Mapping[str, Any] = {}

    @classmethod
    def load(cls, f: Fields) -> Self:
        """Build from fields. Raises ValueError."""
        raise NotImplementedError

    @property
    def spare(self) -> int:
        """Bytes below the largest document that this state must leave free for what may follow it."""
        return 0

    def wrote(self, write_id: str, seq: int) -> bool | None:
        """Whether this or an earlier state was written by `write_id` as number `seq`; None where that cannot be told."""
        if self.write_id == write_id:
            return True
        return False if self.seq <= seq else None


def plain(value: object) -> Any:
    """A record, enum, tuple or mapping as JSON types; empty and default fields of records are left out."""
    if isinstance(value, Record):
        return _fields(value)
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, type(None))) else getattr(value, "value", value)


def _fields(record: Record) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in record.__fields__:
        value = getattr(record, name)
        if name == "extra":
            continue
        if value is None or value == getattr(type(record), name, None):
            continue
        out[name] = plain(value)
    for name, value in (getattr(record, "extra", None) or {}).items():
        out.setdefault(name, value)
    return out


def encode(document: Document) -> bytes:
    """The document's bytes, ASCII JSON. Raises UsageError where nobody could read them again."""
    head = {"format": FORMAT, "kind": document.KIND, "write_id": document.write_id, "seq": document.seq}
    try:
        body = jsons.dumps({**head, **_fields(document)}, compact=True, allow_nan=False).encode("ascii")
    except ValueError as error:  # not a number, or one that is infinite
        raise _unwritable(document, str(error)) from None
    except RecursionError:
        raise _unwritable(document, "it is nested too deeply") from None
    limit = MAX_DOCUMENT - document.spare
    if len(body) > limit:
        raise _unwritable(document, f"it would have {len(body):,} bytes, at most {limit:,} are allowed")
    try:
        decode(type(document), document.KIND, body)
    except Damaged as error:  # something of the wrong type came from a program, or a count is at its end
        raise UsageError(f"this {document.KIND} cannot be written: {error.why}", "nobody could read it again") from None
    return body


def _unwritable(document: Document, why: str) -> UsageError:
    return UsageError(f"this {document.KIND} cannot be written: {why}", "put large content in a file or a bucket, and send its address")


def decode(kind: type[D], key: str, body: bytes) -> D:
    """The document in an object's bytes. Raises Damaged, FormatTooNew."""
    return document(kind, key, parse(key, body))


def document(kind: type[D], key: str, values: Mapping[str, Any]) -> D:
    """The document that a parsed JSON object is. Raises Damaged, FormatTooNew."""
    fields = Fields(values)
    major = fields.anything("format")
    if not isinstance(major, int) or isinstance(major, bool) or major < 1:
        raise Damaged(key, "it has no format number")
    if major > FORMAT:
        raise FormatTooNew(
            f"{key} is written in format {major}, this Windlass knows up to {FORMAT}", "upgrade: pip install -U windlass", key=key
        )
    if (is_a := fields.anything("kind")) != kind.KIND:
        raise Damaged(key, f"it is a {str(is_a)[:40]!r}, not a {kind.KIND!r}")
    try:
        write_id, seq = fields.text("write_id"), fields.whole("seq")
        found = kind.load(fields)
    except ValueError as error:
        raise Damaged(key, str(error)) from None
    vars(found).update(write_id=write_id, seq=seq, extra=fields.rest())  # still ours alone: a copy would cost as much again
    return found


def parse(key: str, body: bytes) -> dict[str, Any]:
    """The JSON object in some bytes. Raises Damaged."""
    try:
        values = _read(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else "it is not JSON"
        raise Damaged(key, why) from None
    if not isinstance(values, dict):
        raise Damaged(key, "it is not a JSON object")
    if body.count(b"[") + body.count(b"{") > MAX_NESTING and _deeper_than(MAX_NESTING, values):
        raise Damaged(key, "it is nested too deeply")
    return values


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if value - value != 0.0:
        raise ValueError(digits)
    return value


_read = jsons.reader(_finite, _no_constant)


def check_value(value: object, what: str = "value") -> None:
    """Raises UsageError where a value is no JSON, or too large or too deep to be kept."""
    if isinstance(value, str):
        check_text(value, what)
        return
    if _deeper_than(MAX_DEPTH, value):
        raise UsageError(f"the {what} is nested more than {MAX_DEPTH} deep", "make it flatter, or keep it as text")
    try:
        text = jsons.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the {what} is no JSON: {error}", "use text, finite numbers, true, false, null, lists and objects") from None
    check_text(text, what)


def _deeper_than(most: int, value: object) -> bool:
    """Whether lists and objects go deeper; what each Python can read differs, so the limit is ours."""
    level: list[Any] = [value]
    for _ in range(most + 1):
        level = [one for one in level if isinstance(one, (list, tuple, dict))]
        if not level:
            return False
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return True


def check_text(text: str, what: str, limit: int = MAX_TEXT) -> str:
    """The text itself. Raises UsageError where it is none, too large or not Unicode."""
    if not is_text(text):
        raise UsageError(f"the {what} is no text", "pass a string")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise UsageError(f"the {what} is not valid Unicode", "send UTF-8 text") from None
    if size > limit:
        raise UsageError(
            f"the {what} has {size:,} bytes, at most {limit:,} are allowed", "put large content in a file or a bucket, and send its address"
        )
    return text
