"""What the map shows besides features and tiles: jurisdictions, search, releases, the legend, single shapes."""

from collections.abc import Sequence
from typing import Any

from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

#: The query of the published state, as text; for asyncpg.
STATE = named("map")["state"].decode()
_MOST_RELEASES = 500
#: An address is searched for a text anywhere only if the text has so many characters.
_SHORTEST = 3


def published_state(url: str) -> str:
    """A text that changes when something is published, judged, decided by a person, or learned from an amendment."""
    with session(url) as connection:
        row = connection.execute(named("map")["state"]).fetchone()
    return str(row[0]) if row else ""


def places(url: str) -> list[dict[str, Any]]:
    """Each published jurisdiction: `id`, `districts`, `bounds`, `changes`, `changed_bounds`.

    Bounds are [west, south, east, north] in EPSG:4326, or None.
    """
    return _rows(url, "places")


def search(url: str, text: str, jurisdictions: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Parcels by the beginning of their id, or by their address: `jurisdiction`, `parcel_id`, `address`, `zoning_code`,
    `bounds`."""
    pattern = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    values = {"text": text, "pattern": pattern, "is_long": len(text) >= _SHORTEST}
    found = _rows(url, "search", **values, jurisdictions=list(jurisdictions), limit=limit)
    return list({(each["jurisdiction"], each["parcel_id"]): each for each in found}.values())


def change_shape(url: str, id_: str) -> Any:
    """The shape of a change as GeoJSON; None: it has none."""
    found = _rows(url, "change_shape", id=id_)
    return found[0]["geometry"] if found else None


def parcel_shape(url: str, jurisdiction: str, parcel: str) -> dict[str, Any]:
    """The last shape of a parcel: `geometry` (GeoJSON), `is_current`."""
    found = _rows(url, "parcel_shape", jurisdiction=jurisdiction, parcel=parcel)
    return found[0] if found else {"geometry": None, "is_current": False}


def releases(url: str, jurisdiction: str) -> list[dict[str, Any]]:
    """The releases of a jurisdiction, newest first: `id`, `time`, `changes`."""
    return _rows(url, "releases", jurisdiction=jurisdiction, limit=_MOST_RELEASES)


def codes(url: str, jurisdiction: str) -> list[dict[str, Any]]:
    """The base codes of a jurisdiction: `code`, `code_local`, `zone_type`, `parcels`; most parcels first."""
    return _rows(url, "codes", jurisdiction=jurisdiction)


def _rows(url: str, query: str, **values: Any) -> list[dict[str, Any]]:
    with session(url) as connection:
        return dicts(connection, named("map")[query], values)
