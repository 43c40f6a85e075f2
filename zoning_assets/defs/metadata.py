"""The metadata that the Dagster UI shows for a materialization."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from zoning_assets.defs.partitions import key_of
from zoning_assets.errors import ZoningError
from zoning_assets.harvest import Cover
from zoning_assets.model import NORMALIZED, PUBLISHED, RAW, VALIDATED, Counts, Outcome

_MOST_REJECTIONS = 50
_OF_NAME = 12  # characters of a page's name: enough to find its file, and the table still fits in the UI


#: (jurisdiction, feed, raw rows as JSON) -> their ids, as `zoning fix` takes them.
Identify = Callable[[str, str, Sequence[str]], list[str]]


def events(
    outcome: Outcome, assets: Mapping[str, dg.AssetKey], identify: Identify
) -> Iterator[dg.AssetMaterialization]:
    """Yield one materialization for each completed stage that has an asset in this run.

    They have no tags, not even a data version: for an event with tags Dagster opens another connection, which takes
    longer than the event. The hashes are in the metadata. One of them has the map, which is most of its size.
    """
    mine = [stage for stage in TILE_ASSETS if stage in outcome.stages and stage in assets]
    mapped = next((stage for stage in mine if stage in (VALIDATED, PUBLISHED)), None)
    for stage in mine:
        yield dg.AssetMaterialization(
            asset_key=assets[stage],
            partition=key_of(outcome.place),
            metadata={**_of_stage(stage, outcome, identify), **(_map(outcome) if stage == mapped else {})},
        )


def _of_stage(stage: str, outcome: Outcome, identify: Identify) -> dict[str, Any]:
    counts = outcome.counts
    if stage == RAW and outcome.harvest:
        pages = outcome.harvest.pages
        return {
            "harvest": outcome.harvest.id,
            "pages": len(pages),
            "rows_received": sum(page.rows for page in pages),
            "proof": dg.MetadataValue.json(dict(outcome.harvest.proof)),
            **_numbers(counts, "bytes", "requests", "seconds"),
        }
    if stage == NORMALIZED:
        harvest = outcome.harvest
        return {
            **({"harvest": harvest.id} if harvest else {}),
            "crs": str((harvest.layer if harvest else {}).get("crs")),
            **_remark(outcome),
            **_numbers(counts, "fetched"),
        }
    validated = {
        "content_hash": outcome.content_hash,
        **_numbers(counts, "fetched", "accepted", "repaired", "rejected", "dissolved"),
    }
    if stage == VALIDATED:
        return {**validated, "rejections": _rejections(outcome, identify)}
    published = _numbers(counts, "added", "changed", "unchanged", "retired", "bytes", "requests", "seconds")
    batch = "published before" if outcome.batch is None else outcome.batch
    return {**validated, **published, "batch": batch, **_remark(outcome), **_left_out(outcome)}


def _map(outcome: Outcome) -> dict[str, Any]:
    return {"map": image(outcome.picture, "map by zoning code; repaired amber, rejected red; legend below")}


def _remark(outcome: Outcome) -> dict[str, Any]:
    return {"remark": outcome.remark} if outcome.remark else {}


def _left_out(outcome: Outcome) -> dict[str, Any]:
    return {"left_out": dg.MetadataValue.json(list(outcome.left_out))} if outcome.left_out else {}


def _numbers(counts: Counts, *names: str) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in names}


def image(png: bytes, about: str) -> dg.MarkdownMetadataValue:
    """Return a PNG image as metadata for the UI. `about` is the alternative text for screen readers."""
    text = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{about}](data:image/png;base64,{text})")


def _rejections(outcome: Outcome, identify: Identify) -> dg.TableMetadataValue:
    """Return a table of the first rejections. Its column `id` is the argument of `zoning fix`."""
    rows = outcome.rejections.head(_MOST_REJECTIONS)
    ids = _ids(outcome, rows["raw"].tolist(), identify) if len(rows) else []
    names = ("id", "reason", "detail", "row", "page")
    records = [
        dict(zip(names, (*map(_shown, row), page[:_OF_NAME]), strict=True))
        for *row, page in zip(ids, *(rows[name] for name in names[1:]), strict=True)
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in names])
    return dg.MetadataValue.table([dg.TableRecord(record) for record in records], schema=schema)


def _ids(outcome: Outcome, raws: Sequence[str], identify: Identify) -> list[str]:
    """Return the ids of rejections; empty if the database is not available, so that the report does not fail."""
    try:
        return identify(outcome.place.jurisdiction, outcome.feed, raws)
    except ZoningError:
        return [""] * len(raws)


def _shown(value: object) -> str:
    """Convert a value to text. A missing value becomes empty text, because the UI cannot read NaN."""
    return str(value) if value is not None and value == value else ""  # noqa: PLR0124 - only NaN differs from itself


def of_cover(cover: Cover, came: int, went: int) -> dict[str, Any]:
    """Return the metadata of the asset `tiles`."""
    return {
        "tiles": len(cover.tiles),
        "new": came,
        "gone": went,
        "repeated_keys": len(cover.repeated),
        "harvest": cover.harvest,
        **({"join": dg.MetadataValue.json(dict(cover.join))} if cover.join else {}),
        **cover.cost,
        "layer": dg.MetadataValue.json(dict(cover.stamp)),
        "rows": dg.MetadataValue.table(
            [dg.TableRecord({"tile": tile, "rows": rows}) for tile, rows in list(cover.tiles.items())[:200]],
            schema=dg.TableSchema(columns=[dg.TableColumn("tile"), dg.TableColumn("rows", "int")]),
        ),
    }


def failure(failed: list[Outcome]) -> dg.Failure:
    """Return one failure that lists each partition and its error. Partitions with the same error share one line."""
    by_error: dict[str, list[str]] = {}
    for outcome in failed:
        by_error.setdefault(str(outcome.error), []).append(key_of(outcome.place))
    lines = [f"{some(keys)}: {error}" for error, keys in by_error.items()]
    return dg.Failure(
        description=f"{len(failed)} partition(s) failed, the others are published:\n" + "\n".join(lines[:50]),
        metadata={
            "failed": dg.MetadataValue.table(
                [dg.TableRecord({"partition": key_of(o.place), "error": str(o.error)}) for o in failed[:200]],
                schema=dg.TableSchema(columns=[dg.TableColumn("partition"), dg.TableColumn("error")]),
            )
        },
        # The run has already retried temporary errors. The other errors need an operator, or more time.
        allow_retries=False,
    )


#: The asset of each stage, for tiles and for the whole jurisdiction.
TILE_ASSETS = {RAW: "raw_feed", NORMALIZED: "normalized", VALIDATED: "validated", PUBLISHED: "parcels"}
WHOLE_ASSETS = {PUBLISHED: "districts"}


def some(ids: Sequence[str]) -> str:
    """Return the first ids and the number of the other ones."""
    return ", ".join(ids[:2]) + (f" and {len(ids) - 2} more" if len(ids) > 2 else "")
