"""A portal's columns to ours, a portal's CRS to the target, and which rows this place owns."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.model import PARCELS, ZONING, Feed, Jurisdiction
from zoning_assets.transform import canonical, crs, tiles
from zoning_assets.transform.rows import Rows

#: feed -> our columns that its jurisdiction file may fill, in the order in which they are hashed.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    PARCELS: ("zoning_code", "land_use", "address"),
    ZONING: ("code", "zone_type", "effective"),
}
#: Columns that servers keep for themselves and renumber, regenerate or recompute at will (FACTS 1, row 47, and 3).
#: They stay in the raw pages; in `attributes` they would make every row of a republished layer look changed.
_MANAGED = re.compile(
    r"(.*\.)?(objectid(_\d+)?|fid|ogc_fid|globalid(_\d+)?|(st_)?(area|length|perimeter)\(shape\)"
    r"|shape([._ ]*(st)?_*(area|length|leng|len|ar|le|perimeter)(_+\d*|\(\))?)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Scope:
    """What decides whether this place owns a row: its tile among all tiles, and the keys known to repeat.

    `tile` None: the place is the whole jurisdiction and owns everything. `repeated` maps a repeated key to the tile
    that owns all its rows; they are asked for by key, so rows of such keys met elsewhere belong there.
    """

    tile: str | None = None
    tiles: Collection[str] = ()
    repeated: Mapping[str, str] | None = None


def normalize(
    rows: Rows, *, jurisdiction: Jurisdiction, feed: Feed, layer: Mapping[str, Any], scope: Scope, owned: bool = False
) -> gpd.GeoDataFrame:
    """Rows in our columns and the target CRS; only those that this place owns, nothing judged yet.

    Args:
        rows: a page as it was read; shapes in the layer's CRS.
        jurisdiction: gives bounds and target CRS.
        feed: gives key and field map.
        layer: what the feed type found out: `crs`, `dates` (columns of epoch milliseconds), `managed` (columns).
        scope: see Scope.
        owned: these rows were picked because this place owns them, wherever they lie.

    Returns:
        Columns `key`, COLUMNS of the feed, `attributes` (JSON text), `row` (index in the page), `flaw`,
        `lon`, `lat` (representative point, degrees; NaN where there is none), `geometry` (target CRS; may be None).

    Raises:
        CrsRefused: the rows do not lie where the jurisdiction is.
    """
    source = crs.declared(layer.get("crs"), feed.crs)
    shapes = crs.reproject(rows.geometry, source, jurisdiction.target_crs)
    points = representative_points(shapes, jurisdiction.target_crs)
    crs.gate(points, jurisdiction.bounds, crs=source, where=f"{jurisdiction.id} {feed.name}")
    records = [_record(raw, feed, layer) for raw in rows.attributes]
    keep = _owned(points, [record["key"] for record in records], scope, owned=owned)
    frame = gpd.GeoDataFrame(
        {name: np.array([record[name] for record in records], dtype=object) for name in _names(feed)},
        geometry=gpd.GeoSeries(shapes, crs=jurisdiction.target_crs),
    )
    frame["row"] = np.arange(len(rows))
    frame["flaw"] = np.array([rows.flaws.get(i) for i in range(len(rows))], dtype=object)
    frame["lon"], frame["lat"] = points[:, 0], points[:, 1]
    return frame[keep].reset_index(drop=True)


def representative_points(shapes: npt.NDArray[np.object_], source: str) -> npt.NDArray[np.float64]:
    """The point that stands for each shape, (n, 2) longitude, latitude; NaN where a shape has none.

    Always found on the shape in degrees, so that every feed type and every target CRS finds the same one.
    """
    in_degrees = crs.reproject(shapes, source, crs.DEGREES)
    finite = np.isfinite(shapely.bounds(in_degrees)).all(axis=1)
    points = shapely.point_on_surface(np.where(finite, in_degrees, None))
    points[shapely.is_empty(points)] = None
    return np.column_stack([shapely.get_x(points), shapely.get_y(points)])


def key_of(raw: Any) -> str | None:
    """A natural key as text: trimmed, whole numbers without a point; None where it says nothing."""
    canonical_value = canonical.value(raw)
    return None if canonical_value is None else str(canonical_value)


def _names(feed: Feed) -> tuple[str, ...]:
    return ("key", *COLUMNS[feed.name], "attributes")


def _record(raw: Mapping[str, Any], feed: Feed, layer: Mapping[str, Any]) -> dict[str, Any]:
    """One row in our columns; what is not named and not managed by the server stays in `attributes`."""
    dates, managed = layer.get("dates", ()), layer.get("managed", ())
    cleaned = {name: canonical.value(canonical.epoch_ms(raw[name]) if name in dates else raw[name]) for name in raw}
    named = {feed.key, *feed.fields.values()}
    rest = {
        name: value
        for name, value in cleaned.items()
        if value is not None and name not in named and name not in managed and not _is_managed(name)
    }
    record: dict[str, Any] = {ours: _as_text(cleaned.get(feed.fields.get(ours, ""))) for ours in COLUMNS[feed.name]}
    record["key"] = key_of(raw.get(feed.key)) if feed.key else None
    record["attributes"] = canonical.dumps(rest)
    return record


@lru_cache(maxsize=4096)
def _is_managed(name: str) -> bool:
    return bool(_MANAGED.fullmatch(name))


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _owned(
    points: npt.NDArray[np.float64], keys: list[str | None], scope: Scope, *, owned: bool
) -> npt.NDArray[np.bool_]:
    if scope.tile is None or owned:
        return np.ones(len(points), dtype=bool)
    placed = ~np.isnan(points).any(axis=1)
    cells = np.where(placed, tiles.finest_cells(np.nan_to_num(points, nan=0.0)), tiles.NOWHERE)
    # A row that the portal finds here and we cannot place is judged here rather than lost.
    mine = ~placed | (tiles.owners(cells, scope.tiles) == np.uint64(tiles.to_int(scope.tile)))
    if scope.repeated:
        mine &= np.array([key not in scope.repeated for key in keys], dtype=bool)
    return mine
