"""JSON as it lies in the bucket: indented by two, UTF-8. And as it is shown."""

import json
from typing import Any, Final

import orjson

from tcfs.wire._errors import Malformed
from tcfs.wire.text import in_json

DEEPEST: Final = 200  # levels: orjson reads 1024 of them, and writes 254


def dump(value: object) -> bytes:
    """Return `value` as the bytes of a document, indented by two like the reference's.

    Raises:
        Malformed: `value` holds something JSON cannot, such as half a surrogate pair.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except TypeError as error:
        raise Malformed(f"not writable as JSON: {error}") from error


def dump_line(value: object) -> str:
    """Return `value` as compact JSON on one line.

    Raises:
        Malformed: `value` is nested deeper than can be written.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise Malformed(f"not writable as JSON: {error}") from error


def view(value: object) -> bytes:
    """Return what `dump` does, made fit for a terminal; the JSON value is the same.

    For what is made to be shown. A document of the bucket is shown as it is.

    Raises:
        Malformed: as `dump`.
    """
    return in_json(dump(value).decode()).encode()


def view_line(value: object) -> str:
    """Return what `dump_line` does, made fit for a terminal; the JSON value is the same.

    Raises:
        Malformed: as `dump_line`.
    """
    return in_json(dump_line(value))


def load(data: bytes) -> Any:
    """Return the value in `data`.

    Raises:
        Malformed: not JSON, or nested deeper than any document of ours.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value = _lenient(data, error)
    # What cannot be written again would break whoever takes over a document with all its members.
    if _may_be_deep(data) and _is_deeper(value, DEEPEST):
        raise Malformed(f"not JSON of this layout: nested deeper than {DEEPEST} levels")
    return value


def _lenient(data: bytes, strict: orjson.JSONDecodeError) -> Any:
    # The reference writes with Python's json, which lets through what orjson refuses: NaN and
    # unpaired surrogates (an argument that was not UTF-8). They must stay readable.
    try:
        value = json.loads(data)
        return orjson.loads(json.dumps(_mend(value), allow_nan=False))
    except (ValueError, RecursionError):
        raise Malformed(f"not JSON: {strict}") from strict


def load_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises:
        Malformed: not JSON, or JSON of another shape.
    """
    value = load(data)
    if not isinstance(value, dict):
        raise Malformed(f"a JSON object was expected, not {type(value).__name__}")
    return value


def _may_be_deep(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > DEEPEST


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            inner
            for it in level
            if isinstance(it, dict | list)
            for inner in (it.values() if isinstance(it, dict) else it)
        ]
    return any(isinstance(it, dict | list) for it in level)


def _mend(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case list():
            return [_mend(item) for item in value]
        case dict():
            return {_mend(name): _mend(item) for name, item in value.items()}
        case _:
            return value
