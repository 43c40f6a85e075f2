"""A layer of the simulated portal: rows sorted by object id. Rows are written once in each format and cached."""

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyproj
import shapely

from zoning_assets.simulation.county.county_table import Column, CountyTable
from zoning_assets.simulation.portal.answer_forms import JSON, Form, Grid, attributes
from zoning_assets.simulation.portal.polygon_arrays import Floats, Ints, Shapes, offsets
from zoning_assets.simulation.portal.where_clause import Values

#: The wkid of Esri for an EPSG number: Massachusetts Mainland (US survey feet), and Web Mercator.
WKIDS: Mapping[int, int] = {2249: 102686, 3857: 102100}
DEGREES = 4326
_CHUNK = 1000  # rows that are written together
_KINDS: Mapping[str, str] = {
    "i": "esriFieldTypeInteger",
    "f": "esriFieldTypeDouble",
    "M": "esriFieldTypeDate",
    "O": "esriFieldTypeString",
}


@dataclass(frozen=True)
class About:
    """The properties that the metadata of a layer state.

    Attributes:
        oid: the column of object ids.
        global_id: the column of global ids; None: there is none.
        epsg: the CRS; x before y.
        edited_ms: the last edit, milliseconds since 1970.
        page_rows: the most rows of a response (maxRecordCount).
        edits: the column of editor tracking with the last edit of each row; None: there is none.
        step: the resolution in units of the CRS; None: coordinates are not rounded.
    """

    oid: str = "OBJECTID"
    global_id: str | None = None
    epsg: int = 2249
    edited_ms: int = 0
    page_rows: int = 2000
    edits: str | None = None
    step: float | None = 1e-4


class ServedLayer:
    """A polygon layer.

    Args:
        name: of the layer.
        columns: text (object, None is null), int64, float64 (NaN is null) or datetime64[ms].
        shapes: in the CRS `about.epsg`.
        about: see About.
    """

    def __init__(self, name: str, columns: Mapping[str, Column], shapes: Shapes, about: About) -> None:
        order = np.argsort(columns[about.oid], kind="stable")
        self.name, self.about, self.oid, self.epsg = name, about, about.oid, about.epsg
        self.columns = {each: values[order] for each, values in columns.items()}
        self.shapes = shapes.taken(order)
        self.selections: dict[tuple[str, ...], Ints] = {}  # see layer_query.selected
        self._fields: dict[str, dict[str, Any]] = {}
        self._values: dict[str, Values] = {}
        #: Format, EPSG number, chunk -> the bytes of its rows, and the offset of each row.
        self._written: dict[tuple[str, int, int], tuple[bytes, list[int]]] = {}
        self._shapes = {about.epsg: self.shapes}

    @classmethod
    def of(cls, name: str, table: CountyTable, edited_ms: int, page_rows: int = 2000) -> "ServedLayer":
        """A layer of the simulated county."""
        about = About(global_id="GlobalID", edited_ms=edited_ms, page_rows=page_rows)
        return cls(name, table.columns, table.shapes, about)

    @classmethod
    def from_file(cls, path: Path | str, *, oid: str = "OBJECTID", page_rows: int = 2000) -> "ServedLayer":
        """A polygon layer from a file that GDAL reads, or from a zipped shapefile. If there is no column `oid`, rows
        are numbered from 1.

        Raises:
            ValueError: the CRS has no EPSG number.
        """
        source = f"/vsizip/{path}" if str(path).endswith(".zip") else str(path)
        meta, _, wkb, fields = pyogrio.raw.read(source)
        epsg = pyproj.CRS(meta["crs"]).to_epsg() if meta["crs"] else None
        if epsg is None:
            message = f"{path} has no CRS with an EPSG number"
            raise ValueError(message)
        columns = {str(name): _typed(values) for name, values in zip(meta["fields"], fields, strict=True)}
        ids = columns.pop(oid, np.arange(1, len(wkb) + 1)).astype(np.int64)
        edited_ms = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
        about = About(oid, None, epsg, edited_ms, page_rows, step=None)
        return cls(Path(path).stem, {oid: ids, **columns}, Shapes.from_shapely(shapely.from_wkb(wkb)), about)

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def ids(self) -> Ints:
        """The object ids, sorted."""
        return self.columns[self.oid]

    def reference(self, epsg: int | None = None) -> dict[str, int]:
        """The Esri spatial reference of the layer, or of an EPSG number."""
        number = epsg or self.epsg
        return {"wkid": WKIDS.get(number, number), "latestWkid": number}

    def supported_epsg(self, wkid: int) -> int | None:
        """The EPSG number for a wkid that is supported: the CRS of the layer, or degrees; else None."""
        own = (self.epsg, WKIDS.get(self.epsg))
        return self.epsg if wkid in own else DEGREES if wkid == DEGREES else None

    def column_named(self, name: str) -> str | None:
        """The spelling of a column, by its name in upper or lower case."""
        return next((each for each in self.columns if each.casefold() == name.casefold()), None)

    def field(self, name: str) -> dict[str, Any]:
        """The description of a column in metadata and responses."""
        if name not in self._fields:
            self._fields[name] = self._described(name)
        return self._fields[name]

    def _described(self, name: str) -> dict[str, Any]:
        values = self.columns[name]
        kind = _KINDS[values.dtype.kind]
        described = {"name": name, "type": kind, "alias": name, "sqlType": "sqlTypeOther", "nullable": name != self.oid}
        if name == self.oid:
            described["type"] = "esriFieldTypeOID"
        elif name == self.about.global_id:
            described |= {"type": "esriFieldTypeGlobalID", "length": 38, "nullable": False}
        elif kind == "esriFieldTypeString":
            described["length"] = max((len(each) for each in values if each is not None), default=1) or 1
        elif kind == "esriFieldTypeDate":
            described["length"] = 8
        return {**described, "domain": None, "defaultValue": None}

    def values(self, name: str) -> Values | None:
        """A column for where clauses: text, or numbers (dates in milliseconds since 1970)."""
        column = self.column_named(name)
        if column is None:
            return None
        if column not in self._values:
            self._values[column] = _comparable(self.columns[column])
        return self._values[column]

    def shapes_in(self, epsg: int) -> Shapes:
        """The shapes in the CRS of the layer or in degrees."""
        if epsg not in self._shapes:
            self._shapes[epsg] = Shapes(
                transformed(self.shapes.points, self.epsg, epsg),
                *(self.shapes.rings, self.shapes.features, self.shapes.null),
            )
        return self._shapes[epsg]

    def grid(self, epsg: int) -> Grid:
        """The grid for formats that write coordinates as steps."""
        if self.about.step is None:  # the finest grid that a double can represent
            far = float(np.abs(self.shapes_in(epsg).points).max(initial=1.0))
            return Grid(0.0, 0.0, 10.0 ** -math.floor(math.log10(2**52 / far)))
        return Grid(-400.0, -400.0, 1e-9) if epsg == DEGREES else Grid(-117_498_300.0, -98_850_300.0, self.about.step)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """The index for searches by area. Invalid shapes are repaired for it; empty ones are never found."""
        shapes = self.shapes.to_shapely()
        wrong = ~shapely.is_valid(shapes) & ~self.shapes.null
        shapes[wrong] = shapely.make_valid(shapes[wrong])
        return shapely.STRtree(shapes)

    def features(self, rows: Ints, epsg: int, names: Sequence[str], *, shapes: bool, form: Form = JSON) -> bytes:
        """Rows in a format, with separators."""
        if not shapes or len(names) < len(self.columns):
            return form.between.join(self._rows(rows, epsg, names, shapes=shapes, form=form))
        if not len(rows):
            return b""
        fresh = np.flatnonzero((np.diff(rows, prepend=-2) != 1) | (rows % _CHUNK == 0))
        runs = zip(rows[fresh].tolist(), rows[np.append(fresh[1:], len(rows)) - 1].tolist(), strict=True)
        return form.between.join([self._run(epsg, first, last, form) for first, last in runs])

    def _run(self, epsg: int, first: int, last: int, form: Form) -> bytes:
        """Consecutive rows of one chunk, with all columns."""
        chunk, start, gap = first // _CHUNK, first - first % _CHUNK, len(form.between)
        if (form.name, epsg, chunk) not in self._written:
            rows = np.arange(start, min(start + _CHUNK, len(self)))
            with _garbage_collection_disabled():
                encoded = self._rows(rows, epsg, list(self.columns), shapes=True, form=form)
            starts = offsets([len(each) + gap for each in encoded]).tolist()
            self._written[form.name, epsg, chunk] = form.between.join(encoded), starts
        text, starts = self._written[form.name, epsg, chunk]
        return text[starts[first - start] : starts[last - start + 1] - gap]

    def attributes(self, rows: Ints, names: Sequence[str]) -> list[dict[str, Any]]:
        """The attributes of rows for JSON."""
        return attributes({name: self.columns[name][rows] for name in names}) if names else [{}] * len(rows)

    def _rows(self, rows: Ints, epsg: int, names: Sequence[str], *, shapes: bool, form: Form) -> list[bytes]:
        columns = {name: self.columns[name][rows] for name in names}
        return form.write(columns, self.shapes_in(epsg).taken(rows) if shapes else None, self.oid, self.grid(epsg))


@contextmanager
def _garbage_collection_disabled() -> Iterator[None]:
    """Disable garbage collection while many lists are encoded, none of which is garbage."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def transformed(points: Floats, source: int, target: int) -> Floats:
    """Transform points (n, 2; x, y) from one CRS to another, by EPSG numbers."""
    return np.column_stack(_transformer(source, target).transform(points[:, 0], points[:, 1]))


@lru_cache(maxsize=8)
def _transformer(source: int, target: int) -> pyproj.Transformer:
    """Cached, because making one takes some milliseconds."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _comparable(values: Column) -> Values:
    if values.dtype.kind == "O":
        known = np.array([each is not None for each in values], dtype=bool)
        return Values(np.array([each or "" for each in values], dtype=np.str_), known)
    if values.dtype.kind == "M":
        return Values(values.astype("datetime64[ms]").astype(np.int64), ~np.isnat(values))
    return Values(values, ~np.isnan(values))


def _typed(values: npt.NDArray[Any]) -> Column:
    """A column of a file as one of the types of layer columns."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    if values.dtype.kind == "M":
        return values.astype("datetime64[ms]")
    column = np.empty(len(values), dtype=object)
    column[:] = [None if each is None or isinstance(each, float) else str(each) for each in values]  # null may be NaN
    return column
