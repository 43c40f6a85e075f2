"""Rows of portals that give tables: JSON objects, one of whose columns holds the shape."""

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
from zoning_assets.http.response_checks import named
from zoning_assets.transform.decode import feature_batches, wkt_columns
from zoning_assets.transform.decode.rows import Rows

#: What columns of shapes are called.
_NAMES = frozenset({"the_geom", "geom", "geometry", "wkt", "shape", "geojson", "wkb_geometry", "geo_shape"})
_POINTS = frozenset({"lat", "latitude", "y", "lon", "long", "lng", "longitude", "x"})
_AREAS = [shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON, shapely.GeometryType.GEOMETRYCOLLECTION]


@dataclass(frozen=True)
class Table:
    """How a portal's rows are read."""

    identity: str  # the column that tells a row from the others
    geometry: str  # the column with the shapes
    srid: int | None = None  # of shapes that say one

    def batch(self, rows: Sequence[Mapping[str, Any]], where: str) -> pa.RecordBatch:
        """Rows as feature_batches makes them. Where a shape cannot be read its column stays as it came.

        Raises:
            HarvestIncomplete: the page cannot be read.
        """
        try:
            shapes, flaws = wkt_columns.shapes_of([row.get(self.geometry) for row in rows], self.srid)
            attributes = [
                {name: value for name, value in row.items() if name != self.geometry or shape is None}
                for row, shape in zip(rows, shapes.tolist(), strict=True)
            ]
            return feature_batches.batch([self._identity(row) for row in rows], Rows(attributes, shapes, flaws))
        except (ValueError, RecursionError) as error:  # RecursionError: a row nested without end
            raise HarvestIncomplete(
                f"a page cannot be read: {named(error)[:200]}",
                where=where,
                do="use another feed of this portal; nothing was published",
            ) from error

    def _identity(self, row: Mapping[str, Any]) -> str:
        """The portal's id; where it gives none, the row itself: as many different rows as it counts are all of them."""
        given = row.get(self.identity)
        if type(given) in (int, str):
            return str(given)
        return hashlib.sha256(_plain(row)).hexdigest()[:32]


def find_geometry(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], told: str | None, where: str) -> str:
    """The column with the shapes: the one that the jurisdiction file names, else found by values, then by name.

    Args:
        columns: of the table.
        rows: some of its first.
        told: what the jurisdiction file says.
        where: for messages.

    Raises:
        NotALayer: there is no such column, or several and none is called as such columns are.
    """
    if told is not None:
        if told in columns:
            return told
        raise NotALayer(f"the table has no column {told!r}", where=where, do=f"mend `geometry`: {_listed(columns)}")
    areas = [name for name in columns if _holds_areas([row.get(name) for row in rows])]
    named = [name for name in areas if name.lower() in _NAMES]
    if len(areas) == 1 or len(named) == 1:
        return (areas if len(areas) == 1 else named)[0]
    what = f"several columns hold polygons: {', '.join(areas)}" if areas else _no_areas(columns)
    raise NotALayer(what, where=where, do=f"name one as `geometry` in the jurisdiction file: {_listed(columns)}")


def _holds_areas(values: Sequence[Any]) -> bool:
    """Whether at least half of what the column says are polygons."""
    said = [value for value in values if value is not None and value != ""]
    shapes, _ = wkt_columns.shapes_of(said, wkt_columns.srid_of(said))
    return bool(said) and float(np.isin(shapely.get_type_id(shapes), _AREAS).mean()) >= 0.5


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
