"""Fixed costs: commands that have little to do, beside `python -c "import dagster"`.

The county was harvested before and did not change. In each repetition all commands run once, one after the other.
"""

import os
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.arcgis_process import serving
from benchmarks.contestants import CONTESTANTS, ID, OURS, BenchSetup
from benchmarks.processes import ROOT
from benchmarks.variants import VARIANTS

IMPORT = "import dagster"
_PAGE, _VARIANT = 2000, "tracked"
_ZONING = str(ROOT / "zoning")
_COMMANDS = {
    IMPORT: [sys.executable, "-c", "import dagster"],
    "--help": [_ZONING, "--help"],
    "status": [_ZONING, "status"],
    "changes": [_ZONING, "changes"],
    "sync, nothing changed": [_ZONING, "sync", ID],
}


def measure(parcels: int, repeats: int, server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Time each command.

    Args:
        parcels: of the county.
        repeats: how often each command runs.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `figures`: median seconds of each command, its peak memory, and its median divided by that of the import.

    Raises:
        RuntimeError: a command failed.
    """
    folder = home / "bench" / f"startup-{os.getpid()}"
    try:
        with processes.databases(server, {"startup"}) as urls, serving(parcels, _PAGE, _VARIANT) as portal:
            place = BenchSetup(portal.service, VARIANTS[_VARIANT], _PAGE, urls["startup"], folder)
            command, environ = CONTESTANTS[OURS].command(place)
            say(f"{parcels:,} parcels: the first harvest, which does not count")
            processes.run(command, environ)
            processes.settle(place.database)
            ran: dict[str, list[processes.Ran]] = {name: [] for name in _COMMANDS}
            for number in range(repeats):
                for name, words in _COMMANDS.items():
                    ran[name].append(processes.run(words, environ))
                say(f"{number + 1} of {repeats}: " + ", ".join(f"{n} {r[-1].seconds:.2f} s" for n, r in ran.items()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"parcels": parcels, "repeats": repeats, "figures": _figures(ran), "faults": []}


def _figures(ran: dict[str, list[processes.Ran]]) -> list[dict[str, Any]]:
    seconds = {name: statistics.median(each.seconds for each in runs) for name, runs in ran.items()}
    rows = [{"figure": name, "value": round(value, 3), "unit": "s"} for name, value in seconds.items()]
    rows += [
        {"figure": f"{name}: times import dagster", "value": round(value / seconds[IMPORT], 2), "unit": ""}
        for name, value in seconds.items()
        if name != IMPORT
    ]
    peaks = {name: max(each.peaks.total for each in runs) for name, runs in ran.items()}
    return rows + [{"figure": f"{n}: peak memory", "value": round(p / 1e6, 1), "unit": "MB"} for n, p in peaks.items()]
