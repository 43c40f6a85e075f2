"""Tables that are joined to a layer: the newest harvest of each, and keyed tables, which are named by content.

raw/JURISDICTION/FEED/table.json            the newest harvest
normalized/JURISDICTION/FEED/ID.arrow       a keyed table, see transform/joined_columns.py
"""

from dataclasses import asdict

import pyarrow as pa

from zoning_assets.errors import HarvestMissing
from zoning_assets.harvest import JoinedTable
from zoning_assets.model import NORMALIZED
from zoning_assets.storage.object_store.object_store import Objects


def put(objects: Objects, jurisdiction: str, feed: str, table: JoinedTable) -> None:
    """Store the newest harvest; the earlier one is replaced."""
    objects.put_json(_record(jurisdiction, feed), asdict(table))


def find(objects: Objects, jurisdiction: str, feed: str) -> JoinedTable | None:
    """The newest harvest; None: there is none."""
    document = objects.find_json(_record(jurisdiction, feed))
    return JoinedTable(**document) if document else None


def put_keyed(objects: Objects, jurisdiction: str, feed: str, id_: str, table: pa.Table) -> None:
    """Store a keyed table, unless it is stored already."""
    if objects.has(_keyed(jurisdiction, feed, id_)):
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    objects.put(_keyed(jurisdiction, feed, id_), bytes(sink.getvalue()))


def has_keyed(objects: Objects, jurisdiction: str, feed: str, id_: str) -> bool:
    """Whether a keyed table is stored."""
    return objects.has(_keyed(jurisdiction, feed, id_))


def get_keyed(objects: Objects, jurisdiction: str, feed: str, id_: str) -> pa.Table:
    """A keyed table.

    Raises:
        HarvestMissing: it is not stored, or damaged.
    """
    try:
        return pa.ipc.open_file(objects.get(_keyed(jurisdiction, feed, id_))).read_all().combine_chunks()
    except (pa.ArrowInvalid, OSError) as error:
        what, do = "the table of the join is damaged and cannot be read", f"delete {_keyed(jurisdiction, feed, id_)}"
        raise HarvestMissing(what, where=f"{jurisdiction} {feed}", do=f"{do}; the next harvest fetches it") from error


def _record(jurisdiction: str, feed: str) -> str:
    return f"raw/{jurisdiction}/{feed}/table.json"


def _keyed(jurisdiction: str, feed: str, id_: str) -> str:
    return f"{NORMALIZED}/{jurisdiction}/{feed}/{id_}.arrow"
