"""Parse the metadata of a Socrata view. Views, maps and tables have the same form; only some of them have rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.sources.paging import json_fields

_ID = re.compile(r"([a-z0-9]{4}-[a-z0-9]{4})(?:\.[a-z]+)?", re.IGNORECASE)
_AREAS = frozenset({"polygon", "multipolygon"})
_NO_AREAS = frozenset({"point", "multipoint", "line", "multiline", "location"})
#: Seconds since 1970; half of the recorded views lack the first.
_SIGNALS = ("rowsUpdatedAt", "publicationDate", "viewLastModified")


@dataclass(frozen=True)
class View:
    """The parsed metadata of a view with rows."""

    id: str
    columns: Sequence[str]
    geometry: str  # the column with the shapes; "": none
    managed: Sequence[str]  # columns that the server maintains: its regions, ids and times
    signals: Mapping[str, Any]


def address(url: str, where: str) -> tuple[str, str]:
    """Find the portal and the view's id in an address, in any of the forms that the portal shows.

    Raises:
        NotALayer: it contains no id.
    """
    parts = urlsplit(url)
    found = [match[1].lower() for name in parts.path.split("/") if (match := _ID.fullmatch(name))]
    if not found or parts.scheme not in ("http", "https"):
        do = "use an address like https://data.example.org/resource/abcd-1234.json"
        raise NotALayer("the address has no dataset id (like abcd-1234)", where=where, do=do)
    return f"{parts.scheme}://{parts.netloc}", found[-1]  # a dataset's name before it may look like an id


def children(document: Mapping[str, Any]) -> list[str]:
    """The views that contain the rows of a map of layers; [] if the view has rows itself."""
    listed = document.get("childViews")
    if json_fields.objects(document.get("columns")) or not isinstance(listed, list):
        return []
    return [child.lower() for child in listed if isinstance(child, str) and _ID.fullmatch(child)]


def describe(
    document: Mapping[str, Any], view: str, geometry: str | None, where: str, *, is_table: bool = False
) -> View:
    """Parse a view's metadata.

    Args:
        document: the metadata.
        view: the id of the view.
        geometry: the column of shapes, if the jurisdiction file names one.
        where: for messages.
        is_table: whether a table is meant, so that shapes are not needed.

    Raises:
        NotALayer: it has no rows, or no column of polygons.
    """
    columns = json_fields.objects(document.get("columns"))
    kinds = {
        json_fields.text(each.get("fieldName")): json_fields.text(each.get("dataTypeName")).lower() for each in columns
    }
    names = [name for name in kinds if name]
    if not names:
        kind = json_fields.text(document.get("viewType")) or "of an unknown type"
        raise NotALayer(f"the view is {kind} and has no rows", where=where, do="use the dataset it was made from")
    return View(
        id=view,
        columns=names,
        geometry="" if is_table else _geometry(kinds, geometry, where),
        managed=[name for name in names if name.startswith(":")],
        signals={name: json_fields.signal(document.get(name)) for name in _SIGNALS},
    )


def _geometry(kinds: Mapping[str, str], wanted: str | None, where: str) -> str:
    areas = [name for name, kind in kinds.items() if kind in _AREAS]
    if wanted is not None or len(areas) > 1:
        if wanted in kinds:
            return str(wanted)
        what = f"no column {wanted!r}" if wanted else f"several columns of polygons: {', '.join(areas)}"
        raise NotALayer(f"the view has {what}", where=where, do=f"name one as `geometry`: {', '.join(kinds)[:300]}")
    if areas:
        return areas[0]
    others = ", ".join(f"{name} ({kind})" for name, kind in kinds.items() if kind in _NO_AREAS)
    what = f"points or lines, not polygons: {others}" if others else f"no shapes, only: {', '.join(kinds)[:300]}"
    raise NotALayer(f"the view has {what}", where=where, do="use a dataset of polygons")


def no_error(document: Any, where: str) -> Any:
    """Return the document, unless it is an error. Errors come with any status, also with 200.

    Raises:
        ValueError: a temporary error; the client retries.
        FeedRefused: any other error.
    """
    if not isinstance(document, dict) or not (document.get("error") or document.get("errorCode")):
        return document
    status, message = document.get("status"), json_fields.text(document.get("message")) or "an error"
    if type(status) is int and status >= 500:
        raise ValueError(message)
    code = json_fields.text(document.get("errorCode")) or json_fields.text(document.get("code"))
    raise FeedRefused(
        f"{message} ({code})" if code else message,
        where=where,
        do="check the address; a map or a filtered view may refuse what its dataset allows",
    )
