"""Decode shapes in a column of a table: WKT, EWKT (`SRID=2249;POLYGON...`), GeoJSON as an object or as text."""

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

UNREADABLE_SHAPE = "the value in the geometry column is not a shape that can be decoded"
OTHER_SRID = "its SRID differs from the SRID of the other rows"

_WKT = re.compile(r"\s*(?:SRID=(\d{1,6});)?\s*([A-Z]+?)(?:ZM|Z|M)?(?=[\s(])", re.IGNORECASE)
_PLAIN = ("POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON")
_COLLECTION = "GEOMETRYCOLLECTION"
_CURVES = ("CIRCULARSTRING", "COMPOUNDCURVE", "CURVEPOLYGON", "MULTICURVE", "MULTISURFACE")
#: Nested collections. GEOS decodes them by unlimited recursion (measured: 20,000 crash the process).
_MAX_COLLECTIONS = 16


def shapes_of(values: Sequence[Any], srid: int | None = None) -> tuple[npt.NDArray[np.object_], dict[int, str]]:
    """Decode shapes in the column's CRS (x, y); None if a row has no shape. Second: the flaws by row index.

    Args:
        values: one per row.
        srid: the SRID of the layer, see `srid_of`; a row with another SRID gets no shape.
    """
    shapes = np.full(len(values), None, dtype=object)
    given = {i: value for i, value in enumerate(values) if value is not None and value != ""}
    documents = {i: document for i, value in given.items() if (document := _geojson_of(value)) is not None}
    texts = {i: value for i, value in given.items() if i not in documents}
    flaws = {i: flaw for i, text in texts.items() if (flaw := _flaw(text, srid)) is not None}
    sound = [i for i in texts if i not in flaws]
    if sound:
        with np.errstate(invalid="ignore", over="ignore"):  # GEOS sets these floating-point flags for NaN and 1e999
            shapes[sound] = shapely.from_wkt([_without_srid(texts[i]) for i in sound], on_invalid="ignore")
    if documents:
        places = list(documents)
        shapes[places], odd = geojson.shapes_of(list(documents.values()))
        flaws |= {places[row]: flaw for row, flaw in odd.items()}
    broken = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes) & ~np.isfinite(shapely.bounds(shapes)).all(axis=1)
    shapes[broken] = None
    flaws |= dict.fromkeys(np.flatnonzero(broken).tolist(), NOT_NUMBERS)
    return shapes, flaws | {i: UNREADABLE_SHAPE for i in given if shapes[i] is None and i not in flaws}


def srid_of(values: Sequence[Any]) -> int | None:
    """Return the SRID of the texts; None if they have none, or several."""
    matches = (_WKT.match(value) for value in values if isinstance(value, str))
    found = {int(match[1]) for match in matches if match and match[1]}
    return found.pop() if len(found) == 1 else None


def _geojson_of(value: Any) -> dict[str, Any] | None:
    """Return a GeoJSON object; None if the value is not a JSON object."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def _flaw(text: Any, srid: int | None) -> str | None:
    """Return why a text must not be passed to GEOS; None if it may."""
    match = _WKT.match(text) if isinstance(text, str) else None
    word = match[2].upper() if match else ""
    if word in _CURVES:
        return CURVE
    if match is None or (word not in _PLAIN and word != _COLLECTION):
        return UNREADABLE_SHAPE
    if word == _COLLECTION and text.upper().count("COLLECTION") > _MAX_COLLECTIONS:
        return UNREADABLE_SHAPE
    return OTHER_SRID if match[1] and int(match[1]) not in (0, srid) else None


def _without_srid(text: str) -> str:
    """Return the WKT without its SRID."""
    return text.partition(";")[2] if text.lstrip()[:4].upper() == "SRID" else text
