"""Small maps, in metres: rectangles that overlap, grids that do not, and the lots below them."""

from random import Random
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from hypothesis import settings
from hypothesis import strategies as st

from tests.support.sampling import examples

CODES = ("A", "B", "C", "PD-1")
SIDE = 40  # of a grid's cells
#: A map takes 20-50 ms to judge.
few = settings(max_examples=examples(15), deadline=None)


def lots(*shapes: Any, **named: Any) -> gpd.GeoDataFrame:
    """Parcels `p0`, `p1`, ... or by name; each a shape or a box (west, south, east, north)."""
    said = {**{f"p{i}": shape for i, shape in enumerate(shapes)}, **named}
    return gpd.GeoDataFrame(
        {"key": list(said), "zoning_code": _objects([None] * len(said)), "content_hash": _hashes(said.items())},
        geometry=[_shape(each) for each in said.values()],
    )


def districts(*rows: tuple[Any, ...]) -> gpd.GeoDataFrame:
    """A map of (code, shape or box, facet = base, effective = None, code_local = code)."""
    full = [(*row, *("base", None, row[0])[len(row) - 2 :]) for row in rows]
    names = ("code", "facet", "effective", "code_local")
    columns = [_objects([row[i] for row in full]) for i in (0, 2, 3, 4)]
    return gpd.GeoDataFrame(
        {**dict(zip(names, columns, strict=True)), "content_hash": _hashes(rows)},
        geometry=[_shape(row[1]) for row in full],
    )


def grid(codes: list[list[Any]], facet: str = "base", side: float = SIDE) -> gpd.GeoDataFrame:
    """A map of square cells, rows from south to north."""
    cells = [(x, y, code) for y, row in enumerate(codes) for x, code in enumerate(row)]
    return districts(*((c, (x * side, y * side, (x + 1) * side, (y + 1) * side), facet) for x, y, c in cells))


def shuffled(table: Any, random: Random) -> Any:
    order = list(range(len(table)))
    random.shuffle(order)
    return table.iloc[order].reset_index(drop=True)


def moved(map_: gpd.GeoDataFrame, east_m: float) -> gpd.GeoDataFrame:
    return map_.set_geometry(shapely.transform(map_.geometry.to_numpy(), lambda xy: np.add(xy, (east_m, 0))))


def ground(map_: pd.DataFrame, **where: Any) -> Any:
    """The union of the rows of which that holds."""
    for name, value in where.items():
        map_ = map_[map_[name] == value]
    return shapely.union_all(map_["geometry"].to_numpy())


def told(table: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Rows as plain values, None for none; shapes as text."""
    return [tuple(_plain(each) for each in row) for row in table[list(names)].itertuples(index=False)]


def _plain(value: Any) -> Any:
    if isinstance(value, shapely.Geometry):
        return shapely.to_wkt(shapely.set_precision(value, 1e-4).normalize())
    return None if not isinstance(value, list | dict | tuple) and pd.isna(value) else value


def _shape(said: Any) -> shapely.Geometry:
    return shapely.box(*said) if isinstance(said, tuple) else said


def _hashes(rows: Any) -> list[str]:
    return [str(row) for row in rows]


def _objects(values: list[Any]) -> "pd.Series[Any]":
    return pd.Series(values, dtype=object)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x, y = draw(st.integers(0, 90)), draw(st.integers(0, 90))
    return x, y, x + draw(st.integers(5, 60)), y + draw(st.integers(5, 60))


#: Rectangles that overlap one another, some without a code; and cells that do not, all or some with one.
OVERLAPPING = st.lists(
    st.tuples(st.sampled_from([*CODES, None]), boxes(), st.sampled_from(["base", "overlay"])), max_size=7
).map(lambda rows: districts(*rows))
LOTS = st.lists(boxes(), max_size=4).map(lambda shapes: lots(*shapes))
CELLS = st.lists(st.lists(st.sampled_from(CODES), min_size=3, max_size=3), min_size=3, max_size=3)
GAPPED = st.lists(st.lists(st.sampled_from([*CODES, None]), min_size=3, max_size=3), min_size=3, max_size=3)
