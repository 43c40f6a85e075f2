"""Each format of `zoning export` beside ogr2ogr, which writes the same columns of the same table: whole commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg

from benchmarks.contestants import ogr2ogr
from benchmarks.processes import Ran, databases, environment, run, settle
from zoning_assets.errors import ZoningError
from zoning_assets.exports.formats import FORMATS
from zoning_assets.storage.postgis import database

ID = "us-xx-bench"
OURS, OGR2OGR = "zoning", "ogr2ogr"
#: Our format -> GDAL's driver and its options.
_DRIVERS = {
    "geoparquet": ("Parquet", ()),
    "geopackage": ("GPKG", ()),
    "flatgeobuf": ("FlatGeobuf", ()),
    "geojson": ("GeoJSON", ("-lco", "RFC7946=YES")),
    "geojsonseq": ("GeoJSONSeq", ()),
    "shapefile": ("ESRI Shapefile", ("-lco", "ENCODING=UTF-8")),
    "pmtiles": ("PMTiles", ("-dsco", "MINZOOM=12", "-dsco", "MAXZOOM=15")),
    "csv": ("CSV", ()),
}
_TOML = f"""\
id = "{ID}"
name = "The benchmark's county"
bounds = [-71.5, 42.1, -69.0, 44.0]
[feeds.parcels]
type = "download"
url = "parcels.zip"
key = "PIN"
"""
#: Octagons of about 400 m2 in rows of 1,000 and in tiles of 25,000.
_PARCELS = """
INSERT INTO zoning.parcel
SELECT %(id)s, 'P' || n, '8a' || lpad(to_hex(n / 25000), 13, '0'), 'R-' || n %% 40, 'R' || n %% 40, 'residential',
    n || ' Main Street', jsonb_build_object('OWNER', 'Person ' || n, 'BUILT', 1900 + n %% 120, 'VALUE', n * 7),
    400 + n %% 100, ST_Multi(ST_Buffer(
        ST_Point(-71.4 + n %% 1000 * 0.0003, 42.2 + n / 1000 * 0.0003, 4326), 0.0001, 2
    )), md5(n::text), 1, now(), now()
FROM generate_series(1, %(parcels)s) n
"""
_SELECTED = """
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, area_m2,
    attributes::text AS attributes, content_hash, first_seen, last_changed, geom
FROM zoning.parcel WHERE jurisdiction = 'us-xx-bench'
"""


@dataclass(frozen=True)
class ExportFigure:
    """The cost of one command; peak_bytes: PSS without PostgreSQL."""

    format: str
    contestant: str
    parcels: int
    rows: int
    seconds: float
    cpu_s: float
    peak_bytes: int
    file_bytes: int


def measure(
    sizes: Sequence[int], formats: Sequence[str], server: str, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Export counties of these sizes.

    Args:
        sizes: numbers of parcels.
        formats: of FORMATS.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `figures` (see ExportFigure), `left_out` (format -> why ogr2ogr cannot write it) and `faults`.

    Raises:
        RuntimeError: a command failed.
    """
    folder = home / "bench" / f"export-{os.getpid()}"
    figures, left_out = list[ExportFigure](), dict[str, str]()
    try:
        for parcels in sizes:
            with databases(server, {"export"}) as urls:
                say(f"{parcels:,} parcels: filling the table")
                url = _filled(urls["export"], parcels)
                for name in formats:
                    figures += _both(name, parcels, url, folder, say, left_out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    faults = [
        f"{each.format}, {each.contestant}: {each.rows:,} of {each.parcels:,} rows"
        for each in figures
        if each.rows != each.parcels
    ]
    return {"figures": [asdict(each) for each in figures], "left_out": left_out, "faults": faults}


def _filled(url: str, parcels: int) -> str:
    working = database.migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_PARCELS, {"id": ID, "parcels": parcels})
        connection.execute(
            "INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started, committed)"
            " VALUES (%s, 'parcels', 'h', 'r', now(), now())",
            [ID],
        )
        connection.execute("VACUUM ANALYZE zoning.parcel")
    settle(url)
    return working


def _both(  # noqa: PLR0913 - what is written, from where, to where
    name: str, parcels: int, url: str, folder: Path, say: Callable[[str], None], left_out: dict[str, str]
) -> list[ExportFigure]:
    figures = [_ours(name, parcels, url, folder)]
    try:
        figures.append(_theirs(name, parcels, url, folder))
    except (ZoningError, LookupError) as error:
        left_out[name] = str(error)
    for each in figures:
        say(f"{each.contestant} {name}, {parcels:,}: {each.seconds:.1f} s, {each.peak_bytes / 1e6:,.0f} MB")
    return figures


def _ours(name: str, parcels: int, url: str, folder: Path) -> ExportFigure:
    target = _fresh(folder)
    (folder / f"{ID}.toml").write_text(_TOML)
    arguments = ["export", ID, "--layer", "parcels", "--format", name, "--to", str(target)]
    ran = run([sys.executable, "-m", "zoning_assets.cli", *arguments], environment(folder, url))
    (sidecar,) = target.glob("*.json")
    rows = int(orjson.loads(sidecar.read_bytes())["rows"])
    return _figure(name, OURS, parcels, rows, ran, target / sidecar.stem)


def _theirs(name: str, parcels: int, url: str, folder: Path) -> ExportFigure:
    driver, options = _DRIVERS[name]
    program, more = ogr2ogr()
    if f" {driver} -" not in _formats(program, tuple(more.items())):
        message = f"this ogr2ogr has no driver {driver}"
        raise LookupError(message)
    target = _fresh(folder)
    file = target / f"parcels{FORMATS[name].suffix.removesuffix('.zip')}"
    source = f"PG:{urlsplit(url)._replace(query='').geturl()}"
    command = [program, "-f", driver, str(file), source, "-sql", _SELECTED, "-nln", "parcels", *options]
    ran = run(command, {**environment(folder, url), **more})
    return _figure(name, OGR2OGR, parcels, _count(program, more, file) if name != "pmtiles" else parcels, ran, target)


def _count(program: str, more: dict[str, str], file: Path) -> int:
    """The rows of a file, as ogrinfo counts them; of Parquet, which Debian's has not, as pyarrow does."""
    reader = str(Path(program).with_name("ogrinfo"))
    told = subprocess.run(
        [reader, "-so", "-al", str(file)], env={**os.environ, **more}, capture_output=True, check=True
    )
    (line,) = (each for each in told.stdout.decode().splitlines() if each.startswith("Feature Count:"))
    return int(line.partition(":")[2])


def _figure(name: str, who: str, parcels: int, rows: int, ran: Ran, written: Path) -> ExportFigure:  # noqa: PLR0913
    files = [written] if written.is_file() else [each for each in written.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    return ExportFigure(name, who, parcels, rows, round(ran.seconds, 1), round(ran.cpu_s, 1), ran.peaks.total, size)


def _fresh(folder: Path) -> Path:
    target = folder / "files"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    return target


@cache
def _formats(program: str, more: tuple[tuple[str, str], ...]) -> str:
    told = subprocess.run([program, "--formats"], env={**os.environ, **dict(more)}, capture_output=True, check=True)
    return told.stdout.decode()
