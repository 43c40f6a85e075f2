"""Whether an ArcGIS layer changed, without asking for a row: what its statistics say (docs/explanation/portals.md).

Statistics are a hint, never a proof: they may lie, and a change may leave them as they were.
"""

import hashlib
from typing import Any

import orjson

from zoning_assets.errors import FeedRefused, PortalUnreachable
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Service
from zoning_assets.transform.geometry import content_hash

_MOST_GROUPS = 2000


async def groups(service: Service) -> dict[str, Any] | None:
    """Count, largest id, summed area and last edit of some rows, as far as the layer has these, grouped by zoning code
    where it has one; one request.

    Returns:
        `count`, `last_id`, `area` (in the layer's own unit), `groups` (a hash of all groups), and `last_edit` (epoch
        milliseconds) where the layer has a column for it; None where the server has no such statistics.
    """
    code, area = _code(service), service.about.area
    wanted = [("count", service.about.id, "n"), ("max", service.about.id, "last_id")]
    wanted += [("sum", area, "area")] if area else []
    wanted += [("max", service.about.edits, "last_edit")] if service.about.edits else []
    names = ("statisticType", "onStatisticField", "outStatisticFieldName")
    statistics = [dict(zip(names, each, strict=True)) for each in wanted]
    params = {**EVERY_ROW, "outStatistics": orjson.dumps(statistics).decode(), "returnGeometry": "false"}
    grouped = {"groupByFieldsForStatistics": code} if code else {}
    if not (service.about.statistics and service.about.id):
        return None
    try:
        value, _ = await service.query({**params, **grouped}, few_tries=True)
        rows = [_small(feature["attributes"]) for feature in value["features"]]
        if len(rows) > _MOST_GROUPS or value.get("exceededTransferLimit"):
            return None
        return _summed(rows)
    except (FeedRefused, PortalUnreachable, KeyError, TypeError, ValueError):
        return None


def _code(service: Service) -> str | None:
    fields = service.request.feed.fields
    return fields.get("zoning_code") or fields.get("code")


def _small(attributes: dict[str, Any]) -> dict[str, Any]:
    """Names in lower case, as servers spell them at will; sums without the noise of their order."""
    rounded = {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in attributes.items()}
    return {str(name).lower(): value for name, value in rounded.items()}


def _summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    said = sorted(content_hash.json_bytes(row) for row in rows)
    edits = [row["last_edit"] for row in rows if type(row.get("last_edit")) is int]
    return {
        **({"last_edit": max(edits)} if edits else {}),
        "count": sum(int(row["n"]) for row in rows),
        "last_id": max((int(row["last_id"]) for row in rows if row["last_id"] is not None), default=0),
        "area": float(f"{sum(float(row.get('area') or 0) for row in rows):.9g}"),
        "groups": hashlib.sha256(b"\n".join(said)).hexdigest()[:16],
    }
