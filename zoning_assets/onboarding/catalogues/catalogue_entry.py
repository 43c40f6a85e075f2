"""What the entries of all catalogues are read into."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zoning_assets.model import PARCELS, Bounds
from zoning_assets.onboarding import location
from zoning_assets.onboarding.toml_text import printable

_LONGEST_TEXT, _LONGEST_SLUG = 200, 60
_TAGS = re.compile(r"<[^<>]{0,200}>")


@dataclass(frozen=True)
class CatalogueEntry:
    """A layer of a catalogue that may be the parcels or the zoning of a place.

    Attributes:
        where: the file, and the entry in it.
        id: of the jurisdiction.
        name: of the place.
        feed: `parcels` or `zoning`.
        type: the feed type.
        url: the address of the layer or file.
        key: the column of the key; None: the catalogue states none.
        layer: the layer, of a file with several.
        crs: the CRS; None: the portal states it.
        bounds: west, south, east, north in degrees; None: unknown.
        bounds_of: where the bounds are from, for a comment.
        missing: what a file needs and the catalogue does not state; the portal must be asked.
        remarks: what else the catalogue states, such as the licence.
    """

    where: str
    id: str
    name: str
    feed: str
    type: str
    url: str
    key: str | None = None
    layer: str | None = None
    crs: str | None = None
    bounds: Bounds | None = None
    bounds_of: str = ""
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def lacks(self) -> tuple[str, ...]:
        """Everything that a file needs and the catalogue does not state."""
        key = ("the key",) if self.feed == PARCELS and self.key is None else ()
        return (*self.missing, *key, *(("the bounds",) if self.bounds is None else ()))


class EntryRefused(ValueError):
    """An entry cannot become a proposal. The message is the reason; `do`: what to do."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.do = do


class EntryPassedOver(ValueError):
    """An entry is about something else. The message is the kind, which is counted."""


@dataclass(frozen=True)
class EntryProblem:
    """An entry that should be a proposal and cannot."""

    where: str
    address: str
    why: str
    do: str


@dataclass(frozen=True)
class CatalogueReading:
    """The entries of a catalogue.

    Attributes:
        form: the kind of the catalogue.
        entries: the layers that may be parcels or zoning.
        problems: the layers that should be, and cannot.
        passed_over: why other entries are left out, with their number.
        remark: that the answer is a part of the catalogue.
    """

    form: str
    entries: list[CatalogueEntry] = field(default_factory=list)
    problems: list[EntryProblem] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    remark: str = ""


#: Reads one element of a catalogue; raises EntryRefused or EntryPassedOver.
ReadEntry = Callable[[Any, str], CatalogueEntry]


def read_each(form: str, elements: Iterable[Any], read: ReadEntry, where: str, remark: str = "") -> CatalogueReading:
    """Read each element of a list.

    Args:
        form: the kind of the catalogue.
        elements: its elements; any value.
        read: reads one.
        where: the file, for messages.
        remark: see CatalogueReading.
    """
    found = CatalogueReading(form, remark=remark)
    for number, element in enumerate(elements, 1):
        at = f"{where} entry {number}"
        try:
            found.entries.append(read(element, at))
        except EntryPassedOver as why:
            found.passed_over[str(why)] += 1
        except EntryRefused as error:
            found.problems.append(EntryProblem(at, address_in(element), str(error), error.do))
    return found


def with_distinct_ids(entries: Iterable[CatalogueEntry]) -> list[CatalogueEntry]:
    """The entries, with a number after an id that an earlier entry has."""
    found, seen = list[CatalogueEntry](), set[str]()
    for each in entries:
        id_, number = each.id, 1
        while id_ in seen:
            number += 1
            id_ = f"{each.id}-{number}"
        seen.add(id_)
        found.append(each if id_ == each.id else replace(each, id=id_))
    return found


def address_in(element: Any) -> str:
    """The address of an element that was refused, for messages; empty: none is found."""
    names = ("data", "url", "accessURL", "title", "name")
    members = element if isinstance(element, Mapping) else {}
    inner = next(
        (members[each] for each in ("properties", "attributes") if isinstance(members.get(each), dict)), members
    )
    return next((text(inner.get(name)) for name in names if text(inner.get(name))), "")


def text(value: Any, most: int = _LONGEST_TEXT) -> str:
    """A text of a catalogue: one printable line without tags, cut to `most` characters; "" if it is no text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return " ".join(printable(_TAGS.sub(" ", value[: 20 * most])).split())[:most] if isinstance(value, str) else ""


def column(value: Any) -> str | None:
    """The name of a column, unchanged; None: it is not a name."""
    return value if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= 128 else None


def slug(value: str) -> str:
    """Lower-case ASCII letters and digits with hyphens between words, cut to 60 characters; may be empty."""
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:_LONGEST_SLUG].strip("-")


def bounds_of(numbers: Any) -> Bounds | None:
    """Bounds from four numbers, west, south, east, north; None: they are not a place that a county can have."""
    if not isinstance(numbers, list | tuple) or len(numbers) != 4:
        return None
    try:
        west, south, east, north = (float(each) for each in numbers)
    except (TypeError, ValueError, OverflowError):
        return None
    inside = -180 <= west < east <= 180 and -90 <= south < north <= 90  # false for NaN
    return (west, south, east, north) if inside and location.is_possible((west, south, east, north)) else None


def bounds_of_geometry(geometry: Any, most: int = 100_000) -> Bounds | None:
    """The box around a GeoJSON polygon; None: it is another geometry, or invalid. At most `most` values are read."""
    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return None
    waiting, points = [geometry.get("coordinates")], []
    while waiting and (most := most - 1):
        each = waiting.pop()
        if isinstance(each, list) and len(each) >= 2 and all(type(value) in (int, float) for value in each[:2]):
            points.append((each[0], each[1]))
        elif isinstance(each, list):
            waiting += each
    if not points or waiting:
        return None
    x, y = zip(*points, strict=True)
    return bounds_of([min(x), min(y), max(x), max(y)])
