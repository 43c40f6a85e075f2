"""The states of the US by postal code, with the bounds of each.

The bounds are those that the EPSG dataset gives the areas of use of CRSs, as PROJ contains it: "United States (USA) -
Alabama ...". They are larger than a county and contain all of them.
"""

from functools import lru_cache

from zoning_assets.model import Bounds

_COUNTRY = "United States (USA) - "
#: Postal code -> name. Source of the codes: USPS, Publication 28, appendix B.
STATES = {
    "al": "Alabama", "ak": "Alaska", "az": "Arizona", "ar": "Arkansas", "ca": "California", "co": "Colorado",
    "ct": "Connecticut", "de": "Delaware", "dc": "District of Columbia", "fl": "Florida", "ga": "Georgia",
    "hi": "Hawaii", "id": "Idaho", "il": "Illinois", "in": "Indiana", "ia": "Iowa", "ks": "Kansas", "ky": "Kentucky",
    "la": "Louisiana", "me": "Maine", "md": "Maryland", "ma": "Massachusetts", "mi": "Michigan", "mn": "Minnesota",
    "ms": "Mississippi", "mo": "Missouri", "mt": "Montana", "ne": "Nebraska", "nv": "Nevada", "nh": "New Hampshire",
    "nj": "New Jersey", "nm": "New Mexico", "ny": "New York", "nc": "North Carolina", "nd": "North Dakota",
    "oh": "Ohio", "ok": "Oklahoma", "or": "Oregon", "pa": "Pennsylvania", "pr": "Puerto Rico", "ri": "Rhode Island",
    "sc": "South Carolina", "sd": "South Dakota", "tn": "Tennessee", "tx": "Texas", "ut": "Utah", "vt": "Vermont",
    "va": "Virginia", "wa": "Washington", "wv": "West Virginia", "wi": "Wisconsin", "wy": "Wyoming",
}  # fmt: skip
#: Names of areas that do not begin with the country and the state. The EPSG dataset has no area for the District of
#: Columbia, which lies within the box of Maryland.
_AREAS = {"dc": f"{_COUNTRY}Maryland", "pr": "Puerto Rico"}


@lru_cache(maxsize=len(STATES))
def bounds_of_state(code: str) -> Bounds | None:
    """The box around a state (west, south, east, north; degrees, EPSG:4326); None: no state has this code.

    Alaska's box ends at 180 degrees west; its islands beyond are not in it.
    """
    if code not in STATES:
        return None
    name = _AREAS.get(code, f"{_COUNTRY}{STATES[code]}")
    boxes = [box for area, box in _areas() if area.startswith(name) and area[len(name) : len(name) + 1] in (" ", ".")]
    if not boxes:
        return None
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


@lru_cache(maxsize=1)
def _areas() -> list[tuple[str, Bounds]]:
    """Name and box of each area of use; a box that crosses the antimeridian ends there."""
    from pyproj.database import query_crs_info  # noqa: PLC0415 - reads 0.2 s of the database of PROJ

    used = [of for each in query_crs_info(auth_name="EPSG") if (of := each.area_of_use) and of.name]
    return [(a.name or "", (-180.0 if a.west > a.east else a.west, a.south, a.east, a.north)) for a in used]
