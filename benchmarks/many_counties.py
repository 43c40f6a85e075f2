"""Counties 1 to N in one database, beside a large one: whole commands (`zoning sync`) in one home, one after the other.

A county must not take longer because others were harvested before it: neither in the tables nor in Dagster's storage.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from benchmarks import processes
from benchmarks.counties import BOUNDS, READY_S, Bench
from benchmarks.processes import ROOT, environment
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

_SHOWN = (1, 2, 10, 25, 50)
#: The first counties fill caches and compile; the ratio compares so many counties at both ends, from the second on.
_GROUP = 5
_ALL = "all"
_READ = "SELECT tup_returned + tup_fetched FROM pg_stat_database WHERE datname = current_database()"
_SIZE = "SELECT pg_database_size(current_database())"


def measure(  # noqa: PLR0913 - sizes, place, progress
    first: int, others: int, count: int, server: str, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Time `zoning sync` of each county.

    Args:
        first: parcels of the large county, which is harvested first.
        others: parcels of each small county.
        count: the number of small counties.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `counties` (number, seconds, rows_read) and `figures`.

    Raises:
        RuntimeError: a sync failed.
    """
    bench = Bench(server, home / "bench" / f"many-counties-{time.time_ns()}", say)
    bench.folder.mkdir(parents=True)
    try:
        bench.create(_ALL)
        with serving(first, wait_most_s=READY_S) as portal:
            large_s, _ = _sync(bench, portal, f"{ID}-large")
        with serving(others, wait_most_s=READY_S) as portal:
            counties = [_county(bench, portal, number, count) for number in range(1, count + 1)]
        size = _number(bench, _SIZE)
    finally:
        bench.drop(_ALL)
        shutil.rmtree(bench.folder, ignore_errors=True)
    return {"counties": counties, "figures": _figures(counties, large_s, size), "faults": []}


def _county(bench: Bench, portal: str, number: int, count: int) -> dict[str, Any]:
    seconds, read = _sync(bench, portal, f"{ID}-{number:02d}")
    bench.say(f"county {number} of {count}: {seconds:.2f} s, {read:,} rows read")
    return {"number": number, "seconds": round(seconds, 3), "rows_read": read}


def _sync(bench: Bench, portal: str, county: str) -> tuple[float, int]:
    """Seconds of the whole command, and rows that the database read."""
    text = county_toml(portal, bounds=BOUNDS, tile_resolution="auto")
    (bench.folder / f"{county}.toml").write_text(text.replace(f'id = "{ID}"', f'id = "{county}"'))
    processes.settle(bench.url(_ALL))
    before = _number(bench, _READ)
    ran = processes.run([str(ROOT / "zoning"), "sync", county], environment(bench.folder, bench.url(_ALL)))
    return ran.seconds, _number(bench, _READ) - before


def _number(bench: Bench, query: str) -> int:
    with psycopg.connect(bench.url(_ALL)) as connection:
        (number,) = connection.execute(query).fetchone() or (0,)
    return int(number)


def _figures(counties: Sequence[dict[str, Any]], large_s: float, size: int) -> list[dict[str, Any]]:
    found: list[tuple[str, float, str]] = [("the large county", round(large_s, 2), "s")]
    found += [(f"county {each['number']}", each["seconds"], "s") for each in counties if each["number"] in _SHOWN]
    if len(counties) > 2 * _GROUP:
        numbers, seconds = zip(*((each["number"], each["seconds"]) for each in counties[1:]), strict=True)
        slope = float(np.polyfit(numbers, seconds, 1)[0])
        found += [
            ("slope from the second county on, seconds for each county before", round(slope, 4), "s"),
            ("the last five, times the first five", _times(counties, "seconds"), ""),
            ("rows read, the last five, times the first five", _times(counties, "rows_read"), ""),
        ]
    found.append(("database", round(size / 1e6), "MB"))
    return [{"figure": name, "value": value, "unit": unit} for name, value, unit in found]


def _times(counties: Sequence[dict[str, Any]], what: str) -> float:
    """The median of the last counties, divided by that of the first ones; the very first does not count."""
    values = [each[what] for each in counties[1:]]
    return round(statistics.median(values[-_GROUP:]) / statistics.median(values[:_GROUP]), 3)
