"""Zoning per parcel in PostGIS: what the shares are to be made of, and the transaction that publishes them.

Parcels are read, and their shares are written, a bounded number at a time: memory does not grow with a jurisdiction.
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
from zoning_assets.storage.postgis.database import Connection, connect
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sessions import said
from zoning_assets.storage.postgis.sql_queries import named

FEED = "parcel_zoning"
#: Parcels whose shapes or shares are in memory at a time.
AT_ONCE = 10_000
_TEXTS, _NUMBERS = ("parcel_id", "facet", "code", "effective"), ("area_m2", "fraction", "rank", "listed")
_COPY = "COPY stage FROM STDIN WITH (FORMAT BINARY)"
#: What `Shares.made_of` is where shares were never published.
_NEVER = (None, None, None)
Cursor = psycopg.Cursor[tuple[Any, ...]]
#: A parcel's key, and its shape as WKB in the target CRS.
Lot = tuple[str, bytes]


@dataclass(frozen=True)
class Split:
    """How many parcels have a code, several listed ones, and none; and where the parcel layer says another code."""

    zoned: int
    split: int
    unzoned: int
    disagreements: Sequence[tuple[str | None, str | None, int, list[str]]]


@dataclass(frozen=True)
class Batch:
    """Some parcels (`keys`) and their shares as rows of a binary COPY; `zoned`: how many of the parcels have any."""

    keys: Sequence[str]
    rows: bytes
    zoned: int


@dataclass
class Shares:
    """One jurisdiction's shares, while its feeds stand still: a transaction that holds their locks."""

    connection: Connection
    jurisdiction: str
    rules: str
    parcels: int  # newest batch of each feed
    zoning: int
    made_of: tuple[str | None, int | None, int | None]  # rules and batches that the published shares were made of
    at_once: int = AT_ONCE

    @property
    def is_current(self) -> bool:
        """Whether nothing they are made of has changed."""
        return self.made_of == (self.rules, self.parcels, self.zoning)

    def codes(self) -> dict[str, str | None]:
        """Every local code that was ever seen, and how it is spelled here; None where that is not settled yet."""
        return codes(self.connection, self.jurisdiction)

    def spell(self, spellings: Sequence[Mapping[str, str | None]]) -> int:
        """Settle how codes are spelled (`local`, `code`, `zone_type`); how many rows are spelled anew by that."""
        self.do("settle", spellings=Jsonb(list(spellings)), rules=self.rules)
        return sum(self.do(step).rowcount for step in ("spell_districts", "spell_parcels"))

    def districts(self) -> pd.DataFrame:
        """The map now: `district_id`, `code`, `code_local`, `effective`, `geometry` (target CRS)."""
        return frame(self._rows("districts"), ("district_id", "code", "code_local", "effective"))

    def changed_ground(self, most: int) -> pd.DataFrame | None:
        """The `geometry` (target CRS) of parcels and districts that came, went or changed. None: all may have, as the
        rules are others or there are more than `most`."""
        rules, parcels, zoning = self.made_of
        if rules != self.rules:
            return None
        found = self._rows("changed_ground", parcels=parcels, zoning=zoning, most=most + 1)
        return None if len(found) > most else frame(found, ())

    def choose_all(self) -> int:
        """Judge every parcel; how many there are."""
        return self._choose("choose_all")

    def choose_on(self, ground: Sequence[bytes], srid: int) -> int:
        """Judge the parcels that touch some ground (WKB); how many there are."""
        return self._choose("choose_on", ground=list(ground), srid=srid)

    def choose_keys(self, keys: Sequence[str]) -> int:
        """Judge the parcels of some keys as well; how many were not chosen before."""
        return self.do("choose_keys", keys=list(keys)).rowcount

    def chosen(self) -> Iterator[list[Lot]]:
        """The parcels that are judged, `at_once` at a time."""
        return self._streamed("chosen_parcels")

    def parcels_of(self, keys: Sequence[str]) -> Iterator[list[Lot]]:
        """The parcels of some keys, as `chosen`."""
        return self._streamed("parcels_of", keys=list(keys))

    def parcels_in(self, districts: Sequence[str]) -> Iterator[list[Lot]]:
        """The parcels that touch some districts (ids), each once; as `chosen`."""
        return self._streamed("parcels_in", districts=list(districts))

    def best_lots(self) -> dict[str, str]:
        """The parcel that holds most of each district, as it was found last."""
        return dict(self._rows("best_lots"))

    def put_best_lots(self, best: Mapping[str, str]) -> None:
        """Keep it for the next time."""
        self.do("put_best_lots", districts=list(best), parcels=list(best.values()))

    def begin(self, *, no_map: bool) -> "Writing":
        """Begin to publish: the shares of parcels that are gone end; without a map (`no_map`) those of all parcels."""
        writing = Writing(self, *self._open_batch(), is_first=self.made_of == _NEVER)
        self.do("stage")
        if not writing.is_first:
            self.do("stage_key")
            for some in self._streamed("gone", no_map=no_map):
                writing.end_all([key for (key,) in some])
        return writing

    def split(self) -> Split:
        """The outcome in numbers."""
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
        self.do("chosen")
        return self.do(query, **values).rowcount

    def _streamed(self, query: str, **values: Any) -> Iterator[list[Any]]:
        """A query's rows, `at_once` at a time, by a cursor of the server's; one of a query at a time."""
        with self.connection.cursor(query, binary=True) as cursor:
            cursor.execute(named("shares")[query], {"jurisdiction": self.jurisdiction, **values})
            while some := cursor.fetchmany(self.at_once):
                yield some

    def do(self, query: str, **values: Any) -> Cursor:
        """A statement, planned for its values: one prepared for any would not know how many keys there are."""
        known = {"jurisdiction": self.jurisdiction, **values}
        return self.connection.execute(named("shares")[query], known, prepare=False)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return rows(self.connection, named("shares")[query], {"jurisdiction": self.jurisdiction, **values})


@dataclass
class Writing:
    """A batch of shares that is being published. `changed`: how many parcels have other shares than before.

    `is_first`: shares of the jurisdiction were never published, so that nothing is compared.
    """

    desk: Shares
    number: int
    now: datetime
    is_first: bool
    changed: int = 0

    def put(self, batch: Batch) -> None:
        """Make these the shares of some parcels."""
        self.desk.do("unstage")
        with self.desk.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for each in (binary_copy.HEAD, batch.rows, binary_copy.TAIL):
                copy.write(each)
        if self.is_first:
            self.desk.do("insert_all", batch=self.number, now=self.now)
            self.changed += batch.zoned
        else:
            self._replace(batch.keys)

    def end_all(self, keys: Sequence[str]) -> None:
        """End the shares of some parcels."""
        self.desk.do("unstage")
        self._replace(keys)

    def _replace(self, keys: Sequence[str]) -> None:
        """Where the staged shares of some parcels are others than those that stand, they take their place."""
        changed = [key for (key,) in self.desk.do("different", keys=list(keys)).fetchall()]
        if changed:
            for step in ("supersede", "insert"):
                self.desk.do(step, keys=changed, batch=self.number, now=self.now)
        self.changed += len(changed)

    def end(self) -> int:
        """Note what the shares are made of; how many parcels have other shares than before."""
        made_of = {"parcels": self.desk.parcels, "zoning": self.desk.zoning, "changed": self.changed}
        values = {"counts": Jsonb(made_of), "batch": self.number}
        self.desk.connection.execute(named("publish")["close_batch"], values)
        return self.changed


def batch_of(keys: Sequence[str], shares: pd.DataFrame) -> Batch:
    """The shares of some parcels (overlay.COLUMNS), ready for COPY."""
    days = {each: None if pd.isna(each) else str(each) for each in set(shares["effective"])}
    dates = pd.Series([days[each] for each in shares["effective"]], index=shares.index, dtype=object)
    text = shares.assign(effective=dates)
    table = pa.table({name: pa.chunked_array([pa.array(text[name], pa.string())]) for name in _TEXTS})
    numbers = [pa.chunked_array([pa.array(shares[name].astype(float))]) for name in _NUMBERS]
    fields = [binary_copy.texts(table[name]) for name in _TEXTS] + [binary_copy.doubles(column) for column in numbers]
    return Batch(keys, bytes(binary_copy.rows(fields)) if len(shares) else b"", shares["parcel_id"].nunique())


@contextmanager
def opened(url: str, jurisdiction: str, rules: str) -> Iterator[Shares]:
    """A jurisdiction's shares, with its feeds standing still until the block ends; then everything is published.

    Raises:
        DatabaseUnavailable, StoreError: nothing was published.
    """
    with said(url), connect(url) as connection:
        connection.execute(named("shares")["lock"], {"jurisdiction": jurisdiction})
        yield of(connection, jurisdiction, rules)
        hold_records.check(connection, jurisdiction, ())


def of(connection: Connection, jurisdiction: str, rules: str) -> Shares:
    """A jurisdiction's shares, in a transaction that holds its locks."""
    row = connection.execute(named("shares")["newest"], {"jurisdiction": jurisdiction}).fetchone() or (0,) * 5
    return Shares(connection, jurisdiction, rules, row[0], row[1], (row[2], row[3], row[4]))


def codes(connection: Connection, jurisdiction: str) -> dict[str, str | None]:
    """Every local code of a jurisdiction that was ever seen, and its settled spelling or None."""
    return dict(rows(connection, named("shares")["codes"], {"jurisdiction": jurisdiction}))


def rows(connection: Connection, query: bytes, values: Mapping[str, Any]) -> list[Any]:
    """What a query gives, sent in PostgreSQL's binary form, which is faster for shapes."""
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, values).fetchall()


def frame(found: Sequence[tuple[Any, ...]], names: Sequence[str]) -> pd.DataFrame:
    """Rows whose last column is WKB, as columns of these names and `geometry`."""
    columns = list(zip(*found, strict=True)) or [()] * (len(names) + 1)
    table = {name: _objects(column) for name, column in zip(names, columns, strict=False)}
    return pd.DataFrame({**table, "geometry": _objects(shapely.from_wkb(list(columns[-1])))})


def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
