"""Parse the metadata of an OGC API Features collection: addresses, links, CRS.

Source: OGC API - Features, Part 1 (Core) and Part 2 (CRS by reference).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.model import Feed
from zoning_assets.redaction import without_secrets
from zoning_assets.transform.decode import axis_order

#: Parameters that request JSON; the first that works is used. With `f=json`, tipg returns rows in another JSON than
#: GeoJSON. Without a parameter the server decides.
FORMS: tuple[Mapping[str, str], ...] = ({"f": "json"}, {"f": "geojson"}, {})

_COLLECTION = re.compile(r"(.*)/collections/([^/]+)(?:/items)?/?")
#: Parameters that we set; others in the file's address (a key, the name of a map) are added to each request.
_OURS = frozenset({"f", "limit", "offset", "startindex", "crs"})
_PORTS = {"http": 80, "https": 443}
_LONGEST_LINK = 16_000
#: The title of MapServer's links, in all of its versions.
_MAPSERVER = "Items for this collection as GeoJSON"


@dataclass(frozen=True)
class CollectionAddress:
    """The address of a collection without a query, the parameters that are added to each request, and those that are
    added to each request for rows: the filter of the feed."""

    collection: str
    kept: Mapping[str, str]
    filter: Mapping[str, str]

    @property
    def items(self) -> str:
        """The address of its rows."""
        return f"{self.collection}/items"

    def next_address(self, link: str, current: str, form: Mapping[str, str], where: str) -> str:
        """The address of a `next` link. Parameters that the server omits from it are added again.

        Args:
            link: the link, which may be relative.
            current: the address of the current page.
            form: the parameters that request JSON.
            where: for messages.

        Raises:
            FeedRefused: it points to another origin.
        """
        ours = urlsplit(self.collection)
        try:
            found = urlsplit(urljoin(current, link[:_LONGEST_LINK]))
            same = (found.hostname, _port(found.scheme, found.port)) == (ours.hostname, _port(ours.scheme, ours.port))
            # Behind a proxy, a server may believe that its address is http.
            same |= (found.hostname, found.scheme, found.port) == (ours.hostname, "http", None) and ours.port is None
        except ValueError:
            same = False
        if not same or found.scheme not in _PORTS:
            raise FeedRefused(
                f"its `next` link points to another address: {without_secrets(link)[:200]}",
                where=where,
                do="use the address that the server uses in its links; nothing was published",
            )
        given = {name for name, _ in parse_qsl(found.query, keep_blank_values=True)}
        added = {**form, **self.kept, **self.filter}
        missing = {name: value for name, value in added.items() if name not in given}
        query = "&".join(filter(None, (found.query, urlencode(missing))))
        return urlunsplit((ours.scheme, ours.netloc, found.path, query, ""))


def address(feed: Feed, where: str) -> CollectionAddress:
    """Parse the feed's address: of the collection, of its items, or of the landing page together with `layer`.

    Raises:
        NotALayer: the address is not that of a collection, and the feed has no `layer`.
    """
    parts = urlsplit(feed.url)
    kept = {name: value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name.lower() not in _OURS}
    found = _COLLECTION.fullmatch(parts.path)
    base, name = (found[1], unquote(found[2])) if found else (parts.path.removesuffix("/collections"), feed.layer)
    if not name:
        raise NotALayer(
            "this is not a collection", where=where, do="name one as `layer`, or give its address: .../collections/NAME"
        )
    path = f"{base.rstrip('/')}/collections/{quote(name, safe='')}"
    selected = {"filter": feed.where, "filter-lang": "cql2-text"} if feed.where else {}
    return CollectionAddress(urlunsplit((parts.scheme, parts.netloc, path, "", "")), kept, selected)


def check(document: Any, where: str) -> None:
    """Check that a document describes a collection of features.

    Raises:
        NotALayer: it does not.
    """
    kind = document.get("itemType", "feature") if isinstance(document, dict) else None
    if kind != "feature" or "id" not in document:
        what = f"a collection of {str(kind)[:40]}" if isinstance(kind, str) and kind != "feature" else "something else"
        raise NotALayer(f"this is {what}, not a collection of features", where=where, do="check the address")


def wanted_crs(document: Mapping[str, Any]) -> str | None:
    """The CRS to request: None if the collection offers longitude and latitude (CRS84), else its storage CRS."""
    offered = [name for name in _texts(document.get("crs")) if name != "#/crs"]
    if not offered or any("CRS84" in name for name in offered):
        return None
    storage = document.get("storageCrs")
    return next((name for name in (storage, *offered) if name in offered and axis_order.parse_crs_name(name)), None)


def readings(stated: str | None, wanted: str | None, header: str | None) -> list[axis_order.CrsReading]:
    """The possible interpretations of the rows' coordinates, most credible first.

    Args:
        stated: the CRS in the jurisdiction file.
        wanted: the CRS that was requested.
        header: the response header Content-Crs.
    """
    standard = ("the standard", axis_order.CrsName(axis_order.CRS84, x_first=False))
    if header:
        return axis_order.candidate_readings([("Content-Crs", axis_order.parse_crs_name(header))], stated)
    return axis_order.candidate_readings(
        [("the request", axis_order.parse_crs_name(wanted))] if wanted else [standard], stated
    )


def hides_rows(collection: str, links: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the server is MapServer, which never returns rows without a shape (hidden_rows.py)."""
    return "/mapserv" in urlsplit(collection).path or any(link.get("title") == _MAPSERVER for link in links)


def names(document: Any) -> list[str]:
    """The names of the columns in a collection's queryables."""
    properties = document.get("properties") if isinstance(document, dict) else None
    return [str(name) for name in properties] if isinstance(properties, dict) else []


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _port(scheme: str, port: int | None) -> int | None:
    return port or _PORTS.get(scheme)
