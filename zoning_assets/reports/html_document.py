"""A report as one HTML file: no script, no request to another address, and text of portals is never markup."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zoning_assets.reports.compliance_report import ComplianceReport
from zoning_assets.storage.postgis.records.report_queries import MOST_ROWS


def html_document(report: ComplianceReport, program: str) -> str:
    """The report as HTML with inline styles and inline SVG. `program`: name and version of this program."""
    template = _environment().get_template("report.html.j2")
    values = {"numbers": report.numbers, "maps": report.maps, "program": program, "most_rows": MOST_ROWS}
    return template.render(values).strip() + "\n"


def _environment() -> Environment:
    """Everything is escaped; a name that the template misspells is an error."""
    loader = PackageLoader("zoning_assets.reports")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_printable, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": _number,
        "moment": _moment,
        "day": _day,
        "listed": _listed,
        "words": _words,
        "stated": _stated,
    }
    return environment


def _printable(value: Any) -> Any:
    """Text without control characters and marks of direction, which could hide or reorder what follows."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return "" if value is None else value
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in value)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _moment(value: datetime | str | None) -> str:
    """A time to the minute, UTC; "infinity" and None are empty."""
    return f"{value:%Y-%m-%d %H:%M}Z" if isinstance(value, datetime) else ""


def _day(value: Any) -> str:
    return "" if value is None else f"{value:%Y-%m-%d}"


def _listed(values: Any, most: int = 12) -> str:
    """Some values, and the number of the others."""
    shown = ", ".join(map(str, values[:most]))
    return shown + (f" and {len(values) - most:,} more" if len(values) > most else "")


def _stated(value: Any) -> Any:
    """A value of a proof: a list, or a table as `name: value` pairs, as one text."""
    if isinstance(value, Mapping):
        return "; ".join(f"{_words(str(name))}: {_stated(each)}" for name, each in value.items())
    return _listed(value) if isinstance(value, list | tuple) else value


def _words(value: str) -> str:
    return value.replace("_", " ")
