"""Probes: requests and milliseconds for each feed type, and of many counties in one `zoning probe`.

Every feed was harvested before and did not change, so that a probe compares what the portal states with what is stored.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import probed_portals, processes
from benchmarks.processes import ROOT, environment
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

_PARCELS = 400
_TOML = """\
id = "{id}"
name = "Cambridge, {type}"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "{type}"
url = "{url}"
{more}
[portal]
requests_per_minute = 600000
connections = 8
"""
_DOWNLOAD = """\
id = "{id}"
name = "Simulated County"
bounds = [-71.80, 42.15, -71.40, 42.45]
[feeds.parcels]
type = "download"
url = "{portal}/files/Parcels.geojson"
key = "PIN"
on_repeated_key = "dissolve"
[portal]
requests_per_minute = 60000
connections = 8
"""


def measure(counties: int, repeats: int, server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Harvest each feed, then probe.

    Args:
        counties: the number of simulated counties, with two ArcGIS feeds each.
        repeats: how often each command runs; medians count.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.

    Returns:
        `figures`: by feed type requests and milliseconds of the probe; whole command, requests and milliseconds a feed
        of the counties. `faults`: feeds that were taken for changed.

    Raises:
        RuntimeError: a command failed.
    """
    folder = home / "bench" / f"probes-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        with (
            processes.databases(server, {"probes"}) as urls,
            serving(_PARCELS) as portal,
            probed_portals.serving() as others,
        ):
            environ = environment(folder, urls["probes"])
            with _files(folder, _types(portal, others)) as ids:
                say(f"a feed of each of {len(ids)} types: harvesting, then {repeats} probes")
                types = _probed(ids, environ, repeats)
            many = {f"us-xx-county-{number:03d}": county_toml(portal) for number in range(counties)}
            with _files(folder, {id_: text.replace(ID, id_) for id_, text in many.items()}) as ids:
                say(f"{counties} counties: harvesting, then {repeats} probes")
                fleet = _probed(ids, environ, repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"figures": [*_of_types(types), *_of_counties(fleet)], "faults": [*_changed(types), *_changed(fleet)]}


def _types(portal: str, others: Mapping[str, str]) -> dict[str, str]:
    """Jurisdiction files, one for each feed type."""
    arcgis, download = "us-xx-probe-arcgis", "us-xx-probe-download"
    files = {arcgis: county_toml(portal).replace(ID, arcgis)}
    files[download] = _DOWNLOAD.format(id=download, portal=portal)
    for kind, url in others.items():
        id_ = f"us-xx-probe-{kind}"
        files[id_] = _TOML.format(id=id_, type=kind, url=url, more=probed_portals.LAYERS[kind][1])
    return files


@contextmanager
def _files(folder: Path, files: Mapping[str, str]) -> Iterator[list[str]]:
    """The jurisdiction files in the folder, while the block runs; yields the ids."""
    paths = {id_: folder / f"{id_}.toml" for id_ in files}
    for id_, path in paths.items():
        path.write_text(files[id_])
    yield list(paths)
    for path in paths.values():
        path.unlink()


def _probed(ids: list[str], environ: dict[str, str], repeats: int) -> list[dict[str, Any]]:
    """Harvest, then probe; each result has `feeds` and `whole_s`."""
    processes.run([sys.executable, "-m", "zoning_assets.cli", "sync", *ids], environ)
    processes.settle(environ["ZONING_DATABASE_URL"])
    return [_probe(ids, environ) for _ in range(repeats)]


def _probe(ids: list[str], environ: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "zoning_assets.cli", "probe", *ids]
    whole_s = processes.run(command, environ).seconds
    done = subprocess.run([*command, "--json"], env=environ, cwd=ROOT, capture_output=True, check=False)
    return {**json.loads(done.stdout), "whole_s": whole_s}


def _of_types(probes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, feed in enumerate(probes[0]["feeds"]):
        kind = feed["jurisdiction"].removeprefix("us-xx-probe-")
        if feed["feed"] != "parcels":
            continue
        milliseconds = statistics.median(each["feeds"][number]["seconds"] for each in probes) * 1000
        yield {"figure": f"{kind}: requests", "value": feed["requests"], "unit": ""}
        yield {"figure": f"{kind}: a probe", "value": round(milliseconds, 1), "unit": "ms"}


def _of_counties(probes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    feeds = [feed for each in probes for feed in each["feeds"]]
    counties = len({feed["jurisdiction"] for feed in feeds})
    times = sorted(feed["seconds"] * 1000 for feed in feeds)
    name = f"{counties} counties"
    whole_s = statistics.median(each["whole_s"] for each in probes)
    yield {"figure": f"{name}: whole command", "value": round(whole_s, 2), "unit": "s"}
    yield {"figure": f"{name}: a feed, median", "value": round(statistics.median(times), 1), "unit": "ms"}
    yield {"figure": f"{name}: a feed, highest", "value": round(times[-1], 1), "unit": "ms"}
    requests = max(feed["requests"] for feed in feeds)
    yield {"figure": f"{name}, a feed, most: requests", "value": requests, "unit": ""}


def _changed(probes: list[dict[str, Any]]) -> list[str]:
    feeds = [feed for each in probes for feed in each["feeds"]]
    return [f"{each['jurisdiction']} {each['feed']}: {each['why']}" for each in feeds if each["changed"] is not False]
