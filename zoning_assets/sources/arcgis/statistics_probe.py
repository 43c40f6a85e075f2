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
    """Return statistics of all rows, grouped by zoning code and land use if the layer has them.

    It sends one request; a second one, grouped by zoning code only, if both columns make too many groups. An edit of
    another column shows only in `last_edit`; else the next full harvest finds it (`full_refresh_days`).

    Returns:
        `count`, `last_id` (the largest id), `area` (the sum, in the layer's unit), `groups` (a hash of all groups), and
        `last_edit` (epoch milliseconds) if the layer has a column for it. None: the server has no such statistics.
    """
    if not (service.about.statistics and service.about.id):
        return None
    try:
        for columns in _groupings(service):
            if rows := await _rows(service, columns):
                return _summed(rows)
    except (FeedRefused, PortalUnreachable, KeyError, TypeError, ValueError):
        return None
    return None


def _groupings(service: QueryClient) -> list[list[str]]:
    """The columns to group by, the most detailed first: columns with few values, of which a change is reported."""
    fields = service.request.feed.fields
    columns = [each for each in (fields.get("zoning_code") or fields.get("code"), fields.get("land_use")) if each]
    return [columns, columns[:1]] if len(set(columns)) == 2 else [columns[:1]]


async def _rows(service: QueryClient, columns: list[str]) -> list[dict[str, Any]]:
    """One row for each group of equal values in these columns; none if there are too many groups."""
    about = service.about
    wanted = [("count", about.id, "n"), ("max", about.id, "last_id")]
    wanted += [("sum", about.area, "area")] if about.area else []
    wanted += [("max", about.edits, "last_edit")] if about.edits else []
    names = ("statisticType", "onStatisticField", "outStatisticFieldName")
    statistics = [dict(zip(names, each, strict=True)) for each in wanted]
    params = {**EVERY_ROW, "outStatistics": orjson.dumps(statistics).decode(), "returnGeometry": "false"}
    grouped = {"groupByFieldsForStatistics": ",".join(columns)} if columns else {}
    value, _ = await service.query({**params, **grouped}, few_tries=True)
    rows = [_small(feature["attributes"]) for feature in value["features"]]
    return [] if len(rows) > _MOST_GROUPS or value.get("exceededTransferLimit") else rows


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
