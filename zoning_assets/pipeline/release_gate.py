"""The release gate: the places of a jurisdiction wait for each other until they are checked together as one release.

What belongs here: which places wait, and the result. What does not: the checks (release_checks.py), and how releases
are stored (release_profiles.py). A drop of a layer's row count is found earlier, before pages are fetched, by
storage/object_store/feed_baselines.check_row_count.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from zoning_assets.errors import AcceptanceNeeded, CoverStale
from zoning_assets.model import Jurisdiction, Place
from zoning_assets.pipeline import part_release
from zoning_assets.pipeline.validation import ValidatedTable
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import release_profiles
from zoning_assets.storage.postgis.records.release_profiles import HELD, PASSED, Contents, ReleaseProfiles
from zoning_assets.transform.quality import release_checks
from zoning_assets.transform.quality.release_checks import CheckFinding, Verdict
from zoning_assets.transform.quality.release_metrics import Measure, ReleaseCandidate, measure_release
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass
class ReleaseGate:
    """The release of one feed of one jurisdiction in one run. Each place calls `add` or `leave` once.

    Until all places of a feed were published once, there is nothing to compare with: its places do not wait, and the
    release is recorded after they are published.

    Attributes:
        awaited: the places that have not arrived yet.
        slots: the run's limit of places; a waiting place gives its slot back.
        report: receives the verdict if there are findings.
    """

    database: str
    objects: Objects
    jurisdiction: Jurisdiction
    feed: str
    awaited: set[Place]
    slots: asyncio.Semaphore
    report: Callable[[Verdict], None]
    #: Places that publish at the same time: one is merged by the database, and one is staged.
    publish_slots: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, 2))
    _profile: ReleaseProfile = field(default_factory=ReleaseProfile)
    _contents: dict[Place, list[str]] = field(default_factory=dict)  # of places that are not published yet
    _arrived: dict[Place, WorkItem] = field(default_factory=dict)
    _waited_s: dict[Place, float] = field(default_factory=dict)
    #: At the start of this run: whether the feed was ever completely published, and its newest rollback.
    _initial: asyncio.Task[tuple[bool, int]] | None = None
    _error: Exception | None = None
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def has_baseline(self) -> bool:
        """Whether the feed was completely published before, so that a place can be compared with it."""
        return (await self._initial_state())[0]

    async def newest_rollback(self) -> int:
        """The newest rollback of the feed at the start of this run. After a later one, the checks of this run are
        invalid."""
        return (await self._initial_state())[1]

    async def _initial_state(self) -> tuple[bool, int]:
        if self._initial is None:
            reading = asyncio.to_thread(release_profiles.baseline, self.database, self.jurisdiction.id, self.feed)
            self._initial = asyncio.create_task(reading)
        return await self._initial

    async def add(self, validated: ValidatedTable, profile: ReleaseProfile, *, publishes: bool) -> None:
        """Add a validated place. When the last place arrives, the release is checked.

        Args:
            validated: the table of the place.
            profile: the release profile of the place.
            publishes: whether the table is not published yet.
        """
        item = validated.item
        if item.place in self.awaited:
            self._profile += profile
            self._arrived[item.place] = item
            self._contents |= {item.place: [validated.content_hash, item.harvest.id]} if publishes else {}
            await self.leave(item.place)

    async def wait(self, validated: ValidatedTable) -> None:
        """Wait until the release is checked; other places are processed meanwhile. A first release does not wait.

        Raises:
            AcceptanceNeeded: the release is held: none of its places is published.
            CoverStale: the rows of the place changed after the release was checked.
        """
        if not await self.has_baseline():
            return
        place = validated.item.place
        await self._wait(place)
        if self._error:
            raise self._error
        if self._contents.get(place, [""])[0] != validated.content_hash:
            raise CoverStale("its rows changed after the release was checked", where=str(place), do="run it again")

    def waited_s(self, place: Place) -> float:
        """How long a place waited at the gate; seconds."""
        return self._waited_s.get(place, 0.0)

    async def leave(self, place: Place) -> None:
        """Do not wait for this place any longer. When the last place has arrived or left, the release is checked."""
        if place not in self.awaited:
            return
        self.awaited.discard(place)
        if self.awaited:
            return
        try:
            if self._arrived:
                await asyncio.to_thread(self._check, has_baseline=await self.has_baseline())
        except Exception as error:  # noqa: BLE001 - the waiting places must raise it, whatever it is
            self._error = error
        self._open.set()

    async def _wait(self, place: Place) -> None:
        """Wait until the gate opens. The slot is given back meanwhile: other places need it to arrive here."""
        since = time.monotonic()
        if not self._open.is_set():
            self.slots.release()
            await self._open.wait()
            await self.slots.acquire()
        self._waited_s[place] = self.waited_s(place) + time.monotonic() - since

    def _check(self, *, has_baseline: bool) -> None:
        with release_profiles.opened(self.database, self.jurisdiction.id, self.feed) as stored:
            contents = {place.tile or "": content for place, content in self._contents.items()}
            if not contents or stored.is_accepted(contents):  # the same rows were checked before
                verdict = Verdict(self.jurisdiction.id, self.feed, stored.last_findings(), tiles=self._checked_tiles())
            else:
                verdict = self._check_release(stored, contents, has_baseline=has_baseline)
        self._report(verdict)

    def _check_release(self, stored: ReleaseProfiles, contents: Contents, *, has_baseline: bool) -> Verdict:
        """Check the release against what is published, and record it. A first release is never held: it is published
        already."""
        whole = {place.tile or "" for place in self._arrived} >= {*self._newest_item.tiles}
        release = self._candidate(stored, whole=whole) if has_baseline else ReleaseCandidate(self.feed, self._profile)
        measured, findings = self._findings(release, stored)
        if not whole and has_baseline and any(each.tripped for each in findings):
            measured, findings = self._findings(self._compared_as_part(release, stored), stored)
        held = has_baseline and any(each.tripped and each.blocks for each in findings)
        values = {
            name: each.value for name, each in measured.items() if has_baseline or release_checks.CHECKS[name].is_level
        }
        recorded = [asdict(each) for each in findings]
        stored.store(HELD if held else PASSED, contents, values, recorded, self._profile.fields, whole=whole)
        return Verdict(self.jurisdiction.id, self.feed, findings, held=held, tiles=self._checked_tiles())

    def _checked_tiles(self) -> tuple[str, ...]:
        return tuple(sorted(place.tile for place in self._arrived if place.tile))

    def _compared_as_part(self, release: ReleaseCandidate, stored: ReleaseProfiles) -> ReleaseCandidate:
        """A release of some tiles, with what these tiles had, and with the codes of their whole layer."""
        earlier = part_release.earlier_profile(stored, self._arrived.values())
        states = {item.state for item in self._arrived.values()}
        layer = part_release.layer_codes(self._newest_item) if len(states) == 1 else None
        known, _ = stored.known_codes(layer.codes.keys() if layer else ())
        return replace(release, earlier=earlier, layer=layer, known_codes=release.known_codes | known)

    @property
    def _newest_item(self) -> WorkItem:
        return next(reversed(self._arrived.values()))

    def _findings(
        self, release: ReleaseCandidate, stored: ReleaseProfiles
    ) -> tuple[Mapping[str, Measure], tuple[CheckFinding, ...]]:
        """The measures of a release, and the findings on them."""
        measured = measure_release(release, self.jurisdiction.bounds, self.jurisdiction.target_crs)
        feed = self.jurisdiction.feeds[self.feed]
        of_feed = {"count_drop": feed.may_shrink, "freshness": 2.0 * feed.full_refresh_days}
        limits = {**of_feed, **self.jurisdiction.tripwires}
        past, published = stored.past_measures(), release.published_rows
        return measured, release_checks.check_release(measured, past, limits, feed=self.feed, published=published)

    def _candidate(self, stored: ReleaseProfiles, *, whole: bool) -> ReleaseCandidate:
        tiles = None if whole else [place.tile or "" for place in self._arrived]
        before = feed_baselines.find(self.objects, self.jurisdiction.id, self.feed)
        age = datetime.now(UTC) - datetime.fromisoformat(before.at) if before and before.at else None
        seen, has_codes = stored.known_codes(self._profile.codes.keys())
        return ReleaseCandidate(
            self.feed,
            self._profile,
            stored.published(tiles),
            stored.rows(),
            seen,
            has_codes,
            stored.fields() if whole else (),
            None if age is None else age.total_seconds() / 86_400,
            shrink_accepted=bool(before and before.accepted_by),
        )

    def _report(self, verdict: Verdict) -> None:
        if verdict.findings:
            self.report(verdict)
        if verdict.held:
            what = f"nothing is published: {verdict.why}"
            self._error = AcceptanceNeeded.of(verdict.jurisdiction, verdict.feed, what)
