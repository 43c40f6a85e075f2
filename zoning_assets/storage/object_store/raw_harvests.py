"""Raw harvests: pages as received, and the manifest that commits them. Immutable, named by content.

raw/JURISDICTION/FEED/whole/pages/SHA256.zst    a page of the layer
raw/JURISDICTION/FEED/whole/harvests/ID.json    the manifest of a harvest of the layer; without it its pages are ignored
raw/JURISDICTION/FEED/whole/harvests/ID-CUT.arrow   the tile that owns each of its rows
raw/JURISDICTION/FEED/whole/draft/...           the requests of an unfinished harvest; see harvest_drafts.py
raw/JURISDICTION/FEED/TILE/harvests/ID.json     the manifest of the rows of one tile
raw/JURISDICTION/FEED/TILE/latest.json          the id of the newest harvest
raw/JURISDICTION/FEED/cover.json                the tile index: the newest harvest of the layer, and its tiles
raw/JURISDICTION/FEED/costs/TIME.json           the requests of one run, which fetched the layer or found it unchanged
"""

import hashlib
import io
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import zstandard

from zoning_assets.errors import HarvestMissing
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.model import Place
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.geometry.h3_cells import to_int
from zoning_assets.transform.geometry.row_tiles import WHOLE_JURISDICTION, Flags, LayerRows, Numbers, Ownership

_LARGEST_PAGE = 1 << 30
#: Rows of the index of a layer that are compressed at once, so that few bytes are needed besides the index.
_ROWS_PER_BATCH = 1 << 16
#: The error of a damaged page.
BrokenPage = zstandard.ZstdError


def latest(objects: Objects, place: Place, feed: str) -> Harvest:
    """The newest harvest of a feed at a place.

    Raises:
        HarvestMissing: there is none.
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
    document = orjson.loads(objects.get_immutable(f"{folder_of(place, feed)}/harvests/{harvest}.json"))
    return Harvest(**{**document, "pages": tuple(Page(**page) for page in document["pages"])})


def read_page(objects: Objects, harvest: Harvest, page: Page) -> bytes:
    """The bytes of a page as the portal sent them. The pages of a tile's harvest are those of its layer.

    Raises:
        HarvestMissing: the page is not stored.
        BrokenPage: it is damaged.
    """
    return read_packed(objects, name_of_page(harvest, page))


def name_of_page(harvest: Harvest, page: Page) -> str:
    """The object name of a page of a harvest; the pages of a tile's harvest are those of its layer."""
    place = Place(harvest.jurisdiction, None if harvest.of else harvest.tile)
    return page_name(place, harvest.feed, page.name)


def read_packed(objects: Objects, name: str) -> bytes:
    """Read and decompress an object of at most 1 GiB.

    Raises:
        HarvestMissing: it is not stored.
        BrokenPage: it is damaged or larger.
    """
    return zstandard.ZstdDecompressor().decompress(objects.get(name), max_output_size=_LARGEST_PAGE)


def put_cover(objects: Objects, cover: Cover) -> None:
    """Store the tile index of a layer; the earlier one is replaced."""
    objects.put_json(f"raw/{cover.jurisdiction}/{cover.feed}/cover.json", asdict(cover))


def find_cover(objects: Objects, jurisdiction: str, feed: str) -> Cover | None:
    """The tile index of a layer; None: there is none, or it has the format of an earlier version."""
    document = objects.find_json(f"raw/{jurisdiction}/{feed}/cover.json") or {}
    return Cover(**document) if document.get("harvest") else None


def put_cost(objects: Objects, cover: Cover) -> None:
    """Store the cost of a run that has confirmed or fetched a layer; reports add these up."""
    at = datetime.fromisoformat(cover.seen).astimezone(UTC)
    document = {"at": at.isoformat(), "harvest": cover.harvest, **cover.cost}
    objects.put_json(f"raw/{cover.jurisdiction}/{cover.feed}/costs/{_time_name(at)}.json", document)


def costs(objects: Objects, jurisdiction: str, feed: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The costs of the runs with start <= time < end: `at`, `harvest`, `requests`, `bytes`, `seconds`; oldest first."""
    first, last = _time_name(start), _time_name(end)
    names = sorted(objects.names(f"raw/{jurisdiction}/{feed}/costs"))
    chosen = [name for name in names if first <= name.rpartition("/")[2].removesuffix(".json") < last]
    return [found for name in chosen if (found := objects.find_json(name))]


def _time_name(at: datetime) -> str:
    """A time as the name of an object; names have the order of their times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace(":", "")


def put_rows(objects: Objects, harvest: Harvest, rows: LayerRows, ownership: Ownership, rules: str) -> str:
    """Store the rows of a harvest of a layer, and the tile that owns each; return the name of this cut.

    `rules`: those by which the rows were read. The same cut of the same rows has the same name.
    """
    columns = {
        "page": rows.page.astype(np.uint32),
        "row": rows.row.astype(np.uint32),
        "content": rows.content,
        "owner": ownership.owner,
        "together": ownership.has_shared_key,
        "cell": rows.cell,
        "key": rows.key,
        "id": rows.id,
    }
    table = pa.table(columns)
    digest = hashlib.sha256(rules.encode())
    for each in (rows.content, ownership.owner):
        digest.update(each.data)
    cut = digest.hexdigest()[:16]
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table, max_chunksize=_ROWS_PER_BATCH)
    objects.put(_rows_name(harvest.jurisdiction, harvest.feed, harvest.id, cut), sink.getbuffer())
    return cut


@dataclass(frozen=True)
class OwnedRows:
    """The rows of a harvest of a layer, as arrays with one entry for each row.

    They are: number of the page, index in the page, hash of the content, owner (tile), whether other rows have its key.
    """

    page: npt.NDArray[np.uint32]
    row: npt.NDArray[np.uint32]
    content: Numbers
    owner: Numbers
    together: Flags

    def of(self, tile: str | None) -> npt.NDArray[np.intp]:
        """The positions of the rows of a tile; None: those of the whole jurisdiction."""
        return np.flatnonzero(self.owner == (WHOLE_JURISDICTION if tile is None else np.uint64(to_int(tile))))


def get_rows(objects: Objects, jurisdiction: str, feed: str, harvest: str, cut: str) -> OwnedRows:
    """The rows of a harvest of a layer, with the owners of one cut.

    Raises:
        HarvestMissing: it is not stored.
    """
    return OwnedRows(*_columns(objects, _rows_name(jurisdiction, feed, harvest, cut), OwnedRows))


def get_index(objects: Objects, cover: Cover) -> LayerRows | None:
    """The index of the rows of the newest harvest of a layer; None: an earlier version stored fewer columns.

    Raises:
        HarvestMissing: it is not stored.
    """
    name = _rows_name(cover.jurisdiction, cover.feed, cover.harvest, cover.cut)
    try:
        return LayerRows(*(each.astype(np.uint64, copy=False) for each in _columns(objects, name, LayerRows)))
    except KeyError:
        return None


def _columns(objects: Objects, name: str, of: type[OwnedRows | LayerRows]) -> list[npt.NDArray[Any]]:
    """The columns for the fields of a class, decompressed one by one; other columns are not decompressed.

    Raises:
        KeyError: the file does not have all of them.
    """
    body, pool = objects.get(name), pa.system_memory_pool()  # returns freed memory at once
    place, found = {each: at for at, each in enumerate(pa.ipc.open_file(body).schema.names)}, list[npt.NDArray[Any]]()
    for each in fields(of):
        options = pa.ipc.IpcReadOptions(included_fields=[place[each.name]])
        column = pa.ipc.open_file(body, options=options, memory_pool=pool).read_all().column(0)
        found.append(column.combine_chunks(pool).to_numpy(zero_copy_only=False))
    return found


def tile_id(cover: Cover, layer: Harvest, rows: OwnedRows, tile: str) -> str:
    """The id of a tile's harvest with its rows of the layer. Unchanged rows and rules give the same id as before."""
    mine = rows.of(tile)
    contents = np.sort(rows.content[mine] ^ rows.together[mine].astype(np.uint64))
    name = content_hash.json_bytes([layer.jurisdiction, layer.feed, tile, layer.form, layer.layer, cover.rules])
    return hashlib.sha256(name + contents.tobytes()).hexdigest()[:32]


def put_tile(objects: Objects, cover: Cover, layer: Harvest, rows: OwnedRows, tile: str) -> Harvest:
    """Write the rows of a tile as a harvest of the tile, unless it is stored."""
    id_ = tile_id(cover, layer, rows, tile)
    place = Place(layer.jurisdiction, tile)
    folder = folder_of(place, layer.feed)
    try:
        harvest = of(objects, place, layer.feed, id_)
    except HarvestMissing:
        numbers, counts = np.unique(rows.page[rows.of(tile)], return_counts=True)
        pages = tuple(replace(layer.pages[n], rows=c) for n, c in zip(numbers.tolist(), counts.tolist(), strict=True))
        harvest = replace(layer, tile=tile, pages=pages, id=id_, of=layer.id, cut=cover.cut)
        objects.put_json(f"{folder}/harvests/{id_}.json", asdict(harvest))
    newest = {"harvest": id_}
    if objects.find_json(f"{folder}/latest.json") != newest:  # reading costs a tenth of writing
        objects.put_json(f"{folder}/latest.json", newest)
    return harvest


def _rows_name(jurisdiction: str, feed: str, harvest: str, cut: str) -> str:
    return f"{folder_of(Place(jurisdiction), feed)}/harvests/{harvest}-{cut}.arrow"


def folder_of(place: Place, feed: str) -> str:
    """The folder of all raw data of a feed at a place."""
    return f"raw/{place.jurisdiction}/{feed}/{place.tile or 'whole'}"


def page_name(place: Place, feed: str, name: str) -> str:
    """The object name of a page."""
    return f"{folder_of(place, feed)}/pages/{name}.zst"
