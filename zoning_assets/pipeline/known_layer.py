"""What is stored about a layer: its newest harvest, and which of its places are published. No request is sent."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from zoning_assets.errors import HarvestMissing, ZoningError
from zoning_assets.harvest import Cover
from zoning_assets.model import ZONING, Jurisdiction, Place
from zoning_assets.storage.object_store import feed_baselines, raw_harvests
from zoning_assets.storage.object_store.feed_baselines import Baseline
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.harvest_lock import harvest_lock
from zoning_assets.storage.postgis.publish import feed_lock, is_mixed
from zoning_assets.storage.postgis.records import feed_freshness, snapshots


def begin_publishing(objects: Objects, database: str, cover: Cover) -> None:
    """Before a run publishes rows of a harvest, forget what was recorded of another one. If the run is killed before
    record_published, and the portal then returns to that other harvest, its rows would be taken for published."""
    if feed_baselines.is_recorded(objects, cover):
        return
    with feed_lock(database, cover.jurisdiction, cover.feed):
        if not feed_baselines.is_recorded(objects, cover):  # another run may have recorded it meanwhile
            feed_baselines.forget_published(objects, cover.jurisdiction, cover.feed)


def record_published(
    objects: Objects, database: str, cover: Cover, published: Mapping[Place, bool], newest_batch: int
) -> None:
    """Record the tiles that were published. If every place of the feed is now published from this harvest, by this run
    or by several, store the feed's new baseline (the rows and signals that the next probe and the next count check
    compare with), when it was harvested, and that it can be compared with other states. A restored database knows of no
    tiles that were published before.

    If rows of several harvests were published meanwhile, older rows may have replaced newer ones. Then what was
    published is forgotten, so that the next probe requests a harvest. The same applies after a rollback. The lock is
    taken first: rollbacks and other runs publish under it.

    Args:
        objects: the object store.
        database: the URL of PostGIS.
        cover: of the harvest that was the newest one when this run began.
        published: the places of the feed that this run published, and whether their rows are of this harvest.
        newest_batch: of the feed when this run began.
    """
    jurisdiction, feed = cover.jurisdiction, cover.feed
    with feed_lock(database, jurisdiction, feed) as connection:
        older = {place.tile or "" for place, is_current in published.items() if not is_current}
        newest = raw_harvests.find_cover(objects, jurisdiction, feed)
        is_newest = (newest.state if newest else "") == cover.state
        if not is_newest or is_mixed(connection, cover, newest_batch, older):
            feed_baselines.forget_published(objects, jurisdiction, feed)
            return
        known = feed_baselines.find(objects, jurisdiction, feed)
        harvested = feed_freshness.find_harvested(database, jurisdiction, feed)
        replaced = older & feed_baselines.published_tiles(objects, cover)
        if replaced or feed_baselines.database_is_older(known, harvested):
            feed_baselines.forget_published(objects, jurisdiction, feed)
        tiles = {place.tile for place, is_current in published.items() if place.tile and is_current}
        if cover.tiles or any(published.values()):
            tiles = feed_baselines.add_published_tiles(objects, cover, tiles)
        complete = tiles >= set(cover.tiles) if cover.tiles else any(published.values())
        if complete:
            snapshots.set_compared_batch(database, jurisdiction, feed)
            if cover.harvest:  # an earlier version stored no covers of zoning maps
                _record_harvested(objects, database, cover)


def _record_harvested(objects: Objects, database: str, cover: Cover) -> None:
    """Store when a complete feed was harvested, and then its baseline: if the database does not know of a baseline, it
    looks restored. A baseline stays if a person has accepted a drop of the row count since this harvest."""
    feed_freshness.store_harvest(database, cover.jurisdiction, cover.feed, datetime.fromisoformat(cover.seen))
    known = feed_baselines.find(objects, cover.jurisdiction, cover.feed)
    if known is None or not known.accepted_by or known.seen != cover.seen:
        baseline = Baseline(cover.rows, cover.signals, cover.refreshed.isoformat(), cover.seen)
        feed_baselines.put(objects, cover.jurisdiction, cover.feed, baseline)


def newest_cover(objects: Objects, jurisdiction: Jurisdiction, feed: str) -> Cover:
    """The newest harvest of a layer, with its tiles.

    Raises:
        HarvestMissing: the layer was not harvested yet.
    """
    cover = raw_harvests.find_cover(objects, jurisdiction.id, feed)
    if cover is None and feed == ZONING:  # an earlier version stored no covers of zoning maps
        return Cover(jurisdiction.id, feed, {}, {})
    if cover is None:
        raise HarvestMissing("its tiles are not known yet", where=jurisdiction.id, do="materialize `tiles` first")
    return cover


async def mark_for_refetch(
    objects: Objects, database: str, cover: Cover, stopped: Callable[[], ZoningError | None]
) -> None:
    """Mark a harvest as doubtful if it is still the newest one, so that the next harvest fetches all rows again. If
    another process harvests the layer, wait for its end: its cover would replace the mark, or the mark its cover.

    Args:
        objects: the object store.
        database: the URL of PostGIS.
        cover: of the harvest.
        stopped: the reason to stop waiting; None: there is none.

    Raises:
        ZoningError: see harvest_lock.
    """
    async with harvest_lock(database, cover.jurisdiction, cover.feed, stopped):
        newest = await asyncio.to_thread(raw_harvests.find_cover, objects, cover.jurisdiction, cover.feed)
        if newest is not None and newest.harvest == cover.harvest:
            await asyncio.to_thread(raw_harvests.put_cover, objects, replace(newest, doubted=True))
