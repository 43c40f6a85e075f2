"""Which CRS a portal's numbers are in, and which of the two comes first.

Names of the form urn:ogc:def:crs:EPSG::4326 and http://www.opengis.net/def/crs/EPSG/0/4326 have the axis order that
EPSG says (latitude first), names of the form EPSG:4326 have x first: so they say, and servers differ. What the portal
says is tried first, then the other order; the jurisdiction's bounds decide, and what was decided is said.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj
import shapely

from zoning_assets.errors import CrsRefused
from zoning_assets.model import Bounds
from zoning_assets.transform import normalize
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.rings import Geometries

CRS84 = "OGC:CRS84"

_URN = re.compile(r"urn:(?:x-)?ogc:def:crs:(\w+):(?:[\w.]*:)?(\w+)", re.IGNORECASE)
_HTTP = re.compile(r"https?://www\.opengis\.net/def/crs/(\w+)/[\w.]+/(\w+)", re.IGNORECASE)
_OLD = re.compile(r"https?://www\.opengis\.net/gml/srs/epsg\.xml#(\w+)", re.IGNORECASE)
_SHORT = re.compile(r"(EPSG|ESRI|OGC|CRS):(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Name:
    """A CRS by a portal's name for it. `crs`: as PROJ knows it. `plain`: x comes first, whatever its authority says."""

    crs: str
    plain: bool

    @property
    def north_first(self) -> bool:
        """Whether the numbers should come north (or latitude) first."""
        return not self.plain and _north_first(self.crs)


@dataclass(frozen=True)
class Reading:
    """How a layer's numbers are read: in which CRS, whether the two are swapped first, and how that is known."""

    crs: str
    swap: bool
    why: str

    def straight(self, shapes: Geometries) -> Geometries:
        """The shapes with x first."""
        if not self.swap:
            return shapes
        turned: Geometries = shapely.transform(shapes, lambda points: points[:, ::-1])
        return turned


def named(text: object) -> Name | None:
    """A portal's name for a CRS, understood; None where it is none that PROJ knows."""
    text = text.strip().strip("<>") if isinstance(text, str) else ""
    for pattern, plain in ((_URN, False), (_HTTP, False), (_SHORT, True)):
        if found := pattern.fullmatch(text):
            return _known(*found.groups(), plain=plain)
    return _known("EPSG", found[1], plain=True) if (found := _OLD.fullmatch(text)) else None


@lru_cache(maxsize=256)
def _known(authority: str, code: str, *, plain: bool) -> Name | None:
    """EPSG:102067 and its like are Esri's, and CRS:84 is an old name of OGC's."""
    authority = authority.upper()
    if authority == "CRS":
        authority, code = "OGC", f"CRS{code}"
    for each in (authority, "ESRI") if authority == "EPSG" else (authority,):
        try:
            pyproj.CRS(f"{each}:{code}")
        except pyproj.exceptions.CRSError:
            continue
        return Name(f"{each}:{code}", plain)
    return None


@lru_cache(maxsize=256)
def _north_first(name: str) -> bool:
    axes = pyproj.CRS(name).axis_info
    return bool(axes) and axes[0].direction.lower() in ("north", "south")


def readings(names: Iterable[tuple[str, Name | None]], told: str | None) -> list[Reading]:
    """What the numbers may be, most credible first.

    Args:
        names: where a name stands, and the name; None where it is not understood.
        told: the CRS that the jurisdiction file says; it wins, and has x first as all of ours.
    """
    known = [("the jurisdiction file", Name(told, plain=True))] if told else list(names)
    said = [(where, name) for where, name in known if name is not None]
    first = [Reading(name.crs, name.north_first, _why(where, name, swap=name.north_first)) for where, name in said]
    other = [
        Reading(name.crs, not name.north_first, _why(where, name, swap=not name.north_first)) for where, name in said
    ]
    return first + other


def _why(where: str, name: Name, *, swap: bool) -> str:
    order = "the second number is x" if swap else "the first number is x"
    doubt = "" if swap == name.north_first else ", against its name, as the jurisdiction's bounds show"
    return f"{name.crs} by {where}; {order}{doubt}"


def decide(shapes: Geometries, ways: Sequence[Reading], bounds: Bounds, where: str) -> Reading:
    """The first of the readings in which most of the shapes lie in the jurisdiction's bounds.

    Args:
        shapes: some of the layer's; where none has a place, the first reading holds, and gate 2 looks at the pages.
        ways: see `readings`.
        bounds: the jurisdiction's.
        where: for messages.

    Raises:
        CrsRefused: none fits, or there is none.
    """
    placed = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    for way in ways:
        points = normalize.representative_points(way.straight(placed), way.crs)
        away = crs.outside(points, bounds) | np.isnan(points).any(axis=1)
        if not len(placed) or not away.mean() > crs.MOST_OUTSIDE:
            return way
    tried = "; ".join(way.crs + (" swapped" if way.swap else "") for way in ways) or "no CRS that PROJ knows is named"
    raise CrsRefused(
        f"its rows do not lie in the jurisdiction's bounds in any way that they may be read ({tried})",
        where=where,
        do="set `crs` of the feed (or `bounds`) in the jurisdiction file",
    )
