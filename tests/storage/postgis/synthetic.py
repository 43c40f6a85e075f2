"""Small validated tables, and a plain-Python model of what publishing them must do."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from zoning_assets.model import PARCELS, Place
from zoning_assets.storage.postgis.publish import Edition
from zoning_assets.transform.geometry import h3_cells, row_tiles

#: Two H3 cells of resolution 6 side by side, and three places in each, every one in another child.
NORTH, SOUTH = sorted(("862a33d1fffffff", "862a33d17ffffff"))
CHILDREN = {parent: sorted(h3_cells.children(parent))[:3] for parent in (NORTH, SOUTH)}
SPOTS = [tuple(reversed(h3_cells.h3s.cell_to_latlng(child))) for each in CHILDREN.values() for child in each]
COVERS = ([NORTH, SOUTH], sorted([*CHILDREN[NORTH], SOUTH]), sorted([NORTH, *CHILDREN[SOUTH]]))


class Fact(NamedTuple):
    """What a portal sends about a parcel: its location, and some text."""

    spot: int
    text: str


World = Mapping[str, Fact]


def hash_of(key: str, fact: Fact) -> str:
    return hashlib.md5(repr((key, fact)).encode(), usedforsecurity=False).hexdigest()


def owner(fact: Fact, cover: Sequence[str]) -> str:
    """The tile that owns a parcel."""
    cells = h3_cells.finest_cells(np.array([SPOTS[fact.spot]]))
    return h3_cells.to_str(int(row_tiles.owners(cells, cover)[0]))


def table(world: World) -> pa.Table:
    """A validated table of these parcels, as read from the store."""
    points = [SPOTS[fact.spot] for fact in world.values()]
    shapes = [shapely.MultiPolygon([shapely.box(x - 1e-4, y - 1e-4, x + 1e-4, y + 1e-4)]) for x, y in points]
    columns: dict[str, list] = {
        "key": list(world),
        "zoning_code": [fact.text for fact in world.values()],
        "land_use": [None] * len(world),
        "address": [f"{fact.spot} ELM ST" for fact in world.values()],
        "attributes": ["{}"] * len(world),
        "area_m2": [400.0] * len(world),
        "content_hash": [hash_of(key, fact) for key, fact in world.items()],
    }
    return stored(gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs="EPSG:4326")))


def stored(frame: gpd.GeoDataFrame) -> pa.Table:
    """The table after it was written to the store and read back."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return pq.read_table(buffer)


def harvest_of(world: World, tile: str, cover: Sequence[str]) -> dict[str, Fact]:
    """The parcels of the world that a tile owns."""
    return {key: fact for key, fact in world.items() if owner(fact, cover) == tile}


def edition(jurisdiction: str, tile: str, mine: World, cover: Sequence[str]) -> Edition:
    """The edition of some rows; equal rows have the same harvest."""
    name = hashlib.md5(repr(sorted(mine.items())).encode(), usedforsecurity=False).hexdigest()
    return Edition(Place(jurisdiction, tile), PARCELS, name, "rules", cover)


class Row(NamedTuple):
    tile: str
    fact: Fact


@dataclass
class Truth:
    """The expected state of the database: dictionaries and a list, no SQL, no batches."""

    parcels: dict[str, Row] = field(default_factory=dict)
    versions: list[tuple[str, Fact]] = field(default_factory=list)
    published: dict[str, World] = field(default_factory=dict)  # tile -> what it published last

    def publish(self, tile: str, mine: World, cover: Sequence[str]) -> dict[str, int] | None:
        """The expected result of a publish; None: a key is also in the harvest of another tile."""
        orphans = {k for k, row in self.parcels.items() if row.tile not in cover and owner(row.fact, cover) == tile}
        held = {key for key, row in self.parcels.items() if row.tile == tile}
        if self.published.get(tile) == mine:
            if held == set(mine) and not orphans:
                return {"added": 0, "changed": 0, "unchanged": len(mine), "retired": 0}
            if any(self.parcels[key].tile in cover for key in set(mine) - held if key in self.parcels):
                return None
        added = mine.keys() - self.parcels.keys()
        changed = {key for key in mine.keys() - added if self.parcels[key].fact != mine[key]}
        gone = (held | orphans) - mine.keys()
        self.versions += [(key, self.parcels[key].fact) for key in changed | gone]
        self.parcels = {k: row for k, row in self.parcels.items() if k not in gone}
        self.parcels |= {key: Row(tile, fact) for key, fact in mine.items()}
        self.published[tile] = dict(mine)
        unchanged = len(mine) - len(added) - len(changed)
        return {"added": len(added), "changed": len(changed), "unchanged": unchanged, "retired": len(gone)}


def in_parts(whole: pa.Table, rows: int = 2) -> Iterator[pa.Table]:
    """A table split into parts with this number of rows, as pages."""
    for start in range(0, len(whole), rows):
        yield whole.slice(start, rows)
