"""Bytes of text from portals and files, decoded without losing or changing a letter that can be known.

UTF-8 where it is that; a value that was cut inside its last letter, without that letter; anything else Windows-1252.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

WINDOWS = "cp1252"  # what text that does not say its encoding was nearly always written in
#: The note on a row whose text was not in the encoding that its page claims.
FOREIGN = "text that is not UTF-8 was read as Windows-1252"

_CUT = "unexpected end of data"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BACKSLASH = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}


def decoded(raw: bytes, *, utf8: bool = False) -> str:
    """One value's text.

    Args:
        raw: its bytes.
        utf8: other values beside it show that they are UTF-8, and this one fills its column; else only its own earlier
            letters can show that. "José" in Windows-1252 ends like UTF-8 that was cut.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        whole = raw[: error.start]
        if error.reason == _CUT and (utf8 or not whole.isascii()):
            return whole.decode()
        return windows(raw)


def windows(raw: bytes) -> str:
    """Text as Windows-1252, whose five unused bytes are the control characters that Latin-1 has there."""
    try:
        return raw.decode(WINDOWS)
    except UnicodeDecodeError:
        return "".join(bytes([each]).decode(WINDOWS, "ignore") or chr(each) for each in raw)


def is_utf8(raw: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        return raw.isascii() or bool(raw.decode()) or not raw
    except UnicodeDecodeError:
        return False


def of_json(body: bytes) -> str:
    """A JSON document's text; each string of it that is not UTF-8 is decoded by itself."""
    encoding = json.detect_encoding(body)
    if encoding in _WIDE:
        return body.decode(encoding, "replace")
    body = body.removeprefix(b"\xef\xbb\xbf")
    return body.decode() if is_utf8(body) else _STRING.sub(_mended, body).decode("utf-8", "replace")


def _mended(string: re.Match[bytes]) -> bytes:
    return string[0] if is_utf8(string[0]) else b'"' + decoded(string[0][1:-1]).encode() + b'"'


def with_backslashes(text: str) -> str:
    """JSON text in which a backslash that begins no escape stands for itself."""
    return _BACKSLASH.sub(lambda found: found[0] if found[1] else r"\\", text)


def notes(body: bytes, rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """By row: that one of its texts was not UTF-8; nothing where the body is."""
    if is_utf8(body) or json.detect_encoding(body) in _WIDE:
        return {}
    strings = (string[0] for string in _STRING.finditer(body))
    foreign = {_unquoted(decoded(each[1:-1])) for each in strings if not is_utf8(each)}
    return {i: FOREIGN for i, row in enumerate(rows) if any(isinstance(v, str) and v in foreign for v in row.values())}


def _unquoted(inner: str) -> str:
    """What a JSON string says."""
    try:
        return str(json.loads(f'"{inner}"', strict=False))
    except ValueError:
        return str(json.loads(f'"{with_backslashes(inner)}"', strict=False))
