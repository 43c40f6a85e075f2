"""Read the state of all jurisdictions, and find what needs a person; for `zoning status` and `zoning metrics`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from zoning_assets import jurisdictions
from zoning_assets.cli.queue_access import depths
from zoning_assets.defs.sensors import failed_partitions, overdue_feeds
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.errors import AcceptanceNeeded, JurisdictionInvalid
from zoning_assets.model import Jurisdiction
from zoning_assets.settings import Settings
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.postgis import jurisdiction_removal
from zoning_assets.storage.postgis.records import failure_records, hold_records
from zoning_assets.storage.postgis.records import feed_freshness as stored
from zoning_assets.storage.postgis.records import status_queries as published
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.replica import ReplicaState, read_state

Rows = list[dict[str, Any]]
#: A replica that is further behind than this needs a person.
_BEHIND_MOST_S = 300.0


@dataclass(frozen=True)
class SystemStatus:
    """The state of all jurisdictions, read once."""

    url: str
    now: datetime
    files: Mapping[str, Jurisdiction]
    simulated: frozenset[str]  # counties of `zoning demo`; their file exists only while it runs
    faults: Mapping[str, str]  # id -> what is wrong with its file
    mine: frozenset[str]  # ids of the user's files; packaged examples are never probed automatically
    done: Mapping[str, published.PublishedSummary]
    known: Mapping[str, stored.FeedFreshness]
    rejections: Mapping[str, Mapping[str, int]]
    alarms: Mapping[str, Sequence[str]]
    failed: Sequence[Failure]
    holds: Sequence[hold_records.Hold]
    held: Rows  # releases that wait for a decision; see status_queries.held
    replica: ReplicaState | None = None  # None: ZONING_READ_DATABASE_URL is not set

    def jurisdictions(self) -> Rows:
        """One row per jurisdiction that was published or that a file describes."""
        return [self._jurisdiction(each) for each in sorted({*self.done, *self.files, *self.faults})]

    def _jurisdiction(self, name: str) -> dict[str, Any]:
        feeds, done = self._feeds(name), self.done.get(name, published.PublishedSummary([], None, 0))
        known = [self.known[feed.key] for feed in feeds if feed.key in self.known]
        current = [each.current for each in known if each.current]
        limits = [feed.freshness_limit(self.now) for feed in feeds]
        freshness_hours = int(min(limits).total_seconds() // 3600) if limits else None
        return {
            "id": name,
            "feeds": sorted(feed.name for feed in feeds) or done.feeds,
            "last_batch": done.last_batch,
            "parcels": done.parcels,
            "fault": self.faults.get(name),
            "harvested": min((each.harvested for each in known if each.harvested), default=None),
            "current": min(current) if current and len(current) == len(feeds) else None,
            "freshness_hours": freshness_hours,
            "promise_hours": freshness_hours,  # deprecated: the name until 0.2
            "fresh": not any(map(self._overdue, feeds)) if current else None,
            "next_probe": min((each.next_probe for each in known if each.next_probe), default=None),
            "probe_error": next((each.error for each in known if each.error), None),
            "rejections": dict(self.rejections.get(name, {})),
            "alarms": list(self.alarms.get(name, ())),
            "waiting": sum(each.jurisdiction == name and each.state != "dead" for each in self.failed),
            "dead": sum(each.jurisdiction == name and each.state == "dead" for each in self.failed),
        }

    def _feeds(self, name: str) -> list[WatchedFeed]:
        described = self.files.get(name)
        return [WatchedFeed(described, feed) for feed in described.feeds] if described else []

    def _overdue(self, feed: WatchedFeed) -> int:
        return overdue_feeds.overdue(feed, self.known.get(feed.key), self.now)

    def failures(self) -> Rows:
        """One row per unsolved failure, with the time of its next retry."""
        names = ("id", "jurisdiction", "tile", "feed", "kind", "tries", "first", "last", "state", "message", "run")
        return [
            {**{n: getattr(each, n) for n in names}, "next": failed_partitions.next_try(each)} for each in self.failed
        ]

    @cached_property
    def queues(self) -> Rows:
        """One row per queue, with its depth or the error."""
        return depths(self.url)

    def needs(self) -> Rows:
        """One row per problem that a person must solve: `where`, `what`, and what to `do`."""
        return [{"where": where, "what": what, "do": do} for where, what, do in self._needs()]

    def _needs(self) -> Iterator[tuple[str, str, str]]:
        for name in sorted(self._without_file):
            yield name, "its file is gone", f"restore it, or `zoning remove {name} --reason ...`"
        yield from self._files_and_releases()
        yield from self._dead_failures()
        yield from self._queue_problems()
        yield from self._overdue_feeds()
        yield from self._replica_problems()

    @cached_property
    def _without_file(self) -> frozenset[str]:
        """Jurisdictions that were published or failed, but have no file any more."""
        failed, held = {each.jurisdiction for each in self.failed}, {each["jurisdiction"] for each in self.held}
        return frozenset({*self.done, *self.alarms, *failed, *held} - {*self.files, *self.faults} - self.simulated)

    def _files_and_releases(self) -> Iterator[tuple[str, str, str]]:
        """Invalid files, maps with alarms, and held releases."""
        for name in sorted({*self.mine, *self.done} & set(self.faults)):
            yield name, self.faults[name], "fix the file"
        for name, alarms in ((each, why) for each, why in self.alarms.items() if each not in self._without_file):
            yield name, "; ".join(alarms), f"check the map, then `zoning accept {name} --feed zoning --reason ...`"
        for held in (each for each in self.held if each["jurisdiction"] not in self._without_file):
            advice = AcceptanceNeeded.advice(held["jurisdiction"], held["feed"])
            yield held["jurisdiction"], "; ".join(held["why"]), advice

    def _dead_failures(self) -> Iterator[tuple[str, str, str]]:
        held = {(each["jurisdiction"], each["feed"]) for each in self.held}
        for each in (each for each in self.failed if each.jurisdiction not in self._without_file):
            release = (each.jurisdiction, each.feed)
            if each.state != "dead" or release in held:
                continue
            if each.kind == AcceptanceNeeded.__name__:  # a retry cannot help, and one answer is for all its tiles
                held.add(release)
                yield f"{each.jurisdiction} {each.feed}", each.message, AcceptanceNeeded.advice(*release)
            else:
                tries = f" (after {each.tries} tries)" if each.passes else ""
                yield each.where, f"{each.message}{tries}", f"then `zoning retry {each.id}`"

    def _queue_problems(self) -> Iterator[tuple[str, str, str]]:
        """Queues that do not answer, and dead letters."""
        for queue in self.queues:
            name, option = f"queue {queue['name']}", f"--queue {queue['name']}"
            if why := queue["fault"]:
                yield name, why, "check ZONING_QUEUE_URL and the broker"
            elif queue["dead"]:
                do = f"`zoning queue peek {option} --dead` shows why; then `queue replay` or `queue purge`"
                yield name, f"{queue['dead']} dead letter(s)", do

    def _overdue_feeds(self) -> Iterator[tuple[str, str, str]]:
        """Feeds that exceeded their freshness limit and are not paused."""
        for feed in (feed for name in sorted(self.mine) for feed in self._feeds(name)):
            if self._overdue(feed) and not hold_records.find_hold(self.holds, feed.jurisdiction.id, [feed.host]):
                what = f"not confirmed as current within {feed.freshness_limit(self.now)}"
                yield feed.key, what, "check its failures and its host, and that `zoning up` runs"

    def _replica_problems(self) -> Iterator[tuple[str, str, str]]:
        """A replica that does not answer, or is far behind."""
        found = self.replica
        if found and found.fault:
            yield f"replica {found.address}", found.fault, "start it, or unset ZONING_READ_DATABASE_URL"
        elif found and (found.behind_s or 0) > _BEHIND_MOST_S:
            yield f"replica {found.address}", f"it is {found.behind_s:,.0f} s behind", "look at its log and its load"


def read_status(url: str, settings: Settings, now: datetime, primary: str | None = None) -> SystemStatus:
    """Read the state from the database and the files, without requests to a portal and without Dagster.

    Args:
        url: the database to read.
        settings: the settings of this process.
        now: the current time.
        primary: the address of the primary server, if `url` is that of a replica.

    Raises:
        DatabaseUnavailable: no database answers.
    """
    paths = jurisdictions.files(settings.jurisdictions)
    files, faults = _read(paths)
    removed = jurisdiction_removal.removed_jurisdictions(url)
    return SystemStatus(
        url=url,
        now=now,
        files=files,
        simulated=frozenset(path.stem for path in (settings.home / "demo").glob("*.toml")),
        faults=faults,
        mine=frozenset(name for name, path in paths.items() if path.parent == settings.jurisdictions),
        done={name: each for name, each in published.published(url).items() if name not in removed},
        known=stored.feeds(url),
        rejections=published.rejections(url),
        alarms=published.alarms(url),
        failed=failure_records.unsolved(url),
        holds=hold_records.active(url),
        held=published.held(url),
        replica=read_state(replica, primary or url) if (replica := settings.read_database_url) else None,
    )


def _read(paths: Mapping[str, Path]) -> tuple[dict[str, Jurisdiction], dict[str, str]]:
    files, faults = {}, {}
    for name, path in paths.items():
        try:
            files[name] = jurisdictions.read(path, FEED_TYPES)
        except JurisdictionInvalid as error:
            faults[name] = error.what
    return files, faults
