"""The assets. Each asset body reads its inputs, makes one call, and yields metadata.

One step makes `raw_feed`, `normalized`, `validated` and `parcels`. A tile passes through all of them while other tiles
are still being fetched, and a failed tile does not delay the others. The results of a partition are yielded as soon as
the partition is complete.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets import graceful_stop, log_config
from zoning_assets.defs import asset_checks, metadata, partitions, release_metadata, retry_policies
from zoning_assets.defs.export_assets import export_assets
from zoning_assets.defs.failure_log import begin, note, noted
from zoning_assets.defs.in_process_runs import FORCE, REPLAY
from zoning_assets.defs.resources import KeptResource, Zoning
from zoning_assets.defs.retry_policies import one_line
from zoning_assets.errors import AcceptanceNeeded
from zoning_assets.harvest import Cover
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import CHANGES, PARCELS, RAW, ZONING, Jurisdiction, Outcome
from zoning_assets.storage.postgis.records import failure_records
from zoning_assets.transform.quality.release_checks import Verdict

if TYPE_CHECKING:
    from zoning_assets.http import ResponseCaches
    from zoning_assets.pipeline.pipeline import Pipeline

_ABOUT = {
    "raw_feed": "The tile's rows in the layer's harvest: pages as the portal sent them. Immutable, named by hash.",
    "normalized": "The harvest with standard columns in the target CRS (GeoParquet); only rows that the tile owns.",
    "validated": "All rows after validation: valid MultiPolygons with their hash, and rejected rows with their reason.",
    "parcels": "The PostGIS table zoning.parcel: one transaction per tile, history in zoning.parcel_version.",
}
#: What a step yields for a partition.
Event = dg.AssetMaterialization | dg.AssetCheckEvaluation
#: The same for a run of one partition.
Result = dg.MaterializeResult[None] | dg.AssetCheckResult
_KINDS = {"raw_feed": {"json"}, "normalized": {"parquet"}, "validated": {"parquet"}, "parcels": {"postgres"}}


def specs(location: Location) -> list[dg.AssetSpec]:
    """Return the specs of the four tile assets. Each one depends on the one before it."""
    names = list(_ABOUT)
    tiles = dg.AssetDep(partitions.asset_key("tiles", location), partition_mapping=dg.AllPartitionMapping())
    before = [tiles, *(dg.AssetDep(partitions.asset_key(each, location)) for each in names[:-1])]
    return [
        dg.AssetSpec(
            partitions.asset_key(name, location),
            deps=[made_of],
            description=_ABOUT[name],
            group_name="parcels",
            skippable=True,
            kinds=_KINDS[name],
        )
        for name, made_of in zip(names, before, strict=True)
    ]


def parcels_by_tile(location: Location = WHOLE) -> dg.AssetsDefinition:
    """Return the assets that have one partition per tile."""

    @dg.multi_asset(
        specs=specs(location),
        check_specs=asset_checks.specs(PARCELS, location),
        partitions_def=dg.DynamicPartitionsDefinition(name=location.tiles),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        retry_policy=retry_policies.PASSING,
        name=_name("parcels_by_tile", location),
    )
    def parcels_by_tile(context: dg.AssetExecutionContext, zoning: Zoning) -> Iterator[Event]:
        """Read the selected tiles' rows from the layer's harvest; normalize, validate and publish them."""
        keys = {stage: partitions.asset_key(name, location) for stage, name in metadata.TILE_ASSETS.items()}
        assets = {stage: key for stage, key in keys.items() if key in context.selected_asset_keys}
        yield from _process(context, zoning, PARCELS, assets, location)

    return parcels_by_tile


def _name(name: str, location: Location) -> str:
    """The name of an op in a group."""
    return f"{location.identifier}__{name}" if location.name else name


def whole_assets(ids: Collection[str], location: Location = WHOLE) -> list[dg.AssetsDefinition]:
    """Return the assets that have one partition per jurisdiction. `ids`: the jurisdictions of the group."""
    by_jurisdiction = partitions.jurisdictions(ids)
    return [
        *_harvest_assets(by_jurisdiction, location),
        *_computed_assets(by_jurisdiction, location),
        *export_assets(by_jurisdiction, location),
    ]


def _harvest_assets(by_jurisdiction: dg.PartitionsDefinition[str], location: Location) -> list[dg.AssetsDefinition]:
    """Return the assets that fetch data from portals."""

    @dg.asset(
        key=partitions.asset_key("tiles", location),
        partitions_def=by_jurisdiction,
        group_name="parcels",
        description="The harvest of a jurisdiction's parcel layer, and the H3 tiles that own its rows.",
        retry_policy=retry_policies.PASSING,
    )
    def tiles(
        context: dg.AssetExecutionContext, zoning: Zoning, kept: KeptResource
    ) -> Iterator[dg.MaterializeResult[None] | Event]:
        place = partitions.place_of(context.partition_key)
        with one_line(), noted(context, zoning, PARCELS), zoning.pipeline(kept) as pipeline:
            described = zoning.jurisdictions([place.jurisdiction])[place.jurisdiction]
            try:
                cover = _cover(context, pipeline, described)
            except AcceptanceNeeded as error:
                yield asset_checks.of_fall(described.id, PARCELS, error, location)
                raise
            failure_records.solve_removed_tiles(
                pipeline.database, place.jurisdiction, PARCELS, cover.tiles, zoning.now()
            )
        came, went = partitions.register(context.instance, place.jurisdiction, cover.tiles, location)
        yield dg.MaterializeResult(metadata=metadata.of_cover(cover, came, went))

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                partitions.asset_key("districts", location),
                description="The PostGIS table zoning.district: the zoning map of a jurisdiction, with history.",
                group_name="zoning",
                kinds={"postgres"},
                skippable=True,
            )
        ],
        check_specs=asset_checks.specs(ZONING, location),
        partitions_def=by_jurisdiction,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=retry_policies.PASSING,
        can_subset=True,  # a release that has nothing new is not checked
        name=_name("districts_by_jurisdiction", location),
    )
    def districts(context: dg.AssetExecutionContext, zoning: Zoning, kept: KeptResource) -> Iterator[Event | Result]:
        assets = {stage: partitions.asset_key(name, location) for stage, name in metadata.WHOLE_ASSETS.items()}
        made = _process(context, zoning, ZONING, assets, location, kept)
        yield from made if len(context.partition_keys) > 1 else map(_as_result, made)

    return [tiles, districts]


def _computed_assets(by_jurisdiction: dg.PartitionsDefinition[str], location: Location) -> list[dg.AssetsDefinition]:
    """Return the assets that are computed from published tables."""
    parcels, districts = (partitions.asset_key(each, location) for each in ("parcels", "districts"))

    @dg.asset(
        key=partitions.asset_key("parcel_zoning", location),
        deps=[dg.AssetDep(parcels, partition_mapping=dg.AllPartitionMapping()), districts],
        partitions_def=by_jurisdiction,
        group_name="zoning",
        kinds={"postgres"},
        retry_policy=retry_policies.PASSING,
        description="The PostGIS table zoning.parcel_zoning: each parcel's exact share in each code, with history.",
    )
    def parcel_zoning(context: dg.AssetExecutionContext, zoning: Zoning) -> dg.MaterializeResult[None]:
        from zoning_assets.pipeline import change_detection  # noqa: PLC0415 - see defs/__init__

        with (
            one_line(),
            noted(context, zoning, CHANGES),
            zoning.open_jurisdiction(context.partition_key) as (url, jurisdiction),
        ):
            done = change_detection.update_parcel_zoning(url, jurisdiction)
        links = release_metadata.map_links(zoning.settings.map_url, jurisdiction.id)
        return dg.MaterializeResult(metadata={**release_metadata.of_shares(done), **links})

    @dg.asset(
        key=partitions.asset_key("changes", location),
        deps=[parcel_zoning],
        partitions_def=by_jurisdiction,
        group_name="zoning",
        kinds={"postgres"},
        retry_policy=retry_policies.PASSING,
        description="The PostGIS table zoning.change: the real changes of a release, with kind and evidence.",
    )
    def changes(context: dg.AssetExecutionContext, zoning: Zoning) -> dg.MaterializeResult[None]:
        from zoning_assets.pipeline import change_detection  # noqa: PLC0415 - see defs/__init__

        with (
            one_line(),
            noted(context, zoning, CHANGES),
            zoning.open_jurisdiction(context.partition_key) as (url, jurisdiction),
        ):
            found = change_detection.detect_changes(url, jurisdiction)
        if found and found.alarms:
            raise release_metadata.alarm(context.partition_key, found)
        links = release_metadata.map_links(zoning.settings.map_url, jurisdiction.id, found)
        return dg.MaterializeResult(metadata={**release_metadata.of_changes(found), **links})

    return [parcel_zoning, changes]


def _cover(context: dg.AssetExecutionContext, pipeline: "Pipeline", jurisdiction: Jurisdiction) -> Cover:
    return graceful_stop.run(pipeline.harvest(jurisdiction, force=FORCE in context.run.tags), graceful_stop.GRACE_S)


def _process(  # noqa: PLR0913 - the run, what it makes, and for whom
    context: dg.AssetExecutionContext,
    zoning: Zoning,
    feed: str,
    assets: Mapping[str, dg.AssetKey],
    location: Location,
    kept: "ResponseCaches | None" = None,
) -> Iterator[Event]:
    """Process the run's partitions. Yield the results of each one when it is complete; raise failures at the end."""
    from zoning_assets.storage.postgis.records import correction_records  # noqa: PLC0415 - see defs/__init__

    places = [partitions.place_of(key) for key in context.partition_keys]
    outcomes: list[Outcome] = []
    with one_line(), zoning.pipeline(kept) as pipeline:
        begin(context, zoning, feed, places)
        known, wrong = zoning.load_jurisdictions([place.jurisdiction for place in places])
        outcomes += [
            Outcome(each, feed, error=wrong[each.jurisdiction]) for each in places if each.jurisdiction in wrong
        ]
        good = [place for place in places if place.jurisdiction in known]

        async def work(put: Callable[[Outcome | Verdict], None]) -> None:
            def report(outcome: Outcome) -> None:
                outcomes.append(replace(outcome, rejections=None, picture=b""))  # those are large
                put(outcome)

            with log_config.log_context(run=context.run.run_id):
                await pipeline.run(known, good, feed, _stages(context, feed, assets), report, put)

        identify, checked = partial(correction_records.row_ids, pipeline.database), set[str]()
        try:
            with closing(graceful_stop.stream(work, graceful_stop.GRACE_S)) as stream:
                for event in stream:
                    yield from _results(event, feed, assets, identify, checked, location)
        finally:  # a stopped run also records the state of its partitions
            note(context, zoning, outcomes)
    if failed := [outcome for outcome in outcomes if outcome.error]:
        raise metadata.failure(failed)


def _results(  # noqa: PLR0913 - an event, and what is known of its run
    event: Outcome | Verdict,
    feed: str,
    assets: Mapping[str, dg.AssetKey],
    identify: metadata.Identify,
    checked: set[str],
    location: Location,
) -> Iterator[Event]:
    """Convert pipeline events to Dagster events. `checked`: jurisdictions whose checks are already recorded."""
    if isinstance(event, Verdict):
        checked.add(event.jurisdiction)
        yield from asset_checks.evaluations(event, location)
        return
    yield from metadata.events(event, assets, identify)
    where = event.place.jurisdiction
    if isinstance(event.error, AcceptanceNeeded) and where not in checked:
        checked.add(where)
        yield asset_checks.of_fall(where, feed, event.error, location)


def _as_result(event: Event) -> Result:
    """Convert an event of a run of one partition. Dagster skips the assets that follow in the same run unless the step
    yields results; but a result is about all partitions of its run."""
    if isinstance(event, dg.AssetMaterialization):
        return dg.MaterializeResult(asset_key=event.asset_key, metadata=event.metadata)
    return dg.AssetCheckResult(
        asset_key=event.asset_key,
        check_name=event.check_name,
        passed=event.passed,
        severity=event.severity,
        description=event.description,
        metadata=event.metadata,
    )


def _stages(context: dg.AssetExecutionContext, feed: str, assets: Mapping[str, dg.AssetKey]) -> Sequence[str]:
    """Return the stages to run. Districts have only one asset, so all stages run for them."""
    stages = [stage for stage in metadata.TILE_ASSETS if feed == ZONING or stage in assets]
    return [stage for stage in stages if stage != RAW] if REPLAY in context.run.tags else stages
