"""Tiles of the map: a county is harvested, changed and harvested again; then `zoning serve` answers for tiles."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import map_tiles, processes
from benchmarks.counties import BOUNDS, READY_S
from benchmarks.processes import ROOT, environment
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

_NAMES = {
    "zoning.zoned_parcel": "lots",
    "zoning.zoned_district": "districts",
    "zoning.change_feature": "changes",
}
_STOP_S = 10.0


def measure(parcels: int, tiles: int, server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Time tiles.

    Args:
        parcels: of the county.
        tiles: of each collection at each zoom level, at most; empty ones do not count.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `figures`: seconds of both harvests; of each collection and zoom level the milliseconds within which 95 of 100
        tiles come, and the median.

    Raises:
        RuntimeError: a command failed.
    """
    folder = home / "bench" / f"tiles-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        with processes.databases(server, {"tiles"}) as urls:
            environ = environment(folder, urls["tiles"])
            harvests = _harvested(folder, environ, parcels, say)
            processes.settle(urls["tiles"])
            say("asking for tiles")
            with _served(environ) as address:
                figures = list(_figures(address, tiles))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"figures": [*harvests, *figures], "faults": [] if figures else ["no tile has a row"]}


def _harvested(folder: Path, environ: dict[str, str], parcels: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    with serving(parcels, wait_most_s=READY_S) as portal:
        (folder / f"{ID}.toml").write_text(county_toml(portal, bounds=BOUNDS, tile_resolution="auto"))
        found = []
        for release in (1, 2):
            switch_release(portal, release, wait_most_s=READY_S)
            seconds = processes.run([str(ROOT / "zoning"), "sync", ID], environ).seconds
            say(f"{parcels:,} parcels, release {release}: harvested in {seconds:.1f} s")
            found.append({"figure": f"harvest of release {release}", "value": round(seconds, 1), "unit": "s"})
        return found


@contextmanager
def _served(environ: dict[str, str]) -> Iterator[str]:
    """`zoning serve`, while the block runs; yields its address."""
    command = [sys.executable, "-m", "zoning_assets.cli", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, cwd=ROOT) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: "subprocess.Popen[bytes]") -> str:
    """The address in the JSON document that `zoning serve` prints when it is ready."""
    text = b""
    for line in process.stdout or ():
        text += line
        if line.rstrip() == b"}":
            return str(json.loads(text)["map"]).rstrip("/")
    message = "`zoning serve` did not start"
    raise RuntimeError(message)


def _figures(address: str, tiles: int) -> Iterator[dict[str, Any]]:
    random.seed(1)
    place = json.loads(map_tiles.fetch(f"{address}/api/jurisdictions")[0])["jurisdictions"][0]
    for collection, levels in map_tiles.LEVELS.items():
        for zoom in levels:
            found = map_tiles.measure(address, collection, place["bounds"], zoom, tiles)
            if found["tiles"]:
                name = f"{_NAMES[collection]}, zoom {zoom}"
                yield {"figure": f"{name}: 95 of 100 tiles", "value": found["p95_ms"], "unit": "ms"}
                yield {"figure": f"{name}: median", "value": found["median_ms"], "unit": "ms"}
