"""Decode text from portals and files whose encoding is not declared, or declared wrongly.

Valid UTF-8 is decoded as UTF-8. If a value is UTF-8 that was cut within its last character, that character is dropped.
Everything else is decoded as Windows-1252.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

WINDOWS_1252 = "cp1252"  # the most frequent encoding of text that is not UTF-8
#: The note on a row with such a text.
NOT_UTF8 = "text that is not UTF-8 was read as Windows-1252"

_TRUNCATED = "unexpected end of data"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BACKSLASH = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}


def decode_value(raw: bytes, *, utf8: bool = False) -> str:
    """Decode one value.

    Args:
        raw: its bytes.
        utf8: other values of the column are UTF-8, and this value has the full width of the column, so it may be cut.
            Without this hint only earlier characters of the value show that it is UTF-8: "José" in Windows-1252 ends
            with the same bytes as UTF-8 that was cut.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        valid = raw[: error.start]
        if error.reason == _TRUNCATED and (utf8 or not valid.isascii()):
            return valid.decode()
        return decode_windows_1252(raw)


def decode_windows_1252(raw: bytes) -> str:
    """Decode as Windows-1252; its five undefined bytes become the control characters of Latin-1."""
    try:
        return raw.decode(WINDOWS_1252)
    except UnicodeDecodeError:
        return "".join(bytes([each]).decode(WINDOWS_1252, "ignore") or chr(each) for each in raw)


def is_utf8(raw: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        return raw.isascii() or bool(raw.decode()) or not raw
    except UnicodeDecodeError:
        return False


def decode_json(body: bytes) -> str:
    """Decode a JSON document; each string that is not UTF-8 is decoded on its own."""
    encoding = json.detect_encoding(body)
    if encoding in _WIDE:
        return body.decode(encoding, "replace")
    body = body.removeprefix(b"\xef\xbb\xbf")
    return body.decode() if is_utf8(body) else _STRING.sub(_repair_string, body).decode("utf-8", "replace")


def _repair_string(string: re.Match[bytes]) -> bytes:
    return string[0] if is_utf8(string[0]) else b'"' + decode_value(string[0][1:-1]).encode() + b'"'


def escape_backslashes(text: str) -> str:
    """Escape the backslashes in a JSON text that start no valid escape."""
    return _BACKSLASH.sub(lambda found: found[0] if found[1] else r"\\", text)


def encoding_notes(body: bytes, rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return a note for each row that has a text that is not UTF-8; empty if the whole body is UTF-8."""
    if is_utf8(body) or json.detect_encoding(body) in _WIDE:
        return {}
    strings = (string[0] for string in _STRING.finditer(body))
    foreign = {_parse_string(decode_value(each[1:-1])) for each in strings if not is_utf8(each)}
    return {i: NOT_UTF8 for i, row in enumerate(rows) if any(isinstance(v, str) and v in foreign for v in row.values())}


def _parse_string(inner: str) -> str:
    """Parse the content of a JSON string."""
    try:
        return str(json.loads(f'"{inner}"', strict=False))
    except ValueError:
        return str(json.loads(f'"{escape_backslashes(inner)}"', strict=False))
