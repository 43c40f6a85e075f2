"""N synthetic parcels through the ArcGIS protocol: ours beside two yardsticks, in one run on one machine.

The portal is a process of its own, and it is made to answer everything once before the first clock starts. Each
contestant is a process of its own with a fresh database on the same server. Portal and PostgreSQL share the machine
with the contestant, and are not counted in its memory.
"""

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
from psycopg import sql

from benchmarks.contestant import Task
from benchmarks.memory import Peak
from zoning_assets import jurisdictions
from zoning_assets.feeds import FEED_TYPES
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.pipeline import RAW, Pipeline
from zoning_assets.pool import Pool
from zoning_assets.simulation.county import ID, county_toml
from zoning_assets.simulation.process import serving
from zoning_assets.stores.objects import Objects

ROOT = Path(__file__).parents[1]
_PAGE = 2000
_LAYER = "arcgis/rest/services/County/FeatureServer/0"
_OURS, _AGAIN = "ours", "ours, nothing changed"
#: Name -> its module, and whose database and folder it works in.
CONTESTANTS = {
    "classic": ("classic", "classic"),
    "floor": ("floor", "floor"),
    _OURS: ("ours", "ours"),
    _AGAIN: ("ours", "ours"),
}


def measure(  # noqa: PLR0913 - how much, where, who, and how often
    parcels: int,
    server: str,
    home: Path,
    say: Callable[[str], None],
    only: tuple[str, ...] = tuple(CONTESTANTS),
    rounds: int = 1,
) -> dict[str, Any]:
    """Let the contestants do the same work one after the other.

    In each round all of them: machines that others share are faster and slower within a minute.

    Args:
        parcels: how many there are.
        server: URL of a PostGIS whose user may create databases.
        home: where files may lie meanwhile.
        say: told what is going on.
        only: which contestants.
        rounds: how often; of each contestant the round of median time is told, and the seconds of all.
    """
    say(f"{parcels:,} parcels: the portal draws them")
    with serving(parcels) as portal:
        say("the portal answers everything once")
        warm(portal)
        heats = [_round(server, home / "bench" / str(os.getpid()), portal, say, only) for _ in range(rounds)]
    return _document(parcels, [_median(each) for each in zip(*heats, strict=True)])


def _round(
    server: str, folder: Path, portal: str, say: Callable[[str], None], only: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Each contestant once, in a fresh database."""
    found = []
    with databases(server, {CONTESTANTS[name][1] for name in only}) as urls:
        try:
            for name in only:
                module, whose = CONTESTANTS[name]
                say(f"{name} ...")
                heat = _heat(module, f"{portal}/{_LAYER}", urls[whose], folder / whose, portal)
                found.append({"contestant": name, **heat})
                say(f"{name}: {found[-1]['seconds']:.1f} s")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _median(heats: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One contestant's round of median time (of an even number the faster one), and the seconds of all."""
    ordered = sorted(heats, key=lambda heat: heat["seconds"])
    failed = {where: why for heat in heats for where, why in heat.get("failed", {}).items()}
    told = {**ordered[(len(ordered) - 1) // 2], "rounds_s": [round(heat["seconds"], 2) for heat in heats]}
    return {**told, "failed": failed} if "failed" in told else told


def warm(portal: str) -> None:
    """Everything that a contestant asks for, once: what the portal makes when it is first asked, is made."""
    address = urlsplit(f"{portal}/{_LAYER}")
    connection = http.client.HTTPConnection(address.netloc, timeout=600)

    def ask(**params: str) -> bytes:
        query = urlencode({"f": "json", "where": "1=1", **params})
        connection.request("GET", f"{address.path}/query?{query}", headers={"Accept-Encoding": "gzip"})
        return connection.getresponse().read()

    count = json.loads(ask(returnCountOnly="true"))["count"]
    for offset in range(0, count, _PAGE):
        ask(outFields="*", orderByFields="OBJECTID ASC", resultOffset=str(offset), resultRecordCount=str(_PAGE))
    connection.close()
    with tempfile.TemporaryDirectory(prefix="zoning-bench-") as folder:
        asyncio.run(_by_tiles(portal, Path(folder)))


async def _by_tiles(portal: str, folder: Path) -> None:
    """What ours asks for: the tiles, and the pages of each."""
    file = folder / f"{ID}.toml"
    file.write_text(county_toml(portal, tile_resolution="auto"))
    county = jurisdictions.read(file, FEED_TYPES)
    done: list[Outcome] = []
    with Pool() as pool:
        pipeline = Pipeline(Objects(str(folder / "store")), "", folder / "scratch", pool)
        places = [Place(county.id, tile) for tile in (await pipeline.harvest(county)).tiles]
        await pipeline.run({county.id: county}, places, PARCELS, [RAW], done.append)
    if errors := [str(each.error) for each in done if each.error]:
        raise RuntimeError(errors[0])


@contextmanager
def databases(server: str, names: set[str]) -> Iterator[dict[str, str]]:
    """A fresh database with PostGIS for each; dropped at the end."""
    real = {name: f"bench_{name}_{os.getpid()}" for name in names}
    urls = {name: urlsplit(server)._replace(path=f"/{each}").geturl() for name, each in real.items()}
    with psycopg.connect(server, autocommit=True) as connection:
        try:
            for name, each in real.items():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(each)))
                with psycopg.connect(urls[name], autocommit=True) as fresh:
                    fresh.execute("CREATE EXTENSION postgis")
            yield urls
        finally:
            for each in real.values():
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(each)))


def _heat(module: str, layer: str, database: str, folder: Path, portal: str) -> dict[str, Any]:
    """One contestant's work: what it says of itself, and its memory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{ID}.toml").write_text(county_toml(portal, tile_resolution="auto"))
    with psycopg.connect(database, autocommit=True) as connection, suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute("CHECKPOINT")  # what the one before has left to write is not this one's
    task = Task(layer, database, folder, time.monotonic())
    command = [sys.executable, "-m", f"benchmarks.{module}", *task.arguments]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, env=_environment(folder, database), cwd=ROOT, start_new_session=True
        ) as process,
        Peak(process.pid) as peak,
    ):
        try:
            told, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        message = f"benchmarks.{module} failed with exit status {process.returncode}; its messages stand above"
        raise RuntimeError(message)
    return {**json.loads(told), "cpu_s": peak.cpu_s, "peak_rss_bytes": peak.bytes, "processes": peak.processes}


def _environment(folder: Path, database: str) -> dict[str, str]:
    """A home of its own; nothing of the caller's."""
    ours = {
        "ZONING_HOME": str(folder),
        "DAGSTER_HOME": str(folder / "dagster"),
        "ZONING_DATABASE_URL": database,
        "ZONING_JURISDICTIONS": str(folder),
        "PYTHONPATH": str(ROOT),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    rest = {name: text for name, text in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    return {**rest, **ours}


def _document(parcels: int, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures, with rates, ratios and shares."""
    classic_s = next((each["seconds"] for each in found if each["contestant"] == "classic"), None)
    for each in found:
        each["parcels_per_s"] = round(parcels / each["seconds"])
        each["times_classic"] = round(classic_s / each["seconds"], 2) if classic_s else None
        if "stages" in each:
            whole = sum(each["stages"].values())
            each["stages"] = {
                stage: {"seconds": round(seconds, 2), "share": round(seconds / whole, 3)}
                for stage, seconds in sorted(each["stages"].items(), key=lambda item: -item[1])
            }
    return {"parcels": parcels, "cores": os.cpu_count(), "contestants": found}
