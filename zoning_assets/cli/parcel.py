"""`zoning parcel`, `explain`, `watch`, `preview-rules`: the history of parcels, and details of changes."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.changes import row_of
from zoning_assets.cli.display import output
from zoning_assets.errors import SettingInvalid
from zoning_assets.settings import parse_time
from zoning_assets.transform.changes import explanation

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def parcel(
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id.")],
    parcel_id: Annotated[str, typer.Argument(help="The parcel id, current or former.")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Show the zoning that applied on this day (ISO 8601).")
    ] = None,
    *,
    json: _Json = False,
) -> None:
    """Show the history of one parcel: rows, zoning, lineage, amendments, evidence."""
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415

    day = parse_time(as_of, "--as-of").date().isoformat() if as_of else None
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "zoning parcel")
    history = feed.parcel_life(url, jurisdiction, parcel_id, day)
    if json:
        output.document({"jurisdiction": jurisdiction, "parcel_id": parcel_id, **history})
        return
    for title, rows in history.items():
        row = _change if title == "changes" else _version
        output.table(f"{parcel_id}: {_TITLES.get(title, title.replace('_', ' '))}", [row(each) for each in rows])


def explain(
    change: Annotated[str, typer.Argument(help="The id of the change, or its first characters.")],
    *,
    json: _Json = False,
) -> None:
    """Explain in numbers why a change was recorded."""
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415

    check_change_id(change, "zoning explain")
    found = feed.find_one(bootstrap.bring_up_database(), change)
    if json:
        output.document(found)
        return
    for line in explanation.lines(found):
        output.result_line(line)


def check_change_id(change: str, where: str) -> None:
    """Check the id of a change, or its first characters.

    Raises:
        SettingInvalid: no id of a change looks like this.
    """
    if not change.isalnum():
        raise SettingInvalid(f"{change!r} is not the id of a change", where=where, do="use an id from `zoning changes`")


def watch(
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id.")],
    parcel_ids: Annotated[
        list[str], typer.Argument(help="The parcel ids; successors of these parcels are watched too.")
    ],
    *,
    json: _Json = False,
) -> None:
    """Watch parcels and their successors; list the watched parcels and what changed there."""
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415

    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "zoning watch")
    watched = feed.watch(url, jurisdiction, parcel_ids)
    known = feed.ever_published(url, jurisdiction, parcel_ids)
    for each in (each for each in parcel_ids if each not in known):
        output.line(f"zoning: warning: {jurisdiction} {each!r}: no parcel has or had this id; check its spelling")
    if json:
        output.document({"watched": watched})
    else:
        output.table(f"Watched in {jurisdiction}", [{**row, "parcel_id": [row["parcel_id"]]} for row in watched])


def preview_rules(
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction whose file was edited.")], *, json: _Json = False
) -> None:
    """Show how the codes of an edited jurisdiction file would change the published data; nothing is written."""
    from zoning_assets.pipeline import change_detection  # noqa: PLC0415

    known = bootstrap.jurisdiction(jurisdiction)
    found = change_detection.preview_rules(bootstrap.bring_up_database(), known)
    if json:
        output.document(asdict(found))
        return
    output.table("Codes", [{"local": local, "is": was, "would be": now} for local, was, now in found.codes])
    output.table("Types", [{"code": code, "is": was, "would be": now} for code, was, now in found.types])
    for title, rows in (("would be added", found.come), ("would be retracted", found.gone)):
        shown = [{"parcels": ids, "from": old, "to": new, "state": state} for _, state, _, ids, old, new in rows]
        output.table(f"{len(rows)} changes {title}", shown[:50])
    if found == change_detection.RulesPreview([], [], [], []):
        output.line("nothing would change")


#: Titles of tables, columns that are shown last, and headers of date columns.
_TITLES = {"parcel": "versions", "zoning": "versions of its zoning"}
_LAST = ("zoning_code_local", "content_hash")
_DATES = {"system_from": "noticed", "system_to": "until", "legal_from": "legal"}


def _version(row: dict[str, Any]) -> dict[str, Any]:
    """Convert a version of a parcel or of its zoning to a row of a table; less important columns are last."""
    ordered = [name for name in row if name not in _LAST] + [name for name in row if name in _LAST]
    return {_DATES.get(name, name): row[name] for name in ordered}


def _change(change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row_of(change).items() if name not in ("jurisdiction", "state")}
