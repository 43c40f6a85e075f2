"""The metadata that the Dagster UI shows for `parcel_zoning` and `changes`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import dagster as dg

from zoning_assets.defs import metadata
from zoning_assets.defs.metadata import some

if TYPE_CHECKING:
    import pandas as pd

    from zoning_assets.pipeline.change_detection import ReleaseChanges
    from zoning_assets.pipeline.zone_parcels import OverlayResult

_MOST = 100


def map_links(map_url: str | None, jurisdiction: str, detected: "ReleaseChanges | None" = None) -> dict[str, Any]:
    """Return links to the map: to a jurisdiction, and to the first change of a release.

    The addresses have the form that the page reads (api/page/permalink.js). Empty: no address of the map is known.
    """
    if map_url is None or urlsplit(map_url).scheme not in ("http", "https"):
        return {}
    views = {"open_map": {"jurisdiction": jurisdiction}}
    if detected and len(detected.changes):
        first = str(_zoning_first(detected)["id"].iat[0])
        views["open_first_change"] = {"jurisdiction": jurisdiction, "change": first}
    return {name: dg.MetadataValue.url(f"{map_url.rstrip('/')}/#{urlencode(view)}") for name, view in views.items()}


def of_shares(done: "OverlayResult") -> dict[str, Any]:
    """Return the metadata of the asset `parcel_zoning`."""
    names = ("parcel layer says", "map says", "parcels", "for example")
    rows = [(local, code, count, ", ".join(some)) for local, code, count, some in done.split.disagreements[:_MOST]]
    return {
        "districts": done.districts,
        "parcels_judged": done.overlaid,
        "parcels_changed": done.changed,
        "rows_spelled": done.respelled,
        "zoned": done.split.zoned,
        "split_zoned": done.split.split,
        "unzoned": done.split.unzoned,
        "codes_without_type": ", ".join(done.untyped) or "none",
        "codes_that_look_alike": "; ".join(" and ".join(each) for each in done.collisions) or "none",
        "disagreements": _table(names, rows),
    }


def of_changes(detected: "ReleaseChanges | None") -> dict[str, Any]:
    """Return the metadata of the asset `changes`."""
    from zoning_assets.transform.changes.change_event import records  # noqa: PLC0415 - see defs/__init__

    if detected is None:
        return {"new": 0, "why": "nothing was published since the last release"}
    names = ("id", "kind", "state", "parcels", "old", "new", "share", "confidence")
    rows = [
        [each["id"][:12], *(each[n] for n in names[1:3]), some(each["parcel_ids"]), *(each[n] for n in names[4:])]
        for each in records(_zoning_first(detected).head(_MOST))
    ]
    return {
        "new": detected.new,
        **{kind.replace("/", " "): count for kind, count in sorted(detected.counts.items())},
        "drift_m": detected.drift_m,
        "tolerance_m": detected.tolerance_m,
        "boundary_moved": detected.moved,
        **({"map": _picture(detected)} if detected.changes["geometry"].notna().any() else {}),
        "changes": _table(names, rows),
    }


def alarm(jurisdiction: str, detected: "ReleaseChanges") -> dg.Failure:
    """Return the failure for a release that raised alarms: the alarms, and what to do."""
    return dg.Failure(
        description=f"{jurisdiction} zoning: {'; '.join(detected.alarms)}; no change was recorded. Check the portal; "
        f"if the map is correct: `zoning accept {jurisdiction} --feed zoning --reason ...`",
        metadata={"alarms": dg.MetadataValue.json(list(detected.alarms))},
        allow_retries=False,
    )


def _zoning_first(detected: "ReleaseChanges") -> "pd.DataFrame":
    """Return the changes, those of zoning before those of parcels."""
    is_last = detected.changes["facet"] == "parcel"
    return detected.changes.assign(last=is_last).sort_values("last", kind="stable")


def _picture(detected: "ReleaseChanges") -> dg.MarkdownMetadataValue:
    """Draw a map of the changes: changes that need review, parcel changes and zoning changes."""
    from zoning_assets.transform.geometry import preview_image  # noqa: PLC0415 - see defs/__init__

    drawn = detected.changes[detected.changes["geometry"].notna()]
    review, of_parcels = (drawn["state"] == "review").to_numpy(), (drawn["facet"] == "parcel").to_numpy()
    shapes = drawn["geometry"].to_numpy()
    layers = [
        preview_image.MapLayer("for review", (189, 195, 203), shapes[review]),
        preview_image.MapLayer("parcels changed", (86, 180, 233), shapes[~review & of_parcels]),
        preview_image.MapLayer("zoning changed", (209, 36, 47), shapes[~review & ~of_parcels]),
    ]
    return metadata.image(preview_image.draw([layer for layer in layers if len(layer.shapes)]), "what changed")


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord({n: "" if v is None else str(v) for n, v in zip(names, r, strict=True)}) for r in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in names]))
