"""Find the CRS and the axis order of a portal's coordinates.

CRS names of the form urn:ogc:def:crs:EPSG::4326 and http://www.opengis.net/def/crs/EPSG/0/4326 have the axis order of
the EPSG register (latitude first for 4326). Names of the form EPSG:4326 have x first. Servers do not all follow this
rule, so both orders are tried: first the order that the name implies, then the other one. The first order that puts the
rows inside the jurisdiction's bounds is used, and the proof of the harvest records it.
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
_GML2 = re.compile(r"https?://www\.opengis\.net/gml/srs/epsg\.xml#(\w+)", re.IGNORECASE)
_SHORT = re.compile(r"(EPSG|ESRI|OGC|CRS):(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class CrsName:
    """A CRS and the axis order that its name implies.

    crs: authority and code that PROJ knows. x_first: x is first, whatever the authority's axis order is.
    """

    crs: str
    x_first: bool

    @property
    def north_first(self) -> bool:
        """Whether the name implies that northing (or latitude) is first."""
        return not self.x_first and _is_north_first(self.crs)


@dataclass(frozen=True)
class CrsReading:
    """How to interpret a layer's coordinates: CRS, whether x and y must be swapped, and the reason as text."""

    crs: str
    swap: bool
    reason: str

    def with_x_first(self, shapes: Geometries) -> Geometries:
        """Return the shapes with x first."""
        if not self.swap:
            return shapes
        swapped: Geometries = shapely.transform(shapes, lambda points: points[:, ::-1])
        return swapped


def parse_crs_name(text: object) -> CrsName | None:
    """Parse a portal's name for a CRS; None if the text is not a CRS name, or PROJ does not know the CRS."""
    text = text.strip().strip("<>") if isinstance(text, str) else ""
    for pattern, x_first in ((_URN, False), (_HTTP, False), (_SHORT, True)):
        if found := pattern.fullmatch(text):
            return _resolve(*found.groups(), x_first=x_first)
    return _resolve("EPSG", found[1], x_first=True) if (found := _GML2.fullmatch(text)) else None


@lru_cache(maxsize=256)
def _resolve(authority: str, code: str, *, x_first: bool) -> CrsName | None:
    """Look the code up in PROJ. Codes such as EPSG:102067 are Esri codes; CRS:84 is an old name of OGC:CRS84."""
    authority = authority.upper()
    if authority == "CRS":
        authority, code = "OGC", f"CRS{code}"
    for each in (authority, "ESRI") if authority == "EPSG" else (authority,):
        try:
            pyproj.CRS(f"{each}:{code}")
        except pyproj.exceptions.CRSError:
            continue
        return CrsName(f"{each}:{code}", x_first)
    return None


@lru_cache(maxsize=256)
def _is_north_first(name: str) -> bool:
    axes = pyproj.CRS(name).axis_info
    return bool(axes) and axes[0].direction.lower() in ("north", "south")


def candidate_readings(names: Iterable[tuple[str, CrsName | None]], configured: str | None) -> list[CrsReading]:
    """List the possible interpretations of the coordinates, most credible first.

    Args:
        names: pairs of the place where a name was found and the parsed name; None if it could not be parsed.
        configured: the CRS in the jurisdiction file. It replaces all other names; its axis order is x first.
    """
    found = [("the jurisdiction file", CrsName(configured, x_first=True))] if configured else list(names)
    known = [(where, name) for where, name in found if name is not None]
    as_named = [_reading(where, name, swap=name.north_first) for where, name in known]
    return as_named + [_reading(where, name, swap=not name.north_first) for where, name in known]


def _reading(where: str, name: CrsName, *, swap: bool) -> CrsReading:
    return CrsReading(name.crs, swap, _reason(where, name, swap=swap))


def _reason(where: str, name: CrsName, *, swap: bool) -> str:
    order = "the second number is x" if swap else "the first number is x"
    doubt = "" if swap == name.north_first else ", unlike its definition, as the jurisdiction's bounds show"
    return f"{name.crs} by {where}; {order}{doubt}"


def choose_reading(shapes: Geometries, ways: Sequence[CrsReading], bounds: Bounds, where: str) -> CrsReading:
    """Return the first interpretation that puts most of the shapes inside the jurisdiction's bounds.

    Args:
        shapes: a sample of the layer. If all are empty, the first interpretation is used; the bounds check of each page
            (crs.py) follows later.
        ways: the interpretations, see `candidate_readings`.
        bounds: of the jurisdiction: west, south, east, north in degrees, EPSG:4326.
        where: the feed, for messages.

    Raises:
        CrsRefused: no interpretation fits, or `ways` is empty.
    """
    placed = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    for way in ways:
        points = normalize.representative_points(way.with_x_first(placed), way.crs)
        away = crs.outside(points, bounds) | np.isnan(points).any(axis=1)
        if not len(placed) or not away.mean() > crs.MOST_OUTSIDE:
            return way
    tried = "; ".join(way.crs + (" swapped" if way.swap else "") for way in ways) or "the portal names no known CRS"
    raise CrsRefused(
        f"the rows lie outside the jurisdiction's bounds in every possible CRS and axis order ({tried})",
        where=where,
        do="set `crs` of the feed (or `bounds`) in the jurisdiction file",
    )
