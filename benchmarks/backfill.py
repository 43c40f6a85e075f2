"""A backfill of many tiles by `zoning sync`, and the same work without Dagster (pipeline_only.py) as control.

Both are whole commands with a new home, a new database and a new portal. Dagster's share is the difference of their
seconds, divided by the seconds of the whole command: imports, definitions, runs, steps, events and metadata.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import processes
from benchmarks.arcgis_process import serving
from benchmarks.contestants import CONTESTANTS, ID, OURS, BenchSetup
from benchmarks.variants import VARIANTS

_PAGE, _VARIANT = 2000, "tracked"
_WITH, _WITHOUT = "zoning sync", "without Dagster"
_COUNTS = "SELECT count(*), count(DISTINCT tile) FROM zoning.parcel"
_EVENTS = "SELECT count(*) FROM zoning_dagster.event_logs"


def measure(
    parcels: int, resolution: int | None, server: str, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run both.

    Args:
        parcels: of the county; lots of about 25 m x 34 m side by side.
        resolution: the H3 resolution of the tiles; None: "auto", as jurisdiction files have it.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `figures`: tiles, parcels, seconds and CPU of both, Dagster's share in percent, its events; `faults`.

    Raises:
        RuntimeError: a command failed.
    """
    folder = home / "bench" / f"backfill-{os.getpid()}"
    ran, counts, events = {}, {}, 0
    for name in (_WITHOUT, _WITH):
        try:
            with processes.databases(server, {"backfill"}) as urls, serving(parcels, _PAGE, _VARIANT) as portal:
                place = BenchSetup(portal.service, VARIANTS[_VARIANT], _PAGE, urls["backfill"], folder)
                command, environ = _prepared(place, resolution, name)
                ran[name] = processes.run(command, environ)
                counts[name] = _row(place.database, _COUNTS)
                events = _row(place.database, _EVENTS)[0] if name == _WITH else events
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        say(f"{name}: {counts[name][1]:,} tiles, {ran[name].seconds:.1f} s, {ran[name].cpu_s:.1f} s of CPU")
    faults = [] if counts[_WITH] == counts[_WITHOUT] else [f"the tables differ: parcels and tiles {counts}"]
    return {"figures": _figures(ran, counts[_WITH], events), "faults": faults}


def _prepared(place: BenchSetup, resolution: int | None, name: str) -> tuple[list[str], dict[str, str]]:
    command, environ = CONTESTANTS[OURS].command(place)
    if resolution is not None:
        path = place.folder / f"{ID}.toml"
        path.write_text(path.read_text().replace('tile_resolution = "auto"', f"tile_resolution = {resolution}"))
    return command if name == _WITH else [sys.executable, "-m", "benchmarks.pipeline_only", ID], environ


def _figures(ran: dict[str, processes.Ran], counts: tuple[int, ...], events: int) -> list[dict[str, Any]]:
    whole, control = ran[_WITH], ran[_WITHOUT]
    share, cpu = (1 - control.seconds / whole.seconds) * 100, (1 - control.cpu_s / whole.cpu_s) * 100
    found: list[tuple[str, float, str]] = [
        ("parcels", counts[0], ""),
        ("tiles", counts[1], ""),
        *((f"{name}: whole command", round(each.seconds, 2), "s") for name, each in ran.items()),
        *((f"{name}: CPU without PostgreSQL", round(each.cpu_s, 2), "s") for name, each in ran.items()),
        *((f"{name}: peak memory", round(each.peaks.total / 1e6, 1), "MB") for name, each in ran.items()),
        ("Dagster's share", round(share, 1), "%"),
        ("Dagster's share of the CPU", round(cpu, 1), "%"),
        ("Dagster's events", events, ""),
        ("Dagster's events a tile", round(events / counts[1], 1), ""),
        ("Dagster's seconds a tile", round((whole.seconds - control.seconds) / counts[1], 4), "s"),
    ]
    return [{"figure": name, "value": value, "unit": unit} for name, value, unit in found]


def _row(database: str, query: str) -> tuple[int, ...]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchone() or (0, 0)
