"""`zoning bench memory`: peak memory of whole commands at two sizes of a county."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.benchmarks import load, server
from zoning_assets.cli.display import output

_FEWEST = 2000


class FeedType(StrEnum):
    """The feed type of the parcels."""

    DOWNLOAD = "download"
    ARCGIS = "arcgis"


def memory(
    small: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the small county.")] = 200_000,
    large: Annotated[int, typer.Option(min=_FEWEST, help="Parcels of the large county.")] = 1_000_000,
    *,
    feed_type: Annotated[list[FeedType] | None, typer.Option(help="Only this feed type; may be repeated.")] = None,
    every_command: Annotated[
        bool, typer.Option("--every-command", help="Also measure a second sync, replay, verify and rollback.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure the peak memory (PSS) of `zoning sync` with all its processes, without PostgreSQL and the portal."""
    measurement = load("whole_command")
    found = measurement.measure(
        (small, large),
        server(),
        bootstrap.settings().home,
        output.line,
        feed_types=feed_type or list(FeedType),
        commands=measurement.ALL if every_command else measurement.FIRST,
    )
    if not json:
        _show(found)
    limit = f"limit: at most {measurement.MOST_RATIO} times and {_mb(measurement.MOST_BYTES)} MB"
    errors = [
        f"{each['command']} ({each['feed_type']}): {_mb(each['peak'])} MB, {each['ratio']} times the small county's;"
        f" {limit}"
        for each in found["growth"]
        if not each["kept"]
    ]
    output.finish(found if json else None, errors)


def _show(found: dict[str, Any]) -> None:
    rows = [
        {
            "feed type": each["feed_type"],
            "command": each["command"],
            "parcels": each["parcels"],
            "main, MB": _mb(each["main"]),
            "workers, MB": _mb(each["workers"]),
            "all, MB": _mb(each["total"]),
            "seconds": round(each["seconds"]),
        }
        for each in found["figures"]
    ]
    output.table("Peak memory (PSS)", rows)
    ratios = [{**each, "peak": _mb(each["peak"]), "kept": "yes" if each["kept"] else "no"} for each in found["growth"]]
    output.table("The large county's peak (MB), and its ratio to the small county's", ratios)


def _mb(value: float) -> int:
    return round(value / 1e6)
