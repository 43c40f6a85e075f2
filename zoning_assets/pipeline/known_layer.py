"""What is known of a layer without asking its portal: its newest harvest, and what of it is published."""

from collections.abc import Set
from dataclasses import replace

from zoning_assets.errors import HarvestMissing
from zoning_assets.harvest import Cover
from zoning_assets.model import ZONING, Jurisdiction, Place
from zoning_assets.storage.object_store import feed_baselines, raw_harvests
from zoning_assets.storage.object_store.object_store import Objects


def note_published(objects: Objects, cover: Cover, published: Set[Place]) -> bool:
    """What a feed is now, for the next probe and against the next fall; only when the whole of it was published.

    Returns:
        Whether every place of the feed is now of one harvest of its layer, by this run or by several.
    """
    found = {place.tile for place in published if place.tile}
    if cover.tiles:
        found = feed_baselines.add_published_tiles(objects, cover.jurisdiction, cover.feed, cover.harvest, found)
    whole = found >= set(cover.tiles) if cover.tiles else bool(published)
    if whole:
        feed_baselines.put(objects, cover.jurisdiction, cover.feed, cover.rows, cover.signals, cover.refreshed)
    return whole


def is_whole(objects: Objects, jurisdiction: Jurisdiction, feed: str) -> bool:
    """Whether every place of a feed was published from one harvest of its layer, the newest."""
    cover = known_cover(objects, jurisdiction, feed)
    known = set(cover.tiles)
    return not known or feed_baselines.add_published_tiles(objects, jurisdiction.id, feed, cover.harvest, ()) >= known


def known_cover(objects: Objects, jurisdiction: Jurisdiction, feed: str) -> Cover:
    """The newest harvest and its tiles.

    Raises:
        HarvestMissing: there is none yet.
    """
    cover = raw_harvests.find_cover(objects, jurisdiction.id, feed)
    if cover is None and feed == ZONING:  # it may have been harvested by an earlier version
        return Cover(jurisdiction.id, feed, {}, {})
    if cover is None:
        raise HarvestMissing("its tiles are not known yet", where=jurisdiction.id, do="materialize `tiles` first")
    return cover


def doubt_cover(objects: Objects, jurisdiction: Jurisdiction, feed: str) -> None:
    """Let the layer be fetched anew."""
    cover = raw_harvests.find_cover(objects, jurisdiction.id, feed)
    if cover is not None:
        raw_harvests.put_cover(objects, replace(cover, doubted=True))
