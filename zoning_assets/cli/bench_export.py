"""`zoning bench export`: each format of `zoning export` beside ogr2ogr."""

from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.benchmarks import load, server
from zoning_assets.cli.display import output
from zoning_assets.cli.export import Format

_FEWEST = 1000


def export(
    parcels: Annotated[
        list[int] | None, typer.Option(min=_FEWEST, help="Number of parcels; may be repeated. Default: 1,000,000.")
    ] = None,
    *,
    format_: Annotated[list[Format] | None, typer.Option("--format", help="Only this format; may be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare `zoning export` with ogr2ogr: seconds and peak memory of the same columns in each format."""
    measurement = load("exported_files")
    formats = [each.value for each in format_ or list(Format)]
    found = measurement.measure(parcels or [1_000_000], formats, server(), bootstrap.settings().home, output.line)
    if not json:
        output.table("Exports of parcels", [_row(each) for each in found["figures"]])
        for name, why in found["left_out"].items():
            output.line(f"ogr2ogr, {name}: {why}")
    output.finish(found if json else None, found["faults"])


def _row(figure: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": figure["format"],
        "program": figure["contestant"],
        "parcels": figure["parcels"],
        "seconds": figure["seconds"],
        "CPU s": figure["cpu_s"],
        "peak MB": round(figure["peak_bytes"] / 1e6),
        "file MB": round(figure["file_bytes"] / 1e6),
    }
