"""Poll the minutes of a jurisdiction: find the amendments in edited matters, store them, and match them with changes.

The time of the last complete poll is kept as the feed `minutes` in zoning.feed; the next poll asks for what was edited
since then, and a day more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from zoning_assets.errors import DocumentRefused, JurisdictionInvalid
from zoning_assets.http import Http
from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Amendment, Jurisdiction, Minutes
from zoning_assets.ordinances import amendments_in_matter
from zoning_assets.ordinances.legistar_client import LegistarSite
from zoning_assets.pipeline.holds import watch_holds
from zoning_assets.storage.postgis.records import amendment_records, feed_freshness

FEED = "minutes"
_OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class MinutesPoll:
    """The result of a poll: numbers of what was read, the amendments, and which of them are new or changed."""

    since: datetime
    matters: int
    events: int
    requests: int
    bytes: int
    refused: list[str] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)
    stored: dict[str, bool] = field(default_factory=dict)  # id -> whether it is new or changed


def start_of_poll(url: str, jurisdiction: Jurisdiction, now: datetime) -> datetime:
    """From when on a poll asks: the last complete poll less a day; at first, the days that the file states.

    Raises:
        JurisdictionInvalid: the file has no `[minutes]`.
    """
    first_days, last = _minutes(jurisdiction).first_days, _last_poll(url, jurisdiction)
    return last - _OVERLAP if last else now - timedelta(days=first_days)


def _last_poll(url: str, jurisdiction: Jurisdiction) -> datetime | None:
    """When the last complete poll started; None: there was none."""
    known = feed_freshness.feeds(url).get(f"{jurisdiction.id}/{FEED}")
    return known.harvested if known else None


async def poll(
    url: str, jurisdiction: Jurisdiction, http: Callable[[], Http], since: datetime, now: datetime
) -> MinutesPoll:
    """Poll the site of a jurisdiction once.

    The next poll continues from here, unless `since` is after the last poll: then the time in between is still to be
    read.

    Args:
        url: the database.
        jurisdiction: its file has `[minutes]`.
        http: opens the polite client.
        since: edits since then are read.
        now: when the poll starts.

    Raises:
        JurisdictionInvalid: the file has no `[minutes]`.
        Held: the jurisdiction or the host is paused.
        PortalError, HarvestIncomplete: nothing was stored.
    """
    minutes = _minutes(jurisdiction)
    async with http() as opened, watch_holds(url) as holds:
        client = opened.for_work(paused=lambda: holds.error(jurisdiction.id, {host_of(minutes.url)}))
        site = LegistarSite(client, jurisdiction.portal, minutes.url)
        found = list[Amendment]()
        async for each in site.amendments(since):
            try:
                found += amendments_in_matter(each.matter, each.histories, jurisdiction.id, each.source)
            except DocumentRefused as error:
                site.refused.append(str(error))
    stored = amendment_records.store(url, jurisdiction.id, found, jurisdiction.srid)
    last = _last_poll(url, jurisdiction)
    if last is None or since <= last:
        feed_freshness.store_harvest(url, jurisdiction.id, FEED, now)
    tally = client.tally
    return MinutesPoll(
        since, site.matters, site.events, tally.requests, tally.bytes, site.refused, found, stored
    )  # fmt: skip


def _minutes(jurisdiction: Jurisdiction) -> Minutes:
    if jurisdiction.minutes is None:
        what = "it has no table [minutes]"
        raise JurisdictionInvalid(what, where=jurisdiction.file, do="add `type` and `url` of the Legistar Web API")
    return jurisdiction.minutes
