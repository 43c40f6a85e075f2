"""`zoning bench sync`: load a county of N parcels from an ArcGIS server into PostGIS, with ours and with three others.

Whole commands are measured, from the start of the process to its exit; ours with migrations, Dagster's home, the zoning
map, shares and changes. Each contestant gets a new database, and a new server process without earlier requests. In each
round all contestants run one after the other, because the speed of a shared machine changes within a minute. The server
and PostgreSQL run on the same machine; they do not count as memory of the contestant.
"""

import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import contestants, processes
from benchmarks.arcgis_process import BenchPortal, serving
from benchmarks.contestants import CLASSIC, CONNECTIONS, CONTESTANTS, FLOOR, OGR2OGR, OURS, BenchSetup, Contestant
from benchmarks.variants import UNHINDERED, VARIANTS, ServerVariant
from zoning_assets.errors import ZoningError

UNCHANGED = "ours, nothing changed"
_EDITS = 100
_OF_LAYER, _MAP = "Parcels", "Zoning"
#: A proven harvest requests each page, and at most metadata twice, a list of ids twice and a count.
_OTHER_REQUESTS = 5


def measure(  # noqa: PLR0913 - size, rounds, place, contestants, progress
    parcels: int,
    server: str,
    home: Path,
    say: Callable[[str], None],
    *,
    page: int = 2000,
    rounds: int = 1,
    variants: Sequence[str] = UNHINDERED,
    only: Sequence[str] = tuple(CONTESTANTS),
) -> dict[str, Any]:
    """Let the contestants do the same work one after the other, on each variant of the server.

    Args:
        parcels: rows of the parcel layer.
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.
        page: the most rows of a response.
        rounds: the number of rounds; the result has the round with the median time of each contestant, and the seconds
            of all rounds.
        variants: names of `variants.VARIANTS`.
        only: names of `contestants.CONTESTANTS`.

    Returns:
        `parcels`, `page`, `rounds`, `cores`, `left_out` (contestant and reason), `variants` (each with its
        `contestants`: see `_figures`), and `faults`: sentences about contestants that did not end with the rows of the
        server.

    Raises:
        RuntimeError: a command failed.
    """
    left_out = _left_out(only)
    bench = _Bench(parcels, page, server, home / "bench" / str(os.getpid()), say)
    names = [name for name in only if name not in left_out]
    found = [bench.variant(VARIANTS[each], rounds, names) for each in variants]
    return {
        "parcels": parcels,
        "page": page,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "left_out": left_out,
        "variants": found,
        "faults": bench.faults,
    }


def _left_out(names: Sequence[str]) -> dict[str, str]:
    """Contestants that are not available on this machine, with the reason."""
    if OGR2OGR not in names:
        return {}
    try:
        contestants.ogr2ogr()
    except ZoningError as error:
        return {OGR2OGR: error.what}
    return {}


class _Bench:
    """The size and the place of the measurement."""

    def __init__(self, parcels: int, page: int, server: str, folder: Path, say: Callable[[str], None]) -> None:
        self.parcels, self.page, self.server, self.folder, self.say = parcels, page, server, folder, say
        self.edits = min(_EDITS, parcels // 10)
        self.faults: list[str] = []

    def variant(self, variant: ServerVariant, rounds: int, names: Sequence[str]) -> dict[str, Any]:
        """All contestants on one variant of the server."""
        rounds_ = [self._round(variant, f"{variant.name}, round {at + 1}", names) for at in range(rounds)]
        found = [_median(each) for each in zip(*rounds_, strict=True)]
        known = {each["contestant"]: each["seconds"] for each in found}
        compared = [{**each, **_ratios(each["seconds"], known), **self._of_limit(variant, each)} for each in found]
        return {"variant": variant.name, "about": variant.about, "contestants": compared}

    def _of_limit(self, variant: ServerVariant, found: dict[str, Any]) -> dict[str, float | None]:
        """The least seconds that the server's limit allows for a harvest, divided by the measured ones; None: no
        limit."""
        needed = -(-self.parcels // self.page) + _OTHER_REQUESTS + found["map_requests"]
        least_s = variant.least_s(needed, CONNECTIONS) if found["contestant"] in CONTESTANTS else 0.0
        return {"of_limit": round(least_s / found["seconds"], 2) if least_s else None}

    def _round(self, variant: ServerVariant, label: str, names: Sequence[str]) -> list[dict[str, Any]]:
        found = []
        for name in names:
            for figures in self._contest(variant, name):
                self.say(f"{label}: {figures['contestant']}: {figures['seconds']:.1f} s")
                self.faults += _faults(f"{label}, {figures['contestant']}", figures, self.parcels)
                found.append(figures)
        return found

    def _contest(self, variant: ServerVariant, name: str) -> Iterator[dict[str, Any]]:
        """One contestant on a server and in a database of its own; ours three times, as the county changes."""
        contestant, folder = CONTESTANTS[name], self.folder / name
        try:
            with (
                processes.databases(self.server, {name}) as urls,
                serving(self.parcels, self.page, variant.name) as portal,
            ):
                place = BenchSetup(portal.service, variant, self.page, urls[name], folder)
                yield {"contestant": name, **_figures(contestant, place, portal), "edited": 0}
                if contestant.edits is None:
                    return
                yield {"contestant": UNCHANGED, **_figures(contestant, place, portal), "edited": 0}
                portal.edit(self.edits)
                changed = _figures(contestant, place, portal)
                found = _number(place.database, contestant.edits)
                yield {"contestant": f"{OURS}, {self.edits} edited", **changed, "edited": self.edits, "found": found}
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def _figures(contestant: Contestant, place: BenchSetup, portal: BenchPortal) -> dict[str, Any]:
    """Run one command.

    Returns:
        `seconds`, `cpu_s` (of all of its processes), `peak_bytes` (PSS), `server_cpu_s`, `bytes`; `requests` and
        `rows_served` of the parcel layer, `map_requests` of the zoning layer; `parcels`, the rows in the database.
    """
    command, environ = contestant.command(place)
    processes.settle(place.database)
    before, used = portal.counts(), portal.cpu_s
    ran = processes.run(command, environ)
    taken_s, after = portal.cpu_s - used, portal.counts()
    sent = {name: {key: after[name][key] - before[name][key] for key in after[name]} for name in after}
    return {
        "seconds": ran.seconds,
        "cpu_s": round(ran.cpu_s, 2),
        "peak_bytes": ran.peaks.total,
        "server_cpu_s": round(taken_s, 2),
        "bytes": sum(each["bytes"] for each in sent.values()),
        "requests": sent[_OF_LAYER]["requests"],
        "rows_served": sent[_OF_LAYER]["rows"],
        "map_requests": sent[_MAP]["requests"],
        "parcels": _number(place.database, contestant.count),
    }


def _number(database: str, query: str) -> int:
    with psycopg.connect(database) as connection:
        (number,) = connection.execute(query).fetchone() or (0,)
    return int(number)


def _median(rounds_: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The round with the median time of one contestant (of an even number the faster one), and the seconds of all
    rounds."""
    median_s = statistics.median_low(each["seconds"] for each in rounds_)
    chosen = next(each for each in rounds_ if each["seconds"] == median_s)
    return {**chosen, "rounds_s": [round(each["seconds"], 2) for each in rounds_]}


def _ratios(seconds: float, known: dict[str, float]) -> dict[str, float | None]:
    """How many times as fast as the others; None if one did not take part."""
    beside = {f"times_{name}": known.get(name) for name in (CLASSIC, OGR2OGR, FLOOR)}
    return {name: None if other is None else round(other / seconds, 2) for name, other in beside.items()}


def _faults(where: str, figures: Mapping[str, Any], parcels: int) -> Iterator[str]:
    """A sentence if the database of a contestant does not have the rows of the server."""
    if figures["parcels"] != parcels:
        yield f"{where}: {figures['parcels']:,} of {parcels:,} parcels are in its database"
    if figures.get("found", figures["edited"]) != figures["edited"]:
        yield f"{where}: {figures['found']:,} of {figures['edited']:,} edits are in its database"
