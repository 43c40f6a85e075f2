"""A county with 128 columns (wide_file.py), as large as the largest: `zoning sync` from its start to its exit.

Attributes that the jurisdiction file does not name are kept in `attributes`, a jsonb that repeats the names of its
columns in each row. PostgreSQL compresses and moves a row above 2 kB (TOAST); the figures state what that costs.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import processes, wide_file
from benchmarks.processes import ROOT, Ran, environment
from zoning_assets.errors import SettingInvalid

ID = "us-xx-wide"
#: Bytes of disk that must be free for each row: about twice what 5,000 rows took in the table (1,837) and in the store
#: and scratch (2,400), as PostgreSQL's log and temporary files come on top.
_BYTES_A_ROW = 12_000
_FILE = "wide.parquet"
_TOML = f"""\
id = "{ID}"
name = "A county with many columns"
bounds = {list(wide_file.BOUNDS)}
tile_resolution = "auto"
[feeds.parcels]
type = "download"
url = "{_FILE}"
key = "BBL"
  [feeds.parcels.fields]
  address = "ADDRESS"
  zoning_code = "CODE000"
"""
_SIZES = """
SELECT pg_database_size(current_database()), pg_total_relation_size('zoning.parcel'), count(*) FROM zoning.parcel
"""
_ROWS = """
SELECT coalesce(avg(octet_length(attributes::text)), 0)::float8, coalesce(avg(pg_column_size(attributes)), 0)::float8
FROM (SELECT attributes FROM zoning.parcel LIMIT 10000) sample
"""


def measure(parcels: int, server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Write the file, harvest it, and harvest it again.

    Args:
        parcels: rows of the file.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `figures`: seconds, CPU, peak memory, sizes; `faults`.

    Raises:
        SettingInvalid: the disk is too small.
        RuntimeError: a command failed.
    """
    folder = home / "bench" / f"wide-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        _check_disk(folder, parcels)
        with processes.databases(server, {"wide"}) as urls:
            say(f"{parcels:,} parcels with {wide_file.COLUMNS} columns: writing the file")
            command = [sys.executable, "-m", "benchmarks.wide_file", "--parcels", str(parcels)]
            subprocess.run([*command, "--to", str(folder / _FILE)], check=True, cwd=ROOT)
            (folder / f"{ID}.toml").write_text(_TOML)
            environ = environment(folder, urls["wide"])
            first = _sync(environ, say, "the first sync")
            again = _sync(environ, say, "nothing changed")
            sizes = {"file": (folder / _FILE).stat().st_size, "home": _used(folder / "home")}
            rows, figures = _sizes(urls["wide"], sizes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    faults = [] if rows == parcels else [f"{rows:,} of {parcels:,} parcels are in the database"]
    return {"figures": [*_costs(parcels, first, again), *figures], "faults": faults}


def _check_disk(folder: Path, parcels: int) -> None:
    free, needed = shutil.disk_usage(folder).free, parcels * _BYTES_A_ROW
    if free < needed:
        what = f"{free / 1e9:.1f} GB are free, and {parcels:,} parcels may need {needed / 1e9:.1f} GB"
        raise SettingInvalid(what, where=str(folder), do="choose fewer with --parcels, or another ZONING_HOME")


def _sync(environ: dict[str, str], say: Callable[[str], None], name: str) -> Ran:
    ran = processes.run([str(ROOT / "zoning"), "sync", ID], environ)
    say(f"{name}: {ran.seconds:,.1f} s, {ran.peaks.total / 1e6:,.0f} MB")
    return ran


def _used(folder: Path) -> int:
    """Bytes on the disk of all files below a folder."""
    return sum(each.stat().st_blocks * 512 for each in folder.rglob("*") if each.is_file() and not each.is_symlink())


def _costs(parcels: int, first: Ran, again: Ran) -> list[dict[str, Any]]:
    found: list[tuple[str, float, str]] = [
        ("parcels", parcels, ""),
        ("columns", wide_file.COLUMNS, ""),
        ("whole command", round(first.seconds, 1), "s"),
        ("speed", round(parcels / first.seconds), "rows/s"),
        ("CPU without PostgreSQL", round(first.cpu_s, 1), "s"),
        ("peak memory", round(first.peaks.total / 1e6), "MB"),
        ("peak memory of the main process", round(first.peaks.main / 1e6), "MB"),
        ("nothing changed: whole command", round(again.seconds, 1), "s"),
    ]
    return [{"figure": name, "value": value, "unit": unit} for name, value, unit in found]


def _sizes(database: str, files: dict[str, int]) -> tuple[int, list[dict[str, Any]]]:
    """The number of parcels, and the figures of the sizes."""
    with psycopg.connect(database) as connection:
        whole, table, rows = connection.execute(_SIZES).fetchone() or (0, 0, 0)
        text, stored = connection.execute(_ROWS).fetchone() or (0.0, 0.0)
    found: list[tuple[str, float, str]] = [
        ("file (GeoParquet)", round(files["file"] / 1e6), "MB"),
        ("object store and scratch", round(files["home"] / 1e6), "MB"),
        ("database", round(whole / 1e6), "MB"),
        ("table parcel with indexes", round(table / 1e6), "MB"),
        ("table parcel, a row", round(table / max(rows, 1)), "bytes"),
        ("attributes of a row as JSON text", round(text), "bytes"),
        ("attributes of a row as stored", round(stored), "bytes"),
    ]
    return rows, [{"figure": name, "value": value, "unit": unit} for name, value, unit in found]
