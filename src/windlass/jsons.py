"""JSON as `json` reads and writes it, by the C code that it uses itself: importing `json`, and with it `re`, costs a command 8 ms."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANK = " \t\n\r"


def _no_json(value: object) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class _Reading:
    """What the scanner asks of a `json.JSONDecoder`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_int = int

    def __init__(self, parse_float: Callable[[str], Any], parse_constant: Callable[[str], Any]) -> None:
        self.parse_float = parse_float
        self.parse_constant = parse_constant


make_encoder: Any
make_scanner: Any
try:
    from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

    # private to the standard library: where it works otherwise, `json` itself does it
    _chunks = make_encoder({}, _no_json, encode_basestring, None, ":", ",", False, False, True)({"a": [1.5, None]}, 0)
    if make_scanner(_Reading(float, float))(" " + "".join(_chunks), 1) != ({"a": [1.5, None]}, 17):
        raise ImportError
except (ImportError, AttributeError, TypeError):
    from json import dumps as _dumps
    from json import loads as _loads

    make_encoder = make_scanner = None


def reader(parse_float: Callable[[str], Any], parse_constant: Callable[[str], Any]) -> Callable[[str], Any]:
    """What gives the value of a JSON text. Raises ValueError, RecursionError."""
    if make_scanner is None:
        return lambda text: _loads(text, parse_float=parse_float, parse_constant=parse_constant)
    scan = make_scanner(_Reading(parse_float, parse_constant))

    def read(text: str) -> Any:
        try:
            value, end = scan(text, len(text) - len(text.lstrip(_BLANK)))
        except StopIteration as stop:
            raise ValueError(f"no JSON value at character {stop.value}") from None
        except SystemError as error:  # the scanner finds its own kind of error only where `json` is loaded
            raise ValueError("it is not JSON") from error
        if text[end:].strip(_BLANK):
            raise ValueError(f"more after the JSON value at character {end}")
        return value

    return read


loads = reader(float, _CONSTANTS.__getitem__)
"""The value of a JSON text, also of one that says NaN or Infinity."""


def dumps(value: object, *, compact: bool = False, ensure_ascii: bool = True, allow_nan: bool = True) -> str:
    """A value as JSON; `compact` leaves blanks out. Raises ValueError, TypeError, RecursionError."""
    comma, colon = (",", ":") if compact else (", ", ": ")
    if make_encoder is None:
        return _dumps(value, separators=(comma, colon), ensure_ascii=ensure_ascii, allow_nan=allow_nan)
    quote = encode_basestring_ascii if ensure_ascii else encode_basestring
    return "".join(make_encoder({}, _no_json, quote, None, colon, comma, False, False, allow_nan)(value, 0))
