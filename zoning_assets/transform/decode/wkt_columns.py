"""Shapes as a table's column holds them: WKT, EWKT (`SRID=2249;POLYGON...`), GeoJSON as an object or as text."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import shapely

from zoning_assets.transform.decode import geojson
from zoning_assets.transform.decode.esri.esri_json import CURVE
from zoning_assets.transform.geometry.rings import NOT_NUMBERS

NOT_A_SHAPE = "the column holds no shape that can be read"
OTHER_SRID = "its SRID is not that of the other rows"

_WKT = re.compile(r"\s*(?:SRID=(\d{1,6});)?\s*([A-Z]+?)(?:ZM|Z|M)?(?=[\s(])", re.IGNORECASE)
_PLAIN = ("POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON")
_COLLECTION = "GEOMETRYCOLLECTION"
_CURVES = ("CIRCULARSTRING", "COMPOUNDCURVE", "CURVEPOLYGON", "MULTICURVE", "MULTISURFACE")
#: Collections within collections; GEOS reads them by recursion without end (measured: 20,000 end the process).
_MOST_COLLECTIONS = 16


def shapes_of(values: Sequence[Any], srid: int | None = None) -> tuple[npt.NDArray[np.object_], dict[int, str]]:
    """Shapes in the column's CRS, None where there is none; and what was odd, by index.

    Args:
        values: one a row.
        srid: what those rows say that have an SRID; a row with another has no shape.
    """
    shapes = np.full(len(values), None, dtype=object)
    given = {i: value for i, value in enumerate(values) if value is not None and value != ""}
    documents = {i: document for i, value in given.items() if (document := _document(value)) is not None}
    texts = {i: value for i, value in given.items() if i not in documents}
    flaws = {i: flaw for i, text in texts.items() if (flaw := _flaw(text, srid)) is not None}
    sound = [i for i in texts if i not in flaws]
    if sound:
        with np.errstate(invalid="ignore", over="ignore"):  # GEOS trips over a written NaN, and over 1e999
            shapes[sound] = shapely.from_wkt([_bare(texts[i]) for i in sound], on_invalid="ignore")
    if documents:
        places = list(documents)
        shapes[places], odd = geojson.shapes_of(list(documents.values()))
        flaws |= {places[row]: flaw for row, flaw in odd.items()}
    broken = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes) & ~np.isfinite(shapely.bounds(shapes)).all(axis=1)
    shapes[broken] = None
    flaws |= dict.fromkeys(np.flatnonzero(broken).tolist(), NOT_NUMBERS)
    return shapes, flaws | {i: NOT_A_SHAPE for i in given if shapes[i] is None and i not in flaws}


def srid_of(values: Sequence[Any]) -> int | None:
    """The SRID that the texts say, None where they say none or several."""
    matches = (_WKT.match(value) for value in values if isinstance(value, str))
    found = {int(match[1]) for match in matches if match and match[1]}
    return found.pop() if len(found) == 1 else None


def _document(value: Any) -> dict[str, Any] | None:
    """GeoJSON; None where the value is no JSON object."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def _flaw(text: Any, srid: int | None) -> str | None:
    """Why a text is not given to GEOS."""
    match = _WKT.match(text) if isinstance(text, str) else None
    word = match[2].upper() if match else ""
    if word in _CURVES:
        return CURVE
    if match is None or (word not in _PLAIN and word != _COLLECTION):
        return NOT_A_SHAPE
    if word == _COLLECTION and text.upper().count("COLLECTION") > _MOST_COLLECTIONS:
        return NOT_A_SHAPE
    return OTHER_SRID if match[1] and int(match[1]) not in (0, srid) else None


def _bare(text: str) -> str:
    """WKT without its SRID."""
    return text.partition(";")[2] if text.lstrip()[:4].upper() == "SRID" else text
