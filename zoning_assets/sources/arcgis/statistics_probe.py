"""Detect changes of an ArcGIS layer by its statistics, without fetching rows.

Statistics are a signal, never a proof: a server may compute them from outdated data, and a change may not affect them.
Source: ArcGIS REST API, "Query", outStatistics and groupByFieldsForStatistics.
"""

import hashlib
from typing import Any

import orjson

from zoning_assets.errors import FeedRefused, PortalUnreachable
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, QueryClient
from zoning_assets.transform.geometry import content_hash

_MOST_GROUPS = 2000


async def groups(service: QueryClient) -> dict[str, Any] | None:
    """Return statistics of all rows with one request, grouped by zoning code if the layer has one.

    Returns:
        `count`, `last_id` (the largest id), `area` (the sum, in the layer's unit), `groups` (a hash of all groups), and
        `last_edit` (epoch milliseconds) if the layer has a column for it. None: the server has no such statistics.
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


def _code(service: QueryClient) -> str | None:
    fields = service.request.feed.fields
    return fields.get("zoning_code") or fields.get("code")


def _small(attributes: dict[str, Any]) -> dict[str, Any]:
    """Names in lower case, because servers spell them differently; sums without rounding noise."""
    rounded = {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in attributes.items()}
    return {str(name).lower(): value for name, value in rounded.items()}


def _summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    hashed = sorted(content_hash.json_bytes(row) for row in rows)
    edits = [row["last_edit"] for row in rows if type(row.get("last_edit")) is int]
    return {
        **({"last_edit": max(edits)} if edits else {}),
        "count": sum(int(row["n"]) for row in rows),
        "last_id": max((int(row["last_id"]) for row in rows if row["last_id"] is not None), default=0),
        "area": float(f"{sum(float(row.get('area') or 0) for row in rows):.9g}"),
        "groups": hashlib.sha256(b"\n".join(hashed)).hexdigest()[:16],
    }
