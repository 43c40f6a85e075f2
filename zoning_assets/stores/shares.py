"""Zoning per parcel in PostGIS: what the shares are to be made of, and the transaction that publishes them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely
from psycopg.types.json import Jsonb

from zoning_assets.stores import copying, holds
from zoning_assets.stores.database import Connection, connect
from zoning_assets.stores.queries import named
from zoning_assets.stores.sessions import said

FEED = "parcel_zoning"
_TEXTS, _NUMBERS = ("parcel_id", "facet", "code", "effective"), ("area_m2", "fraction", "rank", "listed")


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

    @property
    def is_current(self) -> bool:
        """Whether nothing they are made of has changed."""
        return self.made_of == (self.rules, self.parcels, self.zoning)

    def codes(self) -> dict[str, str | None]:
        """Every local code that was ever seen, and how it is spelled here; None where that is not settled yet."""
        return codes(self.connection, self.jurisdiction)

    def spell(self, spellings: Sequence[Mapping[str, str | None]]) -> int:
        """Settle how codes are spelled (`local`, `code`, `zone_type`); how many rows are spelled anew by that."""
        values = {"jurisdiction": self.jurisdiction, "spellings": Jsonb(list(spellings)), "rules": self.rules}
        self.connection.execute(named("shares")["settle"], values)
        steps = ("spell_districts", "spell_parcels")
        return sum(self.connection.execute(named("shares")[step], values).rowcount for step in steps)

    def districts(self) -> pd.DataFrame:
        """The map now: `district_id`, `code`, `code_local`, `effective`, `geometry` (target CRS)."""
        return frame(self._rows("districts"), ("district_id", "code", "code_local", "effective"))

    def changed_ground(self) -> pd.DataFrame | None:
        """The `geometry` (target CRS) of parcels and districts that came, went or changed. None: all, as the rules are
        others."""
        rules, parcels, zoning = self.made_of
        if rules != self.rules:
            return None
        return frame(self._rows("changed_ground", parcels=parcels, zoning=zoning), ())

    def all_parcels(self) -> pd.DataFrame:
        """All parcels: `key`, `geometry` (target CRS)."""
        return frame(self._rows("all_parcels"), ("key",))

    def parcels_on(self, ground: Sequence[bytes], srid: int, keys: Sequence[str] = ()) -> pd.DataFrame:
        """The parcels that touch some ground (WKB), and those of some keys; as `all_parcels`."""
        return frame(self._rows("parcels_on", ground=list(ground), srid=srid, keys=list(keys)), ("key",))

    def best_lots(self) -> dict[str, str]:
        """The parcel that holds most of each district, as it was found last."""
        return dict(self._rows("best_lots"))

    def put_best_lots(self, best: Mapping[str, str]) -> None:
        """Keep it for the next time."""
        values = {"jurisdiction": self.jurisdiction, "districts": list(best), "parcels": list(best.values())}
        self.connection.execute(named("shares")["put_best_lots"], values)

    def publish(self, shares: pd.DataFrame, judged: Sequence[str]) -> int:
        """Make these the shares of the judged parcels, and note what they are made of; how many parcels changed."""
        query, values = named("shares"), {"jurisdiction": self.jurisdiction, "judged": list(judged)}
        self.connection.execute(query["stage"])
        self._copy(shares)
        changed = self.connection.execute(query["different"], values).rowcount
        made_of = {"parcels": self.parcels, "zoning": self.zoning, "changed": changed}
        batch, now = self._open_batch()
        if changed:
            self.connection.execute(query["supersede"], {**values, "batch": batch, "now": now})
            self.connection.execute(query["insert"], {**values, "batch": batch, "now": now})
        closing = {"counts": Jsonb(made_of), "batch": batch}
        self.connection.execute(named("publish")["close_batch"], closing)
        return changed

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
        fields = [copying.texts(table[name]) for name in _TEXTS] + [copying.doubles(column) for column in numbers]
        with self.connection.cursor() as cursor, cursor.copy("COPY stage FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.write(copying.HEAD)
            if len(shares):
                copy.write(copying.rows(fields))
            copy.write(copying.TAIL)
        self.connection.execute("ANALYZE stage")

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
        holds.check(connection, jurisdiction, ())


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
