"""ArcGIS FeatureServer and MapServer layers, through the REST query API.

A layer that lists its object ids truly is fetched by ranges of them (id_list_scan.py). A layer that does not is walked
through in the first way that can be proven (full_scan.py).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from zoning_assets.sources.arcgis import full_scan, statistics_probe
from zoning_assets.sources.arcgis.id_list_scan import Listed, distinct
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Ids, Service
from zoning_assets.sources.arcgis.sample_row import completed, wanted
from zoning_assets.sources.source import Request, Source, check_columns
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.geometry import content_hash


async def open_source(request: Request) -> Source:
    """Ask the layer what it is, how many rows it has and which; that decides how it is harvested.

    Raises:
        NotALayer: the address is not a polygon layer.
        JurisdictionInvalid: the layer has not the columns that the file names.
        HarvestIncomplete: nothing that the server offers proves a harvest.
        PortalError: see errors.py.
    """
    service = await Service.of(request)
    service.about = await completed(service)
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
        return Listed(service, ids, signals, tells=service.about.edited is not None or groups is not None)
    whole.signals = signals
    return whole


def _is_true(ids: Ids, count: int | None) -> bool:
    return len(distinct(ids)) == len(ids) and count in (None, len(ids))


async def _contradicted(service: Service, groups: Mapping[str, Any] | None, count: int | None) -> int | None:
    """The server's count, for a layer whose list of ids it contradicts; the larger one where its statistics count
    more."""
    if groups is None:
        return count
    told = await service.count(EVERY_ROW)
    return None if told is None else max(told, int(groups["count"]))


async def _ends_early(service: Service, ids: Ids) -> bool:
    """Whether a list that is as long as a page was cut there: the server has rows behind its end."""
    if len(ids) != service.about.most_rows:
        return False
    return (await service.count({"where": f"{service.about.id} > {int(ids[-1])}"}) or 0) > 0


def _as_wanted(request: Request, described: Sequence[str]) -> list[str]:
    """The columns, those that the jurisdiction file only spells otherwise under its names too."""
    return [*described, *(name for name in wanted(request) if find_column(name, described))]


def _named(service: Service) -> Mapping[str, str]:
    """What changes when the layer calls its values otherwise."""
    names = full_scan.named(service)
    text = content_hash.json_bytes(names)
    return {"names": hashlib.sha256(text).hexdigest()[:16]} if names else {}


async def probe(request: Request) -> dict[str, Any]:
    """What the layer states of itself for three requests at most: its last edit, and count, largest id and area, by
    code where there is one. No feature is asked for.

    Raises:
        NotALayer, PortalError: see errors.py.
    """
    service = await Service.of(request)
    by_code = await statistics_probe.groups(service)
    return {"edited": service.about.edited, **_named(service), **(by_code or {"count": await service.count(EVERY_ROW)})}
