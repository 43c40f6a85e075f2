"""Decide where the rows of a layer are, and in which order its shapes give x and y. Pure.

Boxes are (west, south, east, north) in degrees, EPSG:4326.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoning_assets.errors import CrsRefused
from zoning_assets.model import LAT_LON, LON_LAT, Bounds

#: The states and territories, with a margin of sea.
_UNITED_STATES: Sequence[Bounds] = (
    (-125.0, 24.3, -66.8, 49.5),
    (-180.0, 51.0, -129.0, 71.6),  # Alaska
    (172.0, 51.0, 180.0, 53.5),  # its western islands
    (-179.0, 18.5, -154.5, 29.0),  # Hawaii
    (-68.2, 17.5, -64.3, 18.7),  # Puerto Rico, the Virgin Islands
    (144.4, 13.1, 146.3, 20.7),  # Guam, the Northern Marianas
    (-171.3, -14.7, -167.9, -10.9),  # American Samoa
)
#: Degrees of latitude beyond which there is no municipality.
_SOUTHERNMOST, _NORTHERNMOST = -56.0, 79.0
#: Degrees; no county is wider. A wider extent is a default value of the server that was never updated.
_WIDEST_DEG = 12.0
#: Names of columns with coordinates; INTPTLON and INTPTLAT are those of the US Census Bureau's TIGER files.
_X = ("longitude", "lon", "long", "lng", "intptlon", "centroid_lon")
_Y = ("latitude", "lat", "intptlat", "centroid_lat")


@dataclass(frozen=True)
class Location:
    """Where a layer is, the axis order of its shapes, and a remark for the proposed file."""

    bounds: Bounds | None
    axes: str = LON_LAT
    remark: str = ""


def is_possible(box: Bounds | None) -> bool:
    """Whether a county can have this box."""
    if box is None:
        return False
    west, south, east, north = box
    return south > _SOUTHERNMOST and north < _NORTHERNMOST and east - west < _WIDEST_DEG and north - south < _WIDEST_DEG


def in_united_states(box: Bounds | None) -> bool:
    """Whether a box is in the United States or one of its territories."""
    return box is not None and any(
        west <= box[0] and south <= box[1] and box[2] <= east and box[3] <= north
        for west, south, east, north in _UNITED_STATES
    )


def locate(
    name: str | None, given: Bounds | None, turned: Bounds | None, rows: Sequence[Mapping[str, Any]]
) -> Location:
    """Decide where a layer is and which axis order its shapes have.

    Args:
        name: the jurisdiction's id if a person gave one; `us-...` is in the United States.
        given: the box of the shapes as they are; None: they cannot be degrees.
        turned: the box of the shapes with x and y exchanged; None: they cannot be degrees.
        rows: some rows; columns of longitude and latitude are compared with the boxes.

    Raises:
        CrsRefused: in neither axis order the shapes are where the jurisdiction can be.
    """
    if given is None and turned is None:
        return Location(None)
    swap = Location(turned, LAT_LON, "the shapes give latitude first")
    point = _middle(rows)
    if point and _holds(given, point) != _holds(turned, point):
        return Location(given) if _holds(given, point) else swap
    at_home = in_united_states if name is None or name.startswith("us-") else is_possible
    if at_home(given):
        return Location(given)
    if at_home(turned):
        return swap
    if name is None and (is_possible(given) or is_possible(turned)):
        return Location(given) if is_possible(given) else swap
    x, y = _centre(given or turned)
    where = "the United States" if name is None or name.startswith("us-") else "a region with municipalities"
    raise CrsRefused(
        f"its rows are at about {x:.4g}, {y:.4g} degrees, which is not in {where}",
        where=name or "the layer",
        do="give another --id, or write the file by hand with the correct `crs` and `axes`",
    )


def _middle(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """The median of the rows' longitudes and latitudes (x, y; degrees); None: they have no such columns."""
    names = {name.lower(): name for row in rows[:1] for name in row}
    x, y = (next((names[each] for each in wanted if each in names), None) for wanted in (_X, _Y))
    if x is None or y is None:
        return None
    found = [(_number(row.get(x)), _number(row.get(y))) for row in rows]
    points = [(lon, lat) for lon, lat in found if lon is not None and lat is not None]
    if not points:
        return None
    lon, lat = np.median(np.array(points), axis=0).tolist()
    return (lon, lat) if abs(lon) <= 180 and abs(lat) <= 90 else None


def _number(raw: Any) -> float | None:
    try:
        number = float(raw)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number else None


def _holds(box: Bounds | None, point: tuple[float, float]) -> bool:
    """Whether a point is in a box, or at most 0.1 degrees away."""
    if box is None:
        return False
    return box[0] - 0.1 <= point[0] <= box[2] + 0.1 and box[1] - 0.1 <= point[1] <= box[3] + 0.1


def _centre(box: Bounds | None) -> tuple[float, float]:
    west, south, east, north = box or (0.0, 0.0, 0.0, 0.0)
    return (west + east) / 2, (south + north) / 2
