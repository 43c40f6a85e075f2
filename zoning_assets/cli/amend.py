"""`zoning amend`, `zoning amendments`: that an ordinance exists, from a person or a document; and what waits."""

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

_LARGEST_GROUND = 10 << 20  # bytes
_MOST_SHOWN = 50
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Several = list[str] | None


def amend(  # noqa: PLR0913 - an amendment has as many sides
    jurisdiction: Annotated[str, typer.Argument(help="Where.")],
    case: Annotated[_Several, typer.Option(help="Case number; may be given again.")] = None,
    ordinance: Annotated[_Several, typer.Option(help="Ordinance number; may be given again.")] = None,
    kind: Annotated[str, typer.Option(help="rezoning, conditional, overlay, text, annexation, pud.")] = "unknown",
    status: Annotated[str, typer.Option(help=f"One of: {', '.join(STATUSES)}.")] = "unknown",
    date: Annotated[_Several, typer.Option(help="ROLE=DAY, like effective=2025-02-10; may be given again.")] = None,
    parcel: Annotated[_Several, typer.Option(help="Parcel id; may be given again.")] = None,
    old: Annotated[_Several, typer.Option("--from", help="Old code; may be given again.")] = None,
    new: Annotated[_Several, typer.Option("--to", help="New code; may be given again.")] = None,
    place: Annotated[str, typer.Option(help="Where, in words.")] = "",
    ground: Annotated[Path | None, typer.Option(help="The ground it is about: a GeoJSON geometry, in degrees.")] = None,
    source: Annotated[str, typer.Option(help="Address of the document.")] = "",
    document: Annotated[Path | None, typer.Option(help="Read them out of this HTML, PDF or Legistar JSON.")] = None,
    *,
    json: _Json = False,
) -> None:
    """Tell of an ordinance or a case, or let a document tell; changes that it explains are matched at once."""
    known = bootstrap.jurisdiction(jurisdiction)
    if status not in STATUSES:
        raise SettingInvalid(f"{status!r} is no status", where="--status", do=f"choose one of: {', '.join(STATUSES)}")
    said = [
        Amendment(
            jurisdiction=known.id,
            case_numbers=tuple(case or ()),
            ordinance_numbers=tuple(ordinance or ()),
            kind=kind,
            status=status,
            dates=dict(map(_dated, date or ())),
            parcel_ids=tuple(parcel or ()),
            place=place,
            geometry=_ground(ground, known.target_crs) if ground else None,
            old_codes=tuple(old or ()),
            new_codes=tuple(new or ()),
            source=source,
            evidence={"told_by": getpass.getuser()},
        )
    ]
    _tell(known, said if document is None else _read(document, known.id, source), json=json)


def amendments(
    jurisdiction: Annotated[str | None, typer.Option(help="Only of this jurisdiction.")] = None,
    queue: Annotated[str | None, typer.Option(help="unmapped, unexplained, matched or questions; else all.")] = None,
    *,
    json: _Json = False,
) -> None:
    """What waits: adopted but not on the map, on the map without an ordinance, matched, and questions."""
    from zoning_assets.storage.postgis.records import amendment_records as store  # noqa: PLC0415

    if queue not in (None, *store.QUEUES):
        raise SettingInvalid(f"{queue!r} is no queue", where="--queue", do=f"choose one of: {', '.join(store.QUEUES)}")
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
        output.table(f"{name}{where}: {counted}", [_waiting(row, is_one=len(names) == 1) for row in shown])
    if not any(found.values()):
        output.line("no amendment waits")


def _tell(jurisdiction: Jurisdiction, told: list[Amendment], *, json: bool) -> None:
    """Store them, and say which said anything new."""
    from zoning_assets.storage.postgis.records import amendment_records  # noqa: PLC0415

    if not any(map(is_identified, told)):
        do = "give --case, --ordinance, --parcel, --to or --ground, or another document"
        raise SettingInvalid("nothing was told", where="zoning amend", do=do)
    new = amendment_records.store(bootstrap.bring_up_database(), jurisdiction.id, told, jurisdiction.srid)
    rows = [_row(name_of(each), each, is_new=new[name_of(each)]) for each in told]
    if json:
        output.document({"amendments": rows})
    else:
        output.table("Amendments", rows)


def _dated(text: str) -> tuple[str, str]:
    role, sign, day = text.partition("=")
    if not sign or role not in STATUSES:
        raise SettingInvalid(f"{text!r} is no ROLE=DAY", where="--date", do="give it like effective=2025-02-10")
    return role, day


def _ground(path: Path, target: str) -> bytes:
    """The ground of a GeoJSON geometry, in the target CRS, as WKB."""
    try:
        return ground_of(path.read_bytes()[:_LARGEST_GROUND], target)
    except (MessageRefused, OSError) as error:
        what = error.what if isinstance(error, MessageRefused) else f"cannot be read: {error.strerror}"
        raise SettingInvalid(what, where=str(path), do="give a valid Polygon or MultiPolygon in degrees") from None


def _read(path: Path, jurisdiction: str, source: str) -> list[Amendment]:
    """What a document tells.

    Raises:
        DocumentRefused: it cannot be read, or is not safe to read.
        SettingInvalid: there is no such file.
    """
    from zoning_assets.ordinances import amendments_of, amendments_of_matter  # noqa: PLC0415

    if not path.is_file():
        raise SettingInvalid("there is no such file", where=str(path), do="give the path of an HTML or PDF document")
    if path.suffix == ".json":
        return amendments_of_matter(*_matter(path), jurisdiction, source or path.name)
    return amendments_of(path.read_bytes(), jurisdiction, source or path.name)


def _matter(path: Path) -> tuple[Any, Any]:
    """A matter of Legistar's Web API, alone, or with its histories as `{"matter": ..., "histories": [...]}`."""
    try:
        said = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        what = f"it is not JSON (line {error.lineno}, column {error.colno})"
        raise SettingInvalid(what, where=str(path), do="give what the Web API answered") from None
    return (said["matter"], said.get("histories", [])) if isinstance(said, dict) and "matter" in said else (said, [])


def _row(name: str, told: Amendment, *, is_new: bool) -> dict[str, Any]:
    return {
        "id": name,
        "status": told.status,
        "cases": ", ".join(told.case_numbers),
        "ordinances": ", ".join(told.ordinance_numbers),
        "from": ", ".join(told.old_codes),
        "to": ", ".join(told.new_codes),
        "confidence": told.confidence,
        "new": "yes" if is_new else "no",
    }


def _waiting(row: dict[str, Any], *, is_one: bool) -> dict[str, Any]:
    """A row for people, without the jurisdiction where there is one only; a change's `noticed`, `legal` and short id as
    in `zoning changes`."""
    dates = {"detected": "noticed", "effective": "legal"}
    shown = {dates.get(name, name): value for name, value in row.items() if name != "jurisdiction" or not is_one}
    if terminal.is_terminal() and "detected" in row:
        shown |= {"id": short(row["id"]), "noticed": row["detected"].date()}
    return shown
