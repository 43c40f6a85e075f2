"""The sensor minutes_due: requests a poll of the minutes of each jurisdiction once a day (minutes_job.py)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from zoning_assets.defs import minutes_job
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import tick_data
from zoning_assets.http.response_checks import host_of
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import Jurisdiction
from zoning_assets.schedules.time_windows import open_window_until
from zoning_assets.storage.postgis.records import feed_freshness, hold_records
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness
from zoning_assets.storage.postgis.records.hold_records import Hold, find_hold

_TICK_S = 600
_INTERVAL = timedelta(days=1)


def minutes_due(location: Location = WHOLE) -> dg.SensorDefinition:
    """Return the sensor that requests the polls of a group."""

    @dg.sensor(
        job=minutes_job.read_minutes,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls the minutes of your own jurisdictions ([minutes] in the file) once a day.",
    )
    def minutes_due(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        """Request the polls that are due. The cursor has the time of the last request of each jurisdiction."""
        now, url, asked = zoning.now(), zoning.database(), parse_cursor(context.cursor)
        known = {feed.jurisdiction.id: feed.jurisdiction for feed in tick_data.watched(zoning.settings, location)}
        published = [each for each in known.values() if each.minutes]
        found = due(open_now(published, hold_records.active(url), now), asked, feed_freshness.feeds(url), now)
        asked = {id_: at for id_, at in asked.items() if id_ in known} | {each.id: now for each in found}
        cursor = json.dumps({id_: at.isoformat() for id_, at in asked.items()}, sort_keys=True)
        return tick_data.result([minutes_job.request(each, now) for each in found], cursor, "no minutes are due")

    return minutes_due


def parse_cursor(cursor: str | None) -> dict[str, datetime]:
    """Parse the cursor. If it was lost, the time of the last complete poll decides, and the run key of the day."""
    try:
        return {id_: datetime.fromisoformat(at).astimezone(UTC) for id_, at in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def open_now(places: Iterable[Jurisdiction], holds: Sequence[Hold], now: datetime) -> list[Jurisdiction]:
    """Return the jurisdictions that are not paused, and not in a maintenance or quiet window. The others stay due."""
    return [
        each
        for each in places
        if each.minutes
        and not find_hold(holds, each.id, [host_of(each.minutes.url)])
        and not open_window_until((*each.portal.maintenance, *each.portal.quiet_hours), now)
    ]


def due(
    places: Iterable[Jurisdiction], asked: Mapping[str, datetime], known: Mapping[str, FeedFreshness], now: datetime
) -> list[Jurisdiction]:
    """Return the jurisdictions without a request and without a complete poll within the last day."""

    def last(id_: str) -> datetime:
        feed = known.get(f"{id_}/minutes")
        times = [asked.get(id_), feed.harvested if feed else None]
        return max((time for time in times if time), default=datetime(1970, 1, 1, tzinfo=UTC))

    return [each for each in places if now - last(each.id) >= _INTERVAL]
