"""An ArcGIS layer's query operation: what is asked, and which answers are believed to be answers.

Source: ArcGIS REST API, "Query (Feature Service/Layer)"; FACTS section 1.
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
from zoning_assets.http.response_checks import named
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.arcgis.layer_metadata import FORMS, Layer, crs_of, describe, no_error
from zoning_assets.sources.source import Draft, Request
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.decode import json_limits, page_readers
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.decode.rows import Peek
from zoning_assets.transform.geometry import crs

Ids = npt.NDArray[np.int64]
Params = Mapping[str, str]
#: West, south, east, north; degrees, EPSG:4326.
Box = tuple[float, float, float, float]

EVERY_ROW: Params = {"where": "1=1"}
WHOLE_ROWS: Params = {"outFields": "*", "returnGeometry": "true", "returnTrueCurves": "false", "returnZ": "false"}
#: Tries of a question that may be too large for the server: a smaller one is asked soon.
_FEW_TRIES = 2


@dataclass(frozen=True)
class Page:
    """Rows as they came: the answer's bytes, each row's object id, and whether the server says that there are more."""

    body: bytes
    ids: Ids
    more: bool
    question: Params  # what was asked

    def __len__(self) -> int:
        return len(self.ids)


class Service:
    """Asks one layer."""

    def __init__(self, request: Request, about: Layer) -> None:
        self.request, self.about = request, about
        self.form = "esrijson"  # of whole rows
        self.refusal = ""  # why it did not count or list its ids, when it was asked last
        self._every_field = False  # it refuses a list of fields (FACTS 1, row 6)

    @classmethod
    async def of(cls, request: Request) -> "Service":
        """Ask the layer what it is.

        Raises:
            NotALayer, FeedRefused, PortalError: see errors.py.
        """
        return cls(request, await about_layer(request))

    async def query(self, params: Params, *, few_tries: bool = False) -> tuple[Any, bytes]:
        """One query's answer, decoded and as it came.

        Raises:
            FeedRefused: the layer says no.
            PortalError: see errors.py.
        """
        ask = partial(self.request.http.ask, tries=_FEW_TRIES) if few_tries else self.request.http.ask
        url, own = layer_address(self.request.feed.url)
        read = partial(self._read, params)
        try:
            answer = await ask(
                self.request.jurisdiction.portal, f"{url}/query", {"f": "json", **own, **params}, read=read
            )
        except PortalBusy:  # a portal that asks for patience is not one that cannot bear the question
            if not few_tries:
                raise
            return await self.query(params)
        return self._accepted(answer.value), answer.body

    async def count(self, which: Params) -> int | None:
        """The server's own count; None where it does not count."""
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
        """The server's own list of object ids, sorted; None where it does not list them."""
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

    async def page(self, params: Params, draft: Draft | None = None, *, few_tries: bool = False) -> Page:
        """Rows; from the draft where an earlier try asked the same. Any answer that is no page of this layer is
        refused here.

        Raises:
            HarvestIncomplete: the rows have not the columns that the layer had.
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
        """Whole rows come in the layer's best form; what is looked into here comes as JSON."""
        return self.form if WHOLE_ROWS.items() <= params.items() else "esrijson"

    async def choose_form(self) -> None:
        """The first form that the layer offers and the file allows; one that it cannot give is left for the next."""
        feed = self.request.feed
        wanted = [each for each in self.about.forms if feed.format in ("auto", FORMS[each])]
        if feed.crs is not None:  # it is the layer's; GeoJSON has its own
            wanted = [each for each in wanted if each != "geojson"]
        self.form = wanted[0] if wanted else "esrijson"
        if self.form == "esrijson" or len(wanted) == 1:
            return
        try:
            await self.page({**EVERY_ROW, **WHOLE_ROWS, "resultRecordCount": "1"}, few_tries=True)
        except (FeedRefused, PortalUnreachable):
            self.form = wanted[1]

    def _read(self, params: Params, body: bytes) -> Any:
        """The body as what was asked for: a document, or what is to be known of a page.

        Raises:
            ValueError: it is neither, or an error that may pass: ask again.
        """
        form = self._form(params)
        if form == "esrijson" or body[:1] == b"{":
            value = _decode(body, json_limits.decode_attributes if "outFields" in params else json_limits.decode)
            if form == "esrijson" or "error" in value:
                return value
        return page_readers.PEEKERS[form](body, self.about.id)

    async def edited(self) -> int | None:
        """When the layer says it was edited last, asked anew; epoch milliseconds."""
        return (await about_layer(self.request)).edited

    def _accepted(self, value: Any) -> Any:
        error = value.get("error") if isinstance(value, dict) else None
        if error is None:
            return value
        error = error if isinstance(error, dict) else {"message": str(error)}
        code = error.get("code")
        wants_token = code in (498, 499)
        do = "this layer wants a token; ask its owner for an open one" if wants_token else "check the address"
        said = f"error {code}: {error.get('message') or error.get('details')}"
        raise FeedRefused(said, where=self.request.where, do=do, final=wants_token or code == 403)

    def _page(self, params: Params, body: bytes, value: Any) -> Page:
        value = self._accepted(value)
        try:
            peek = value if isinstance(value, Peek) else esri_json.peek_at(value, self._id_in(value))
        except ValueError as error:
            raise self.incomplete(f"the answer is no page of rows: {named(error)}") from error
        if peek.rows and params["outFields"] == "*":
            self._check_columns(peek.columns)
            self._check_reference(value)
        return Page(body, np.array(peek.ids, dtype=np.int64), peek.more, params)

    def _check_columns(self, columns: Collection[str]) -> None:
        feed = self.request.feed
        gone = [name for name in (feed.key, *feed.fields.values()) if name and find_column(name, columns) is None]
        if gone:
            raise self.incomplete(f"the column {gone[0]!r} is gone since the layer was described")

    def _check_reference(self, page: Any) -> None:
        """A page's own spatial reference must be the layer's, unless the jurisdiction file says what they are in."""
        own = crs_of(page.get("spatialReference")) if isinstance(page, dict) else None
        told = self.about.crs
        if own and told and not self.request.feed.crs and not crs.agree(own, told, self.request.jurisdiction.bounds):
            do = "look at the layer, and set `crs` of the feed to what its rows are in"
            raise self.incomplete(f"the rows are in {own}, and the layer is described as in {told}", do)

    def _id_in(self, page: Any) -> str:
        """The object id's column as the rows of a page spell it."""
        try:
            return find_column(self.about.id, page["features"][0]["attributes"]) or self.about.id
        except (LookupError, TypeError):  # no row, or none of that form: esri.peek_at says what is wrong
            return self.about.id

    def page_size(self) -> int:
        """How many rows to ask for at a time."""
        return min(self.request.feed.page_size or self.about.most_rows, self.about.most_rows)

    def incomplete(self, what: str, do: str = "run again; nothing was published") -> HarvestIncomplete:
        """The error of a harvest that is not proven."""
        return HarvestIncomplete(what, where=self.request.where, do=do)


def layer_address(url: str) -> tuple[str, dict[str, str]]:
    """A layer's address, and what goes with every question to it (`?token=...`)."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), dict(parse_qsl(parts.query))


async def about_layer(request: Request) -> Layer:
    """The layer's description.

    Raises:
        NotALayer, FeedRefused, PortalError: see errors.py.
    """
    url, own = layer_address(request.feed.url)
    answer = await request.http.ask(request.jurisdiction.portal, url, {"f": "json", **own}, read=_decode)
    return describe(answer.value, where=f"{request.where} at {without_secrets(url)}")


def _decode(body: bytes, decode: Callable[[bytes], Any] = json_limits.decode) -> Any:
    """A page's JSON; the collector rests meanwhile, as it would look at every number's list in vain."""
    gc.disable()
    try:
        return no_error(decode(body))
    finally:
        gc.enable()


def in_box(box: Box) -> dict[str, str]:
    """A query by a box: west, south, east, north; degrees, EPSG:4326."""
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return {
        **EVERY_ROW,
        "geometry": orjson.dumps({**sides, "spatialReference": {"wkid": 4326}}).decode(),
        "geometryType": "esriGeometryEnvelope",
        "inSR": "4326",
        "spatialRel": "esriSpatialRelIntersects",
    }
