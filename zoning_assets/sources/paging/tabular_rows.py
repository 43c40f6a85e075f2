"""Rows of portals that return tables: JSON objects, with the shape in one of their columns."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import shapely

from zoning_assets.errors import HarvestIncomplete, NotALayer
from zoning_assets.http.response_checks import failure_reason
from zoning_assets.transform.decode import feature_batches, wkt_columns
from zoning_assets.transform.decode.rows import Rows

#: Usual names of columns of shapes.
_NAMES = frozenset({"the_geom", "geom", "geometry", "wkt", "shape", "geojson", "wkb_geometry", "geo_shape"})
_POINTS = frozenset({"lat", "latitude", "y", "lon", "long", "lng", "longitude", "x"})
_AREAS = [shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON, shapely.GeometryType.GEOMETRYCOLLECTION]


@dataclass(frozen=True)
class TabularLayer:
    """How the rows of a table are decoded."""

    identity: str  # the column that identifies a row
    geometry: str  # the column with the shapes
    srid: int | None = None  # the SRID in the shapes, if they have one

    def batch(self, rows: Sequence[Mapping[str, Any]], where: str) -> pa.RecordBatch:
        """Convert rows to the columns of feature_batches. The column of a shape that cannot be read is kept as it is.

        Raises:
            HarvestIncomplete: the page cannot be read.
        """
        try:
            shapes, flaws = wkt_columns.shapes_of([row.get(self.geometry) for row in rows], self.srid)
            attributes = [
                {name: value for name, value in row.items() if name != self.geometry or shape is None}
                for row, shape in zip(rows, shapes.tolist(), strict=True)
            ]
            return feature_batches.to_batch([self._identity(row) for row in rows], Rows(attributes, shapes, flaws))
        except (ValueError, RecursionError) as error:  # RecursionError: a row is nested too deeply
            raise HarvestIncomplete(
                f"a page cannot be read: {failure_reason(error)[:200]}",
                where=where,
                do="use another feed of this portal; nothing was published",
            ) from error

    def _identity(self, row: Mapping[str, Any]) -> str:
        """The portal's id of a row, else a hash of the row; the distinct rows are then compared with the count."""
        given = row.get(self.identity)
        if type(given) in (int, str):
            return str(given)
        return hashlib.sha256(_plain(row)).hexdigest()[:32]


def find_geometry(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], wanted: str | None, where: str) -> str:
    """Choose the column of shapes: the one that the jurisdiction file names, else by values, then by name.

    Args:
        columns: the columns of the table.
        rows: some of its first rows.
        wanted: `geometry` of the jurisdiction file.
        where: for messages.

    Raises:
        NotALayer: there is no such column, or several and not exactly one has a usual name.
    """
    if wanted is not None:
        if wanted in columns:
            return wanted
        raise NotALayer(f"the table has no column {wanted!r}", where=where, do=f"fix `geometry`: {_listed(columns)}")
    areas = [name for name in columns if _holds_areas([row.get(name) for row in rows])]
    named = [name for name in areas if name.lower() in _NAMES]
    if len(areas) == 1 or len(named) == 1:
        return (areas if len(areas) == 1 else named)[0]
    what = f"several columns hold polygons: {', '.join(areas)}" if areas else _no_areas(columns)
    raise NotALayer(what, where=where, do=f"name one as `geometry` in the jurisdiction file: {_listed(columns)}")


def _holds_areas(values: Sequence[Any]) -> bool:
    """Whether at least half of the values of a column are polygons."""
    known = [value for value in values if value is not None and value != ""]
    shapes, _ = wkt_columns.shapes_of(known, wkt_columns.srid_of(known))
    return bool(known) and float(np.isin(shapely.get_type_id(shapes), _AREAS).mean()) >= 0.5


def _no_areas(columns: Sequence[str]) -> str:
    points = [name for name in columns if name.lower() in _POINTS]
    return f"the table has points ({', '.join(points)}), no polygons" if len(points) > 1 else "no column holds polygons"


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns)[:400]


def _plain(row: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(row, sort_keys=True).encode()
