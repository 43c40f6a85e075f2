"""KML: check it before GDAL opens it, and find the attributes in the HTML of its descriptions.

GDAL reads KML. What belongs here: a check of its elements, without resolving entities; and the tables of two columns
that GIS programs write into a placemark's description instead of ExtendedData.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from lxml import etree

from zoning_assets.errors import FileRefused

#: Columns that belong to KML itself; they are no attributes of a parcel.
OWN_COLUMNS = (
    *("id", "timestamp", "begin", "end", "altitudeMode", "tessellate", "extrude", "visibility", "drawOrder", "icon"),
    *("snippet", "heading", "tilt", "roll"),
)
_TEXTS = ("Name", "description")
MOST_BYTES = 256 << 20  # GDAL reads the whole document into memory
_MOST_DEPTH = 60
_MOST_NAMES = 500
_MOST_TABLE = 64 << 10
_DO = "use another format; what was published before is kept"


class _Look:
    """Counts placemarks, and raises an error for content that must not be opened."""

    def __init__(self, where: str) -> None:
        self.where, self.depth, self.placemarks = where, 0, 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.StartDoctypeDeclHandler = self.doctype

    def start(self, name: str, _: Any) -> None:
        local = name.rpartition(":")[2]
        self.depth += 1
        self.placemarks += local == "Placemark"
        if local == "NetworkLink":
            raise FileRefused(
                "the KML points to other addresses (NetworkLink) instead of containing its rows",
                where=self.where,
                do="use the address it points to as `url`",
            )
        if self.depth > _MOST_DEPTH:
            raise FileRefused(f"the KML is nested deeper than {_MOST_DEPTH}", where=self.where, do=_DO)

    def end(self, _: str) -> None:
        self.depth -= 1

    def doctype(self, *_: Any) -> None:
        raise FileRefused("the KML declares a document type, so it may contain entities", where=self.where, do=_DO)


def placemarks(path: Path, where: str) -> int:
    """Count the placemarks of a KML.

    Raises:
        FileRefused: it is damaged or too large, declares entities, or points to other addresses.
    """
    if path.stat().st_size > MOST_BYTES:
        raise FileRefused(f"the KML is larger than {MOST_BYTES >> 20} MiB", where=where, do=_DO)
    look = _Look(where)
    with path.open("rb") as file:
        try:
            while piece := file.read(1 << 20):
                if b"<OGRVRT" in piece:
                    raise FileRefused("the KML is a GDAL virtual dataset too", where=where, do=_DO)
                look.parser.Parse(piece, False)
            look.parser.Parse(b"", True)
        except expat.ExpatError as damage:
            raise FileRefused(f"the KML is damaged ({damage})", where=where, do="download it again") from damage
    return look.placemarks


def columns_in_tables(columns: Sequence[str], descriptions: Iterable[str | None]) -> tuple[str, ...]:
    """The columns in the HTML tables of descriptions; () if there are other attributes, or one is no simple table."""
    if set(columns) - {*OWN_COLUMNS, *_TEXTS}:
        return ()
    names: dict[str, None] = {}
    for description in descriptions:
        table = table_of(description)
        if (description and description.strip() and not table) or len(names) > _MOST_NAMES:
            return ()
        names.update(dict.fromkeys(table))
    return tuple(names)


def table_of(description: str | None) -> dict[str, str]:
    """The rows of exactly two cells in a description's HTML, as name and value; {} if names repeat."""
    if not description or "<" not in description or len(description) > _MOST_TABLE:
        return {}
    parser = etree.HTMLParser(no_network=True, remove_comments=True, encoding="utf-8")
    try:
        document = etree.fromstring(description.encode(), parser)
    except etree.XMLSyntaxError:  # it has no elements
        return {}
    pairs = [_cells(row) for row in document.iter("tr")] if document is not None else []
    rows = [pair for pair in pairs if len(pair) == 2 and pair[0]]
    return {} if len({name for name, _ in rows}) < len(rows) else dict(rows)


def _cells(row: etree._Element) -> tuple[str, ...]:
    """The texts of a row's cells; () if a cell contains a table."""
    cells = [cell for cell in row if cell.tag in ("td", "th")]
    if any(next(cell.iter("table"), None) is not None for cell in cells):
        return ()
    return tuple(" ".join("".join(map(str, cell.itertext())).split()) for cell in cells)
