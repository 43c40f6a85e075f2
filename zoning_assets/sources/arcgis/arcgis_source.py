"""ArcGIS FeatureServer and MapServer layers, through the query operation of the REST API.

If the layer's list of object ids is reliable, the rows are fetched by ranges of that list (id_list_scan.py). Otherwise
all rows are fetched with the first strategy that can be proven complete (full_scan.py).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from zoning_assets.sources.arcgis import full_scan, statistics_probe
from zoning_assets.sources.arcgis.clause_check import check_clause
from zoning_assets.sources.arcgis.id_list_scan import IdListSource, distinct
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Ids, QueryClient
from zoning_assets.sources.arcgis.sample_row import complete_metadata, wanted
from zoning_assets.sources.source import Request, Source, check_columns
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.geometry import content_hash


async def open_source(request: Request) -> Source:
    """Read the layer's metadata, its count and its object ids, which decide how it is harvested.

    Raises:
        NotALayer: the address is not a polygon layer.
        JurisdictionInvalid: the layer lacks a column that the jurisdiction file names.
        HarvestIncomplete: no strategy that the server supports proves a harvest complete.
        PortalError: see errors.py.
    """
    service = await QueryClient.open(request)
    await check_clause(service)
    service.about = await complete_metadata(service)
    check_columns(request, _as_wanted(request, service.about.columns))
    await service.choose_form()
    groups = await statistics_probe.groups(service)
    count = groups["count"] if groups else await service.count(EVERY_ROW)
    ids = await service.ids()
    signals = {"edited": service.about.edited, **_named(service), **(groups or {"count": count})}
    if ids is None or not _is_true(ids, count) or request.feed.strategy == "area":
        whole = await full_scan.harvest(service, await _contradicted(service, groups, count), ids)
    elif await _ends_early(service, ids):
        whole = await full_scan.harvest(service, None, None)
    else:
        return IdListSource(service, ids, signals, tells=service.about.edited is not None or groups is not None)
    whole.signals = signals
    return whole


def _is_true(ids: Ids, count: int | None) -> bool:
    return len(distinct(ids)) == len(ids) and count in (None, len(ids))


async def _contradicted(service: QueryClient, groups: Mapping[str, Any] | None, count: int | None) -> int | None:
    """The count to prove a full scan with: the larger one of the server's count and of its statistics."""
    if groups is None:
        return count
    counted = await service.count(EVERY_ROW)
    return None if counted is None else max(counted, int(groups["count"]))


async def _ends_early(service: QueryClient, ids: Ids) -> bool:
    """Whether a list of ids that has the length of a page was cut: the server has rows with higher ids."""
    if len(ids) != service.about.most_rows:
        return False
    return (await service.count({"where": f"{service.about.id} > {int(ids[-1])}"}) or 0) > 0


def _as_wanted(request: Request, described: Sequence[str]) -> list[str]:
    """The described columns, and those of the jurisdiction file that differ only in upper and lower case."""
    return [*described, *(name for name in wanted(request) if find_column(name, described))]


def _named(service: QueryClient) -> Mapping[str, str]:
    """A signal that changes when the layer's names of coded values change."""
    names = full_scan.named(service)
    text = content_hash.json_bytes(names)
    return {"names": hashlib.sha256(text).hexdigest()[:16]} if names else {}


async def probe(request: Request) -> dict[str, Any]:
    """Return the layer's signals: its last edit, count, largest id and area, by zoning code if it has one.

    It sends at most three requests (more only to name a refused clause), and fetches no feature.

    Raises:
        NotALayer, PortalError: see errors.py.
    """
    service = await QueryClient.open(request)
    counted = await statistics_probe.groups(service) or {"count": await service.count(EVERY_ROW)}
    if counted["count"] is None:
        await check_clause(service)
    return {"edited": service.about.edited, **_named(service), **counted}
