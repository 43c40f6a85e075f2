"""`zoning report`: a compliance report of a jurisdiction and a period, as one HTML or PDF file."""

from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output, written_file
from zoning_assets.errors import SettingInvalid

if TYPE_CHECKING:
    from zoning_assets.reports.compliance_report import ComplianceReport

FORMATS = ("html", "pdf")
#: Years outside of these are typing errors.
_FIRST_YEAR, _LAST_YEAR = 1900, 2200


def report(  # noqa: PLR0913 - one parameter per option
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id.")],
    from_: Annotated[str, typer.Option("--from", help="The first day, like 2026-11-01 (UTC).")],
    to: Annotated[str, typer.Option("--to", help="The last day, included, like 2026-11-30 (UTC).")],
    format_: Annotated[str, typer.Option("--format", help="html or pdf.")] = "html",
    output_file: Annotated[
        Path | None,
        typer.Option("--output", help="The file; default: report-JURISDICTION-FROM-TO.html or .pdf in this folder."),
    ] = None,
    *,
    json: Annotated[
        bool, typer.Option("--json", help="The numbers as one JSON document on stdout; a file only with --output.")
    ] = False,
) -> None:
    """Write a compliance report of a period: what changed and why, and how the data were obtained."""
    from zoning_assets.reports.compliance_report import ReportRequest, read_report  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

    if format_ not in FORMATS:
        raise SettingInvalid(
            f"{format_!r} is not a format", where="--format", do=f"choose one of: {', '.join(FORMATS)}"
        )
    first, last = _day(from_, "--from"), _day(to, "--to")
    if first > last:
        raise SettingInvalid("the period ends before it begins", where="zoning report", do="exchange --from and --to")
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "zoning report")
    described = bootstrap.find_jurisdiction(jurisdiction)
    request = ReportRequest(jurisdiction, first, last, described)
    made = read_report(url, Objects(bootstrap.settings().store_url), request, datetime.now(UTC))
    if output_file or not json:
        path = output_file or Path(f"report-{jurisdiction}-{first}-{last}.{format_}")
        written_file.write(path, _document(made, format_))
        output.line(f"{path} is written")
    if json:
        output.document(made.numbers)
    else:
        output.result_line(f"{jurisdiction}, {first} to {last}: {made.numbers['changes']['total']:,} changes")


def _day(text: str, where: str) -> date:
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if _FIRST_YEAR <= day.year <= _LAST_YEAR:
            return day
    raise SettingInvalid(f"{text!r} is not a day of a report", where=where, do="give it like 2026-11-30")


def _document(made: "ComplianceReport", format_: str) -> bytes:
    """The report in a format."""
    from zoning_assets.reports.html_document import html_document  # noqa: PLC0415 - imports Jinja2

    html = html_document(made, bootstrap.program_version())
    if format_ == "html":
        return html.encode()
    from zoning_assets.reports.pdf_document import pdf_document  # noqa: PLC0415

    return pdf_document(html)
