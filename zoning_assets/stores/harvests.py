"""Raw: pages as they came and the manifest that makes them a harvest. Immutable, named by content.

raw/JURISDICTION/FEED/whole/pages/SHA256.zst    a page of a layer
raw/JURISDICTION/FEED/whole/harvests/ID.json    the manifest of a layer's harvest; without it the pages are no harvest
raw/JURISDICTION/FEED/whole/harvests/ID.arrow   which tile owns each of its rows
raw/JURISDICTION/FEED/whole/draft/...           what was asked in a harvest that is not whole yet; see drafts.py
raw/JURISDICTION/FEED/TILE/harvests/ID.json     the manifest of a tile's rows of a layer's harvest
raw/JURISDICTION/FEED/TILE/latest.json          the id of the newest
raw/JURISDICTION/FEED/cover.json                the newest harvest of the layer, and its tiles
"""

import hashlib
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import zstandard

from zoning_assets.errors import HarvestMissing
from zoning_assets.model import Cover, Harvest, Page, Place
from zoning_assets.stores.objects import Objects
from zoning_assets.transform import canonical
from zoning_assets.transform.ownership import EVERYWHERE, Flags, LayerRows, Numbers, Ownership
from zoning_assets.transform.tiles import to_int

_LARGEST_PAGE = 1 << 30
#: A page that is no longer what was compressed.
BrokenPage = zstandard.ZstdError


def latest(objects: Objects, place: Place, feed: str) -> Harvest:
    """The newest harvest of a feed at a place.

    Raises:
        HarvestMissing: there is none yet.
    """
    folder = folder_of(place, feed)
    pointer = objects.find_json(f"{folder}/latest.json")
    if pointer is None:
        raise HarvestMissing(f"no harvest of {feed} yet", where=str(place), do="materialize raw_feed first")
    return of(objects, place, feed, pointer["harvest"])


def of(objects: Objects, place: Place, feed: str, harvest: str) -> Harvest:
    """A harvest by its id.

    Raises:
        HarvestMissing: it is not stored.
    """
    document = orjson.loads(objects.get(f"{folder_of(place, feed)}/harvests/{harvest}.json"))
    return Harvest(**{**document, "pages": tuple(Page(**page) for page in document["pages"])})


def read_page(objects: Objects, harvest: Harvest, page: Page) -> bytes:
    """A page's bytes, as the portal sent them; those of a tile are its layer's."""
    place = Place(harvest.jurisdiction, None if harvest.of else harvest.tile)
    return read_packed(objects, page_name(place, harvest.feed, page.name))


def read_packed(objects: Objects, name: str) -> bytes:
    """An object that was compressed, within a limit of size."""
    return zstandard.ZstdDecompressor().decompress(objects.get(name), max_output_size=_LARGEST_PAGE)


def put_cover(objects: Objects, cover: Cover) -> None:
    """Keep a cover, replacing the one before."""
    objects.put_json(f"raw/{cover.jurisdiction}/{cover.feed}/cover.json", asdict(cover))


def find_cover(objects: Objects, jurisdiction: str, feed: str) -> Cover | None:
    """The newest harvest of a layer and its tiles; None where there is none, or only that of an earlier version."""
    document = objects.find_json(f"raw/{jurisdiction}/{feed}/cover.json") or {}
    return Cover(**document) if document.get("harvest") else None


def put_rows(objects: Objects, harvest: Harvest, rows: LayerRows, ownership: Ownership) -> None:
    """Keep which rows a layer's harvest has, and who owns each."""
    columns = {
        "page": rows.page.astype(np.uint32),
        "row": rows.row.astype(np.uint32),
        "content": rows.content,
        "owner": ownership.owner,
        "together": ownership.together,
    }
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    objects.put(_rows_name(harvest.jurisdiction, harvest.feed, harvest.id), bytes(sink.getvalue()))


@dataclass(frozen=True)
class OwnedRows:
    """The rows of a layer's harvest: number of the page, index in the page, hash of what the row says, owner, and
    whether other rows have its key. One entry a row."""

    page: npt.NDArray[np.uint32]
    row: npt.NDArray[np.uint32]
    content: Numbers
    owner: Numbers
    together: Flags

    def of(self, tile: str | None) -> npt.NDArray[np.intp]:
        """The positions of the rows of a tile."""
        return np.flatnonzero(self.owner == (EVERYWHERE if tile is None else np.uint64(to_int(tile))))


def get_rows(objects: Objects, jurisdiction: str, feed: str, harvest: str) -> OwnedRows:
    """The rows of a layer's harvest.

    Raises:
        HarvestMissing: it is not stored.
    """
    table = pa.ipc.open_file(objects.get(_rows_name(jurisdiction, feed, harvest))).read_all()
    return OwnedRows(*(table.column(each.name).to_numpy() for each in fields(OwnedRows)))


def put_tile(objects: Objects, layer: Harvest, rows: OwnedRows, tile: str) -> Harvest:
    """Make a tile's rows of a layer's harvest a harvest of the tile; where its rows say what they said before, it is
    that harvest still."""
    mine = rows.of(tile)
    said = np.sort(rows.content[mine] ^ rows.together[mine].astype(np.uint64))
    name = canonical.json_bytes([layer.jurisdiction, layer.feed, tile, layer.form, layer.layer])
    id_ = hashlib.sha256(name + said.tobytes()).hexdigest()[:32]
    place = Place(layer.jurisdiction, tile)
    folder = folder_of(place, layer.feed)
    try:
        harvest = of(objects, place, layer.feed, id_)
    except HarvestMissing:
        numbers, counts = np.unique(rows.page[mine], return_counts=True)
        pages = tuple(replace(layer.pages[n], rows=c) for n, c in zip(numbers.tolist(), counts.tolist(), strict=True))
        harvest = replace(layer, tile=tile, pages=pages, id=id_, of=layer.id)
        objects.put_json(f"{folder}/harvests/{id_}.json", asdict(harvest))
    objects.put_json(f"{folder}/latest.json", {"harvest": id_})
    return harvest


def _rows_name(jurisdiction: str, feed: str, harvest: str) -> str:
    return f"{folder_of(Place(jurisdiction), feed)}/harvests/{harvest}.arrow"


def folder_of(place: Place, feed: str) -> str:
    """Where all that was received of a feed for a place lies."""
    return f"raw/{place.jurisdiction}/{feed}/{place.tile or 'whole'}"


def page_name(place: Place, feed: str, name: str) -> str:
    """Where a page lies."""
    return f"{folder_of(place, feed)}/pages/{name}.zst"
