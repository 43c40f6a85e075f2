"""`zoning changes`: the change feed as a table, a summary, CSV or JSON."""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import csv_rows, output, terminal
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import CHANGE_KINDS
from zoning_assets.settings import parse_time

if TYPE_CHECKING:
    from zoning_assets.storage.postgis.records.change_feed_queries import ChangeFeed

#: Maximum number of rows of a table, on a terminal and elsewhere. A table is laid out in memory.
_MOST_ON_TERMINAL, _MOST_PIPED = 100, 1000
#: Length of a short id, which `zoning explain` accepts: 80 columns then have room for `noticed`. With a million
#: changes 0.02% of the short ids are ambiguous; for those `zoning explain` requests the complete id.
_SHORT_ID = 8
_CSV = (
    "id", "jurisdiction", "kind", "state", "parcel_ids", "old", "new", "area_m2", "share", "confidence", "legal",
    "noticed", "ordinances",
)  # fmt: skip
_CSV_SUMMARY = ("kind", "old", "new", "changes", "parcels", "area_m2")

#: Explains the dates in the JSON document.
DATES = {
    "detected": "noticed: when this database first saw the change; `--since` asks for this date",
    "effective": "legal: from when the new zoning applies, as the map or a matched ordinance states; null: not stated",
}


def changes(  # noqa: PLR0913 - one parameter per option
    jurisdiction: Annotated[str | None, typer.Option(help="Only this jurisdiction.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only changes noticed at or after this time (not the legal date): 2026-11-24, or ISO 8601 with zone."
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind: rezoned, split, recoded, ...")] = None,
    parcel: Annotated[str | None, typer.Option(help="Only this parcel.")] = None,
    min_area: Annotated[float | None, typer.Option(min=0, help="Only changes of at least this area, in m2.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of changes; the newest are shown.")] = None,
    *,
    review: Annotated[
        bool, typer.Option("--review", help="Include changes that are thinner than the tolerance.")
    ] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Count by kind and by old and new code.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="All changes as CSV on stdout.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document with all changes on stdout.")] = False,
) -> None:
    """List the changes, newest first."""
    from zoning_assets.storage.postgis.records import change_feed_queries as feed  # noqa: PLC0415

    _check(kind, limit, csv=csv, json=json, summary=summary)
    start = parse_time(since, "--since") if since else None
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "--jurisdiction")
    state = None if review else "event"
    wanted = feed.ChangeFilter(jurisdiction, since=start, kind=kind, parcel=parcel, min_area=min_area, state=state)
    with feed.opened(url, wanted) as found:
        if summary:
            _show_summary(found, csv=csv, json=json)
        elif csv:
            csv_rows.write(_CSV, map(_record, found.rows(limit)))
        elif json:
            total = found.total()
            head = {"total": total, "shown": min(total, limit or total), "dates": DATES}
            output.streamed(head, "changes", found.rows(limit))
        else:
            _show_list(found, limit)


def _check(kind: str | None, limit: int | None, *, csv: bool, json: bool, summary: bool) -> None:
    if kind not in (None, *CHANGE_KINDS):
        raise SettingInvalid(
            f"{kind!r} is not a kind of change", where="--kind", do=f"choose one of: {', '.join(CHANGE_KINDS)}"
        )
    if csv and json:
        raise SettingInvalid("--csv and --json exclude each other", where="zoning changes", do="give only one")
    if summary and limit:
        raise SettingInvalid("a summary counts all changes", where="--limit", do="leave out --limit or --summary")


def _show_summary(found: "ChangeFeed", *, csv: bool, json: bool) -> None:
    total, rows = found.total(), found.summary()
    if csv:
        csv_rows.write(_CSV_SUMMARY, rows)
    elif json:
        output.document({"total": total, "summary": rows})
    elif not rows:
        _show_nothing()
    else:
        output.table(_title(total, total, found.filter.jurisdiction), [_rounded_area(each) for each in rows])


def _rounded_area(row: Mapping[str, Any]) -> dict[str, Any]:
    area = None if row["area_m2"] is None else round(row["area_m2"])
    return {**{name: row[name] for name in _CSV_SUMMARY[:-1]}, "area m2": area}


def _show_list(found: "ChangeFeed", limit: int | None) -> None:
    total, most = found.total(), limit or (_MOST_ON_TERMINAL if terminal.is_terminal() else _MOST_PIPED)
    rows = list(islice(found.rows(most), most))
    if not rows:
        _show_nothing()
        return
    names = {each["jurisdiction"] for each in rows}
    columns = {"jurisdiction": len(names) > 1, "state": found.filter.state is None, "kind": not found.filter.kind}
    left_out = {name for name, is_shown in columns.items() if not is_shown}
    shown = [{name: value for name, value in row_of(each).items() if name not in left_out} for each in rows]
    title = _title(total, len(rows), next(iter(names)) if len(names) == 1 else None)
    output.table(f"{title}: {found.filter.kind}" if found.filter.kind else title, shown)
    if len(rows) < total:
        output.line("--limit N shows more, --summary counts them, --csv and --json give all")


def _title(total: int, shown: int, jurisdiction: str | None) -> str:
    where = f" of {jurisdiction}" if jurisdiction else ""
    if shown < total:
        return f"Changes{where}, newest first: showing {shown:,} of {total:,}"
    return f"{total:,} change{'s' * (total != 1)}{where}"


def _show_nothing() -> None:
    output.line("no change was found; `zoning sync JURISDICTION` checks for new ones")


def short(id_: str) -> str:
    """The short id of a change, for a terminal; `zoning explain` accepts it."""
    return id_[:_SHORT_ID]


def row_of(change: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a change to a row of a table. `noticed`: when it was detected; `legal`: since when it applies by law.

    On a terminal the ids and dates are short, and the parcels of a split, a merger or a similar change are in `old` and
    `new` only.
    """
    is_short, of_parcels = terminal.is_terminal(), change["facet"] == "parcel"
    evidence = change["evidence"] if of_parcels else {}
    return {
        "id": short(change["id"]) if is_short else change["id"],
        "jurisdiction": change["jurisdiction"],
        "state": change["state"],
        "kind": change["kind"],
        "parcels": [] if is_short and of_parcels else change["parcel_ids"],
        "old": evidence.get("parents", change["old"]),
        "new": evidence.get("children", change["new"]),
        "noticed": change["detected"].date() if is_short else change["detected"],
        "legal": change["effective"],
        "share": change["share"],
        "confidence": change["confidence"],
    }


def _record(change: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a change to a row of the CSV."""
    ordinances = sorted({number for each in change["amendments"] or [] for number in each["ordinance_numbers"]})
    return {
        **change,
        "parcel_ids": "; ".join(change["parcel_ids"]),
        "legal": change["effective"],
        "noticed": change["detected"].isoformat(),
        "ordinances": "; ".join(ordinances),
    }
