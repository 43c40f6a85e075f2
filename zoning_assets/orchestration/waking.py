"""When a feed is to be probed, and what is asked for then: pure decisions, so that a tick can be told again."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from zoning_assets.model import Jurisdiction
from zoning_assets.windows import open_window_until

#: Probes in a tick: one takes seconds, and a tick of Dagster's may take a minute.
MOST_PROBES = 4
#: Feeds of one interval do not all wake up at once: each is late by up to this part of it, always the same.
_JITTER = 0.1
#: A portal that could not be asked is asked again after so long.
_AGAIN = timedelta(hours=1)


@dataclass(frozen=True)
class Feed:
    """A feed to be watched."""

    jurisdiction: Jurisdiction
    name: str

    @property
    def key(self) -> str:
        """As the cursor and run keys spell it."""
        return f"{self.jurisdiction.id}/{self.name}"


def due(cursor: Mapping[str, str], feeds: Sequence[Feed], now: datetime) -> list[Feed]:
    """The feeds whose time has come, the longest overdue first; new ones at once; none while its portal rests."""
    waiting = [feed for feed in feeds if _at(cursor, feed) <= now and _rests_until(feed, now) is None]
    return sorted(waiting, key=lambda feed: (_at(cursor, feed), feed.key))[:MOST_PROBES]


def after(feed: Feed, now: datetime, *, failed: bool) -> str:
    """When a feed that was probed now is to be probed again, for the cursor."""
    if failed:
        return (now + _AGAIN).isoformat()
    hours = feed.jurisdiction.feeds[feed.name].probe_hours
    late = int.from_bytes(hashlib.blake2b(feed.key.encode(), digest_size=4).digest()) / 2**32
    return (now + timedelta(hours=hours * (1 + _JITTER * late))).isoformat()


def run_key(feed: Feed, cursor: Mapping[str, str], why: str) -> str:
    """The same for a tick that is told again, another for the next time that the same is found."""
    told = f"{feed.key} {cursor.get(feed.key, '')} {why}"
    return f"{feed.key} {hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"


def _at(cursor: Mapping[str, str], feed: Feed) -> datetime:
    return datetime.fromisoformat(cursor[feed.key]) if feed.key in cursor else datetime(1970, 1, 1, tzinfo=UTC)


def _rests_until(feed: Feed, now: datetime) -> datetime | None:
    portal = feed.jurisdiction.portal
    return open_window_until((*portal.maintenance, *portal.quiet_hours), now)
