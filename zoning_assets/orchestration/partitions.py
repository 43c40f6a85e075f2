"""How a partition is spelled, and which there are. The only file that knows.

A tile's key is `JURISDICTION:H3CELL`, so that typing a jurisdiction's id in the UI finds its tiles. No comma, no `|`,
which Dagster takes for itself (FACTS 5).
"""

from collections.abc import Collection

import dagster as dg

from zoning_assets.model import Place

TILES = dg.DynamicPartitionsDefinition(name="tiles")
_SEPARATOR = ":"
#: Re-registering the keys that sort after a new one keeps a jurisdiction together; beyond this it takes too long.
_MOST_MOVED = 5_000


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
    """Make the registered tiles of a jurisdiction just these, in their sorted place; how many came and went."""
    name = str(TILES.name)
    wanted = {key_of(Place(jurisdiction, tile)) for tile in tiles}
    known = list(instance.get_dynamic_partitions(name))
    new, gone = sorted(wanted - set(known)), sorted(set(keys_of(instance, jurisdiction)) - wanted)
    for key in gone:
        instance.delete_dynamic_partition(name, key)
    if new:
        after = [key for key in known if key > new[0] and key not in gone]
        moved = after if len(after) <= _MOST_MOVED else []
        for key in moved:
            instance.delete_dynamic_partition(name, key)
        instance.add_dynamic_partitions(name, sorted([*new, *moved]))
    return len(new), len(gone)
