"""Run requests: the jobs that update a feed. All are asset jobs, so the UI's queue, limits and timeline show them.

    find_tiles           tiles                       one jurisdiction
    publish_parcels      raw_feed .. parcels         a contiguous range of tiles
    publish_districts    districts                   one jurisdiction
    tell_changes         parcel_zoning, changes      one jurisdiction
    publish_zoning       districts .. changes        one jurisdiction

`zoning sync` submits publish_zoning in place of publish_districts and tell_changes: it knows that the parcels are done.
The sensor harvest_goes_on (harvest_goes_on.py) requests the runs that follow a run.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from zoning_assets.defs import partitions, retry_policies
from zoning_assets.defs.in_process_runs import RANGE_END, RANGE_START, ranges
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import CHANGES, PARCELS, ZONING, Jurisdiction, Place

FIND_TILES, PUBLISH_PARCELS, PUBLISH_DISTRICTS, TELL_CHANGES, PUBLISH_ZONING = (
    "find_tiles",
    "publish_parcels",
    "publish_districts",
    "tell_changes",
    "publish_zoning",
)
_ASSETS = {
    FIND_TILES: ["tiles"],
    PUBLISH_PARCELS: ["raw_feed", "normalized", "validated", "parcels"],
    PUBLISH_DISTRICTS: ["districts"],
    TELL_CHANGES: ["parcel_zoning", "changes"],
    PUBLISH_ZONING: ["districts", "parcel_zoning", "changes"],
}
#: feed -> the job that starts its harvest.
_FIRST = {PARCELS: FIND_TILES, ZONING: PUBLISH_DISTRICTS, CHANGES: TELL_CHANGES}
#: job -> the feed that its runs update.
FEED_OF = {
    FIND_TILES: PARCELS,
    PUBLISH_PARCELS: PARCELS,
    PUBLISH_DISTRICTS: ZONING,
    TELL_CHANGES: CHANGES,
    PUBLISH_ZONING: ZONING,
}
_PARTITION = "dagster/partition"


def asset_jobs(location: Location = WHOLE) -> list[dg.JobDefinition]:
    """Return the jobs that sensors request."""
    keys = {name: [partitions.asset_key(each, location) for each in assets] for name, assets in _ASSETS.items()}
    return [dg.define_asset_job(name, dg.AssetSelection.assets(*each)) for name, each in keys.items()]  # type: ignore[misc]


def job_of(assets: Sequence[str]) -> str:
    """Return the first job that makes these assets."""
    return next(job for job, made in _ASSETS.items() if set(assets) <= set(made))


def of_keys(
    instance: dg.DagsterInstance, job: str, jurisdiction: Jurisdiction, keys: Sequence[str], location: Location = WHOLE
) -> list[dg.RunRequest]:
    """Return the runs of a job for partitions of one jurisdiction, without run keys."""
    feed = FEED_OF[job]
    if job == PUBLISH_PARCELS:
        return list(of_tiles(partitions.registered(instance, location), "", WatchedFeed(jurisdiction, feed), keys))
    if feed == CHANGES:
        return [of_feed("", WatchedFeed(jurisdiction, next(iter(jurisdiction.feeds))), CHANGES)]
    return [of_feed("", WatchedFeed(jurisdiction, feed))]


def wanted(known: Sequence[str], run_key: str, feed: WatchedFeed, tiles: Sequence[str]) -> list[dg.RunRequest]:
    """Return the runs that update these tiles of a feed. The whole feed is updated if no tile is given, or if a tile is
    no longer registered.

    Args:
        known: the keys of all registered tiles (partitions.registered).
        run_key: of the first run.
        feed: what is updated.
        tiles: H3 cells.
    """
    keys = [partitions.key_of(Place(feed.jurisdiction.id, tile)) for tile in tiles]
    if feed.name == PARCELS and keys and set(keys) <= set(known):
        return list(of_tiles(known, run_key, feed, keys))
    return [of_feed(run_key, feed)]


def of_feed(run_key: str, feed: WatchedFeed, name: str = "") -> dg.RunRequest:
    """Return the run that starts a harvest of a feed; `name` is `changes` for the shares and changes."""
    tags = {**_tags(feed), retry_policies.FEED: name or feed.name, _PARTITION: feed.jurisdiction.id}
    return dg.RunRequest(run_key, job_name=_FIRST[name or feed.name], tags=tags)


def of_unknown(run_key: str, jurisdiction: str, feed: str) -> dg.RunRequest:
    """Return the run for a jurisdiction that has no file or no such feed. It fails with an error that explains this."""
    job = _FIRST.get(feed, FIND_TILES)
    return dg.RunRequest(
        run_key, job_name=job, tags={retry_policies.JURISDICTION: jurisdiction, _PARTITION: jurisdiction}
    )


def of_tiles(known: Sequence[str], run_key: str, feed: WatchedFeed, keys: Sequence[str]) -> Iterator[dg.RunRequest]:
    """Return a run for each contiguous range of tiles. `known`: the keys of all registered tiles."""
    for number, (start, end) in enumerate(ranges(known, keys)):
        tags = {**_tags(feed), RANGE_START: start, RANGE_END: end}
        yield dg.RunRequest(f"{run_key} +{number}" if number else run_key, job_name=PUBLISH_PARCELS, tags=tags)


def _tags(feed: WatchedFeed) -> dict[str, str]:
    """Return the tags of a run: the host, which dagster.yaml uses to limit runs, and tags for the list of runs."""
    return {
        retry_policies.HOST: feed.host,
        retry_policies.JURISDICTION: feed.jurisdiction.id,
        retry_policies.FEED: feed.name,
    }
