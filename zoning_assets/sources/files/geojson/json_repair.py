"""Repair GeoJSON for GDAL, which drops shapes with null heights, cuts texts at a NUL, makes doubles of long integers,
and refuses the whole file for an invalid escape or for a number too large for a double.

A file without these defects is not copied. What belongs here: values that GDAL reads wrongly. What does not: objects at
places where GDAL finds no features (found by geojson_scan.py, rewritten by geojson_flatten.py), and the pages of an API
(transform/decode/geojson.py).
"""

import codecs
import hashlib
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from zoning_assets.sources.download.arrow_cache import atomic_file, name_of
from zoning_assets.sources.files.geojson.json_chunks import between_objects
from zoning_assets.transform.decode.json_pages import parse_number
from zoning_assets.transform.geometry import content_hash

#: The version of the repairs; increase it to repair files again.
_VERSION = 2
_PIECE_BYTES = 8 << 20
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'  # with its closing quote, unless the file is cut
#: A text; or a position in a list of positions, whose x, y and optional height are followed by nulls.
_NULL_HEIGHT = re.compile(
    _TEXT + rb"|([\[,]\s*\[\s*-?\d[\d.eE+-]*\s*,\s*-?\d[\d.eE+-]*(?:\s*,\s*-?\d[\d.eE+-]*)?)(?:\s*,\s*null)+\s*\]",
    re.DOTALL,
)
_NULL_ENDS = re.compile(rb"null\s*\]")
_NUL = re.compile(rb"\0|(?<!\\)((?:\\\\)*)\\u0000")
_ESCAPE = re.compile(rb'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')
_LONG = re.compile(rb":\s*-?(?:\d{16}|\d\.\d+[eE]\+?\d\d)")
#: A text; or the value of a member that may be too large for a double.
_HUGE = re.compile(_TEXT + rb"|(:\s*)(-?\d[\d.]*[eE]\+?\d{3,})(?=\s*[,}])", re.DOTALL)
_HUGE_ENDS = re.compile(rb"[eE]\+?\d{3,}\s*[,}]")
#: A text, followed by the number of which it is the name, if it is one.
_NUMBER = re.compile(b"(" + _TEXT + rb")(?:(\s*:\s*)(-?\d[\d.eE+-]*)(?=\s*[,}\]]))?", re.DOTALL)


def utf8(path: Path, into: Path) -> Path:
    """The file, or a copy in UTF-8 if it is JSON in UTF-16."""
    if path.is_dir():  # a FileGDB
        return path
    with path.open("rb") as file:
        start = file.read(64)
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if encoding is None or not start[: len(start) // 2 * 2].decode(encoding, "replace").lstrip().startswith("{"):
        return path
    return _copy(path, into, "utf8", lambda target: _recode(path, target, encoding))


def _recode(path: Path, target: Path, encoding: str) -> None:
    with (
        path.open(encoding=encoding, errors="replace", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as sink,
    ):
        while piece := source.read(_PIECE_BYTES):
            sink.write(piece)


def ready(path: Path, into: Path, named: Collection[str], *, piece_bytes: int = _PIECE_BYTES) -> Path:
    """Return the file, or a copy that GDAL reads without loss.

    Args:
        path: GeoJSON, in UTF-8 or in a code page.
        into: a folder to write to.
        named: columns that the jurisdiction file names. If `id` is one of them, a feature's own `id` becomes a column.
        piece_bytes: how much of the file is in memory at a time; more if an object is larger.
    """
    quoted = _long_names(path, piece_bytes) | {each.encode() for each in named if each == "id"}
    if not quoted and not any(map(_is_odd, _chunks(path, piece_bytes))):
        return path
    columns = hashlib.sha256(repr(sorted(quoted)).encode()).hexdigest()[:16]
    return _copy(path, into, columns, lambda target: _rewrite(_chunks(path, piece_bytes), target, quoted))


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from between_objects(file, size)


def _is_odd(chunk: bytes) -> bool:
    return (
        b"\0" in chunk
        or _NULL_ENDS.search(chunk) is not None
        or _HUGE_ENDS.search(chunk) is not None
        or (b"\\" in chunk and (b"\\u0000" in chunk or any(not found[1] for found in _ESCAPE.finditer(chunk))))
    )


def _rewrite(chunks: Iterable[bytes], target: Path, quoted: Collection[bytes]) -> None:
    with target.open("wb") as sink:
        for chunk in chunks:
            escaped = _ESCAPE.sub(lambda found: found[0] if found[1] else rb"\\", chunk)
            sound = _NUL.sub(rb"\1", escaped)  # after _ESCAPE: a NUL between a backslash and a quote separates them
            flat = _NULL_HEIGHT.sub(lambda found: found[1] + b"]" if found[1] else found[0], sound)
            finite = _HUGE.sub(_finite, flat) if _HUGE_ENDS.search(flat) else flat
            sink.write(_NUMBER.sub(lambda found: _quoted(found, quoted), finite) if quoted else finite)


def _quoted(found: re.Match[bytes], names: Collection[bytes]) -> bytes:
    number = _number(found[3]) if found[3] and found[1][1:-1] in names else None
    key = content_hash.key(number)
    return found[0] if key is None else found[1] + found[2] + b'"' + key.encode() + b'"'


def _finite(found: re.Match[bytes]) -> bytes:
    """A member's value, or null if it is too large for a double."""
    number = _number(found[2]) if found[2] else None
    return found[1] + b"null" if isinstance(number, float) and math.isinf(number) else found[0]


def _long_names(path: Path, size: int) -> set[bytes]:
    """Members whose numbers GDAL would change: beyond 64 bits, or long integers in a column that also has decimals."""
    longer, long, decimal = set[bytes](), set[bytes](), set[bytes]()
    if not any(_LONG.search(chunk) for chunk in _chunks(path, size)):
        return longer
    for chunk in _chunks(path, size):
        for found in filter(_has_number, _NUMBER.finditer(chunk)):
            name, number = found[1][1:-1], _number(found[3])
            if number is None:
                continue
            if isinstance(number, float):
                decimal.add(name)
            elif abs(number) >= 2**63:
                longer.add(name)
            elif abs(number) >= 2**53:
                long.add(name)
                decimal.update([name] if not found[3].lstrip(b"-").isdigit() else [])
    return longer | (long & decimal)


def _has_number(found: re.Match[bytes]) -> bool:
    return found[3] is not None


def _number(text: bytes) -> float | int | None:
    """Parse a number with all digits; None: it is not a number, and GDAL will refuse the file."""
    try:
        return int(text) if text.lstrip(b"-").isdigit() else parse_number(text.decode())
    except (ValueError, ArithmeticError):
        return None


def _copy(path: Path, into: Path, form: str, write: Callable[[Path], None]) -> Path:
    """A copy that appears only when it is complete, under the same name: GDAL and users name the layer by it.

    Copies with other repairs, or by another version of this module, are in other folders.
    """
    folder = into.resolve() / f"json{_VERSION}-{name_of(path)}-{form}"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    if not target.exists():
        with atomic_file(target) as draft:
            write(draft)
    return target
