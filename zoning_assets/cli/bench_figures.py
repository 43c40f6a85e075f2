"""Commands of `zoning bench` that give a list of figures: startup, probes, backfill, many-counties, wide, tiles."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.benchmarks import load, server
from zoning_assets.cli.display import output

_FEWEST = 1000
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Repeats = Annotated[int, typer.Option(min=1, help="How often each command runs; medians are shown.")]


def startup(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the county that did not change.")] = 200_000,
    repeats: Repeats = 5,
    *,
    json: Json = False,
) -> None:
    """Measure commands that have little to do, beside `import dagster`."""
    _report("Fixed costs", _measured("startup", parcels, repeats), json=json)


def probes(
    counties: Annotated[int, typer.Option(min=1, help="Number of simulated counties in one `zoning probe`.")] = 100,
    repeats: Repeats = 5,
    *,
    json: Json = False,
) -> None:
    """Measure probes: requests and milliseconds of each feed type, and of many counties."""
    _report("Probes", _measured("probes", counties, repeats), json=json)


def backfill(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="Number of parcels.")] = 900_000,
    resolution: Annotated[int, typer.Option(min=0, max=10, help="H3 resolution of the tiles.")] = 8,
    *,
    auto: Annotated[bool, typer.Option("--auto", help="Tiles of the usual size in place of --resolution.")] = False,
    json: Json = False,
) -> None:
    """Measure Dagster's share: `zoning sync` of a county with about 1,000 tiles, and the same without Dagster."""
    _report("Backfill", _measured("backfill", parcels, None if auto else resolution), json=json)


def many_counties(
    first: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the large county.")] = 200_000,
    others: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of each small county.")] = 5000,
    count: Annotated[int, typer.Option(min=1, max=99, help="Number of small counties.")] = 50,
    *,
    json: Json = False,
) -> None:
    """Sync a large county, then many small ones into the same database: does the last one take longer?"""
    _report("Counties in one database", _measured("many_counties", first, others, count), json=json)


def wide(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="Number of parcels.")] = 1_840_000,
    *,
    json: Json = False,
) -> None:
    """Sync a table of 128 columns: seconds, memory, size of the database and of the store."""
    _report("A wide table", _measured("wide_table", parcels), json=json)


def tiles(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the county.")] = 1_000_000,
    number: Annotated[int, typer.Option(min=1, help="Tiles of each collection at each zoom level.")] = 60,
    *,
    json: Json = False,
) -> None:
    """Measure tiles of the map from `zoning serve`."""
    _report("Tiles", _measured("served_map", parcels, number), json=json)


def _measured(module: str, *sizes: int | None) -> dict[str, Any]:
    found: dict[str, Any] = load(module).measure(*sizes, server(), bootstrap.settings().home, output.line)
    return found


def _report(title: str, found: dict[str, Any], *, json: bool) -> None:
    if not json:
        output.table(title, found["figures"])
    output.finish(found if json else None, found["faults"])
