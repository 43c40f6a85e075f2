"""`zoning export`: a layer of a jurisdiction as a file."""

from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output, progress
from zoning_assets.errors import JurisdictionUnknown
from zoning_assets.model import Jurisdiction
from zoning_assets.settings import parse_time

if TYPE_CHECKING:
    from zoning_assets.exports.layer_export import ExportResult

_DAY = 10  # the length of 2026-11-24


class Layer(StrEnum):
    """A layer; see exports/layers.py."""

    PARCELS = "parcels"
    DISTRICTS = "districts"
    ZONED_PARCELS = "zoned_parcels"
    CHANGES = "changes"


class Format(StrEnum):
    """A format; see exports/formats.py."""

    GEOPARQUET = "geoparquet"
    GEOPACKAGE = "geopackage"
    FLATGEOBUF = "flatgeobuf"
    GEOJSON = "geojson"
    GEOJSONSEQ = "geojsonseq"
    SHAPEFILE = "shapefile"
    PMTILES = "pmtiles"
    CSV = "csv"


def export(  # noqa: PLR0913 - one parameter per option
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id.")],
    layer: Annotated[Layer, typer.Option(help="What is exported.")] = Layer.ZONED_PARCELS,
    format_: Annotated[Format, typer.Option("--format", help="The format of the file.")] = Format.GEOPARQUET,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="As it was: by law on a day (2026-11-24), or as published at a time (ISO 8601). Default: now."
        ),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Only rows that match a filter in CQL2, such as \"zoning_code = 'R-1'\".")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="A file, a folder, s3://, gs:// or az://. Default: a folder below ZONING_HOME.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Export a layer of a jurisdiction to a file, proven by reading it back; nothing is written if nothing changed."""
    from zoning_assets.exports import layer_export, row_filter  # noqa: PLC0415 - imports pyarrow
    from zoning_assets.exports.layers import LAYERS  # noqa: PLC0415
    from zoning_assets.exports.row_reader import ExportRequest  # noqa: PLC0415

    legal, system = _moment(as_of)
    chosen = LAYERS[layer.value]
    filter_ = row_filter.parse(where, chosen) if where is not None else row_filter.RowFilter()
    place = layer_export.ExportPlace(bootstrap.settings().home, to)
    request = ExportRequest(jurisdiction, chosen, filter_, legal, system)
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "the jurisdiction")
    with progress.working(f"{jurisdiction} {layer.value}: writing {format_.value}"):
        result = layer_export.export(url, request, format_.value, place, _described(jurisdiction))
    if json:
        output.document(result.as_dict())
    else:
        _show(result)


def _moment(as_of: str | None) -> tuple[date | None, datetime | None]:
    """The legal day, or the time of publishing."""
    if as_of is None:
        return None, None
    time = parse_time(as_of, "--as-of")
    return (time.date(), None) if len(as_of.strip()) == _DAY else (None, time)


def _described(id_: str) -> Jurisdiction | None:
    """The jurisdiction's file; None: it was deleted after it was published."""
    try:
        return bootstrap.jurisdiction(id_)
    except JurisdictionUnknown:
        return None


def _show(result: "ExportResult") -> None:
    about = result.description
    output.result_line(f"{result.path}: {about['rows']:,} rows, {about['area_m2']:,.0f} m2, {about['crs']}")
    if not result.written:
        output.line("nothing changed since it was written")
    remarks = about.get("remarks", {})
    if left_out := remarks.get("left_out"):
        output.line(f"the format cannot hold: {', '.join(left_out)}")
    if cut := remarks.get("cut_texts"):
        output.line(f"texts that were cut to 254 bytes: {', '.join(f'{name} {n:,}' for name, n in cut.items())}")
