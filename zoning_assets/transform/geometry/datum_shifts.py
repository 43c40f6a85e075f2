"""How exact the way from a layer's datum to WGS 84 is, and what would make it exact.

Old datums (NAD27, OSGB36, ED50, Tokyo) lie 50 to 500 m beside WGS 84. The shift to them is known to decimetres by grids
that are not installed with PROJ, and to some metres without; drift and tolerance count single metres. The datums of
today (NAD83, ETRS89, GDA94 and their kin) count as WGS 84, as all their portals have it.
"""

import warnings
from functools import lru_cache
from typing import Any

import pyproj
from pyproj.transformer import AreaOfInterest, TransformerGroup

from zoning_assets.errors import CrsRefused
from zoning_assets.model import Bounds, Feed
from zoning_assets.transform.geometry import crs

#: The equator's radius in metres, of the ellipsoids of GRS 80 and WGS 84. Older ones differ by metres and more.
_RADIUS_M, _SAME_M = 6_378_137.0, 0.5
_UNKNOWN_M = float("inf")


def check(layer_crs: str | None, feed: Feed, bounds: Bounds, where: str) -> str | None:
    """A remark on a shift that is less exact than a metre and allowed all the same; None where nothing is to be said.

    Args:
        layer_crs: what the portal says.
        feed: gives `crs`, which wins, and `shift_accuracy_m`.
        bounds: where the jurisdiction is; degrees, EPSG:4326.
        where: for messages.

    Raises:
        CrsRefused: the shift may be off by more than the feed allows; says what would mend it.
    """
    source = crs.declared(layer_crs, feed.crs)
    accuracy_m, grids = accuracy(source, bounds)
    if accuracy_m <= 1.0:
        return None
    metres = "by an unknown number of metres" if accuracy_m == _UNKNOWN_M else f"by {accuracy_m:g} m"
    needs = f" without the grid {grids[0]}" if grids else ""
    what = f"the shift from {_name(source)} to WGS 84 may be off {metres}{needs}"
    if accuracy_m <= feed.shift_accuracy_m:
        return what
    fetch = f"`pyproj sync --file {grids[0]}` fetches it (or name its folder by PROJ_DATA); or " if grids else ""
    allow = "1000" if accuracy_m == _UNKNOWN_M else f"{accuracy_m:g}"
    raise CrsRefused(what, where=where, do=f"{fetch}allow it by `shift_accuracy_m = {allow}` of the feed")


@lru_cache(maxsize=64)
def accuracy(source: str, bounds: Bounds) -> tuple[float, tuple[str, ...]]:
    """By how many metres the best way that is installed may be off about a place (infinite: nobody knows), and the
    grids that a better one needs. 0 for datums that count as WGS 84, and where the publisher gives the shift himself.
    """
    known = pyproj.CRS(source)
    datum = known.geodetic_crs
    if known.is_bound or datum is None or datum.ellipsoid is None:
        return 0.0, ()
    if abs(datum.ellipsoid.semi_major_metre - _RADIUS_M) < _SAME_M:
        return 0.0, ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the grids that are told here
        ways = TransformerGroup(known, crs.DEGREES, always_xy=True, area_of_interest=AreaOfInterest(*bounds))
    best = ways.transformers[0].accuracy if ways.transformers else -1
    better = [way for way in ways.unavailable_operations if best < 0 or 0 <= way.accuracy < best]
    better = [way for way in better if _covers(way.area_of_use, bounds)] or better
    # The plainest way that is better: the fewest grids, of these the one that is made for the smallest area.
    plainest = min(better, key=lambda way: (len(list(way.grids)), _size(way.area_of_use)), default=None)
    names = [grid.short_name for grid in plainest.grids] if plainest else []
    return (best if best >= 0 else _UNKNOWN_M), tuple(dict.fromkeys(names))


def _size(area: Any) -> float:
    """In square degrees."""
    return float((area.east - area.west) % 360 * (area.north - area.south)) if area is not None else _UNKNOWN_M


def _covers(area: Any, bounds: Bounds) -> bool:
    """Whether the area that a way is made for holds a box."""
    west, south, east, north = bounds
    return area is not None and area.west <= west and area.south <= south and east <= area.east and north <= area.north


def _name(source: str) -> str:
    """A CRS by its name where all there is is its definition."""
    return source if len(source) < 40 else pyproj.CRS(source).name
