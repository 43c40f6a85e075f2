"""Count the objects at the places of features in a GeoJSON, without parsing them, to check whether GDAL reads them all.

GDAL reads the features of a FeatureCollection. Other objects among them are left out without an error: nested
collections, bare geometries, lists. Such a file is rewritten by geojson_flatten.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoning_assets.sources.files.geojson.json_chunks import pieces, within_text, without_escapes

_PIECE_BYTES = 1 << 20
_LOOK_BACK = 512  # the most bytes between a member's name and its value
_NAME = b'"features"'
_KEY = re.compile(rb'"([^"]*)"\s*:\s*$')
#: How each byte changes the nesting depth.
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[[ord("{"), ord("[")]], _STEPS[[ord("}"), ord("]")]] = 1, -1
#: Members of a collection that only describe it.
DESCRIBES = frozenset({"crs", "bbox", "links", "metadata", "properties", "style"})


@dataclass(frozen=True)
class Outline:
    """The structure of a file of JSON documents.

    Attributes:
        features: objects and lists in the arrays `features` of the documents.
        members: other members of the documents that contain objects or lists.
        hidden: whether the name `features` also occurs elsewhere.
    """

    features: int
    members: tuple[str, ...]
    hidden: bool


@dataclass
class _ScanState:
    depth: int = 0
    quoted: bool = False  # within a text
    counting: bool = False  # within an array `features`
    features: int = 0
    arrays: int = 0  # arrays `features` of documents
    names: int = 0  # occurrences of the name anywhere
    members: dict[str, None] = field(default_factory=dict)


def outline(path: Path) -> Outline:
    """Scan a JSON file; only a piece of it is in memory at a time."""
    state, before = _ScanState(), b""
    with path.open("rb") as file:
        for piece in map(without_escapes, pieces(file, _PIECE_BYTES)):
            _take(state, before, piece)
            before = (before + piece)[-_LOOK_BACK:]
    return Outline(state.features, tuple(state.members), state.names > state.arrays)


def _take(state: _ScanState, before: bytes, piece: bytes) -> None:
    state.names += piece.count(_NAME) + (before[1 - len(_NAME) :] + piece[: len(_NAME) - 1]).count(_NAME)
    letters = np.frombuffer(piece, dtype=np.uint8)
    within = within_text(letters, state.quoted)
    steps = _STEPS[letters]
    steps[within] = 0
    places = np.flatnonzero(steps)
    state.quoted = bool(within[-1])
    if not len(places):
        return
    changes = steps[places]
    depths = state.depth + np.cumsum(changes, dtype=np.int64)
    state.depth = int(depths[-1])
    _count(state, before + piece, places + len(before), (changes, depths))


def _count(state: _ScanState, text: bytes, places: npt.NDArray[Any], moves: tuple[Any, Any]) -> None:
    """Count the objects and lists that open within a document's array `features`."""
    changes, depths = moves
    opened = np.flatnonzero((changes == 1) & (depths == 3))
    start = -1  # before this piece
    for at in np.flatnonzero(((changes == 1) & (depths == 2)) | ((changes == -1) & (depths == 1))).tolist():
        if state.counting:
            state.features += int(((opened > start) & (opened < at)).sum())
        start, state.counting = at, False
        if changes[at] == 1:
            end = int(places[at])
            key = _KEY.search(text[max(0, end - _LOOK_BACK) : end])
            name = key[1].decode("utf-8", "replace") if key else ""
            state.counting = name == "features" and text[end : end + 1] == b"["
            state.arrays += state.counting
            state.members.update({} if state.counting or name in DESCRIBES else {name: None})
    if state.counting:
        state.features += int((opened > start).sum())
