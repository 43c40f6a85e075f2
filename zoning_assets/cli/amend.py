"""`zoning amend` and `zoning amendments`: add an ordinance or a case, and list the amendments."""

import getpass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.changes import short
from zoning_assets.cli.display import output, terminal
from zoning_assets.errors import MessageRefused, SettingInvalid
from zoning_assets.model import STATUSES, Amendment, Jurisdiction
from zoning_assets.transform.changes.amendment_matching import is_identified, name_of
from zoning_assets.transform.changes.amendment_messages import ground_of

_LARGEST_GEOMETRY = 10 << 20  # bytes
_MOST_SHOWN = 50
#: The title of each list.
_TITLES = {
    "unmapped": "Adopted, but not on the map (unmapped)",
    "unexplained": "On the map, without an ordinance (unexplained)",
    "matched": "On the map, with an ordinance (matched)",
    "questions": "Amendments with open questions (questions)",
}
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Several = list[str] | None


def amend(  # noqa: PLR0913 - one parameter per option
    jurisdiction: Annotated[str, typer.Argument(help="The jurisdiction's id.")],
    case: Annotated[_Several, typer.Option(help="Case number; may be repeated.")] = None,
    ordinance: Annotated[_Several, typer.Option(help="Ordinance number; may be repeated.")] = None,
    kind: Annotated[str, typer.Option(help="rezoning, conditional, overlay, text, annexation, pud.")] = "unknown",
    status: Annotated[str, typer.Option(help=f"One of: {', '.join(STATUSES)}.")] = "unknown",
    date: Annotated[_Several, typer.Option(help="STATUS=DAY, like effective=2025-02-10; may be repeated.")] = None,
    parcel: Annotated[_Several, typer.Option(help="Parcel id; may be repeated.")] = None,
    old: Annotated[_Several, typer.Option("--from", help="Old code; may be repeated.")] = None,
    new: Annotated[_Several, typer.Option("--to", help="New code; may be repeated.")] = None,
    place: Annotated[str, typer.Option(help="Description of the place.")] = "",
    ground: Annotated[Path | None, typer.Option(help="GeoJSON file of the affected area, in degrees.")] = None,
    source: Annotated[str, typer.Option(help="Address of the document.")] = "",
    document: Annotated[
        Path | None, typer.Option(help="Read the amendments from this HTML, PDF or Legistar JSON file.")
    ] = None,
    *,
    json: _Json = False,
) -> None:
    """Add an ordinance or a case, by options or from a document. It is matched with changes at once."""
    known = bootstrap.jurisdiction(jurisdiction)
    if status not in STATUSES:
        raise SettingInvalid(
            f"{status!r} is not a status", where="--status", do=f"choose one of: {', '.join(STATUSES)}"
        )
    given = [
        Amendment(
            jurisdiction=known.id,
            case_numbers=tuple(case or ()),
            ordinance_numbers=tuple(ordinance or ()),
            kind=kind,
            status=status,
            dates=dict(map(_dated, date or ())),
            parcel_ids=tuple(parcel or ()),
            place=place,
            geometry=_read_geometry(ground, known.target_crs) if ground else None,
            old_codes=tuple(old or ()),
            new_codes=tuple(new or ()),
            source=source,
            evidence={"told_by": getpass.getuser()},
        )
    ]
    _store(known, given if document is None else _read_document(document, known.id, source), json=json)


def amendments(
    jurisdiction: Annotated[str | None, typer.Option(help="Only this jurisdiction.")] = None,
    queue: Annotated[
        str | None, typer.Option(help="unmapped, unexplained, matched or questions; default: all.")
    ] = None,
    *,
    json: _Json = False,
) -> None:
    """List amendments: adopted but not on the map, on the map without an ordinance, matched, and with questions."""
    from zoning_assets.storage.postgis.records import amendment_records as store  # noqa: PLC0415

    if queue not in (None, *store.QUEUES):
        raise SettingInvalid(
            f"{queue!r} is not a queue", where="--queue", do=f"choose one of: {', '.join(store.QUEUES)}"
        )
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "--jurisdiction")
    found = {name: store.queue(url, name, jurisdiction) for name in ([queue] if queue else store.QUEUES)}
    if json:
        output.document({"queues": found})
        return
    for name, rows in found.items():
        shown = rows[:_MOST_SHOWN]
        counted = f"showing {len(shown):,} of {len(rows):,}" if len(shown) < len(rows) else f"{len(rows):,}"
        names = {row["jurisdiction"] for row in shown}
        where = f" in {next(iter(names))}" if len(names) == 1 else ""
        output.table(f"{_TITLES[name]}{where}: {counted}", [_queue_row(row, is_one=len(names) == 1) for row in shown])
    if not any(found.values()):
        output.line("no amendments")


def _store(jurisdiction: Jurisdiction, found: list[Amendment], *, json: bool) -> None:
    """Store amendments, and show which of them are new."""
    from zoning_assets.storage.postgis.records import amendment_records  # noqa: PLC0415

    if not any(map(is_identified, found)):
        do = "give --case, --ordinance, --parcel, --to or --ground, or another document"
        raise SettingInvalid("no amendment is given", where="zoning amend", do=do)
    new = amendment_records.store(bootstrap.bring_up_database(), jurisdiction.id, found, jurisdiction.srid)
    rows = [_row(name_of(each), each, is_new=new[name_of(each)]) for each in found]
    if json:
        output.document({"amendments": rows})
    else:
        output.table("Amendments", rows)


def _dated(text: str) -> tuple[str, str]:
    status, sign, day = text.partition("=")
    if not sign or status not in STATUSES:
        raise SettingInvalid(f"{text!r} is not STATUS=DAY", where="--date", do="give it like effective=2025-02-10")
    return status, day


def _read_geometry(path: Path, target: str) -> bytes:
    """Read a GeoJSON geometry in degrees; return it as WKB in the target CRS."""
    try:
        return ground_of(path.read_bytes()[:_LARGEST_GEOMETRY], target)
    except (MessageRefused, OSError) as error:
        what = error.what if isinstance(error, MessageRefused) else f"cannot be read: {error.strerror}"
        raise SettingInvalid(what, where=str(path), do="give a valid Polygon or MultiPolygon in degrees") from None


def _read_document(path: Path, jurisdiction: str, source: str) -> list[Amendment]:
    """Read the amendments from a document.

    Raises:
        DocumentRefused: it cannot be read, or is unsafe.
        SettingInvalid: the file does not exist.
    """
    from zoning_assets.ordinances import amendments_in_document, amendments_in_matter  # noqa: PLC0415

    if not path.is_file():
        raise SettingInvalid("there is no such file", where=str(path), do="give the path of an HTML or PDF document")
    if path.suffix == ".json":
        return amendments_in_matter(*_matter(path), jurisdiction, source or path.name)
    return amendments_in_document(path.read_bytes(), jurisdiction, source or path.name)


def _matter(path: Path) -> tuple[Any, Any]:
    """Read a matter of Legistar's Web API, alone or with its histories as `{"matter": ..., "histories": [...]}`."""
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        what = f"it is not JSON (line {error.lineno}, column {error.colno})"
        raise SettingInvalid(what, where=str(path), do="give a response of the Web API") from None
    if isinstance(found, dict) and "matter" in found:
        return found["matter"], found.get("histories", [])
    return found, []


def _row(name: str, amendment: Amendment, *, is_new: bool) -> dict[str, Any]:
    return {
        "id": name,
        "status": amendment.status,
        "cases": ", ".join(amendment.case_numbers),
        "ordinances": ", ".join(amendment.ordinance_numbers),
        "from": ", ".join(amendment.old_codes),
        "to": ", ".join(amendment.new_codes),
        "confidence": amendment.confidence,
        "new": "yes" if is_new else "no",
    }


def _queue_row(row: dict[str, Any], *, is_one: bool) -> dict[str, Any]:
    """A row of the table. The jurisdiction is left out if there is only one. The dates and the short id of a change are
    shown as in `zoning changes`."""
    dates = {"detected": "noticed", "effective": "legal"}
    shown = {dates.get(name, name): value for name, value in row.items() if name != "jurisdiction" or not is_one}
    if terminal.is_terminal() and "detected" in row:
        shown |= {"id": short(row["id"]), "noticed": row["detected"].date()}
    return shown
