"""`zoning rejections` and `zoning fix`: list rejected rows, and fix them."""

import getpass
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output, terminal
from zoning_assets.errors import FixRefused, NothingFound, SettingInvalid, ZoningError

_LARGEST_FILE = 10_000_000  # bytes
_STATES = ("open", "known")
_MOST_TEXT = 100  # characters of a raw row on a terminal
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Feed = Annotated[str | None, typer.Option(help="Only this feed: parcels or zoning.")]
_Tile = Annotated[str | None, typer.Option(help="Only this H3 tile.")]


def rejections(  # noqa: PLR0913 - one parameter per option
    jurisdiction: Annotated[str | None, typer.Argument(help="Only this jurisdiction.")] = None,
    feed: _Feed = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    tile: _Tile = None,
    state: Annotated[str | None, typer.Option(help="Only rows in this state: open, known or superseded.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="Number of samples per reason.")] = 3,
    *,
    json: _Json = False,
) -> None:
    """Show rejected rows, counted by reason, with samples; and the fixes."""
    from zoning_assets.storage.postgis.records import correction_records  # noqa: PLC0415

    if state not in (None, *_STATES, "superseded"):
        raise SettingInvalid(f"{state!r} is not a state", where="--state", do="choose open, known or superseded")
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "zoning rejections")
    which = {"jurisdiction": jurisdiction, "feed": feed, "reason": reason, "tile": tile}
    groups = correction_records.groups(url, limit, states=[state] if state else _STATES, **which)
    for group in groups:
        key = _key_column(group["jurisdiction"], group["feed"])
        for sample in group["samples"]:
            sample["key"] = (sample["raw"].get("attributes") or sample["raw"].get("properties") or {}).get(key)
    fixes = correction_records.active(url, jurisdiction)
    if json:
        output.document({"rejections": groups, "fixes": fixes})
        return
    left_out = {"samples", *(["jurisdiction"] if jurisdiction else [])}
    where = f" in {jurisdiction}" if jurisdiction else ""
    output.table(f"Rejected{where}", [{name: each[name] for name in each if name not in left_out} for each in groups])
    for group in groups:
        shown, count = len(group["samples"]), group["count"]
        title = f"{group['jurisdiction']} {group['feed']}: {group['reason']} ({group['state']})"
        counted = f", showing {shown:,} of {count:,}" if shown < count else ""
        output.table(f"{title}{counted}", list(map(_sample, group["samples"])))
    if any(len(group["samples"]) < group["count"] for group in groups):
        output.line("--limit N shows more rows per reason")
    output.table(f"Fixes{where}", [_fix_row(each, left_out) for each in fixes])
    if not groups:
        output.line("No row is rejected.")


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    """Convert a sample to a row of a table, with the columns in one text."""
    columns = sample["raw"].get("attributes") or sample["raw"].get("properties") or {}
    text = ", ".join(f"{name}={'' if value is None else value}" for name, value in columns.items())
    is_long = terminal.is_terminal() and len(text) > _MOST_TEXT
    key = [] if sample["key"] is None else [sample["key"]]
    row = {"id": sample["id"], "key": key, "detail": sample["detail"], "tile": sample["tile"]}
    return {**row, "columns": f"{text[:_MOST_TEXT]}..." if is_long else text}


def _fix_row(fix: dict[str, Any], left_out: Set[str]) -> dict[str, Any]:
    """Convert a fix to a row of a table, with the columns as they were given: COLUMN=VALUE."""
    columns = ", ".join(f"{name}={value}" for name, value in (fix["columns"] or {}).items())
    return {**{name: fix[name] for name in fix if name not in left_out}, "columns": columns}


def _key_column(jurisdiction: str, feed: str) -> str | None:
    try:
        return bootstrap.jurisdiction(jurisdiction).feeds[feed].key
    except (ZoningError, KeyError):  # its file may be missing or invalid
        return None


def fix(  # noqa: PLR0913 - one parameter per option
    what: Annotated[str, typer.Argument(metavar="ID|JURISDICTION", help="The id of a row; with --all a jurisdiction.")],
    reason: Annotated[str, typer.Option(help="The reason; stored with your name.")],
    all_: Annotated[str | None, typer.Option("--all", help="All open rows with this reason.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="COLUMN=VALUE or COLUMN=@OTHER.")] = None,
    geometry: Annotated[Path | None, typer.Option(help="A GeoJSON file with the shape of the row.")] = None,
    feed: _Feed = None,
    tile: _Tile = None,
    *,
    known: Annotated[bool, typer.Option("--known", help="Keep it rejected, and mark it as known.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Withdraw the fix or the mark.")] = False,
    json: _Json = False,
) -> None:
    """Fix a rejected row, or mark it as known. It applies while the portal sends exactly the same row."""
    from zoning_assets.pipeline import corrections  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records import correction_records  # noqa: PLC0415

    if sum((bool(set_ or geometry), known, withdraw)) != 1 or (withdraw and all_):
        raise SettingInvalid(
            "give one kind of fix", where="zoning fix", do="--set and --geometry, or --known, or --withdraw"
        )
    if geometry and all_:
        raise SettingInvalid("several rows cannot have one shape", where="--geometry", do="give the id of a row")
    wish = None if known or withdraw else corrections.FixRequest(_columns(set_ or []), _shape(geometry))
    url, actor = bootstrap.bring_up_database(), getpass.getuser()
    if withdraw:
        ended = correction_records.withdraw(url, [what], actor, reason)
        if not ended:
            raise NothingFound("it has no fix", where=what, do="look at `zoning rejections`")
        _report([], sorted({each["jurisdiction"] for each in ended}), {}, json=json, withdrawn=[what])
        return
    which = {"jurisdiction": what, "reason": all_, "feed": feed, "tile": tile} if all_ else {}
    rows = correction_records.rejected(url, [] if all_ else [what], **which)
    if not rows:
        raise NothingFound("there is no such rejected row", where=what, do="look at `zoning rejections`")
    described, objects = bootstrap.jurisdiction(rows[0].jurisdiction), Objects(bootstrap.settings().store_url)
    refused = corrections.fix(url, objects, described, rows, wish, actor=actor, reason=reason)
    kept = [row.row_id for row in rows if row.row_id not in refused]
    if refused and not kept and len(rows) == 1:
        raise next(iter(refused.values()))
    _report(kept, [described.id] if wish else [], refused, json=json)


def _report(
    kept: Sequence[str],
    to_replay: Sequence[str],
    refused: dict[str, ZoningError],
    *,
    json: bool,
    withdrawn: Sequence[str] = (),
) -> None:
    errors = {row_id: str(error) for row_id, error in refused.items()}
    if not json:
        counts = {"kept": len(kept), "withdrawn": len(withdrawn), "refused": len(refused)}
        output.line(", ".join(f"{number} {name}" for name, number in counts.items() if number))
        for each in to_replay if kept or withdrawn else []:
            output.line(f"`zoning replay {each}` publishes it without requests to the portal")
    document = {"fixed": kept, "withdrawn": withdrawn, "refused": errors}
    output.finish(document if json else None, list(errors.values()))


def _columns(options: Sequence[str]) -> dict[str, str]:
    wrong = next((each for each in options if not each.partition("=")[0] or "=" not in each), None)
    if wrong is not None:
        raise SettingInvalid(f"{wrong!r} is not an assignment", where="--set", do="write COLUMN=VALUE or COLUMN=@OTHER")
    return {name: value for name, _, value in (each.partition("=") for each in options)}


def _shape(file: Path | None) -> bytes | None:
    """Read the shape from a file, or from stdin (-)."""
    from zoning_assets.transform.row_corrections import read_shape  # noqa: PLC0415

    if file is None:
        return None
    body = bootstrap.read(file, _LARGEST_FILE, "give the shape of one row")
    try:
        return read_shape(body)
    except ValueError as error:
        raise FixRefused(str(error), where=str(file), do="give GeoJSON of one polygon") from error
