"""The format of partition keys, and the registered partitions. No other module knows the format.

A tile's key is `JURISDICTION:H3CELL`, so a search for a jurisdiction's id in the UI finds its tiles. Keys contain no
comma and no `|`, because Dagster uses these characters itself (docs/explanation/portals.md).
"""

from collections.abc import Collection, Iterable, Sequence

import dagster as dg

from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import Place

TILES = dg.DynamicPartitionsDefinition(name=WHOLE.tiles)
_SEPARATOR = ":"


def key_of(place: Place) -> str:
    """Return the partition key of a place."""
    return place.jurisdiction if place.tile is None else f"{place.jurisdiction}{_SEPARATOR}{place.tile}"


def place_of(key: str) -> Place:
    """Return the place of a partition key."""
    jurisdiction, _, tile = key.partition(_SEPARATOR)
    return Place(jurisdiction, tile or None)


def jurisdictions(ids: Collection[str]) -> dg.StaticPartitionsDefinition:
    """Return partitions definitions with one partition per jurisdiction."""
    return dg.StaticPartitionsDefinition(sorted(ids))


def registered(instance: dg.DagsterInstance, location: Location = WHOLE) -> Sequence[str]:
    """Return the keys of all registered tiles of a group, in their order. Of 100,000 keys it takes some tenths of a
    second, so a tick of a sensor calls it once."""
    return instance.get_dynamic_partitions(location.tiles)


def of_jurisdiction(keys: Iterable[str], jurisdiction: str) -> list[str]:
    """Return those of some keys of tiles that belong to a jurisdiction."""
    prefix = jurisdiction + _SEPARATOR
    return [key for key in keys if key.startswith(prefix)]


def keys_of(instance: dg.DagsterInstance, jurisdiction: str, location: Location = WHOLE) -> list[str]:
    """Return the keys of the registered tiles of a jurisdiction. `location`: its group."""
    return of_jurisdiction(registered(instance, location), jurisdiction)


def register(
    instance: dg.DagsterInstance, jurisdiction: str, tiles: Collection[str], location: Location = WHOLE
) -> tuple[int, int]:
    """Replace the registered tiles of a jurisdiction; return how many were added and deleted.

    One statement adds all new keys after the existing ones. Then obsolete keys are deleted. Other keys do not change,
    so running runs and other processes still find their keys. If the process is killed between the two steps, obsolete
    keys stay until the next call deletes them.
    """
    wanted = {key_of(Place(jurisdiction, tile)) for tile in tiles}
    known = set(keys_of(instance, jurisdiction, location))
    new, gone = wanted - known, known - wanted
    instance.add_dynamic_partitions(location.tiles, sorted(new))
    _delete(instance, gone, location)
    return len(new), len(gone)


def unregister(instance: dg.DagsterInstance, jurisdiction: str, location: Location = WHOLE) -> int:
    """Unregister all tiles of a jurisdiction; return how many there were."""
    known = keys_of(instance, jurisdiction, location)
    _delete(instance, known, location)
    return len(known)


def _delete(instance: dg.DagsterInstance, keys: Iterable[str], location: Location) -> None:
    for key in sorted(keys):
        instance.delete_dynamic_partition(location.tiles, key)


def asset_key(name: str, location: Location = WHOLE) -> dg.AssetKey:
    """Return the key of an asset in a group: Dagster allows a key in one code location only."""
    return dg.AssetKey([location.identifier, name] if location.name else [name])
