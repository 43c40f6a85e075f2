"""Peak memory of whole commands at two sizes of a county: `zoning sync` and later commands, for two feed types.

Each command is a process of its own, from its start to its exit, with a new home and a new database. The simulated
portal and PostgreSQL are other processes, whose memory does not count.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, databases, environment, run
from zoning_assets.model import Bounds
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

FEED_TYPES = ("download", "arcgis")
#: The limits: the peak at the large size divided by that at the small one, and bytes.
MOST_RATIO, MOST_BYTES = 1.25, 900e6
#: Contains the towns of a county of 1,000,000 lots; west, south, east, north; degrees.
_BOUNDS: Bounds = (-72.1, 41.9, -71.1, 42.7)
_READY_S = 1800.0
_FILE = "county.gpkg"
_DOWNLOAD = """\
id = "{id}"
name = "Simulated County"
bounds = {bounds}
target_crs = "EPSG:4326"
tile_resolution = "auto"

[feeds.parcels]
type = "download"
url = "{file}"
layer = "Parcels"
key = "PIN"
on_null_key = "reject"
on_repeated_key = "dissolve"
  [feeds.parcels.fields]
  address = "SITE_ADDR"
  land_use = "USE_CODE"
  zoning_code = "ZONE"

[feeds.zoning]
type = "download"
url = "{file}"
layer = "Zoning"
  [feeds.zoning.fields]
  code = "ZONE_CODE"
  effective = "EFFECTIVE"
"""
#: Name -> the arguments; "" is replaced by the time before the second release, in which little changed.
FIRST: Mapping[str, Sequence[str]] = {"sync": ("sync", ID)}
ALL: Mapping[str, Sequence[str]] = {
    **FIRST,
    "sync, little changed": ("sync", ID),
    "replay": ("replay", ID),
    "verify": ("verify",),
    "rollback": ("rollback", ID, "--to", "", "--reason", "a measurement", "--yes"),
}
_CHANGED = "sync, little changed"


@dataclass(frozen=True)
class Figure:
    """The peak PSS of one command, in bytes."""

    feed_type: str
    parcels: int
    command: str
    main: int
    workers: int
    total: int
    seconds: float


def measure(  # noqa: PLR0913 - sizes, commands, feed types, place, progress
    sizes: tuple[int, int],
    server: str,
    home: Path,
    say: Callable[[str], None],
    *,
    feed_types: Sequence[str] = FEED_TYPES,
    commands: Mapping[str, Sequence[str]] = FIRST,
) -> dict[str, Any]:
    """Run the commands at both sizes.

    Args:
        sizes: parcels of the small and of the large county.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.
        feed_types: of FEED_TYPES.
        commands: FIRST or ALL.

    Raises:
        RuntimeError: a command failed.
    """
    figures = [
        figure
        for feed_type in feed_types
        for parcels in sizes
        for figure in _figures(feed_type, parcels, server, home / "bench" / str(os.getpid()), say, commands)
    ]
    return document(figures, sizes)


def document(figures: Sequence[Figure], sizes: tuple[int, int]) -> dict[str, Any]:
    """The figures, and the ratio of each command's peaks at the large and at the small size."""
    return {"sizes": sizes, "figures": [asdict(each) for each in figures], "growth": _growth(figures, sizes)}


def _growth(figures: Sequence[Figure], sizes: tuple[int, int]) -> list[dict[str, Any]]:
    peaks = {(each.feed_type, each.command, each.parcels): each.total for each in figures}
    pairs = dict.fromkeys((each.feed_type, each.command) for each in figures)
    return [_compared(pair, *(peaks[*pair, size] for size in sizes)) for pair in pairs]


def _compared(pair: tuple[str, str], small: int, large: int) -> dict[str, Any]:
    ratio = large / small
    kept = ratio <= MOST_RATIO and large < MOST_BYTES
    return {"feed_type": pair[0], "command": pair[1], "peak": large, "ratio": round(ratio, 3), "kept": kept}


def _figures(  # noqa: PLR0913 - see measure
    feed_type: str,
    parcels: int,
    server: str,
    folder: Path,
    say: Callable[[str], None],
    commands: Mapping[str, Sequence[str]],
) -> Iterator[Figure]:
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{feed_type}, {parcels:,} parcels: building the county")
    try:
        with databases(server, {"memory"}) as urls, _COUNTIES[feed_type](parcels, folder) as release:
            changed = ""
            for name, arguments in commands.items():
                if name == _CHANGED:
                    changed = datetime.now(UTC).isoformat()
                    release(2)
                full = [argument or changed for argument in arguments]
                yield _figure(feed_type, parcels, name, full, environment(folder, urls["memory"]), say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _figure(  # noqa: PLR0913 - what is run, and on what
    feed_type: str,
    parcels: int,
    name: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> Figure:
    ran = run([sys.executable, "-m", "zoning_assets.cli", *arguments], environ)
    peaks, seconds = ran.peaks, round(ran.seconds, 1)
    say(f"{feed_type}, {parcels:,} parcels, {name}: {peaks.total / 1e6:,.0f} MB, {seconds:,} s")
    return Figure(feed_type, parcels, name, peaks.main, peaks.workers, peaks.total, seconds)


@contextmanager
def _file_county(parcels: int, folder: Path) -> Iterator[Callable[[int], None]]:
    """A GeoPackage beside the jurisdiction file; yields a function that writes another release of it."""
    path = folder / _FILE

    def release(number: int) -> None:
        arguments = ["--parcels", str(parcels), "--release", str(number), "--to", str(path)]
        subprocess.run([sys.executable, "-m", "benchmarks.county_file", *arguments], check=True, cwd=ROOT)

    release(1)
    (folder / f"{ID}.toml").write_text(_DOWNLOAD.format(id=ID, bounds=list(_BOUNDS), file=_FILE))
    yield release


@contextmanager
def _portal_county(parcels: int, folder: Path) -> Iterator[Callable[[int], None]]:
    """A simulated ArcGIS portal; yields a function that switches its release."""
    with serving(parcels, wait_most_s=_READY_S) as portal:
        (folder / f"{ID}.toml").write_text(county_toml(portal, bounds=_BOUNDS, tile_resolution="auto"))
        yield lambda number: switch_release(portal, number, wait_most_s=_READY_S)


_COUNTIES = {"download": _file_county, "arcgis": _portal_county}
