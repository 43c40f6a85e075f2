"""The measurements of `zoning bench all`: one line each. To add one, add a line, and its targets to targets.py."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks import figures
from benchmarks.figures import Document, Figure

QUICK, FULL = "quick", "full"


class Measurement(NamedTuple):
    """One measurement.

    Attributes:
        about: one line for people.
        quick, full: the words after `zoning bench` at each scale.
        figures: finds the figures in the command's JSON document.
        most_rounds: fewer rounds than `--rounds` for what takes long, or what is equal in each round.
    """

    about: str
    quick: str
    full: str
    figures: Callable[[Document], Iterator[Figure]] = figures.listed
    most_rounds: int = 5

    def words(self, scale: str) -> list[str]:
        """The words after `zoning bench`."""
        return (self.quick if scale == QUICK else self.full).split()

    @property
    def command(self) -> str:
        """The command after `zoning bench`."""
        return self.full.split()[0]


_SMALL = "sync --parcels 20000 --page 1000"
_LESS = "--variant plain --variant spatial --variant statistics"
_COUNTIES = "many-counties --first 20000 --others 2000 --count 12"

# fmt: off
# ruff: noqa: E501 - a table
MEASUREMENTS: Mapping[str, Measurement] = {
    "truth": Measurement("real cities whose changes are known", "truth", "truth", figures.truth, 1),
    "probes": Measurement("probes of each feed type, and of many counties", "probes --counties 5 --repeats 2", "probes", most_rounds=3),
    "startup": Measurement("fixed costs of commands", "startup --parcels 20000", "startup", most_rounds=3),
    "sync-small": Measurement("harvest of 20,000 parcels beside others", f"{_SMALL} --variant tracked", f"{_SMALL} --variant tracked", figures.sync),
    "sync": Measurement("harvest of 200,000 parcels beside others", "sync --parcels 50000 --variant tracked", "sync --variant tracked", figures.sync),
    "sync-variants": Measurement("the same on servers that can do less", f"{_SMALL} {_LESS}", f"sync {_LESS}", figures.sync, 3),
    "backfill": Measurement("1,000 tiles with and without Dagster", "backfill --parcels 100000", "backfill", most_rounds=1),
    "backfill-auto": Measurement("tiles of the usual size with and without Dagster", "backfill --auto --parcels 50000", "backfill --auto --parcels 1000000", most_rounds=1),
    "many-counties": Measurement("counties 1 to 50 in one database", _COUNTIES, "many-counties", most_rounds=1),
    "counties": Measurement("a county beside a large one, and alone", "counties --first 50000 --others 5000 --count 2", "counties", figures.counties, 1),
    "export": Measurement("exports beside ogr2ogr", "export --parcels 50000", "export", figures.export, 1),
    "memory": Measurement("peak memory at two sizes", "memory --small 20000 --large 100000", "memory", figures.memory, 1),
    "tiles": Measurement("tiles of the map", "tiles --parcels 50000", "tiles", most_rounds=1),
    "wide": Measurement("1.84 million parcels with 128 columns", "wide --parcels 50000", "wide", most_rounds=1),
    "changes": Measurement("a town with known changes, three drifts", "changes --lots 10000", "changes", figures.changes, 3),
    "pbf": Measurement("page formats of an ArcGIS server", "pbf --parcels 10000", "pbf", figures.pbf, 3),
    "week": Measurement("a week of twenty portals", "week", "week", figures.week, 1),
    "chaos": Measurement("every fault with every strategy", "chaos", "chaos", figures.chaos, 1),
    "celery": Measurement("Celery with 1, 2 and 4 workers, 300 ms a request", "celery --counties 8", "celery", figures.celery, 1),
    "nation": Measurement("a nation of portals", "nation --portals 100 --days 0.1", "nation", figures.nation, 1),
    "onboard": Measurement("a list of portals, some of them broken", "onboard --portals 20", "onboard --portals 200", figures.onboard, 1),
    "sync-slow": Measurement("300 ms a request, and 30 requests a minute", f"{_SMALL} --variant latency", "sync --variant latency --variant limited", figures.sync, 1),
}
# fmt: on
#: Commands of `zoning bench` that are no measurement of `zoning bench all`, with the reason.
LEFT_OUT: Mapping[str, str] = {"all": "it runs the others"}


def chosen(only: Sequence[str], commands: Sequence[str]) -> tuple[dict[str, Measurement], dict[str, str]]:
    """The measurements to run, and those that this version cannot run, with the reason.

    Args:
        only: names; empty: all.
        commands: the commands of `zoning bench`.
    """
    wanted = {name: each for name, each in MEASUREMENTS.items() if not only or name in only}
    missing = {n: f"there is no `zoning bench {m.command}`" for n, m in wanted.items() if m.command not in commands}
    return {name: each for name, each in wanted.items() if name not in missing}, missing
