"""ArcGIS FeatureServer and MapServer layers, through the REST query API.

A layer that lists its object ids truly is asked tile by tile, by each tile's fetch envelope; the ids are the proof. A
layer that does not is walked through as a whole (arcgis_whole.py) and cut into tiles here.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

import numpy as np
import orjson

from zoning_assets.errors import FeedRefused, PortalUnreachable
from zoning_assets.feeds import arcgis_probe, arcgis_whole
from zoning_assets.feeds.arcgis_listed import by_ids, listed_ids, walk
from zoning_assets.feeds.arcgis_query import EVERY_ROW, WHOLE_ROWS, Ids, Page, Service, inside
from zoning_assets.feeds.arcgis_sample import completed, wanted
from zoning_assets.feeds.arcgis_tiles import check_missed, distinct, find_tiles, places, together
from zoning_assets.feeds.source import Draft, Request, Source, check_columns, no_shapes, prove
from zoning_assets.feeds.whole import Hashes, hashes_of, repeats
from zoning_assets.http import Client
from zoning_assets.model import Cover, Place
from zoning_assets.secrecy import without_secrets
from zoning_assets.transform import canonical, columns, esri, tiles
from zoning_assets.transform.rows import Rows
from zoning_assets.transform.spelling import respelled, spelled


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
    count, ids = await service.count(EVERY_ROW), await service.ids(EVERY_ROW)
    unique = ids is not None and len(distinct(ids)) == len(ids)
    if ids is not None and unique and count in (None, len(ids)) and request.feed.strategy != "area":
        # A layer that does not say when it was edited is told by its statistics, as far as they go.
        signals = None if service.about.edited is not None else await arcgis_probe.groups(service, EVERY_ROW)
        return Arcgis(service, ids, signals)
    return await arcgis_whole.harvest(service, count, ids)


class Arcgis:
    """A layer that is asked tile by tile. See source.Source."""

    def __init__(self, service: Service, ids: Ids, signals: Mapping[str, Any] | None) -> None:
        self.service, self.request, self.about, self.ids = service, service.request, service.about, ids
        self.form = service.form
        self.layer = arcgis_whole.reading(service)
        self.rows: int | None = len(ids)
        listed = hashlib.sha256(ids.tobytes()).hexdigest()[:16]
        self.stamp: dict[str, Any] = {
            "edited": self.about.edited,
            "count": len(ids),
            "ids": listed,
            **(signals or {}),
            **_named(service),
        }

    def asked_by(self, http: Client) -> Self:
        """See source.Source."""
        same = copy(self)
        same.service = self.service.asked_by(http)
        same.request = same.service.request
        return same

    # The cover

    async def cover(self, *, exact: bool) -> Cover:
        """Find the tiles, repeated keys, and rows that no tile's envelope meets.

        Raises:
            HarvestIncomplete: the answers by area contradict the list of all ids.
        """
        searched = await find_tiles(self.service, self.ids)
        found = searched.rows
        if len(_without(searched.met, self.ids)):
            raise self.service.incomplete("by area the server lists rows that its list of all rows lacks")
        missed = _without(self.ids, searched.met)
        seen = await check_missed(self.service, searched, missed)
        if len(missed) == len(self.ids) > 0 and not seen:
            raise no_shapes(len(missed), self.request.where)
        listed: dict[str, list[int]] = {}
        repeated: dict[str, str] = {}
        for key, ids, cells in await self._repeats(exact=exact):
            tile = tiles.to_str(int(tiles.owners(np.array([min(cells)], dtype=np.uint64), found)[0]))
            repeated[key] = tile
            listed[tile] = [*listed.get(tile, []), *ids]
        left = set(missed.tolist()).difference(*listed.values())
        listed[tiles.home(found)] = [*listed.get(tiles.home(found), []), *left]
        listed = {tile: sorted(set(each)) for tile, each in sorted(listed.items()) if each}
        rows = len(self.ids) - len(missed)
        return Cover(self.request.jurisdiction.id, self.request.feed.name, self.stamp, found, repeated, listed, rows)

    async def _repeats(self, *, exact: bool) -> list[tuple[str, list[int], list[int]]]:
        """Each repeated key with the ids and the finest cells of its rows."""
        ids = None if exact else await self._repeated_by_statistics()
        if ids is None:
            ids = await self._repeated_by_looking()
        groups: dict[str, tuple[list[int], list[int]]] = {}
        keys = {"outFields": f"{self.about.id},{self.request.feed.key}", "returnGeometry": "true"}
        async for page in by_ids(self.service, sorted(ids), keys):
            rows = self._read(page)
            cells = tiles.finest_cells(np.nan_to_num(places(self.service, rows.geometry), nan=tiles.OFF_GLOBE)).tolist()
            for number, row, cell in zip(page.ids.tolist(), rows.attributes, cells, strict=True):
                key = columns.key_of(row.get(self.request.feed.key or ""))
                if key is not None:
                    mine = groups.setdefault(key, ([], []))
                    mine[0].append(number)
                    mine[1].append(cell or tiles.LAST)
        return [(key, *both) for key, both in sorted(groups.items()) if len(both[0]) > 1]

    async def _repeated_by_statistics(self) -> list[int] | None:
        """Ids of rows whose key repeats, from two grouped queries; None where the server cannot group."""
        if not self.about.statistics:
            return None
        key, count = self.request.feed.key or "", "rows_a_key"
        statistic = {"statisticType": "count", "onStatisticField": self.about.id, "outStatisticFieldName": count}
        try:
            value, _ = await self.service.query(
                {
                    **EVERY_ROW,
                    "groupByFieldsForStatistics": key,
                    "outStatistics": orjson.dumps([statistic]).decode(),
                    "having": f"COUNT({self.about.id}) > 1",
                    "returnGeometry": "false",
                },
                few_tries=True,
            )
            groups = [feature["attributes"] for feature in value.get("features", ())]
        except (FeedRefused, PortalUnreachable, KeyError, TypeError):
            return None
        if value.get("exceededTransferLimit") or any(count not in group or key not in group for group in groups):
            return None
        if not await self._adds_up(key, [group[count] for group in groups]):
            return None
        batches = _batches([group[key] for group in groups if group[key] is not None], 50)
        wheres = [f"{key} IN ({', '.join(_literal(each) for each in batch)})" for batch in batches]
        listed = await together(listed_ids(self.service, {"where": where}) for where in wheres)
        return [number for ids in listed for number in ids.tolist()]

    async def _adds_up(self, key: str, repeats: Sequence[Any]) -> bool:
        """Whether all rows are the rows of the groups, and one of each other key: groups may have been left out."""
        distinct = {"returnDistinctValues": "true", "outFields": key, "returnGeometry": "false"}
        keys = await self.service.count({**EVERY_ROW, **distinct})
        sound = keys is not None and all(type(each) is int and each > 1 for each in repeats)
        return sound and keys is not None and keys - len(repeats) + sum(repeats) == len(self.ids)

    async def _repeated_by_looking(self) -> list[int]:
        """Ids of rows whose key repeats, from every row's key."""
        seen: list[tuple[Ids, Hashes]] = []  # 16 bytes a row

        def look(page: Page) -> None:
            keys = [columns.key_of(row.get(self.request.feed.key or "")) for row in self._read(page).attributes]
            seen.append((page.ids, hashes_of(keys)))

        fields = {"outFields": f"{self.about.id},{self.request.feed.key}", "returnGeometry": "false"}
        await walk(self.service, EVERY_ROW, {}, look, seen.clear, fields=fields)
        ids = np.concatenate([np.empty(0, np.int64), *(each for each, _ in seen)])
        hashes = np.concatenate([np.empty(0, np.uint64), *(each for _, each in seen)])
        found: list[int] = ids[repeats(hashes)].tolist()
        return found

    def _read(self, page: Page) -> Rows:
        """A page's rows, their keys under the name that the jurisdiction file has."""
        return respelled(esri.read(page.body, {}), [self.request.feed.key or ""])

    # The pages

    async def fingerprint(self, place: Place, cover: Cover) -> dict[str, Any] | None:
        """See source.Source."""
        if place.tile is None:
            return None
        return await arcgis_probe.fingerprint(self.service, place.tile, cover.listed.get(place.tile, ()))

    async def fetch(self, place: Place, cover: Cover, draft: Draft) -> dict[str, Any]:
        """See source.Source."""
        proof: dict[str, Any] = {}
        state = {"url": without_secrets(self.request.feed.url), "tile": place.tile, **self.stamp}
        resumed = await asyncio.to_thread(draft.begin, state)
        if resumed:
            proof["resumed"] = resumed

        def again() -> None:
            draft.abandon()
            draft.begin(state)

        which = inside(tiles.fetch_envelope(place.tile)) if place.tile else EVERY_ROW
        await walk(self.service, which, proof, partial(_keep, draft, "area"), again, draft=draft, fields=WHOLE_ROWS)
        await self._listed_rows(cover.listed.get(place.tile or "", ()), draft, proof)
        if self.about.edited is not None:
            evidence = {"last edit after": (await self.service.edited(), self.about.edited)}
            prove(self.request.where, evidence, proof)
        return proof

    async def _listed_rows(self, ids: Sequence[int], draft: Draft, proof: dict[str, Any]) -> None:
        """Rows that this place owns though its envelope does not meet them."""
        if not ids:
            return
        received = 0
        async for page in by_ids(self.service, ids, WHOLE_ROWS, draft):
            received += len(page)
            await asyncio.to_thread(_keep, draft, "listed", page)
        prove(self.request.where, {"rows asked for by id": (received, len(ids))}, proof)


def _as_wanted(request: Request, described: Sequence[str]) -> list[str]:
    """The columns, those that the jurisdiction file only spells otherwise under its names too."""
    return [*described, *(name for name in wanted(request) if spelled(name, described))]


def _named(service: Service) -> dict[str, str]:
    """What changes when the layer calls its values otherwise."""
    names = arcgis_whole.named(service)
    text = canonical.json_bytes(names)
    return {"names": hashlib.sha256(text).hexdigest()[:16]} if names else {}


def _without(ids: Ids, others: Ids) -> Ids:
    """Those of sorted ids that are not among others, sorted as well. np.setdiff1d would sort both again."""
    at = np.searchsorted(others, ids)
    found = at < len(others)
    found[found] = others[at[found]] == ids[found]
    return ids[~found]


def _keep(draft: Draft, kind: str, page: Page) -> None:
    draft.add(page.body, rows=len(page), kind=kind, question=page.question)


def _literal(value: Any) -> str:
    """A value inside `where`; the portal's own text, hence quoted."""
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


async def probe(request: Request) -> dict[str, Any]:
    """What the layer says of itself for three requests at most: its last edit, and count, largest id and area, by code
    where there is one. No feature is asked for.

    Raises:
        NotALayer, PortalError: see errors.py.
    """
    service = await Service.of(request)
    by_code = await arcgis_probe.groups(service, EVERY_ROW)
    return {"edited": service.about.edited, **_named(service), **(by_code or {"count": await service.count(EVERY_ROW)})}
