"""ArcGIS FeatureServer and MapServer layers, through the REST query API with f=json.

A tile is asked for by its fetch envelope, page by page in the order of the object ids; where a server cannot page, by
ranges of object ids. Source: ArcGIS REST API, "Query (Feature Service/Layer)"; FACTS section 1.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import shapely

from zoning_assets.errors import FeedRefused, HarvestIncomplete
from zoning_assets.feeds.arcgis_layer import Layer, describe, no_error
from zoning_assets.feeds.source import MOST_ROWS_A_TILE, Draft, Request, check_columns, prove
from zoning_assets.http import without_secrets
from zoning_assets.model import Cover, Place
from zoning_assets.transform import columns, crs, esri, tiles

_EVERY_ROW = {"where": "1=1"}
#: Ids in one request; they go by POST.
_IDS_A_REQUEST = 500


async def open_source(request: Request) -> "Arcgis":
    """Ask the layer what it is.

    Raises:
        NotALayer: the address is not a polygon layer.
        JurisdictionInvalid: the layer has not the columns that the file names.
        PortalError: see errors.py.
    """
    source = Arcgis(request, await _describe(request))
    check_columns(request, list(source.about.columns))
    source.stamp = {"edited": source.about.edited, "count": await source.count(_EVERY_ROW)}
    return source


async def _describe(request: Request) -> Layer:
    url = request.feed.url.rstrip("/")
    answer = await request.http.ask(request.jurisdiction.portal, url, {"f": "json"}, read=_decode)
    return describe(answer.value, where=f"{request.where} at {without_secrets(url)}")


def _decode(body: bytes) -> Any:
    """A page's JSON; the collector rests meanwhile, as it would look at every number's list in vain."""
    gc.disable()
    try:
        return no_error(esri.decode(body))
    finally:
        gc.enable()


class Arcgis:
    """A layer that was found. See source.Source."""

    form = "esrijson"

    def __init__(self, request: Request, about: Layer) -> None:
        self.request, self.about = request, about
        self.layer = {"crs": about.crs, "id": about.id, "dates": about.dates, "managed": about.managed}
        self.stamp: dict[str, Any] = {}

    async def query(self, params: Mapping[str, str]) -> tuple[Any, bytes]:
        """One query's answer, decoded and as it came.

        Raises:
            FeedRefused: the layer says no.
        """
        answer = await self.request.http.ask(
            self.request.jurisdiction.portal,
            f"{self.request.feed.url.rstrip('/')}/query",
            {"f": "json", **params},
            read=_decode,
        )
        error = answer.value.get("error")
        if error is not None:
            raise FeedRefused(
                f"error {error.get('code')}: {error.get('message') or error.get('details')}",
                where=self.request.where,
                do="check the address, and whether the layer wants a token",
            )
        return answer.value, answer.body

    async def count(self, which: Mapping[str, str]) -> int:
        """The server's own count.

        Raises:
            HarvestIncomplete: it does not count.
        """
        value, _ = await self.query({**which, "returnCountOnly": "true"})
        if not isinstance(value.get("count"), int):
            raise HarvestIncomplete(
                "the server does not count its rows, so nothing could be proven",
                where=self.request.where,
                do="use another feed of this portal",
            )
        return int(value["count"])

    async def ids(self, which: Mapping[str, str]) -> list[int]:
        """The server's own list of object ids, in order."""
        value, _ = await self.query({**which, "returnIdsOnly": "true"})
        return sorted(int(each) for each in value.get("objectIds") or ())

    # The cover

    async def cover(self, *, exact: bool) -> Cover:
        """Count tile by tile from coarse to fine; find repeated keys and rows that have no place."""
        start = tiles.start_tiles(self._reach())
        found = await self._split(start)
        home = tiles.home(found) if found else ""
        listed = {home: await self._unplaced(start)}
        repeated: dict[str, str] = {}
        for key, ids, cells in await self._repeats(exact=exact):
            tile = tiles.to_str(int(tiles.owners(np.array([min(cells)], dtype=np.uint64), found)[0]))
            repeated[key] = tile
            listed[tile] = [*listed.get(tile, []), *ids]
        listed = {tile: sorted(set(ids)) for tile, ids in sorted(listed.items()) if ids}
        return Cover(self.request.jurisdiction.id, self.request.feed.name, self.stamp, found, repeated, listed)

    def _reach(self) -> tuple[float, float, float, float]:
        """The box in which rows are looked for: the layer's own extent and the jurisdiction's bounds; degrees."""
        bounds = crs.padded(self.request.jurisdiction.bounds)
        own = self.about.extent_degrees(crs.declared(self.about.crs, self.request.feed.crs))
        if own is None:
            return bounds
        return min(own[0], bounds[0]), min(own[1], bounds[1]), max(own[2], bounds[2]), max(own[3], bounds[3])

    async def _split(self, start: Sequence[str]) -> dict[str, int]:
        fixed, cover, level = self.request.jurisdiction.tile_resolution, {}, list(start)
        while level:
            counts = await asyncio.gather(*(self.count(_inside(tiles.fetch_envelope(tile))) for tile in level))
            rows = {tile: n for tile, n in zip(level, counts, strict=True) if n}
            level = [t for t, n in rows.items() if tiles.wants_split(t, n, MOST_ROWS_A_TILE, fixed)]
            cover.update({tile: n for tile, n in rows.items() if tile not in level})
            level = [child for tile in level for child in tiles.children(tile)]
        return dict(sorted(cover.items()))

    async def _unplaced(self, start: Sequence[str]) -> list[int]:
        """Rows that no envelope meets: an empty shape, or one outside the reach."""
        everywhere = _inside(shapely.union_all([tiles.fetch_envelope(tile) for tile in start]))
        if await self.count(everywhere) == self.stamp["count"]:
            return []
        return sorted(set(await self.ids(_EVERY_ROW)) - set(await self.ids(everywhere)))

    async def _repeats(self, *, exact: bool) -> list[tuple[str, list[int], list[int]]]:
        """Each repeated key with the ids and the finest cells of its rows."""
        ids = None if exact else await self._repeated_by_statistics()
        if ids is None:
            ids = await self._repeated_by_looking()
        groups: dict[str, tuple[list[int], list[int]]] = {}
        async for value, _ in self._by_ids(ids, fields=f"{self.about.id},{self.request.feed.key}"):
            rows = esri.shapes_of([feature.get("geometry") or {} for feature in value["features"]])[0]
            points = columns.representative_points(
                crs.reproject(rows, crs.declared(self.about.crs, self.request.feed.crs), crs.DEGREES), crs.DEGREES
            )
            cells = tiles.finest_cells(np.nan_to_num(points, nan=tiles.OFF_GLOBE))
            for feature, cell in zip(value["features"], cells.tolist(), strict=True):
                key = columns.key_of(feature["attributes"].get(self.request.feed.key))
                if key is not None:
                    mine = groups.setdefault(key, ([], []))
                    mine[0].append(self._id(feature))
                    mine[1].append(cell or tiles.LAST)
        return [(key, *both) for key, both in sorted(groups.items()) if len(both[0]) > 1]

    async def _repeated_by_statistics(self) -> list[int] | None:
        """Ids of rows whose key repeats, from two grouped queries; None where the server cannot group."""
        if not self.about.statistics:
            return None
        key, count = self.request.feed.key or "", "rows_a_key"
        statistic = {"statisticType": "count", "onStatisticField": self.about.id, "outStatisticFieldName": count}
        try:
            value, _ = await self.query(
                {
                    **_EVERY_ROW,
                    "groupByFieldsForStatistics": key,
                    "outStatistics": orjson.dumps([statistic]).decode(),
                    "having": f"COUNT({self.about.id}) > 1",
                    "returnGeometry": "false",
                }
            )
        except FeedRefused:
            return None
        groups = [feature["attributes"] for feature in value.get("features", ())]
        if value.get("exceededTransferLimit") or any(count not in group or key not in group for group in groups):
            return None
        found: list[int] = []
        for batch in _batches([group[key] for group in groups if group[key] is not None], 50):
            where = f"{key} IN ({', '.join(self._literal(each) for each in batch)})"
            found += await self.ids({"where": where})
        return found

    async def _repeated_by_looking(self) -> list[int]:
        """Ids of rows whose key repeats, from every row's key."""
        seen: dict[str, list[int]] = {}
        every = {**_EVERY_ROW, "outFields": f"{self.about.id},{self.request.feed.key}", "returnGeometry": "false"}
        async for value, _ in self._all(every, {}):
            for feature in value["features"]:
                key = columns.key_of(feature["attributes"].get(self.request.feed.key))
                if key is not None:
                    seen.setdefault(key, []).append(self._id(feature))
        return [each for ids in seen.values() if len(ids) > 1 for each in ids]

    def _literal(self, value: Any) -> str:
        """A value inside `where`; the portal's own text, hence quoted."""
        if isinstance(value, int | float):
            return repr(value)
        return "'" + str(value).replace("'", "''") + "'"

    # The pages

    async def fetch(self, place: Place, cover: Cover, draft: Draft) -> dict[str, Any]:
        """See source.Source."""
        proof: dict[str, Any] = {}
        which = _inside(tiles.fetch_envelope(place.tile)) if place.tile else _EVERY_ROW
        async for value, body in self._all({**which, **_WHOLE_ROWS}, proof):
            await asyncio.to_thread(draft.add, body, rows=len(value["features"]))
        ids = cover.listed.get(place.tile or "", ())
        if ids:
            received = 0
            async for value, body in self._by_ids(ids, fields="*"):
                received += len(value["features"])
                await asyncio.to_thread(draft.add, body, rows=len(value["features"]), kind="listed")
            prove(f"{place} {self.request.feed.name}", {"rows asked for by id": (received, len(ids))}, proof)
        return proof

    async def _all(self, params: Mapping[str, str], proof: dict[str, Any]) -> AsyncIterator[tuple[Any, bytes]]:
        """All pages of a query, proven: distinct ids are as many as the server counts, before and after."""
        which = {name: params[name] for name in params if name not in ("outFields", "returnGeometry")}
        before = await self.count(which)
        seen: set[int] = set()
        pager = self._by_offset(params, before) if self.about.paging else self._by_range(params, which)
        async for value, body in pager:
            ids = {self._id(feature) for feature in value["features"]}
            fresh = ids - seen
            if len(fresh) < len(value["features"]):
                raise HarvestIncomplete(
                    f"{len(value['features']) - len(fresh)} rows came twice", where=self.request.where, do="run again"
                )
            seen |= ids
            yield value, body
        after = await self.count(which)
        evidence = {"rows by the server's count": (len(seen), before), "count after": (after, before)}
        prove(self.request.where, evidence, proof)

    async def _by_offset(self, params: Mapping[str, str], count: int) -> AsyncIterator[tuple[Any, bytes]]:
        """Ordered pages; the offset advances by the rows received, as servers send fewer than asked for."""
        received = 0
        order = {"orderByFields": f"{self.about.id} ASC", "resultRecordCount": str(self._page_size())}
        while received < count:
            value, body = await self.query({**params, **order, "resultOffset": str(received)})
            if not value["features"]:
                return
            received += len(value["features"])
            yield value, body

    async def _by_range(self, params: Mapping[str, str], which: Mapping[str, str]) -> AsyncIterator[tuple[Any, bytes]]:
        """Ranges of ids; a range that comes short is asked again from where it ended."""
        ids = await self.ids(which)
        while ids:
            first, last = ids[0], ids[: self._page_size()][-1]
            where = f"{self.about.id} >= {first} AND {self.about.id} <= {last}"
            value, body = await self.query({**params, "where": where})
            got = {self._id(feature) for feature in value["features"]}
            if not got:
                return
            yield value, body
            ids = [each for each in ids if each not in got]

    async def _by_ids(self, ids: Iterable[int], *, fields: str) -> AsyncIterator[tuple[Any, bytes]]:
        """Rows by id."""
        for batch in _batches(sorted(ids), min(_IDS_A_REQUEST, self._page_size())):
            names = ",".join(map(str, batch))
            yield await self.query({**_WHOLE_ROWS, "objectIds": names, "outFields": fields})

    def _page_size(self) -> int:
        return min(self.request.feed.page_size or self.about.most_rows, self.about.most_rows)

    def _id(self, feature: Mapping[str, Any]) -> int:
        return int(feature["attributes"][self.about.id])


_WHOLE_ROWS = {"outFields": "*", "returnGeometry": "true", "returnTrueCurves": "false", "returnZ": "false"}


def _inside(area: shapely.Geometry) -> dict[str, str]:
    """A query by area; degrees, EPSG:4326."""
    rings = [np.round(shapely.get_coordinates(ring), 7).tolist() for ring in _rings(area)]
    shape = {"rings": rings, "spatialReference": {"wkid": 4326}}
    return {
        **_EVERY_ROW,
        "geometry": orjson.dumps(shape).decode(),
        "geometryType": "esriGeometryPolygon",
        "inSR": "4326",
        "spatialRel": "esriSpatialRelIntersects",
    }


def _rings(area: shapely.Geometry) -> list[shapely.LinearRing]:
    """Outer rings, clockwise as Esri's shells are."""
    parts = shapely.get_parts(area)
    return [shapely.get_exterior_ring(part).normalize() for part in shapely.orient_polygons(parts, exterior_cw=True)]


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
