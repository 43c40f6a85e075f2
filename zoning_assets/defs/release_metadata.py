"""What a person sees of `parcel_zoning` and `changes` in the UI."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from zoning_assets.defs import metadata
from zoning_assets.defs.metadata import some

if TYPE_CHECKING:
    from zoning_assets.pipeline.change_detection import Told
    from zoning_assets.pipeline.zone_parcels import Overlaid

_MOST = 100


def of_shares(done: "Overlaid") -> dict[str, Any]:
    """What the `parcel_zoning` asset shows."""
    names = ("parcel layer says", "map says", "parcels", "for example")
    rows = [(said, code, count, ", ".join(some)) for said, code, count, some in done.split.disagreements[:_MOST]]
    return {
        "districts": done.districts,
        "parcels_judged": done.judged,
        "parcels_changed": done.changed,
        "rows_spelled": done.spelled,
        "zoned": done.split.zoned,
        "split_zoned": done.split.split,
        "unzoned": done.split.unzoned,
        "codes_without_type": ", ".join(done.untyped) or "none",
        "codes_that_look_alike": "; ".join(" and ".join(each) for each in done.collisions) or "none",
        "disagreements": _table(names, rows),
    }


def of_changes(told: "Told | None") -> dict[str, Any]:
    """What the `changes` asset shows."""
    from zoning_assets.transform.changes.change_event import records  # noqa: PLC0415 - see defs/__init__

    if told is None:
        return {"new": 0, "why": "nothing was published since the last release"}
    names = ("id", "kind", "state", "parcels", "old", "new", "share", "confidence")
    zoning_first = told.changes.assign(last=told.changes["facet"] == "parcel").sort_values("last", kind="stable")
    rows = [
        [each["id"][:12], *(each[n] for n in names[1:3]), some(each["parcel_ids"]), *(each[n] for n in names[4:])]
        for each in records(zoning_first.head(_MOST))
    ]
    return {
        "new": told.new,
        **{kind.replace("/", " "): count for kind, count in sorted(told.counts.items())},
        "drift_m": told.drift_m,
        "tolerance_m": told.tolerance_m,
        "boundary_moved": told.moved,
        **({"map": _picture(told)} if told.changes["geometry"].notna().any() else {}),
        "changes": _table(names, rows),
    }


def alarm(jurisdiction: str, told: "Told") -> dg.Failure:
    """A release that is not believed: what speaks against it, and what to do."""
    return dg.Failure(
        description=f"{jurisdiction} zoning: {'; '.join(told.alarms)}; no change was told. Look at the portal; "
        f"if it is right: `zoning accept {jurisdiction} --feed zoning --reason ...`",
        metadata={"alarms": dg.MetadataValue.json(list(told.alarms))},
        allow_retries=False,
    )


def _picture(told: "Told") -> dg.MarkdownMetadataValue:
    """Where it changed: what waits for review, what happened to parcels, what happened to zoning."""
    from zoning_assets.transform.geometry import preview_image  # noqa: PLC0415 - see defs/__init__

    drawn = told.changes[told.changes["geometry"].notna()]
    review, of_parcels = (drawn["state"] == "review").to_numpy(), (drawn["facet"] == "parcel").to_numpy()
    shapes = drawn["geometry"].to_numpy()
    layers = [
        preview_image.Layer("for review", (189, 195, 203), shapes[review]),
        preview_image.Layer("parcels changed", (86, 180, 233), shapes[~review & of_parcels]),
        preview_image.Layer("zoning changed", (209, 36, 47), shapes[~review & ~of_parcels]),
    ]
    return metadata.image(preview_image.draw([layer for layer in layers if len(layer.shapes)]), "what changed")


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord({n: "" if v is None else str(v) for n, v in zip(names, r, strict=True)}) for r in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in names]))
