"""The rows of the benchmark's county: parcels and zoning districts in EPSG:2249 (US survey feet), computed from a seed.

They are for the benchmark's own ArcGIS server. Nothing here is shared with the package that is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import shapely

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

EPSG, WKID = 2249, 102686
ID, GLOBAL_ID, EDITED = "OBJECTID", "GlobalID", "last_edited_date"
AREA, LENGTH = "Shape_Area", "Shape_Length"
#: Columns of epoch milliseconds.
DATES = (EDITED, "EFFECTIVE")
#: The last edit of the first release; each later edit is a month later.
FIRST_EDIT_MS, MONTH_MS = 1_700_000_000_000, 30 * 86_400_000
#: The USE_CODE of edited rows; no other row has it.
EDITED_USE = "999"
_ORIGIN_FT, _LOT_FT, _JITTER_FT = (700_000.0, 2_900_000.0), (80.0, 110.0), 6.0
_LOTS_A_DISTRICT = 30  # along each side of a district
_YEARS_MS = 5 * 365 * 86_400_000
_GAP = 0.05  # the share of object ids followed by a gap
_ZONES = ("R-1", "R-2", "R-3", "C-1", "C-2", "M-1", "OS")
_USES = ("101", "102", "104", "105", "109", "111", "130", "316", "340", "390", "903")
_STREETS = ("ELM", "OAK", "MAPLE", "PINE", "CEDAR", "WALNUT", "CHURCH", "MILL", "RIVER", "HIGH", "SCHOOL", "SPRING")


@dataclass(frozen=True)
class BenchTable:
    """The rows of one layer, sorted by object id.

    Attributes:
        name: of the layer.
        rows: its columns; no value is null. Dates are epoch milliseconds.
        shapes: polygons, EPSG:2249.
        wkb: the same as WKB.
        written: each row as one JSON feature, attributes first.
        splits: the end of the attributes in each written row.
        edited_ms: the last edit of a row, epoch milliseconds.
    """

    name: str
    rows: pd.DataFrame
    shapes: npt.NDArray[np.object_]
    wkb: npt.NDArray[np.object_]
    written: list[bytes]
    splits: list[int]
    edited_ms: int

    def __len__(self) -> int:
        return len(self.written)

    @property
    def ids(self) -> Ints:
        """The object ids, ascending."""
        return self.rows[ID].to_numpy()


def make_table(name: str, columns: Mapping[str, Any], rings: Sequence[Floats]) -> BenchTable:
    """A table of rows with one ring each."""
    starts, counted = np.cumsum([0, *map(len, rings)]), np.arange(len(rings) + 1)
    polygon = shapely.GeometryType.POLYGON
    shapes = shapely.from_ragged_array(polygon, np.concatenate(rings), (starts, counted))
    measured = {AREA: shapely.area(shapes), LENGTH: shapely.length(shapes)}
    rows = pd.DataFrame({**columns, **measured})
    attributes, geometries = _attributes(rows), [_geometry(ring) for ring in rings]
    written = [row + shape for row, shape in zip(attributes, geometries, strict=True)]
    splits, edited_ms = [len(row) for row in attributes], int(rows[EDITED].max())
    return BenchTable(name, rows, shapes, shapely.to_wkb(shapes), written, splits, edited_ms)


def edited(table: BenchTable, count: int) -> BenchTable:
    """The table after an edit of USE_CODE in `count` rows, which are spread over the table; a month later."""
    chosen = np.linspace(0, len(table) - 1, count).astype(int)
    is_edited, when = np.isin(np.arange(len(table)), chosen), table.edited_ms + MONTH_MS
    values = {"USE_CODE": EDITED_USE, EDITED: when}
    rows = table.rows.assign(**{name: table.rows[name].mask(is_edited, value) for name, value in values.items()})
    written, splits = table.written.copy(), table.splits.copy()
    for at, attributes in zip(chosen.tolist(), _attributes(rows.iloc[chosen]), strict=True):
        written[at] = attributes + table.written[at][splits[at] :]
        splits[at] = len(attributes)
    return replace(table, rows=rows, written=written, splits=splits, edited_ms=when)


def _attributes(rows: pd.DataFrame) -> list[bytes]:
    return [b'{"attributes":' + orjson.dumps(row) for row in rows.to_dict("records")]


def _geometry(ring: Floats) -> bytes:
    return b',"geometry":{"rings":[' + orjson.dumps(ring, option=orjson.OPT_SERIALIZE_NUMPY) + b"]}}"


def county(parcels: int, seed: int = 7) -> list[BenchTable]:
    """Parcels, each with a unique key and a valid shape, and the districts that contain them."""
    rng = np.random.default_rng(seed)
    wide = max(1, int(np.ceil(np.sqrt(parcels))))
    high = -(-parcels // wide)
    nodes = _nodes(wide, high, rng)
    return [_parcels(parcels, wide, nodes, rng), _districts(wide, high, nodes, rng)]


def _nodes(wide: int, high: int, rng: np.random.Generator) -> Floats:
    """Corners and middles of all sides, (2 high + 1, 2 wide + 1, 2); neighbours share them."""
    at = np.stack(np.meshgrid(np.arange(2 * wide + 1), np.arange(2 * high + 1)), axis=-1)
    exact: Floats = np.array(_ORIGIN_FT) + at * np.array(_LOT_FT) / 2
    nodes: Floats = np.round(exact + rng.uniform(-_JITTER_FT, _JITTER_FT, exact.shape), 4)
    return nodes


def _ring(nodes: Floats, left: int, low: int, right: int, high: int) -> Floats:
    """The closed ring around a block of nodes, clockwise like Esri's shells."""
    box = nodes[low : high + 1, left : right + 1]
    return np.concatenate([box[:-1, 0], box[-1, :-1], box[:0:-1, -1], box[0, :0:-1], box[:1, 0]])


def _parcels(count: int, wide: int, nodes: Floats, rng: np.random.Generator) -> BenchTable:
    row, column = np.divmod(np.arange(count), wide)
    places = zip((2 * column).tolist(), (2 * row).tolist(), strict=True)
    rings = [_ring(nodes, x, y, x + 2, y + 2) for x, y in places]
    columns = {
        ID: _object_ids(count, rng),
        "PIN": [f"{y:04d}-{x:04d}" for x, y in zip(column.tolist(), row.tolist(), strict=True)],
        "SITE_ADDR": [f"{x + 1} {_STREETS[y % len(_STREETS)]} ST" for x, y in zip(column, row, strict=True)],
        "USE_CODE": np.array(_USES, dtype=object)[rng.integers(0, len(_USES), count)],
        "ZONE": [_zone(x, y) for x, y in zip(column // _LOTS_A_DISTRICT, row // _LOTS_A_DISTRICT, strict=True)],
        "YEAR_BUILT": rng.integers(1880, 2020, count),
        "OWNER": [f"OWNER {number}" for number in rng.integers(0, 10**6, count)],
        EDITED: _edit_dates(count, rng),
        GLOBAL_ID: _global_ids(count, rng),
    }
    return make_table("Parcels", columns, rings)


def _districts(wide: int, high: int, nodes: Floats, rng: np.random.Generator) -> BenchTable:
    step = _LOTS_A_DISTRICT
    at = [(x, y) for y in range(0, high, step) for x in range(0, wide, step)]
    sides = [(x, y, min(x + step, wide), min(y + step, high)) for x, y in at]
    columns = {
        ID: _object_ids(len(at), rng),
        "ZONE_CODE": [_zone(x // step, y // step) for x, y in at],
        "EFFECTIVE": FIRST_EDIT_MS - rng.integers(0, 30, len(at)) * 365 * 86_400_000,
        EDITED: _edit_dates(len(at), rng),
        GLOBAL_ID: _global_ids(len(at), rng),
    }
    return make_table("Zoning", columns, [_ring(nodes, *(2 * side for side in each)) for each in sides])


def _zone(column: int, row: int) -> str:
    """The code of a district, by its position; neighbours have different codes."""
    return _ZONES[(column + 3 * row) % len(_ZONES)]


def _object_ids(count: int, rng: np.random.Generator) -> Ints:
    """Ascending, with gaps, as if rows had been deleted."""
    return np.cumsum(1 + (rng.random(count) < _GAP)).astype(np.int64)


def _edit_dates(count: int, rng: np.random.Generator) -> Ints:
    return np.asarray(FIRST_EDIT_MS - rng.integers(0, _YEARS_MS, count), dtype=np.int64)


def _global_ids(count: int, rng: np.random.Generator) -> list[str]:
    text = rng.bytes(16 * count).hex().upper()
    parts = (text[start : start + 32] for start in range(0, len(text), 32))
    return [f"{{{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}}}" for t in parts]
