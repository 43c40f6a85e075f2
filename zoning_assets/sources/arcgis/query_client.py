"""The query operation of an ArcGIS layer: send queries, and refuse answers that are not valid.

Source: ArcGIS REST API, "Query (Feature Service/Layer)". Deviations of real servers are explained where they are
handled.
"""

import asyncio
import gc
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt
import orjson

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalBusy, PortalUnreachable
from zoning_assets.http.response_checks import failure_reason
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.arcgis.layer_metadata import FORMS, LayerMetadata, crs_of, describe, no_error
from zoning_assets.sources.source import PageDraft, Request
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.decode import json_pages, page_readers
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.decode.rows import Peek
from zoning_assets.transform.geometry import crs

Ids = npt.NDArray[np.int64]
Params = Mapping[str, str]
#: (west, south, east, north) in degrees, EPSG:4326.
Box = tuple[float, float, float, float]

EVERY_ROW: Params = {"where": "1=1"}
WHOLE_ROWS: Params = {"outFields": "*", "returnGeometry": "true", "returnTrueCurves": "false", "returnZ": "false"}
#: Tries of a query that may be too large for the server; a smaller one follows soon.
_FEW_TRIES = 2


@dataclass(frozen=True)
class QueryPage:
    """A page of rows: the body, the object id of each row, and whether the server states that there are more."""

    body: bytes
    ids: Ids
    more: bool
    question: Params  # the query

    def __len__(self) -> int:
        return len(self.ids)


class QueryClient:
    """Sends the queries of one layer."""

    def __init__(self, request: Request, about: LayerMetadata) -> None:
        self.request, self.about = request, about
        self.form = "esrijson"  # the form of pages
        self.refusal = ""  # why the last request for a count or for ids was refused
        # Some servers refuse a list of fields ("Unable to complete operation"), but accept outFields=*.
        self._every_field = False

    @classmethod
    async def open(cls, request: Request) -> "QueryClient":
        """Read the layer's metadata, and return its client.

        Raises:
            NotALayer, FeedRefused, PortalError: see errors.py.
        """
        return cls(request, await about_layer(request))

    async def query(self, params: Params, *, few_tries: bool = False) -> tuple[Any, bytes]:
        """Send one query; return the parsed answer and its body.

        Args:
            params: the parameters of the query.
            few_tries: give up after two tries, because a smaller query can follow.

        Raises:
            FeedRefused: the server refuses the query.
            PortalError: see errors.py.
        """
        ask = partial(self.request.http.query, tries=_FEW_TRIES) if few_tries else self.request.http.query
        url, own = layer_address(self.request.feed.url)
        read, params = partial(self._read, params), self._selected(params)
        try:
            answer = await ask(
                self.request.jurisdiction.portal, f"{url}/query", {"f": "json", **own, **params}, read=read
            )
        except PortalBusy:  # the portal asks for a wait; the query is not too large
            if not few_tries:
                raise
            return await self.query(params)
        return self._accepted(answer.value), answer.body

    def _selected(self, params: Params) -> Params:
        """The parameters with the clause of the feed, if it has one. All queries pass here, so that counts, ids,
        statistics and pages are of the same rows."""
        clause, also = self.request.feed.where, params.get("where", EVERY_ROW["where"])
        if clause is None:
            return params
        return {**params, "where": f"({clause})" if also == EVERY_ROW["where"] else f"({clause}) AND ({also})"}

    async def count(self, which: Params) -> int | None:
        """The server's count of the selected rows; None: it does not count."""
        try:
            value, _ = await self.query({**which, "returnCountOnly": "true"})
        except FeedRefused as refusal:
            if refusal.final:
                raise
            self.refusal = refusal.what
            return None
        count = value.get("count")
        return count if type(count) is int and count >= 0 else None

    async def ids(self, which: Params = EVERY_ROW) -> Ids | None:
        """The server's list of the object ids of the selected rows, sorted; None: it does not list them."""
        try:
            value, _ = await self.query({**which, "returnIdsOnly": "true"})
        except FeedRefused as refusal:
            if refusal.final:
                raise
            self.refusal = refusal.what
            return None
        if "objectIds" not in value:
            return None
        listed = value["objectIds"] or ()
        try:
            ints = listed if set(map(type, listed)) <= {int} else [int(each) for each in listed]
            return np.sort(np.array(ints, dtype=np.int64))
        except (TypeError, ValueError, OverflowError):
            return None

    async def page(self, params: Params, draft: PageDraft | None = None, *, few_tries: bool = False) -> QueryPage:
        """Fetch a page of rows, or take it from the draft if an earlier try fetched it. Invalid answers are refused.

        Raises:
            HarvestIncomplete: the page is invalid, or lacks columns that the layer had.
            FeedRefused, PortalError: see errors.py.
        """
        if self._every_field:
            params = {**params, "outFields": "*"}
        params = {**params, "f": FORMS[self._form(params)]}
        kept = await asyncio.to_thread(draft.find, params) if draft else None
        if kept is not None:
            return self._page(params, kept, self._read(params, kept))
        try:
            value, body = await self.query(params, few_tries=few_tries)
        except FeedRefused:
            if params.get("outFields", "*") == "*":
                raise
            self._every_field = True
            return await self.page(params, draft, few_tries=few_tries)
        return self._page(params, body, value)

    def _form(self, params: Params) -> str:
        """The form of a page: whole rows in the layer's best form, everything else in JSON."""
        return self.form if WHOLE_ROWS.items() <= params.items() else "esrijson"

    async def choose_form(self) -> None:
        """Choose the first form that the layer supports and the file allows; if the server fails on it, the next."""
        feed = self.request.feed
        wanted = [each for each in self.about.forms if feed.format in ("auto", FORMS[each])]
        if self.request.is_table:  # GeoJSON needs shapes
            wanted = ["esrijson"]
        if feed.crs is not None:  # `crs` of the file is the layer's; GeoJSON is always in degrees
            wanted = [each for each in wanted if each != "geojson"]
        self.form = wanted[0] if wanted else "esrijson"
        if self.form == "esrijson" or len(wanted) == 1:
            return
        try:
            await self.page({**EVERY_ROW, **WHOLE_ROWS, "resultRecordCount": "1"}, few_tries=True)
        except (FeedRefused, PortalUnreachable):
            self.form = wanted[1]

    def _read(self, params: Params, body: bytes) -> Any:
        """Parse a body: a JSON document, or the summary of a page.

        Raises:
            ValueError: it is neither, or it is a temporary error; the client retries.
        """
        form = self._form(params)
        if form == "esrijson" or body[:1] == b"{":
            value = _decode(body, json_pages.decode_attributes if "outFields" in params else json_pages.decode)
            if form == "esrijson" or "error" in value:
                return value
        return page_readers.PEEKERS[form](body, self.about.id)

    async def edited(self) -> int | None:
        """When the layer was last edited, from a new request; epoch milliseconds."""
        return (await about_layer(self.request)).edited

    def _accepted(self, value: Any) -> Any:
        error = value.get("error") if isinstance(value, dict) else None
        if error is None:
            return value
        error = error if isinstance(error, dict) else {"message": str(error)}
        code = error.get("code")
        wants_token = code in (498, 499)
        do = "ask its owner for a layer without a token" if wants_token else "check the address"
        what = f"error {code}: {error.get('message') or error.get('details')}"
        raise FeedRefused(what, where=self.request.where, do=do, final=wants_token or code == 403)

    def _page(self, params: Params, body: bytes, value: Any) -> QueryPage:
        value = self._accepted(value)
        try:
            peek = value if isinstance(value, Peek) else esri_json.peek_document(value, self._id_in(value))
        except ValueError as error:
            raise self.incomplete(f"the answer is not a page of rows: {failure_reason(error)}") from error
        if peek.rows and params["outFields"] == "*":
            self._check_columns(peek.columns)
            self._check_reference(value)
        return QueryPage(body, np.array(peek.ids, dtype=np.int64), peek.more, params)

    def _check_columns(self, columns: Collection[str]) -> None:
        feed = self.request.feed
        missing = [name for name in (feed.key, *feed.fields.values()) if name and find_column(name, columns) is None]
        if missing:
            raise self.incomplete(f"the column {missing[0]!r} has disappeared since the metadata were read")

    def _check_reference(self, page: Any) -> None:
        """Check that a page's spatial reference is the layer's, unless the jurisdiction file states the CRS."""
        own = crs_of(page.get("spatialReference")) if isinstance(page, dict) else None
        stated = self.about.crs
        if self.request.feed.crs or not own or not stated:
            return
        if not crs.agree(own, stated, self.request.jurisdiction.bounds):
            do = "look at the layer, and set `crs` of the feed to the CRS of its rows"
            raise self.incomplete(f"the rows are in {own}, but the layer states {stated}", do)

    def _id_in(self, page: Any) -> str:
        """The object id's column as the rows of a page spell it."""
        try:
            return find_column(self.about.id, page["features"][0]["attributes"]) or self.about.id
        except (LookupError, TypeError):  # no row, or an invalid one: esri_json.peek_document raises the error
            return self.about.id

    def page_size(self) -> int:
        """Rows per page: of the jurisdiction file, but at most as the layer allows."""
        return min(self.request.feed.page_size or self.about.most_rows, self.about.most_rows)

    def incomplete(self, what: str, do: str = "run again; nothing was published") -> HarvestIncomplete:
        """The error for a harvest that is not proven complete."""
        return HarvestIncomplete(what, where=self.request.where, do=do)


def layer_address(url: str) -> tuple[str, dict[str, str]]:
    """Split a layer's address into the address and the parameters of every request to it (such as `token`)."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), dict(parse_qsl(parts.query))


async def about_layer(request: Request) -> LayerMetadata:
    """Fetch and parse the layer's metadata.

    Raises:
        NotALayer, FeedRefused, PortalError: see errors.py.
    """
    url, own = layer_address(request.feed.url)
    answer = await request.http.query(request.jurisdiction.portal, url, {"f": "json", **own}, read=_decode)
    return describe(answer.value, where=f"{request.where} at {without_secrets(url)}", is_table=request.is_table)


def _decode(body: bytes, decode: Callable[[bytes], Any] = json_pages.decode) -> Any:
    """Parse JSON. Garbage collection is off meanwhile; it would scan large lists of numbers in vain."""
    gc.disable()
    try:
        return no_error(decode(body))
    finally:
        gc.enable()


def in_box(box: Box) -> dict[str, str]:
    """The parameters that select rows by a box (west, south, east, north) in degrees, EPSG:4326."""
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return {
        **EVERY_ROW,
        "geometry": orjson.dumps({**sides, "spatialReference": {"wkid": 4326}}).decode(),
        "geometryType": "esriGeometryEnvelope",
        "inSR": "4326",
        "spatialRel": "esriSpatialRelIntersects",
    }
