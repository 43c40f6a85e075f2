"""Zoning per parcel in PostGIS: what the shares are to be made of, and the transaction that publishes them.

Parcels are read, and their shares are written, a bounded number at a time: memory does not grow with a jurisdiction.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
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
Cursor = psycopg.Cursor[tuple[Any, ...]]


@dataclass(frozen=True)
class Split:
    """How many parcels have a code, several listed ones, and none; and where the parcel layer says another code."""

    zoned: int
    split: int
    unzoned: int
    disagreements: Sequence[tuple[str | None, str | None, int, list[str]]]


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
        self._do("settle", spellings=Jsonb(list(spellings)), rules=self.rules)
        return sum(self._do(step).rowcount for step in ("spell_districts", "spell_parcels"))

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
        return self._do("choose_keys", keys=list(keys)).rowcount

    def chosen(self) -> Iterator[pd.DataFrame]:
        """The parcels that are judged, `at_once` at a time: `key`, `geometry` (target CRS)."""
        return self._parcels("chosen_parcels")

    def parcels_in(self, districts: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The parcels that touch some districts (ids), once for each; as `chosen`."""
        return self._parcels("parcels_in", districts=list(districts))

    def best_lots(self) -> dict[str, str]:
        """The parcel that holds most of each district, as it was found last."""
        return dict(self._rows("best_lots"))

    def put_best_lots(self, best: Mapping[str, str]) -> None:
        """Keep it for the next time."""
        self._do("put_best_lots", districts=list(best), parcels=list(best.values()))

    def publish(self, found: Iterable[tuple[Sequence[str], pd.DataFrame]], *, no_map: bool) -> int:
        """Make the found shares those of the parcels that were judged, and note what they are made of.

        Args:
            found: keys of judged parcels, `at_once` at most, and their shares.
            no_map: there are no districts: no parcel has a share.

        Returns:
            How many parcels have other shares than before.
        """
        batch, now = self._open_batch()
        self._do("stage")
        self._do("stage_key")
        gone = ((keys, None) for keys in self._keys("gone", no_map=no_map))
        changed = sum(self._replace(keys, shares, batch, now) for keys, shares in chain(gone, found))
        made_of = {"parcels": self.parcels, "zoning": self.zoning, "changed": changed}
        self.connection.execute(named("publish")["close_batch"], {"counts": Jsonb(made_of), "batch": batch})
        return changed

    def _replace(self, keys: Sequence[str], shares: pd.DataFrame | None, batch: int, now: datetime) -> int:
        """Make these the shares of some parcels (None: they have none); of how many parcels they were others."""
        self._do("unstage")
        if shares is not None:
            self._copy(shares)
        changed = [key for (key,) in self._do("different", keys=list(keys)).fetchall()]
        if changed:
            for step in ("supersede", "insert"):
                self._do(step, keys=changed, batch=batch, now=now)
        return len(changed)

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

    def _copy(self, shares: pd.DataFrame) -> None:
        dates = [None if pd.isna(each) else str(each) for each in shares["effective"]]
        text = shares.assign(effective=pd.Series(dates, index=shares.index, dtype=object))
        table = pa.table({name: pa.chunked_array([pa.array(text[name], pa.string())]) for name in _TEXTS})
        numbers = [pa.chunked_array([pa.array(shares[name].astype(float))]) for name in _NUMBERS]
        fields = [binary_copy.texts(table[name]) for name in _TEXTS] + [
            binary_copy.doubles(column) for column in numbers
        ]
        with self.connection.cursor() as cursor, cursor.copy("COPY stage FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.write(binary_copy.HEAD)
            if len(shares):
                copy.write(binary_copy.rows(fields))
            copy.write(binary_copy.TAIL)

    def _choose(self, query: str, **values: Any) -> int:
        self._do("chosen")
        return self._do(query, **values).rowcount

    def _parcels(self, query: str, **values: Any) -> Iterator[pd.DataFrame]:
        return (frame(some, ("key",)) for some in self._streamed(query, **values))

    def _keys(self, query: str, **values: Any) -> Iterator[list[str]]:
        return ([key for (key,) in some] for some in self._streamed(query, **values))

    def _streamed(self, query: str, **values: Any) -> Iterator[list[Any]]:
        """A query's rows, `at_once` at a time, by a cursor of the server's; one of a query at a time."""
        with self.connection.cursor(query, binary=True) as cursor:
            cursor.execute(named("shares")[query], {"jurisdiction": self.jurisdiction, **values})
            while some := cursor.fetchmany(self.at_once):
                yield some

    def _do(self, query: str, **values: Any) -> Cursor:
        """A statement, planned for its values: one prepared for any would not know how many keys there are."""
        known = {"jurisdiction": self.jurisdiction, **values}
        return self.connection.execute(named("shares")[query], known, prepare=False)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return rows(self.connection, named("shares")[query], {"jurisdiction": self.jurisdiction, **values})


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
