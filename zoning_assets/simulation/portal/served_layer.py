"""A layer as a server holds it: rows in the order of their object ids; written once in each form, and kept."""

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

from zoning_assets.simulation.county.county_table import Column, Table
from zoning_assets.simulation.portal.answer_forms import JSON, Form, Grid, attributes
from zoning_assets.simulation.portal.polygon_arrays import Floats, Ints, Shapes, offsets
from zoning_assets.simulation.portal.where_clause import Values

#: Esri's own number for a CRS that it also calls by EPSG's: Massachusetts Mainland, US survey feet.
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
    """What a layer says of itself."""

    oid: str = "OBJECTID"
    global_id: str | None = None
    epsg: int = 2249  # x, y order
    edited_ms: int = 0  # when it was edited last, milliseconds since 1970
    page_rows: int = 2000  # the most rows in one answer (maxRecordCount)
    edits: str | None = None  # the column of editor tracking: when each row was edited
    step: float | None = 1e-4  # the resolution in units of the CRS; None: the corners are kept as they are


class Layer:
    """One polygon layer.

    Args:
        name: what the portal calls it.
        columns: text (object, None where null), int64, float64 (NaN where null) or datetime64[ms].
        shapes: in the CRS `about.epsg`.
        about: see About.

    """

    def __init__(self, name: str, columns: Mapping[str, Column], shapes: Shapes, about: About) -> None:
        order = np.argsort(columns[about.oid], kind="stable")
        self.name, self.about, self.oid, self.epsg = name, about, about.oid, about.epsg
        self.columns = {each: values[order] for each, values in columns.items()}
        self.shapes = shapes.taken(order)
        self.selections: dict[tuple[str, ...], Ints] = {}  # see query.selected
        self._fields: dict[str, dict[str, Any]] = {}
        self._values: dict[str, Values] = {}
        #: Form, EPSG number, chunk -> rows as they are written, and where each begins.
        self._written: dict[tuple[str, int, int], tuple[bytes, list[int]]] = {}
        self._shapes = {about.epsg: self.shapes}

    @classmethod
    def of(cls, name: str, table: Table, edited_ms: int, page_rows: int = 2000) -> "Layer":
        """A layer of the simulated county."""
        about = About(global_id="GlobalID", edited_ms=edited_ms, page_rows=page_rows)
        return cls(name, table.columns, table.shapes, about)

    @classmethod
    def from_file(cls, path: Path | str, *, oid: str = "OBJECTID", page_rows: int = 2000) -> "Layer":
        """Any polygon layer that GDAL reads, a zipped shapefile too. A missing `oid` is numbered from 1.

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
        """The object ids, in order."""
        return self.columns[self.oid]

    def reference(self, epsg: int | None = None) -> dict[str, int]:
        """An Esri spatial reference; the layer's own, or another."""
        number = epsg or self.epsg
        return {"wkid": WKIDS.get(number, number), "latestWkid": number}

    def knows(self, wkid: int) -> int | None:
        """The EPSG number of a wkid that can be asked for: the layer's own, or degrees; else None."""
        own = (self.epsg, WKIDS.get(self.epsg))
        return self.epsg if wkid in own else DEGREES if wkid == DEGREES else None

    def column_named(self, name: str) -> str | None:
        """The column's spelling, by its name in any case."""
        return next((each for each in self.columns if each.casefold() == name.casefold()), None)

    def field(self, name: str) -> dict[str, Any]:
        """How metadata and answers describe a column."""
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
        """A column as `where` compares it: text, or numbers (dates in milliseconds since 1970)."""
        column = self.column_named(name)
        if column is None:
            return None
        if column not in self._values:
            self._values[column] = _comparable(self.columns[column])
        return self._values[column]

    def shapes_in(self, epsg: int) -> Shapes:
        """The shapes in the layer's CRS or in degrees."""
        if epsg not in self._shapes:
            self._shapes[epsg] = Shapes(
                transformed(self.shapes.points, self.epsg, epsg),
                *(self.shapes.rings, self.shapes.features, self.shapes.null),
            )
        return self._shapes[epsg]

    def grid(self, epsg: int) -> Grid:
        """On which the corners lie, where they are written in steps."""
        if self.about.step is None:  # the finest that a double can count
            far = float(np.abs(self.shapes_in(epsg).points).max(initial=1.0))
            return Grid(0.0, 0.0, 10.0 ** -math.floor(math.log10(2**52 / far)))
        return Grid(-400.0, -400.0, 1e-9) if epsg == DEGREES else Grid(-117_498_300.0, -98_850_300.0, self.about.step)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """For searching by area. The invalid are searched as what they enclose; the empty are never found."""
        shapes = self.shapes.to_shapely()
        wrong = ~shapely.is_valid(shapes) & ~self.shapes.null
        shapes[wrong] = shapely.make_valid(shapes[wrong])
        return shapely.STRtree(shapes)

    def features(self, rows: Ints, epsg: int, names: Sequence[str], *, shapes: bool, form: Form = JSON) -> bytes:
        """The rows in a form, with what stands between them."""
        if not shapes or len(names) < len(self.columns):
            return form.between.join(self._made(rows, epsg, names, shapes=shapes, form=form))
        if not len(rows):
            return b""
        fresh = np.flatnonzero((np.diff(rows, prepend=-2) != 1) | (rows % _CHUNK == 0))
        runs = zip(rows[fresh].tolist(), rows[np.append(fresh[1:], len(rows)) - 1].tolist(), strict=True)
        return form.between.join([self._run(epsg, first, last, form) for first, last in runs])

    def _run(self, epsg: int, first: int, last: int, form: Form) -> bytes:
        """Rows that stand beside each other in one chunk, whole."""
        chunk, start, gap = first // _CHUNK, first - first % _CHUNK, len(form.between)
        if (form.name, epsg, chunk) not in self._written:
            rows = np.arange(start, min(start + _CHUNK, len(self)))
            with _collector_resting():
                made = self._made(rows, epsg, list(self.columns), shapes=True, form=form)
            starts = offsets([len(each) + gap for each in made]).tolist()
            self._written[form.name, epsg, chunk] = form.between.join(made), starts
        text, starts = self._written[form.name, epsg, chunk]
        return text[starts[first - start] : starts[last - start + 1] - gap]

    def attributes(self, rows: Ints, names: Sequence[str]) -> list[dict[str, Any]]:
        """The rows' attributes as they are sent."""
        return attributes({name: self.columns[name][rows] for name in names}) if names else [{}] * len(rows)

    def _made(self, rows: Ints, epsg: int, names: Sequence[str], *, shapes: bool, form: Form) -> list[bytes]:
        columns = {name: self.columns[name][rows] for name in names}
        return form.write(columns, self.shapes_in(epsg).taken(rows) if shapes else None, self.oid, self.grid(epsg))


@contextmanager
def _collector_resting() -> Iterator[None]:
    """No collection of garbage while many lists are made: it would look at every number's list, and find nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def transformed(points: Floats, source: int, target: int) -> Floats:
    """Points (n, 2) from one CRS to another, by their EPSG numbers; x, y order."""
    return np.column_stack(_transformer(source, target).transform(points[:, 0], points[:, 1]))


@lru_cache(maxsize=8)
def _transformer(source: int, target: int) -> pyproj.Transformer:
    """ResponseCaches, as each takes some milliseconds to make."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _comparable(values: Column) -> Values:
    if values.dtype.kind == "O":
        known = np.array([each is not None for each in values], dtype=bool)
        return Values(np.array([each or "" for each in values], dtype=np.str_), known)
    if values.dtype.kind == "M":
        return Values(values.astype("datetime64[ms]").astype(np.int64), ~np.isnat(values))
    return Values(values, ~np.isnan(values))


def _typed(values: npt.NDArray[Any]) -> Column:
    """A file's column as one of the kinds that a layer has."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    if values.dtype.kind == "M":
        return values.astype("datetime64[ms]")
    column = np.empty(len(values), dtype=object)
    column[:] = [None if each is None or isinstance(each, float) else str(each) for each in values]  # null may be NaN
    return column
