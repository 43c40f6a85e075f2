"""`zoning bench sync`: compare complete commands with three other harvesters, on variants of an ArcGIS server."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.benchmarks import load, server
from zoning_assets.cli.display import output

_FEWEST = 1000


class Variant(StrEnum):
    """A variant of the server; see benchmarks/variants.py."""

    PLAIN = "plain"
    SPATIAL = "spatial"
    STATISTICS = "statistics"
    TRACKED = "tracked"
    LATENCY = "latency"
    LIMITED = "limited"


def sync(
    parcels: Annotated[int, typer.Option(min=_FEWEST, help="Number of parcels.")] = 200_000,
    page: Annotated[int, typer.Option(min=1, help="Maximum number of rows per response.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds; medians are shown.")] = 1,
    *,
    variant: Annotated[
        list[Variant] | None,
        typer.Option(help="Only this server; may be repeated. Default: all but latency and limited."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare harvests of an ArcGIS server: `zoning sync`, a classic pipeline, ogr2ogr, and a lower bound."""
    measurement = load("sync")
    variants = [each.value for each in variant or ()] or measurement.UNHINDERED
    options = {"page": page, "rounds": rounds, "variants": variants}
    found = measurement.measure(parcels, server(), bootstrap.settings().home, output.line, **options)
    if not json:
        _show(found)
    output.finish(found if json else None, found["faults"])


def _show(found: dict[str, Any]) -> None:
    for name, why in found["left_out"].items():
        output.line(f"{name} was left out: {why}")
    for each in found["variants"]:
        title = f"{each['variant']} ({each['about']}): {found['parcels']:,} parcels, {found['page']:,} a page"
        output.table(title, [_row(found["parcels"], figures) for figures in each["contestants"]])
    output.line(f"{found['cores']} cores, {found['rounds']} rounds, medians. server s: processor time of the server;")
    output.line("of limit: the least seconds for pages + 5 requests, divided by the seconds of the harvest")


def _row(parcels: int, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "contestant": figures["contestant"],
        "seconds": f"{figures['seconds']:.1f}",
        "rows/s": round(parcels / figures["seconds"]),
        "requests": figures["requests"],
        "map requests": figures["map_requests"],
        "rows served": figures["rows_served"],
        "MB": f"{figures['bytes'] / 1e6:.1f}",
        "server s": f"{figures['server_cpu_s']:.1f}",
        "CPU s": f"{figures['cpu_s']:.1f}",
        "peak MB": round(figures["peak_bytes"] / 1e6),
        "x classic": figures["times_classic"],
        "x ogr2ogr": figures["times_ogr2ogr"],
        "x floor": figures["times_floor"],
        "of limit": figures["of_limit"],
    }
