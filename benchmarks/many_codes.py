"""A synthetic city of 1,500 codes and 14,000 districts, some stacked or invalid: the time to detect the changes of a
release."""

import time
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from zoning_assets.transform.changes import change_event
from zoning_assets.transform.changes.zoning_changes import detect_zoning_changes
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.content_hash import content_hashes
from zoning_assets.transform.geometry.polygon_overlay import polygons

BOUNDS = (-87.95, 41.60, -87.50, 42.05)
CODES, DISTRICTS, CHANGED = 1500, 14_000, 40
_WIDE, _SIDE = 110, 0.0015  # districts in a row; degrees


def city(release: int) -> gpd.GeoDataFrame:
    """The map, with the columns `ID` and `ZONE`: cells of about 125 m. Every 11th is a bow-tie, every 13th overlaps its
    neighbour with another code, every 17th has a spike. Release 2: CHANGED cells have the next code."""
    rng = np.random.default_rng(13)
    numbers = np.arange(DISTRICTS)
    codes = rng.integers(0, CODES, DISTRICTS)
    if release == 2:
        codes[changed()] = (codes[changed()] + 1) % CODES
    layer = {"ID": numbers.astype(str), "ZONE": [f"PD-{code}" for code in codes]}
    return gpd.GeoDataFrame(layer, geometry=[_shape(number) for number in numbers.tolist()], crs="EPSG:4326")


def changed() -> np.ndarray:
    """The cells that release 2 rezones; neither they nor their neighbours are stacked or invalid."""
    numbers = np.arange(DISTRICTS)
    plain = [n for n in numbers.tolist() if all(_is_plain(each) for each in (n, n - 1, n + 1))]
    return np.array(plain[:: len(plain) // CHANGED][:CHANGED])


def lots() -> gpd.GeoDataFrame:
    """One lot in the middle of each cell; `PIN` is the cell's `ID`."""
    shapes = shapely.buffer(shapely.centroid([_cell(number) for number in range(DISTRICTS)]), _SIDE / 4, quad_segs=1)
    return gpd.GeoDataFrame({"PIN": np.arange(DISTRICTS).astype(str)}, geometry=shapes, crs="EPSG:4326")


def measure() -> dict[str, Any]:
    """Seconds for one release, and how many changes are detected."""
    frame = crs.metric_frame(BOUNDS)
    before, after = (_metric(city(release), frame) for release in (1, 2))
    here = lots().to_crs(frame)
    parcels = here.assign(key=here["PIN"], zoning_code=None)
    started = time.monotonic()
    detected = detect_zoning_changes(parcels, before, after)
    events = detected.changes[detected.changes["state"] == change_event.EVENT]
    reported = {ids[0] for ids in events["parcel_ids"]}
    return {
        "codes": CODES,
        "districts": DISTRICTS,
        "true": CHANGED,
        "told": len(reported),
        "right": len(reported & set(changed().astype(str))),
        "alarms": list(detected.alarms),
        "seconds": round(time.monotonic() - started, 1),
    }


def _metric(map_: gpd.GeoDataFrame, frame: str) -> gpd.GeoDataFrame:
    shapes = polygons(map_.to_crs(frame).geometry.to_numpy())
    hashes = content_hashes([map_["ZONE"].tolist()], shapes)
    columns = {"facet": "base", "code": map_["ZONE"], "code_local": map_["ZONE"], "effective": None}
    return gpd.GeoDataFrame({**columns, "content_hash": hashes}, geometry=shapes, crs=frame)


def _is_plain(number: int) -> bool:
    return all(number % each for each in (11, 13, 17))


def _cell(number: int) -> shapely.Polygon:
    west, south = BOUNDS[0] + 0.1 + number % _WIDE * _SIDE, BOUNDS[1] + 0.1 + number // _WIDE * _SIDE
    return shapely.box(west, south, west + _SIDE, south + _SIDE)


def _shape(number: int) -> shapely.Polygon:
    west, south, east, north = _cell(number).bounds
    if number % 11 == 0:
        return shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])
    if number % 17 == 0:
        spike = (east, north + _SIDE / 2)
        return shapely.Polygon([(west, south), (east, south), (east, north), spike, (east, north), (west, north)])
    return shapely.box(west - (_SIDE if number % 13 == 0 else 0), south, east, north)
