"""One large county, then small ones into the same database; each is compared with the same county alone in an empty
one.

Whole commands (`zoning sync`) are measured, each with a new home. The large county is synced once, and each variant
works on a copy of that database. In each round all variants and the county alone run one after the other, because the
speed of a shared machine changes within a minute: only times of one round are compared.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.processes import ROOT, environment
from zoning_assets.model import Bounds
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis import database

#: The limit: time of a county beside others, divided by the time of the same county alone.
MOST_RATIO = 1.3
ALONE, AS_IS, NO_AUTOVACUUM, NO_STATISTICS = "alone", "as is", "autovacuum off", "statistics deleted"
_TIMES = ("publish_times", "whole_times", "rows_times")
#: Contains the towns of a county of 1,000,000 lots; west, south, east, north; degrees.
BOUNDS: Bounds = (-72.1, 41.9, -71.1, 42.7)
READY_S = 1800.0
_TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'zoning'::regnamespace AND relkind = 'r'"
_FORGET = (
    "DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'zoning'::regnamespace)",
    "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relnamespace = 'zoning'::regnamespace",
)
#: Seconds of the transactions that published, from the merge on.
_PUBLISHED_S = """
    SELECT coalesce(sum(extract(epoch FROM committed - started)), 0)::float8 FROM zoning.batch WHERE jurisdiction = %s
"""
#: Rows read from tables and indexes since the database was created; independent of the load of the machine.
_READ = "SELECT tup_returned + tup_fetched FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True)
class Bench:
    """The place of the measurement."""

    server: str
    folder: Path
    say: Callable[[str], None]

    def name(self, what: str) -> str:
        """The name of a database of this process."""
        return f"bench_counties_{what.replace(' ', '_')}_{os.getpid()}"

    def url(self, what: str) -> str:
        """The URL of a database, as its owner."""
        return urlsplit(self.server)._replace(path=f"/{self.name(what)}").geturl()

    def drop(self, what: str) -> None:
        """Drop a database if it exists."""
        self._execute("DROP DATABASE IF EXISTS {name} WITH (FORCE)", what)

    def create(self, what: str, of: str | None = None) -> None:
        """Create a database, empty and migrated, or as a copy of another."""
        self.drop(what)
        self._execute("CREATE DATABASE {name} TEMPLATE {of}" if of else "CREATE DATABASE {name}", what, of or what)
        if of is None:
            database.migrate(self.url(what))

    def _execute(self, statement: str, what: str, of: str = "") -> None:
        names = {"name": sql.Identifier(self.name(what)), "of": sql.Identifier(self.name(of))}
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(**names))


def measure(  # noqa: PLR0913 - sizes, place, progress
    first: int, others: int, count: int, server: str, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Time `zoning sync` of small counties beside a large one.

    Args:
        first: parcels of the large county.
        others: parcels of each small county.
        count: the number of small counties.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `first`, `counties` (variant, number; publish_s, whole_s, rows_read; their ratios to the same round's county
        alone: publish_times, whole_times, rows_times) and `ratios`, by variant.

    Raises:
        RuntimeError: a sync failed.
    """
    bench = Bench(server, home / "bench" / f"counties-{os.getpid()}", say)
    bench.folder.mkdir(parents=True)
    variants = [AS_IS, NO_AUTOVACUUM, *([NO_STATISTICS] if _is_superuser(server) else [])]
    try:
        large = _large(bench, first)
        for variant in variants:
            say(f"{variant}: the database is copied")
            bench.create(variant, of="base")
            _prepare(bench.url(variant), variant)
        counties = list(_rounds(bench, variants, others, count))
    finally:
        for what in ("base", ALONE, *variants):
            bench.drop(what)
        shutil.rmtree(bench.folder, ignore_errors=True)
    return {"first": {"parcels": first, **large}, "others": others, "counties": counties, "ratios": _ratios(counties)}


def _large(bench: Bench, parcels: int) -> dict[str, float]:
    bench.say(f"{parcels:,} parcels: building the county")
    bench.create("base")
    with serving(parcels, wait_most_s=READY_S) as portal:
        return _sync(bench, "base", portal, f"{ID}-large")


def _rounds(bench: Bench, variants: list[str], parcels: int, count: int) -> Iterator[dict[str, Any]]:
    with serving(parcels, wait_most_s=READY_S) as portal:
        bench.create(ALONE)
        bench.say(f"{parcels:,} parcels: a first sync, which does not count, fills the cache of the portal")
        _sync(bench, ALONE, portal, f"{ID}-0")
        for number in range(1, count + 1):
            bench.create(ALONE)
            alone = _sync(bench, ALONE, portal, f"{ID}-{number}")
            yield {"variant": ALONE, "number": number, **alone, **_times(alone, alone)}
            for variant in variants:
                found = _sync(bench, variant, portal, f"{ID}-{number}")
                yield {"variant": variant, "number": number, **found, **_times(found, alone)}


def _times(found: dict[str, float], alone: dict[str, float]) -> dict[str, float]:
    return {f"{name.partition('_')[0]}_times": round(found[name] / alone[name], 2) for name in found}


def _sync(bench: Bench, what: str, portal: str, county: str) -> dict[str, float]:
    """Run `zoning sync` in a new home: seconds of the publishing transactions and of the whole command, rows read."""
    before = _read(bench.url(what))
    with _home(bench.folder, portal, county) as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "zoning_assets.cli", "sync", county]
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(folder, bench.url(what)),
            cwd=ROOT,
        )
        whole_s = time.monotonic() - began
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        message = f"`zoning sync {county}` failed with exit status {done.returncode}: {' / '.join(last)}"
        raise RuntimeError(message)
    with psycopg.connect(bench.url(what)) as connection:
        (publish_s,) = connection.execute(_PUBLISHED_S, [county]).fetchone() or (0.0,)
    read = _read(bench.url(what)) - before
    bench.say(f"{what}: {county} published in {publish_s:.1f} s, whole sync {whole_s:.1f} s, {read:,} rows read")
    return {"publish_s": round(publish_s, 2), "whole_s": round(whole_s, 2), "rows_read": read}


def _read(url: str) -> int:
    with psycopg.connect(url) as connection:
        (rows,) = connection.execute(_READ).fetchone() or (0,)
    return int(rows)


@contextmanager
def _home(folder: Path, portal: str, county: str) -> Iterator[Path]:
    """A folder with only the county's file; deleted afterwards."""
    home = folder / county
    home.mkdir()
    text = county_toml(portal, bounds=BOUNDS, tile_resolution="auto")
    (home / f"{county}.toml").write_text(text.replace(f'id = "{ID}"', f'id = "{county}"'))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _is_superuser(server: str) -> bool:
    with psycopg.connect(server) as connection:
        return connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,)


def _prepare(url: str, variant: str) -> None:
    """Change a copied database to a variant."""
    if variant == AS_IS:
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for (table,) in connection.execute(_TABLES).fetchall():
            connection.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(sql.SQL(table)))
        for statement in _FORGET if variant == NO_STATISTICS else ():
            connection.execute(statement)


def _ratios(counties: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The medians of the ratios, and the highest one of whole commands, by variant."""
    found = []
    for variant in dict.fromkeys(each["variant"] for each in counties if each["variant"] != ALONE):
        mine = [each for each in counties if each["variant"] == variant]
        medians = {name: statistics.median(each[name] for each in mine) for name in _TIMES}
        most = max(each["whole_times"] for each in mine)
        found.append({"variant": variant, **medians, "whole_most": most, "kept": most <= MOST_RATIO})
    return found
