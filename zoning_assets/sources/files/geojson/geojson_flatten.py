"""Rewrite a GeoJSON of which GDAL would not read all features as one plain FeatureCollection.

Nested collections, several documents in a row, lists, bare geometries, and objects without `"type": "Feature"` become
features, in the order of the file. One feature is in memory at a time. geojson_scan.py
finds such files. json_repair.py repairs values.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from zoning_assets.errors import FileRefused
from zoning_assets.sources.download.arrow_cache import atomic_file
from zoning_assets.sources.files.format_detection import AGAIN
from zoning_assets.sources.files.geojson.geojson_scan import DESCRIBES

_PIECE_BYTES = 1 << 20
_LARGEST_FEATURE = 64 << 20
_DEEPEST = 200
#: A text, a list of numbers, or a bracket. A group matches if the buffer ends before the text or list does.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|(\\?\Z))|\[[^\[\]{}"]*+(?:\]|(\Z))|[{}\[\]]', re.DOTALL)
_BETWEEN = b" \t\r\n\x1e,\xef\xbb\xbf"  # bytes that are allowed between documents
_GEOMETRIES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
)

_ELEMENT, _LIST, _OTHER = "element", "list", "other"


@dataclass
class _Open:
    """An open bracket."""

    kind: str
    start: int  # its position in the file
    key: bytes = b""  # the member's name, if its content is skipped
    text: bytes = b""  # the last text at this level, which may be a member's name
    collection: bool = False  # an element with features of its own
    members: list[str] = field(default_factory=list)


@dataclass
class Flat:
    """The result: the number of features written, and the members of collections that were left out."""

    features: int = 0
    members: dict[str, None] = field(default_factory=dict)


def flatten(path: Path, target: Path, where: str, *, piece_bytes: int = _PIECE_BYTES) -> Flat:
    """Write the features of a GeoJSON to `target`, which appears only when it is complete.

    Raises:
        FileRefused: it is cut short, not GeoJSON, or its parts have several coordinate systems.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    walk = _Walk(where)
    with atomic_file(target) as draft, path.open("rb") as source, draft.open("wb") as sink:
        _write(walk, walk.features(source, piece_bytes), sink)
    return walk.flat


def _write(walk: "_Walk", features: Iterable[bytes], sink: BinaryIO) -> None:
    for feature in features:
        sink.write(b",\n" if walk.flat.features else b'{"type":"FeatureCollection","features":[\n')
        sink.write(feature)
        walk.flat.features += 1
    sink.write(b"" if walk.flat.features else b'{"type":"FeatureCollection","features":[')
    crs = walk.crs()
    sink.write(b"]" + (b',"crs":' + crs if crs else b"") + b"}")


class _Walk:
    """Scans a file bracket by bracket."""

    def __init__(self, where: str) -> None:
        self.where, self.flat = where, Flat()
        self._open: list[_Open] = []
        self._depth = 0  # within skipped content
        self._systems: dict[bytes, None] = {}  # `crs` of collections
        self._unnamed = self._documents = 0  # documents without `crs`; documents

    def features(self, source: BinaryIO, size: int) -> Iterator[bytes]:
        """Each feature as text. The buffer at least doubles with each reading, so that the time is linear."""
        buffer, base, at = b"", 0, 0
        while True:
            piece = source.read(max(size, len(buffer)))
            buffer += piece
            for token in _TOKEN.finditer(buffer, at):
                if token.lastindex:
                    break
                if not self._open:
                    self._check_between(buffer[at : token.start()])
                at = token.end()
                if self._depth and self._passed(token[0]):
                    continue
                yield from self._take(token[0], buffer, base, token.start())
            keep = min([each.start for each in self._open if self._is_kept(each)], default=base + at) - base
            if len(buffer) - keep > _LARGEST_FEATURE:
                raise self._refused("one feature is larger than 64 MiB", "ask for the layer in another format")
            if not piece:
                break
            buffer, base, at = buffer[keep:], base + keep, at - keep
        if self._open:
            raise self._refused("the GeoJSON is damaged: it is cut short", AGAIN)
        self._check_between(buffer[at:])

    def crs(self) -> bytes | None:
        """The coordinate system that the collections name, in their spelling; None: they name none."""
        if len(self._systems) > 1 or (self._systems and 0 < self._unnamed < self._documents):
            do = "ask for one file of each"
            raise self._refused("the parts of the GeoJSON are in several coordinate systems", do)
        return next(iter(self._systems), None)

    def _is_kept(self, each: _Open) -> bool:
        return each.key == b'"crs"' or (each.kind == _ELEMENT and not each.collection)

    def _passed(self, token: bytes) -> bool:
        """Whether the token is within skipped content; its closing bracket is not."""
        if token in b"{[":
            self._depth += 1
        elif token in b"}]":
            self._depth -= 1
        return self._depth > 0

    def _take(self, token: bytes, buffer: bytes, base: int, at: int) -> Iterator[bytes]:
        if token[:1] == b'"':
            if self._open:
                self._open[-1].text = token
        elif len(token) > 1:  # a list of numbers, or an empty list
            above = self._open[-1] if self._open else None
            if above and above.kind == _ELEMENT and above.text == b'"features"':
                above.collection = True
        elif token in b"{[":
            self._opened(token, base + at)
        elif not self._open:
            raise self._refused("the GeoJSON is damaged: a closing bracket has no opening bracket", AGAIN)
        else:
            yield from self._closed(self._open.pop(), buffer, base, at + 1)

    def _opened(self, token: bytes, at: int) -> None:
        if len(self._open) > _DEEPEST:
            raise self._refused(f"the GeoJSON is nested deeper than {_DEEPEST}", AGAIN)
        above = self._open[-1] if self._open else None
        if above is None or above.kind == _LIST:
            self._open.append(_Open(_ELEMENT if token == b"{" else _LIST, at))
        elif above.kind == _ELEMENT and above.text == b'"features"' and token == b"[":
            above.collection = True
            self._open.append(_Open(_LIST, at))
        else:
            named = above.text if above.kind == _ELEMENT else b""
            above.members += [named.decode("utf-8", "replace").strip('"')] if named else []
            self._open.append(_Open(_OTHER, at, key=named))
            self._depth = 1

    def _closed(self, each: _Open, buffer: bytes, base: int, end: int) -> Iterator[bytes]:
        if each.kind == _ELEMENT and each.collection:
            self._of_collection(each)
        elif each.kind == _ELEMENT:
            self._documents += not self._open
            self._unnamed += not self._open
            yield from self._written(self._parsed(buffer[each.start - base : end]), buffer[each.start - base : end])
        elif each.key == b'"crs"' and self._open[-1].kind == _ELEMENT:
            self._open[-1].key = _compact(buffer[each.start - base : end])

    def _of_collection(self, each: _Open) -> None:
        if "geometry" in each.members:
            raise self._refused("the GeoJSON has a feature that holds features", "ask for the layer in another format")
        self.flat.members.update(dict.fromkeys(name for name in each.members if name not in DESCRIBES))
        if each.key:
            self._systems[each.key] = None
        if not self._open:
            self._documents += 1
            self._unnamed += not each.key

    def _parsed(self, text: bytes) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            try:
                return json.loads(text, strict=False)  # NaN, control characters: the rows are validated later
            except (ValueError, RecursionError) as damage:
                raise self._refused(f"the GeoJSON is damaged ({str(damage)[:120]})", AGAIN) from damage

    def _written(self, found: Any, text: bytes | None) -> Iterator[bytes]:
        """The features that an element contains."""
        if not isinstance(found, dict):
            return
        kind, parts = found.get("type"), found.get("geometries")
        if kind == "Feature":
            yield self._dumped(found) if text is None else text
        elif kind == "GeometryCollection" and isinstance(parts, list) and any(map(_is_feature, parts)):
            for part in parts:
                yield from self._written(part, None)
        elif isinstance(kind, str) and kind in _GEOMETRIES:
            yield self._dumped({"type": "Feature", "properties": {}, "geometry": found})
        elif "geometry" in found or "properties" in found or self._open:
            yield self._dumped({"properties": {}, "geometry": None, **found, "type": "Feature"})
        else:
            self.flat.members["a document without features"] = None

    def _dumped(self, feature: dict[str, Any]) -> bytes:
        try:
            return json.dumps(feature).encode()
        except (ValueError, RecursionError) as damage:
            raise self._refused("the GeoJSON is damaged: a feature is nested too deeply", AGAIN) from damage

    def _check_between(self, text: bytes) -> None:
        if text.strip(_BETWEEN):
            shown = text.strip(_BETWEEN)[:20].decode("utf-8", "replace")
            raise self._refused(f"the GeoJSON is damaged: {shown!r} is between its documents", AGAIN)

    def _refused(self, what: str, do: str) -> FileRefused:
        return FileRefused(what, where=self.where, do=do)


def _is_feature(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "Feature"


def _compact(text: bytes) -> bytes:
    """A `crs` member in a canonical spelling."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        return text
