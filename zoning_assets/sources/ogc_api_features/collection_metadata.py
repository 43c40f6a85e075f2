"""What an OGC API Features server says of a collection, and how it is asked: addresses, links, CRS.

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

#: How JSON is asked for; the first that is understood. By `f=json` tipg gives rows in another JSON than GeoJSON.
#: Without a word the server decides.
FORMS: tuple[Mapping[str, str], ...] = ({"f": "json"}, {"f": "geojson"}, {})

_COLLECTION = re.compile(r"(.*)/collections/([^/]+)(?:/items)?/?")
#: What we say ourselves; anything else in the file's address (a key, a map's name) goes with each request.
_OURS = frozenset({"f", "limit", "offset", "startindex", "crs"})
_PORTS = {"http": 80, "https": 443}
_LONGEST_LINK = 16_000
#: MapServer gives its links this title, in all of its versions.
_MAPSERVER = "Items for this collection as GeoJSON"


@dataclass(frozen=True)
class Address:
    """A collection's address without a query, and what of the file's own query goes with each request."""

    collection: str
    kept: Mapping[str, str]

    @property
    def items(self) -> str:
        """Where its rows are."""
        return f"{self.collection}/items"

    def onward(self, link: str, current: str, form: Mapping[str, str], where: str) -> str:
        """A `next` link as it is asked for: of our origin, with what the server drops of our own words.

        Raises:
            FeedRefused: it leads to another origin.
        """
        ours = urlsplit(self.collection)
        try:
            found = urlsplit(urljoin(current, link[:_LONGEST_LINK]))
            same = (found.hostname, _port(found.scheme, found.port)) == (ours.hostname, _port(ours.scheme, ours.port))
            # Behind a proxy a server believes to be asked by http.
            same |= (found.hostname, found.scheme, found.port) == (ours.hostname, "http", None) and ours.port is None
        except ValueError:
            same = False
        if not same or found.scheme not in _PORTS:
            raise FeedRefused(
                f"its `next` link leads elsewhere: {without_secrets(link)[:200]}",
                where=where,
                do="use the address at which the server believes to be; nothing was published",
            )
        said = {name for name, _ in parse_qsl(found.query, keep_blank_values=True)}
        missing = {name: value for name, value in {**form, **self.kept}.items() if name not in said}
        query = "&".join(filter(None, (found.query, urlencode(missing))))
        return urlunsplit((ours.scheme, ours.netloc, found.path, query, ""))


def address(feed: Feed, where: str) -> Address:
    """The collection that the file means: by its own address, that of its items, or the landing page's and `layer`.

    Raises:
        NotALayer: the address is of no collection, and `layer` names none.
    """
    parts = urlsplit(feed.url)
    kept = {name: value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name.lower() not in _OURS}
    found = _COLLECTION.fullmatch(parts.path)
    base, name = (found[1], unquote(found[2])) if found else (parts.path.removesuffix("/collections"), feed.layer)
    if not name:
        raise NotALayer(
            "this is no collection", where=where, do="name one as `layer`, or give its address: .../collections/NAME"
        )
    path = f"{base.rstrip('/')}/collections/{quote(name, safe='')}"
    return Address(urlunsplit((parts.scheme, parts.netloc, path, "", "")), kept)


def check(document: Any, where: str) -> None:
    """Whether a document describes a collection of features.

    Raises:
        NotALayer: it does not.
    """
    kind = document.get("itemType", "feature") if isinstance(document, dict) else None
    if kind != "feature" or "id" not in document:
        what = f"a collection of {str(kind)[:40]}" if isinstance(kind, str) and kind != "feature" else "something else"
        raise NotALayer(f"this is {what}, no collection of features", where=where, do="check the address")


def wanted_crs(document: Mapping[str, Any]) -> str | None:
    """The CRS to ask for: none where the collection has longitude and latitude, as it should; else how it is stored."""
    offered = [name for name in _texts(document.get("crs")) if name != "#/crs"]
    if not offered or any("CRS84" in name for name in offered):
        return None
    storage = document.get("storageCrs")
    return next((name for name in (storage, *offered) if name in offered and axis_order.named(name)), None)


def readings(told: str | None, wanted: str | None, header: str | None) -> list[axis_order.Reading]:
    """What the rows' numbers may be, most credible first.

    Args:
        told: the CRS that the jurisdiction file says.
        wanted: the CRS asked for.
        header: the answer's Content-Crs.
    """
    standard = ("the standard", axis_order.Name(axis_order.CRS84, plain=False))
    if header:
        return axis_order.readings([("Content-Crs", axis_order.named(header))], told)
    return axis_order.readings([("the question", axis_order.named(wanted))] if wanted else [standard], told)


def hides_rows(collection: str, links: Iterable[Mapping[str, Any]]) -> bool:
    """Whether this is MapServer, which shows no row without a shape (hidden_rows.py)."""
    return "/mapserv" in urlsplit(collection).path or any(link.get("title") == _MAPSERVER for link in links)


def names(document: Any) -> list[str]:
    """The columns that a collection's queryables name."""
    properties = document.get("properties") if isinstance(document, dict) else None
    return [str(name) for name in properties] if isinstance(properties, dict) else []


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _port(scheme: str, port: int | None) -> int | None:
    return port or _PORTS.get(scheme)
