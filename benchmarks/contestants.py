"""The contestants of `zoning bench sync`: their commands and environments, and how their rows are counted."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import debian_packages
from benchmarks.arcgis_table import EDITED_USE
from benchmarks.processes import ROOT, environment
from benchmarks.variants import ServerVariant

CLASSIC, OGR2OGR, FLOOR, OURS = "classic", "ogr2ogr", "floor", "ours"
ID = "us-xx-bench"
#: Concurrent requests; as many as the floor has.
CONNECTIONS = 4
_UNLIMITED = 60_000
_PEERS = ROOT / ".zoning" / "peers"
_TOML = """\
id = "{id}"
name = "The benchmark's county"
bounds = [-71.5, 42.1, -70.8, 42.8]
target_crs = "EPSG:4326"
tile_resolution = "auto"

[feeds.parcels]
type = "arcgis"
url = "{service}/0"
key = "PIN"
on_null_key = "reject"
on_repeated_key = "dissolve"
full_refresh_days = 30
  [feeds.parcels.fields]
  address = "SITE_ADDR"
  land_use = "USE_CODE"
  zoning_code = "ZONE"

[feeds.zoning]
type = "arcgis"
url = "{service}/1"
  [feeds.zoning.fields]
  code = "ZONE_CODE"
  effective = "EFFECTIVE"

[portal]
requests_per_minute = {pace}
connections = {connections}
"""


@dataclass(frozen=True)
class BenchSetup:
    """The inputs of a contestant.

    Attributes:
        service: the URL of the feature service.
        variant: of the server.
        page: the most rows of a response.
        database: its URL.
        folder: the contestant's own.
    """

    service: str
    variant: ServerVariant
    page: int
    database: str
    folder: Path

    @property
    def layer(self) -> str:
        """The URL of the parcel layer."""
        return f"{self.service}/0"


@dataclass(frozen=True)
class Contestant:
    """A contestant.

    Attributes:
        command: returns the command and its environment.
        count: SQL that counts the parcels at the end.
        edits: SQL that counts the parcels that were edited since the first run; None: it runs once.
    """

    command: Callable[[BenchSetup], tuple[list[str], dict[str, str]]]
    count: str = "SELECT count(*) FROM parcel"
    edits: str | None = None


def _module(name: str) -> Callable[[BenchSetup], tuple[list[str], dict[str, str]]]:
    def command(place: BenchSetup) -> tuple[list[str], dict[str, str]]:
        arguments = [sys.executable, "-m", f"benchmarks.{name}", place.layer, place.database, str(place.page)]
        return arguments, environment(place.folder, place.database)

    return command


def _ogr2ogr(place: BenchSetup) -> tuple[list[str], dict[str, str]]:
    params = {"where": "1=1", "outFields": "*", "orderByFields": "OBJECTID ASC", "resultRecordCount": place.page}
    source = f"ESRIJSON:{place.layer}/query?{urlencode({**params, 'f': 'json'})}"
    program, more = ogr2ogr()
    arguments = [program, "-f", "PostgreSQL", f"PG:{place.database}", source, "-oo", "FEATURE_SERVER_PAGING=YES"]
    options = ["-t_srs", "EPSG:4326", "-nln", "parcel", "-lco", "GEOMETRY_NAME=geom", "--config", "PG_USE_COPY", "YES"]
    return [*arguments, *options], {**environment(place.folder, place.database), **more}


def ogr2ogr() -> tuple[str, dict[str, str]]:
    """The installed program, else that of Debian; and its additional environment.

    Raises:
        ZoningError: neither is available.
    """
    if own := shutil.which("ogr2ogr"):
        return own, {}
    tree = debian_packages.unpacked(_PEERS / "gdal", ["gdal-bin"])
    libraries = sorted({str(path.parent) for path in tree.glob("usr/lib/**/*.so*")})
    folders = {name: tree / "usr/share" / name[:4].lower() for name in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA")}
    found = {name: str(folder) for name, folder in folders.items() if folder.is_dir()}
    return str(tree / "usr/bin/ogr2ogr"), found | ({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})


def _ours(place: BenchSetup) -> tuple[list[str], dict[str, str]]:
    pace = place.variant.requests_per_minute or _UNLIMITED
    text = _TOML.format(id=ID, service=place.service, pace=pace, connections=CONNECTIONS)
    place.folder.mkdir(parents=True, exist_ok=True)
    (place.folder / f"{ID}.toml").write_text(text)
    return [str(ROOT / "zoning"), "sync", ID], environment(place.folder, place.database)


CONTESTANTS: Mapping[str, Contestant] = {
    CLASSIC: Contestant(_module("classic")),
    OGR2OGR: Contestant(_ogr2ogr),
    FLOOR: Contestant(_module("floor")),
    OURS: Contestant(
        _ours,
        "SELECT count(*) FROM zoning.parcel",
        f"SELECT count(*) FROM zoning.parcel WHERE land_use = '{EDITED_USE}'",  # noqa: S608 - a constant
    ),
}
