"""Where the places of a jurisdiction wait for one another, until what they would publish is judged as one release.

What belongs here: who waits, for whom, and what comes of it. What does not: what speaks against a release
(release_checks.py), and what is kept of it (release_profiles.py).
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial

from zoning_assets.errors import AcceptanceNeeded, CoverStale
from zoning_assets.model import Jurisdiction, Place
from zoning_assets.pipeline.validation import Validated
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import release_profiles
from zoning_assets.storage.postgis.records.release_profiles import ACCEPTED, HELD, PASSED, Contents, ReleaseProfiles
from zoning_assets.transform.quality import release_checks
from zoning_assets.transform.quality.release_checks import CheckFinding, Verdict
from zoning_assets.transform.quality.release_metrics import Measure, ReleaseCandidate, measure_release
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass
class Gate:
    """The places of one jurisdiction's feed in one run. A place comes once, or leaves.

    Until a feed was published whole there is nothing to compare with: its places pass as they come, noted together.
    """

    database: str
    objects: Objects
    jurisdiction: Jurisdiction
    feed: str
    awaited: set[Place]
    slots: asyncio.Semaphore
    tell: Callable[[Verdict], None]
    #: Who publishes: the database merges one place at a time, and another is staged meanwhile.
    turn: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, 2))
    _survey: ReleaseProfile = field(default_factory=ReleaseProfile)
    _contents: dict[Place, list[str]] = field(default_factory=dict)  # of those that have something to publish
    _came: set[Place] = field(default_factory=set)
    _waited_s: dict[Place, float] = field(default_factory=dict)
    _tiles: Collection[str] = ()  # of the whole jurisdiction
    #: As it was before this run: whether the feed was ever whole, and its newest rollback.
    _begun: asyncio.Task[tuple[bool, int]] | None = None
    _error: Exception | None = None
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def compares(self) -> bool:
        """Whether what stands published is whole, so that a place can be compared with it."""
        return (await self._looked())[0]

    async def undone(self) -> int:
        """The newest rollback of the feed as this run found it; after another nothing that it judged is right."""
        return (await self._looked())[1]

    async def stands(self) -> bool:
        """Whether what this run published, or found published, was not rolled back meanwhile."""
        now = await asyncio.to_thread(release_profiles.baseline, self.database, self.jurisdiction.id, self.feed)
        return now[1] == await self.undone()

    async def _looked(self) -> tuple[bool, int]:
        if self._begun is None:
            looked = asyncio.to_thread(release_profiles.baseline, self.database, self.jurisdiction.id, self.feed)
            self._begun = asyncio.create_task(looked)
        return await self._begun

    async def add(self, validated: Validated, survey: ReleaseProfile, *, publishes: bool) -> None:
        """A place was validated. With the last one the release is judged.

        Args:
            validated: its table.
            survey: what the release looks like in this place.
            publishes: whether it has something to publish.
        """
        work = validated.work
        if work.place in self.awaited:
            self._survey, self._tiles = self._survey + survey, work.tiles
            self._came.add(work.place)
            self._contents |= {work.place: [validated.content_hash, work.harvest.id]} if publishes else {}
            await self.leave(work.place)

    async def wait(self, validated: Validated) -> None:
        """Wait until the release was judged; other places may work meanwhile. A first release is not waited for.

        Raises:
            AcceptanceNeeded: the release is held: none of its places is published.
            CoverStale: the place was judged before, and is not the same any more.
        """
        if not await self.compares():
            return
        place = validated.work.place
        await self._wait(place)
        if self._error:
            raise self._error
        if self._contents.get(place, [""])[0] != validated.content_hash:
            raise CoverStale("its rows changed after the release was judged", where=str(place), do="run it again")

    def waited_s(self, place: Place) -> float:
        """How long a place waited here; seconds."""
        return self._waited_s.get(place, 0.0)

    async def leave(self, place: Place) -> None:
        """Nobody waits for this place any longer. With the last one the release is judged."""
        if place not in self.awaited:
            return
        self.awaited.discard(place)
        if self.awaited:
            return
        try:
            if self._came:
                await asyncio.to_thread(self._judge, begun=await self.compares())
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self._error = error
        self._open.set()

    async def _wait(self, place: Place) -> None:
        """Until it opens; without a slot, which others need to get here."""
        since = time.monotonic()
        if not self._open.is_set():
            self.slots.release()
            await self._open.wait()
            await self.slots.acquire()
        self._waited_s[place] = self.waited_s(place) + time.monotonic() - since

    def _judge(self, *, begun: bool) -> None:
        with release_profiles.opened(self.database, self.jurisdiction.id, self.feed) as desk:
            contents = {place.tile or "": said for place, said in self._contents.items()}
            state, known = desk.newest()
            accepted = state == ACCEPTED and all(known.get(tile, [""])[0] == said[0] for tile, said in contents.items())
            if accepted or not contents:  # what is or will be published was judged before
                verdict = Verdict(self.jurisdiction.id, self.feed, desk.last_findings(), tiles=self._judged_tiles())
            else:
                verdict = self._judged(desk, contents, begun=begun)
        self._say(verdict)

    def _judged(self, desk: ReleaseProfiles, contents: Contents, *, begun: bool) -> Verdict:
        """The release beside what stands; nothing holds a first one, which is published already."""
        whole = {place.tile or "" for place in self._came} >= {*self._tiles}
        release = self._release(desk, whole=whole) if begun else ReleaseCandidate(self.feed, self._survey)
        measured = measure_release(release, self.jurisdiction.bounds, self.jurisdiction.target_crs)
        findings = self._findings(measured, desk.past_measures(), release.published_rows)
        held = begun and any(each.tripped and each.blocks for each in findings)
        values = {
            name: value for name, (value, _, _) in measured.items() if begun or release_checks.CHECKS[name].is_level
        }
        said = [asdict(each) for each in findings]
        desk.store(HELD if held else PASSED, contents, values, said, self._survey.fields, whole=whole)
        return Verdict(self.jurisdiction.id, self.feed, findings, held=held, tiles=self._judged_tiles())

    def _judged_tiles(self) -> tuple[str, ...]:
        return tuple(sorted(place.tile for place in self._came if place.tile))

    def _findings(
        self, measured: Mapping[str, Measure], past: Sequence[Mapping[str, float]], standing: int
    ) -> tuple[CheckFinding, ...]:
        feed = self.jurisdiction.feeds[self.feed]
        given = {"count_drop": feed.may_shrink, "freshness": 2.0 * feed.full_refresh_days}
        limits = {**given, **self.jurisdiction.tripwires}
        return release_checks.check_release(measured, past, limits, feed=self.feed, published=standing)

    def _release(self, desk: ReleaseProfiles, *, whole: bool) -> ReleaseCandidate:
        tiles = None if whole else [place.tile or "" for place in self._came]
        before = feed_baselines.find(self.objects, self.jurisdiction.id, self.feed)
        age = datetime.now(UTC) - datetime.fromisoformat(before.at) if before and before.at else None
        seen, has_codes = desk.known_codes(self._survey.codes.keys())
        return ReleaseCandidate(
            self.feed,
            self._survey,
            desk.published(tiles),
            desk.rows(),
            seen,
            has_codes,
            desk.fields() if whole else (),
            None if age is None else age.total_seconds() / 86_400,
            shrink_accepted=bool(before and before.accepted_by),
        )

    def _say(self, verdict: Verdict) -> None:
        if verdict.findings:
            self.tell(verdict)
        if verdict.held:
            what = f"nothing is published: {verdict.why}"
            self._error = AcceptanceNeeded.of(verdict.jurisdiction, verdict.feed, what)
