"""How a partition is spelled, and which there are. The only file that knows.

A tile's key is `JURISDICTION:H3CELL`, so that typing a jurisdiction's id in the UI finds its tiles. No comma, no `|`,
which Dagster takes for itself (FACTS 5).
"""

from collections.abc import Collection, Sequence

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import DynamicPartitionsTable
from sqlalchemy.dialects import postgresql, sqlite

from zoning_assets.model import Place

TILES = dg.DynamicPartitionsDefinition(name="tiles")
_SEPARATOR = ":"


def key_of(place: Place) -> str:
    """The partition key of a place."""
    return place.jurisdiction if place.tile is None else f"{place.jurisdiction}{_SEPARATOR}{place.tile}"


def place_of(key: str) -> Place:
    """The place that a partition key spells."""
    jurisdiction, _, tile = key.partition(_SEPARATOR)
    return Place(jurisdiction, tile or None)


def jurisdictions(ids: Collection[str]) -> dg.StaticPartitionsDefinition:
    """One partition a jurisdiction, for what needs the whole of it."""
    return dg.StaticPartitionsDefinition(sorted(ids))


def keys_of(instance: dg.DagsterInstance, jurisdiction: str) -> list[str]:
    """The registered tiles of a jurisdiction."""
    prefix = jurisdiction + _SEPARATOR
    return [key for key in instance.get_dynamic_partitions(str(TILES.name)) if key.startswith(prefix)]


def register(instance: dg.DagsterInstance, jurisdiction: str, tiles: Collection[str]) -> tuple[int, int]:
    """Make the registered tiles of a jurisdiction just these; how many came and went.

    One transaction, which touches no other jurisdiction's keys: a process killed in it, or another beside it, finds the
    keys as they were or as they are to be. A run takes an unbroken range of keys, so a jurisdiction's stand together:
    where tiles come, all of its keys are registered anew, in order, behind those of the others.
    """
    wanted = {key_of(Place(jurisdiction, tile)) for tile in tiles}
    known = set(keys_of(instance, jurisdiction))
    new, gone = wanted - known, known - wanted
    if new:
        _replace(instance, jurisdiction, sorted(wanted))
    for key in sorted(gone) if not new else ():
        instance.delete_dynamic_partition(str(TILES.name), key)
    return len(new), len(gone)


def unregister(instance: dg.DagsterInstance, jurisdiction: str) -> int:
    """Take the tiles of a jurisdiction away; how many there were."""
    known = keys_of(instance, jurisdiction)
    if known:
        _replace(instance, jurisdiction, ())
    return len(known)


def _replace(instance: dg.DagsterInstance, jurisdiction: str, keys: Sequence[str]) -> None:
    """All keys of a jurisdiction by others of it. Dagster itself deletes one key in a transaction."""
    prefix, rows = jurisdiction + _SEPARATOR, [{"partitions_def_name": TILES.name, "partition": key} for key in keys]
    table = DynamicPartitionsTable
    starts = sa.func.substr(table.c.partition, 1, len(prefix)) == prefix
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):  # Dagster has no other
        raise TypeError(type(storage).__name__)
    with storage.index_transaction() as connection:
        connection.execute(table.delete().where(table.c.partitions_def_name == TILES.name, starts))
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        if rows:  # another process may register the same
            connection.execute(insert(table).on_conflict_do_nothing(), rows)
