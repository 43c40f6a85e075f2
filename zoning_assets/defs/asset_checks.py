"""Tripwires as asset checks: one check per tripwire on `parcels` and one on `districts`.

A release of parcels covers several partitions. The description and the metadata of an evaluation therefore name them.
The checks are in transform/quality/release_checks.py; docs/reference/tripwires.md explains them.
"""

from collections.abc import Iterator

import dagster as dg

from zoning_assets.defs.metadata import some
from zoning_assets.defs.partitions import asset_key, key_of
from zoning_assets.errors import AcceptanceNeeded
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import PARCELS, ZONING, Place
from zoning_assets.transform.quality.release_checks import CHECKS, THINGS, CheckFinding, Verdict, names_of

#: feed -> the asset that is not published while a check fails.
ASSETS = {PARCELS: "parcels", ZONING: "districts"}
_SO_MUCH = {"share": "X%", "m": "X m", "days": "X", "fields": "X"}
_REST = {"columns_changed": " a column"}


def specs(feed: str, location: Location = WHOLE) -> list[dg.AssetCheckSpec]:
    """Return the checks of a feed's last asset. If a blocking check fails, nothing of the release is published."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=asset_key(ASSETS[feed], location),
            blocking=CHECKS[name].blocks,
            description=_about(name, feed),
        )
        for name in names_of(feed)
    ]


def evaluations(verdict: Verdict, location: Location = WHOLE) -> Iterator[dg.AssetCheckEvaluation]:
    """Return the result of each tripwire for a release, with the partitions that it checked."""
    checked = [key_of(Place(verdict.jurisdiction, tile)) for tile in verdict.tiles] or [verdict.jurisdiction]
    for each in verdict.findings:
        numbers = {"value": each.value, "usual": each.usual, "limit": each.limit}
        yield dg.AssetCheckEvaluation(
            asset_key=asset_key(ASSETS[verdict.feed], location),
            check_name=each.name,
            passed=not each.tripped,
            severity=dg.AssetCheckSeverity.ERROR if each.blocks else dg.AssetCheckSeverity.WARN,
            description=f"{some(checked)}: {_description(each)}",
            metadata={
                "jurisdiction": dg.MetadataValue.text(verdict.jurisdiction),
                "partitions": dg.MetadataValue.text(some(checked)),
                **{name: dg.MetadataValue.float(number) for name, number in numbers.items() if number is not None},
            },
        )


def of_fall(
    jurisdiction: str, feed: str, error: AcceptanceNeeded, location: Location = WHOLE
) -> dg.AssetCheckEvaluation:
    """Return the result for a layer that shrank a lot or is empty. This is detected before any row is fetched."""
    return dg.AssetCheckEvaluation(
        asset_key=asset_key(ASSETS[feed], location),
        check_name="count_drop",
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(error),
        metadata={
            "jurisdiction": dg.MetadataValue.text(jurisdiction),
            "partitions": dg.MetadataValue.text(jurisdiction),
        },
    )


def _about(name: str, feed: str) -> str:
    wire = CHECKS[name]
    share = wire.what.format(value=_SO_MUCH[wire.unit], things=THINGS[feed])
    return f"Fails if X is above its limit: {share}{_REST.get(name, '')}. docs/reference/tripwires.md says what to do."


def _description(finding: CheckFinding) -> str:
    """Return the finding's sentence without the check's name, which the UI already shows."""
    return finding.sentence.removeprefix(f"{finding.name}: ")
