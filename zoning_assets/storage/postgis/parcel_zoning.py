"""Zoning per parcel in PostGIS: read parcels and districts, and publish the shares of each parcel in one transaction.

Parcels and shares are read and written in chunks: memory does not grow with the size of a jurisdiction.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
import pyarrow as pa
import shapely
from psycopg.types.json import Jsonb

from zoning_assets.storage.postgis import binary_copy
from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

FEED = "parcel_zoning"
#: The number of parcels whose shapes or shares are in memory at a time.
CHUNK_SIZE = 10_000
_TEXTS, _NUMBERS = ("parcel_id", "facet", "code", "effective"), ("area_m2", "fraction", "rank", "listed")
_COPY = "COPY stage FROM STDIN WITH (FORMAT BINARY)"
#: The value of `ParcelZoning.made_of` if shares were never published.
_NEVER = (None, None, None)
Cursor = psycopg.Cursor[tuple[Any, ...]]
#: The key of a parcel, and its shape as WKB in the target CRS (axis order x, y).
ParcelShape = tuple[str, bytes]


@dataclass(frozen=True)
class Split:
    """Numbers of parcels with a code, with several listed codes, and without a code.

    `disagreements`: parcels whose layer states another code than the map, as code of the layer, code of the map, number
    of parcels, some parcel ids.
    """

    zoned: int
    split: int
    unzoned: int
    disagreements: Sequence[tuple[str | None, str | None, int, list[str]]]


@dataclass(frozen=True)
class ShareRows:
    """The shares of some parcels (`keys`) as rows of a binary COPY. `zoned`: how many of the parcels have shares."""

    keys: Sequence[str]
    rows: bytes
    zoned: int


@dataclass
class ParcelZoning:
    """The shares of a jurisdiction, in a transaction that holds the locks of its feeds."""

    connection: Connection
    jurisdiction: str
    rules: str
    parcels: int  # the newest batch of each feed
    zoning: int
    made_of: tuple[str | None, int | None, int | None]  # rules and batches of the published shares
    chunk_size: int = CHUNK_SIZE

    @property
    def is_current(self) -> bool:
        """Whether rules, parcels and map are those of the published shares."""
        return self.made_of == (self.rules, self.parcels, self.zoning)

    def codes(self) -> dict[str, str | None]:
        """Every local code that was ever published -> its canonical spelling; None: it has none yet."""
        return codes(self.connection, self.jurisdiction)

    def spell(self, spellings: Sequence[Mapping[str, str | None]]) -> int:
        """Store spellings (`local`, `code`, `zone_type`) and apply them; return the number of changed rows."""
        self.do("store_spellings", spellings=Jsonb(list(spellings)), rules=self.rules)
        return sum(self.do(step).rowcount for step in ("spell_districts", "spell_parcels"))

    def districts(self) -> pd.DataFrame:
        """The current map: `district_id`, `code`, `code_local`, `effective`, `geometry` (target CRS)."""
        return frame(self._rows("districts"), ("district_id", "code", "code_local", "effective"))

    def changed_ground(self, most: int) -> pd.DataFrame | None:
        """Old and new `geometry` (target CRS) of parcels and districts that were added, retired or changed. A parcel of
        which only the attributes changed is left out.

        None: the rules changed, or there are more than `most` shapes; all parcels have to be computed.
        """
        rules, parcels, zoning = self.made_of
        if rules != self.rules:
            return None
        found = self._rows("changed_ground", parcels=parcels, zoning=zoning, most=most + 1)
        return None if len(found) > most else frame(found, ())

    def choose_all(self) -> int:
        """Choose every parcel; return their number."""
        return self._choose("choose_all")

    def choose_on(self, ground: Sequence[bytes], srid: int) -> int:
        """Choose the parcels that intersect some shapes (WKB, SRID `srid`); return their number."""
        return self._choose("choose_on", ground=list(ground), srid=srid)

    def choose_keys(self, keys: Sequence[str]) -> int:
        """Also choose the parcels with these keys; return how many were not chosen before."""
        return self.do("choose_keys", keys=list(keys)).rowcount

    def chosen(self) -> Iterator[list[ParcelShape]]:
        """The chosen parcels, in chunks."""
        return self._streamed("chosen_parcels")

    def parcels_of(self, keys: Sequence[str]) -> Iterator[list[ParcelShape]]:
        """The parcels with these keys, in chunks."""
        return self._streamed("parcels_of", keys=list(keys))

    def parcels_in(self, districts: Sequence[str]) -> Iterator[list[ParcelShape]]:
        """The parcels that intersect some districts (ids), without duplicates, in chunks."""
        return self._streamed("parcels_in", districts=list(districts))

    def best_lots(self) -> dict[str, str]:
        """District id -> the parcel that holds most of it, as last stored."""
        return dict(self._rows("best_lots"))

    def put_best_lots(self, best: Mapping[str, str]) -> None:
        """Replace the stored best lots."""
        self.do("put_best_lots", districts=list(best), parcels=list(best.values()))

    def begin(self, *, no_map: bool) -> "ParcelZoningBatch":
        """Open a batch, and end the shares of retired parcels; without a map (`no_map`) the shares of all parcels."""
        batch = ParcelZoningBatch(self, *self._open_batch(), is_first=self.made_of == _NEVER)
        self.do("create_stage")
        if not batch.is_first:
            self.do("create_stage_index")
            for some in self._streamed("retired", parcels=self.made_of[1], no_map=no_map):
                batch.end_all([key for (key,) in some])
        return batch

    def split(self) -> Split:
        """Count parcels by the number of their codes."""
        ((zoned, split, unzoned),) = self._rows("split")
        return Split(zoned, split, unzoned, self._rows("disagreements"))

    def _open_batch(self) -> tuple[int, Any]:
        harvest = f"parcels@{self.parcels}+zoning@{self.zoning}"
        values = {
            "jurisdiction": self.jurisdiction,
            "tile": None,
            "feed": FEED,
            "harvest": harvest,
            "rules": self.rules,
        }
        row = self.connection.execute(named("publish")["open_batch"], values).fetchone() or (0, None)
        return row[0], row[1]

    def _choose(self, query: str, **values: Any) -> int:
        self.do("create_chosen")
        return self.do(query, **values).rowcount

    def _streamed(self, query: str, **values: Any) -> Iterator[list[Any]]:
        """The rows of a query in chunks, by a server-side cursor. A query has only one open cursor at a time."""
        with self.connection.cursor(query, binary=True) as cursor:
            cursor.execute(named("parcel_zoning")[query], {"jurisdiction": self.jurisdiction, **values})
            while some := cursor.fetchmany(self.chunk_size):
                yield some

    def do(self, query: str, **values: Any) -> Cursor:
        """Run a query. It is not prepared, because the plan depends on the number of keys."""
        known = {"jurisdiction": self.jurisdiction, **values}
        return self.connection.execute(named("parcel_zoning")[query], known, prepare=False)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return rows(self.connection, named("parcel_zoning")[query], {"jurisdiction": self.jurisdiction, **values})


@dataclass
class ParcelZoningBatch:
    """An open batch of shares. `changed`: the number of parcels whose shares changed so far.

    `is_first`: the jurisdiction has no published shares, so nothing is compared.
    """

    zoning: ParcelZoning
    number: int
    now: datetime
    is_first: bool
    changed: int = 0

    def put(self, shares: ShareRows) -> None:
        """Publish the shares of some parcels."""
        self.zoning.do("clear_stage")
        with self.zoning.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for each in (binary_copy.HEAD, shares.rows, binary_copy.TAIL):
                copy.write(each)
        if self.is_first:
            self.zoning.do("insert_all", batch=self.number, now=self.now)
            self.changed += shares.zoned
        else:
            self._replace(shares.keys)

    def end_all(self, keys: Sequence[str]) -> None:
        """End the shares of some parcels."""
        self.zoning.do("clear_stage")
        self._replace(keys)

    def _replace(self, keys: Sequence[str]) -> None:
        """Replace the shares of those parcels whose staged shares differ from the published ones."""
        changed = [key for (key,) in self.zoning.do("different", keys=list(keys)).fetchall()]
        if changed:
            for step in ("supersede", "insert"):
                self.zoning.do(step, keys=changed, batch=self.number, now=self.now)
        self.changed += len(changed)

    def close(self) -> int:
        """Close the batch, with the batches it was computed from; return the number of parcels whose shares changed."""
        made_of = {"parcels": self.zoning.parcels, "zoning": self.zoning.zoning, "changed": self.changed}
        values = {"counts": Jsonb(made_of), "batch": self.number}
        self.zoning.connection.execute(named("publish")["close_batch"], values)
        return self.changed


def share_rows(keys: Sequence[str], shares: pd.DataFrame) -> ShareRows:
    """Encode the shares of some parcels for COPY. `shares`: the columns overlay.COLUMNS."""
    days = {each: None if pd.isna(each) else str(each) for each in set(shares["effective"])}
    dates = pd.Series([days[each] for each in shares["effective"]], index=shares.index, dtype=object)
    text = shares.assign(effective=dates)
    table = pa.table({name: pa.chunked_array([pa.array(text[name], pa.string())]) for name in _TEXTS})
    numbers = [pa.chunked_array([pa.array(shares[name].astype(float))]) for name in _NUMBERS]
    fields = [binary_copy.texts(table[name]) for name in _TEXTS] + [binary_copy.doubles(column) for column in numbers]
    return ShareRows(keys, bytes(binary_copy.rows(fields)) if len(shares) else b"", shares["parcel_id"].nunique())


@contextmanager
def opened(url: str, jurisdiction: str, rules: str) -> Iterator[ParcelZoning]:
    """Lock the feeds of a jurisdiction for one transaction, which is committed when the block ends without an error.

    Raises:
        Held: the jurisdiction is paused; nothing was published.
        DatabaseUnavailable, StoreError: nothing was published.
    """
    with session(url) as connection:
        connection.execute(named("parcel_zoning")["lock"], {"jurisdiction": jurisdiction})
        yield of(connection, jurisdiction, rules)
        hold_records.check(connection, jurisdiction, ())


def of(connection: Connection, jurisdiction: str, rules: str) -> ParcelZoning:
    """The shares of a jurisdiction, in a transaction that already holds its locks."""
    row = connection.execute(named("parcel_zoning")["newest"], {"jurisdiction": jurisdiction}).fetchone() or (0,) * 5
    return ParcelZoning(connection, jurisdiction, rules, row[0], row[1], (row[2], row[3], row[4]))


def codes(connection: Connection, jurisdiction: str) -> dict[str, str | None]:
    """Every local code of a jurisdiction that was ever published -> its canonical spelling or None."""
    return dict(rows(connection, named("parcel_zoning")["codes"], {"jurisdiction": jurisdiction}))


def rows(connection: Connection, query: bytes, values: Mapping[str, Any]) -> list[Any]:
    """Run a query and return its rows, transferred in binary form, which is faster for shapes."""
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, values).fetchall()


def frame(found: Sequence[tuple[Any, ...]], names: Sequence[str]) -> pd.DataFrame:
    """A table of rows: columns with these names, and the last column (WKB) as `geometry`."""
    columns = list(zip(*found, strict=True)) or [()] * (len(names) + 1)
    table = {name: _objects(column) for name, column in zip(names, columns, strict=False)}
    return pd.DataFrame({**table, "geometry": _objects(shapely.from_wkb(list(columns[-1])))})


def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
