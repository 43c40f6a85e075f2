"""One published county again and again under new ids into a new database: seconds and bytes as the tables grow.

    python -m benchmarks.database_growth HOME 20 --together 4

HOME is a ZONING_HOME in which `zoning demo` has run and `zoning db up` runs. Each county is published through the
pipeline's own transaction (COPY and merge), tile by tile, in a process of its own; `--together` counties at a time.
After every fifth of the counties a release in which one parcel in a hundred changed is published for one of them.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa

from zoning_assets import local_postgres
from zoning_assets.model import PARCELS, VALIDATED, Place
from zoning_assets.storage.object_store.geoparquet_tables import StageTable
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import database
from zoning_assets.storage.postgis.publish import Edition, publish

_NAME = "bench_growth"
_SIZES = """
    SELECT relname, pg_relation_size(oid), pg_indexes_size(oid) FROM pg_class
    WHERE relnamespace = 'zoning'::regnamespace AND relkind = 'r' AND relname IN ('parcel', 'parcel_version')
"""
_CHANGED_OF = 100


@dataclass(frozen=True)
class Source:
    """The validated tables of a county: where they are, and of which tiles."""

    store: str
    tables: tuple[StageTable, ...]

    def parts(self, table: StageTable, *, is_changed: bool) -> Iterator[pa.Table]:
        """The parts of a table; changed: one row in a hundred has another hash."""
        for part in table.parts(Objects(self.store)):
            yield _changed(part) if is_changed else part


def _changed(part: pa.Table) -> pa.Table:
    place = part.schema.get_field_index("content_hash")
    hashes = part.column(place).to_pylist()
    hashes = [f"{each[:-1]}_" if not number % _CHANGED_OF else each for number, each in enumerate(hashes)]
    return part.set_column(place, part.schema.field(place), pa.array(hashes, part.schema.field(place).type))


def source(home: Path) -> Source:
    """The newest validated tables of the only county in a home."""
    found: dict[str, tuple[float, StageTable]] = {}
    for summary in sorted((home / "store" / "validated").glob(f"*/{PARCELS}/*/*/table.json")):
        jurisdiction, _, tile, name = summary.parent.parts[-4:]
        harvest, _, rules = name.rpartition("-")
        table = StageTable(VALIDATED, jurisdiction, PARCELS, tile, harvest, rules)
        found[tile] = max(found.get(tile, (0.0, table)), (summary.stat().st_mtime, table), key=lambda each: each[0])
    return Source(str(home / "store"), tuple(table for _, table in found.values()))


def published(url: str, given: Source, number: int, *, is_changed: bool = False) -> tuple[float, int]:
    """Publish all tiles as another county; return the seconds and the number of rows that were added or changed."""
    began, rows = time.monotonic(), 0
    tiles = [str(table.tile) for table in given.tables]
    for table in given.tables:
        place = Place(f"us-xx-{number}", table.tile)
        harvest = f"{table.harvest}-2" if is_changed else table.harvest
        edition = Edition(place, PARCELS, harvest, table.rules, tiles)
        done = publish(url, edition, given.parts(table, is_changed=is_changed), ())
        rows += done.added + done.changed
    return time.monotonic() - began, rows


def measure(url: str, given: Source, counties: int, together: int) -> Iterator[dict[str, object]]:
    """Publish all counties, some at a time; yield the seconds of each group, of a later release, and the sizes."""
    fork = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(together, mp_context=fork) as pool:
        list(pool.map(time.sleep, [0.1] * together))  # the processes have started
        for first in range(0, counties, together):
            began = time.monotonic()
            done = list(pool.map(partial(published, url, given), range(first, min(first + together, counties))))
            row: dict[str, object] = {
                "counties": first + len(done),
                "wall_s": round(time.monotonic() - began, 2),
                "county_s": [round(seconds, 2) for seconds, _ in done],
                "rows": sum(rows for _, rows in done),
            }
            if not (first + len(done)) % max(counties // 5, 1):
                seconds, changed = published(url, given, first, is_changed=True)
                row |= {"merge_s": round(seconds, 2), "changed": changed, "bytes": _sizes(url)}
            yield row


def _sizes(url: str) -> dict[str, list[int]]:
    with psycopg.connect(url) as connection:
        return {name: [heap, indexes] for name, heap, indexes in connection.execute(_SIZES)}


def main() -> None:
    """Print one line of JSON for each group of counties."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("home", type=Path)
    words.add_argument("counties", type=int)
    words.add_argument("--together", type=int, default=1)
    words.add_argument("--keep", action="store_true", help="keep the database")
    asked = words.parse_args()
    server = local_postgres.ensure(asked.home, {})
    url = urlsplit(server)._replace(path=f"/{_NAME}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {_NAME} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {_NAME}".encode())
        try:
            for row in measure(database.migrate(url), source(asked.home.absolute()), asked.counties, asked.together):
                print(json.dumps(row), flush=True)
        finally:
            if not asked.keep:
                connection.execute(f"DROP DATABASE {_NAME} WITH (FORCE)".encode())


if __name__ == "__main__":
    main()
