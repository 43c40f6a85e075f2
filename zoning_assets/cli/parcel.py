"""`zoning parcel`, `explain`, `watch`, `preview-rules`: one parcel, and why something is in the change feed."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.changes import row_of
from zoning_assets.cli.display import output
from zoning_assets.errors import NothingFound, SettingInvalid
from zoning_assets.settings import moment

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def parcel(
    jurisdiction: Annotated[str, typer.Argument(help="Where.")],
    parcel_id: Annotated[str, typer.Argument(help="Which parcel, now or then.")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="What applied on this day (ISO 8601).")] = None,
    *,
    json: _Json = False,
) -> None:
    """One parcel's whole life: rows, zoning, lineage, amendments, evidence."""
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415

    day = moment(as_of, "--as-of").date().isoformat() if as_of else None
    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "zoning parcel")
    life = feed.parcel_history(url, jurisdiction, parcel_id)
    life["changes"] = feed.find(url, jurisdiction=jurisdiction, parcel=parcel_id)
    life["zoning_now" if day is None else "zoning_as_of"] = feed.zoning_as_of(url, jurisdiction, parcel_id, day, None)
    if not life["parcel"] and not life["changes"]:
        raise NothingFound(
            "no parcel has or had this id",
            where=f"{jurisdiction} {parcel_id!r}",
            do="look at zoning.parcel for its spelling",
        )
    if json:
        output.document({"jurisdiction": jurisdiction, "parcel_id": parcel_id, **life})
        return
    for title, rows in life.items():
        row = _change if title == "changes" else _version
        output.table(f"{parcel_id}: {_TITLES.get(title, title.replace('_', ' '))}", [row(each) for each in rows])


def explain(change: Annotated[str, typer.Argument(help="Its id, or how it begins.")], *, json: _Json = False) -> None:
    """Why a change is one, in numbers."""
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415

    if not change.isalnum():
        raise SettingInvalid(
            f"{change!r} is no id of a change", where="zoning explain", do="take one of `zoning changes`"
        )
    found = feed.find(bootstrap.bring_up_database(), id_=change, limit=2)
    if len(found) != 1:
        what = "several changes begin so" if found else "no change begins so"
        raise NothingFound(what, where=repr(change), do="take a whole id of `zoning changes --json`")
    if json:
        output.document(found[0])
        return
    for line in why(found[0]):
        output.say(line)


def watch(
    jurisdiction: Annotated[str, typer.Argument(help="Where.")],
    parcel_ids: Annotated[list[str], typer.Argument(help="Which parcels; what they become is watched too.")],
    *,
    json: _Json = False,
) -> None:
    """Watch parcels, and what they become; without anything new, what is watched and what changed there."""
    from zoning_assets.storage.postgis.records import change_records as feed  # noqa: PLC0415

    url = bootstrap.bring_up_database()
    bootstrap.check_known(jurisdiction, url, "zoning watch")
    watched = feed.watch(url, jurisdiction, parcel_ids)
    if json:
        output.document({"watched": watched})
    else:
        output.table(f"Watched in {jurisdiction}", [{**row, "parcel_id": [row["parcel_id"]]} for row in watched])


def preview_rules(
    jurisdiction: Annotated[str, typer.Argument(help="Whose file was edited.")], *, json: _Json = False
) -> None:
    """What the codes of an edited jurisdiction file would make of all that is published; nothing is written."""
    from zoning_assets.pipeline import change_detection  # noqa: PLC0415

    known = bootstrap.jurisdiction(jurisdiction)
    found = change_detection.preview(bootstrap.bring_up_database(), known)
    if json:
        output.document(asdict(found))
        return
    output.table("Codes", [{"local": local, "is": was, "would be": now} for local, was, now in found.codes])
    output.table("Types", [{"code": code, "is": was, "would be": now} for code, was, now in found.types])
    for title, rows in (("would come", found.come), ("would go", found.gone)):
        shown = [{"parcels": ids, "from": old, "to": new, "state": state} for _, state, _, ids, old, new in rows]
        output.table(f"{len(rows)} changes {title}", shown[:50])
    if found == change_detection.Preview([], [], [], []):
        output.line("nothing would change")


def why(change: dict[str, Any]) -> list[str]:
    """A change in sentences: what, where, how sure, by which evidence."""
    evidence = change["evidence"]
    ids = ", ".join(change["parcel_ids"][:10]) or "no single parcel"
    said = [
        f"{change['id']}  {change['kind']} ({change['state']}), {change['jurisdiction']}: {ids}",
        f"from {change['old'] or 'nothing'} to {change['new'] or 'nothing'}; confidence {change['confidence']}",
    ]
    said.append(_dates(change))
    if change["area_m2"] is not None:
        said.append(
            f"{change['area_m2']:,.1f} m2" + (f", {change['share']:.1%} of the parcel" if change["share"] else "")
        )
    if "tolerance_m" in evidence:
        drift_m, tolerance_m = evidence["drift_m"], evidence["tolerance_m"]
        said.append(f"the release drifted by {drift_m} m; ground thinner than {tolerance_m} m says nothing")
    said += [_part(part) for part in evidence.get("parts", [])[:10]]
    if evidence.get("parents") or evidence.get("children"):
        overlap_m2, score = evidence["overlap_m2"], evidence["score"]
        said.append(f"parents share {overlap_m2:,.1f} m2 with children (least share {score:.2f})")
    names = (
        "parcel_layer_says",
        "reused",
        "holders",
        "undoes",
        "spelled_before",
        "spelled_now",
        "moved_share",
        "source",
    )
    said += [f"{name.replace('_', ' ')}: {evidence[name]}" for name in names if evidence.get(name)]
    said += [_ordinance(each) for each in change["amendments"] or []] or ["ordinance: none is known"]
    maps = ", ".join(evidence.get("maps", [])) or "-"
    return [*said, f"batches {_named(evidence['batches'])}, rules {evidence['rules']}, maps {maps}"]


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _dates(change: dict[str, Any]) -> str:
    noticed = change["detected"].isoformat(timespec="seconds")
    legal = f"legal from {change['effective']}" if change["effective"] else "no legal date is stated"
    return f"noticed at {noticed} (when this database first saw it); {legal}"


def _ordinance(told: dict[str, Any]) -> str:
    numbers = ", ".join([*told["ordinance_numbers"], *told["case_numbers"]]) or told["amendment"]
    return f"ordinance: {numbers} ({told['status']}), score {told['score']}: {', '.join(told['reasons'])}"


def _part(part: dict[str, Any]) -> str:
    ground = f"{part['area_m2']:,.1f} m2, {part['share']:.1%} of {part['parcel_id']}, about {part['width_m']} m wide"
    return f"  {part['old']} -> {part['new']}: {ground}"


#: Columns that are dates, as tables call them: when it was noticed, until when it stood, since when by law.
_TITLES = {"parcel": "versions", "zoning": "versions of its zoning"}
_LAST = ("zoning_code_local", "content_hash")
_DATES = {"system_from": "noticed", "system_to": "until", "legal_from": "legal"}


def _version(row: dict[str, Any]) -> dict[str, Any]:
    """A version of a parcel, or of its zoning, as a row of a table; what is of less interest stands last."""
    ordered = [name for name in row if name not in _LAST] + [name for name in row if name in _LAST]
    return {_DATES.get(name, name): row[name] for name in ordered}


def _change(change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row_of(change).items() if name not in ("jurisdiction", "state")}
