"""The accuracy of the transformation from a layer's datum to WGS 84, and the grid files that improve it.

Old datums (NAD27, OSGB36, ED50, Tokyo) differ from WGS 84 by 50 to 500 m. Grids that are not installed with PROJ give
the shift to decimetres; without them it is known to some metres, while drift and tolerance are single metres. Current
datums (NAD83, ETRS89, GDA94 and similar ones) count as WGS 84, because their portals treat them so. Which CRS
a layer has, and whether its rows lie within the bounds, is checked in crs.py.
"""

import warnings
from functools import lru_cache
from typing import Any

import pyproj
from pyproj.transformer import AreaOfInterest, TransformerGroup

from zoning_assets.errors import CrsRefused
from zoning_assets.model import Bounds, Feed
from zoning_assets.transform.geometry import crs

#: Semi-major axis of the GRS 80 and WGS 84 ellipsoids in metres, and the tolerance. Older ellipsoids differ by more.
_RADIUS_M, _SAME_M = 6_378_137.0, 0.5
_UNKNOWN_M = float("inf")


def check(layer_crs: str | None, feed: Feed, bounds: Bounds, where: str) -> str | None:
    """Check that the datum shift is accurate enough.

    Args:
        layer_crs: the CRS that the portal declares.
        feed: gives `crs`, which overrides it, and `shift_accuracy_m`.
        bounds: of the jurisdiction: west, south, east, north; degrees, EPSG:4326.
        where: for messages.

    Returns:
        A remark if the shift is allowed but less accurate than a metre; else None.

    Raises:
        CrsRefused: the shift may be wrong by more than the feed allows. The message names the grid that corrects it.
    """
    source = crs.declared(layer_crs, feed.crs)
    accuracy_m, grids = accuracy(source, bounds)
    if accuracy_m <= 1.0:
        return None
    metres = "by an unknown number of metres" if accuracy_m == _UNKNOWN_M else f"by {accuracy_m:g} m"
    needs = f" without the grid {grids[0]}" if grids else ""
    what = f"the shift from {_name(source)} to WGS 84 may be wrong {metres}{needs}"
    if accuracy_m <= feed.shift_accuracy_m:
        return what
    fetch = f"`pyproj sync --file {grids[0]}` fetches it (or name its folder by PROJ_DATA); or " if grids else ""
    allow = "1000" if accuracy_m == _UNKNOWN_M else f"{accuracy_m:g}"
    raise CrsRefused(what, where=where, do=f"{fetch}allow it by `shift_accuracy_m = {allow}` of the feed")


@lru_cache(maxsize=64)
def accuracy(source: str, bounds: Bounds) -> tuple[float, tuple[str, ...]]:
    """The accuracy of the best installed transformation to WGS 84 within `bounds`.

    Returns:
        Metres (infinite: unknown), and the grid files that a better transformation needs. 0 for datums that count as
            WGS 84, and if the publisher defines the shift (`+towgs84`).
    """
    known = pyproj.CRS(source)
    datum = known.geodetic_crs
    if known.is_bound or datum is None or datum.ellipsoid is None:
        return 0.0, ()
    if abs(datum.ellipsoid.semi_major_metre - _RADIUS_M) < _SAME_M:
        return 0.0, ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about missing grids, which are reported here
        operations = TransformerGroup(known, crs.DEGREES, always_xy=True, area_of_interest=AreaOfInterest(*bounds))
    best = operations.transformers[0].accuracy if operations.transformers else -1
    better = [
        operation for operation in operations.unavailable_operations if best < 0 or 0 <= operation.accuracy < best
    ]
    better = [operation for operation in better if _covers(operation.area_of_use, bounds)] or better
    # The simplest better operation: the fewest grids, then the smallest area of use.
    plainest = min(
        better, key=lambda operation: (len(list(operation.grids)), _size(operation.area_of_use)), default=None
    )
    names = [grid.short_name for grid in plainest.grids] if plainest else []
    return (best if best >= 0 else _UNKNOWN_M), tuple(dict.fromkeys(names))


def _size(area: Any) -> float:
    """Square degrees; infinite if there is no area."""
    return float((area.east - area.west) % 360 * (area.north - area.south)) if area is not None else _UNKNOWN_M


def _covers(area: Any, bounds: Bounds) -> bool:
    """Whether an operation's area of use contains the box."""
    west, south, east, north = bounds
    return area is not None and area.west <= west and area.south <= south and east <= area.east and north <= area.north


def _name(source: str) -> str:
    """A short name of a CRS that is given by its full definition."""
    return source if len(source) < 40 else pyproj.CRS(source).name
