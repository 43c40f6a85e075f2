"""What a database says of a county's parcels, and in what it differs from the truth."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

#: One tile's part: content hash by key, and how often each object id is held back.
Part = tuple[dict[str, str], Counter[int]]


@dataclass(frozen=True)
class State:
    """Each parcel's tile and content hash, and how often each row is held back, by tile and object id."""

    parcels: Mapping[str, tuple[str, str]]
    held: Mapping[tuple[str, int], int]

    def of(self, tile: str) -> Part:
        """One tile's part."""
        held = Counter({oid: rows for (where, oid), rows in self.held.items() if where == tile})
        return {key: content for key, (where, content) in self.parcels.items() if where == tile}, held

    @property
    def tiles(self) -> set[str]:
        """All that hold something."""
        return {tile for tile, _ in self.parcels.values()} | {tile for tile, _ in self.held}


def state_of(url: str) -> State:
    """What the database says."""
    with psycopg.connect(url) as connection:
        parcels = connection.execute("SELECT parcel_id, tile, content_hash FROM zoning.parcel").fetchall()
        held = connection.execute(
            "SELECT tile, (raw -> 'attributes' ->> 'OBJECTID')::float::int FROM zoning.rejection WHERE state = 'open'"
        ).fetchall()
    return State({key: (tile, content) for key, tile, content in parcels}, Counter((tile, oid) for tile, oid in held))


def difference(found: Part, wanted: Part) -> Counter[str]:
    """How many rows are LOST, DOUBLED (or should not be there) or CHANGED."""
    (rows, held), (true_rows, true_held) = found, wanted
    lost = len(true_rows.keys() - rows) + (true_held - held).total()
    doubled = len(rows.keys() - true_rows) + (held - true_held).total()
    changed = sum(true_rows[key] != rows[key] for key in true_rows.keys() & rows)
    return Counter({"LOST": lost, "DOUBLED": doubled, "CHANGED": changed})
