"""How a partition is spelled, and which there are. The only file that knows.

A tile's key is `JURISDICTION:H3CELL`, so that typing a jurisdiction's id in the UI finds its tiles. No comma, no `|`,
which Dagster takes for itself (docs/explanation/portals.md).
"""

from collections.abc import Collection, Iterable

import dagster as dg

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

    New keys are added by one statement, behind all others; then those that are gone are deleted. No other key is
    touched: a run under way, or another process that registers, finds every key that it works with. A process killed in
    between leaves keys of tiles that are gone, and the next one deletes them.
    """
    wanted = {key_of(Place(jurisdiction, tile)) for tile in tiles}
    known = set(keys_of(instance, jurisdiction))
    new, gone = wanted - known, known - wanted
    instance.add_dynamic_partitions(str(TILES.name), sorted(new))
    _delete(instance, gone)
    return len(new), len(gone)


def unregister(instance: dg.DagsterInstance, jurisdiction: str) -> int:
    """Take the tiles of a jurisdiction away; how many there were."""
    known = keys_of(instance, jurisdiction)
    _delete(instance, known)
    return len(known)


def _delete(instance: dg.DagsterInstance, keys: Iterable[str]) -> None:
    for key in sorted(keys):
        instance.delete_dynamic_partition(str(TILES.name), key)
