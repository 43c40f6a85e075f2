"""Wait while a hold is active. A paused run sends no requests and publishes nothing; received pages are kept, and the
run continues when the hold ends."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from zoning_assets import graceful_stop
from zoning_assets.errors import StoreError, ZoningError
from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Jurisdiction
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.records.hold_records import Hold

_log = logging.getLogger(__name__)

#: Seconds between two reads of the holds; a new hold stops requests within this time.
_REFRESH_S = 0.5
#: Seconds. A run that waited longer fails; the same command continues it.
_LONGEST_S = 24 * 3600.0


def hosts_of(jurisdiction: Jurisdiction, feed: str | None = None) -> set[str]:
    """The hosts of a jurisdiction's feeds, or of one feed. A local file has none."""
    mine = [each for name, each in jurisdiction.feeds.items() if feed in (None, name)]
    several = [each for of_feed in mine for each in (of_feed, of_feed.join, *of_feed.overlays.values())]
    urls = [each.url for each in several if each is not None]
    return {host_of(url) for url in urls if "://" in url}


@dataclass
class ActiveHolds:
    """The active holds at the last read.

    Attributes:
        database: its URL; "": there are no holds.
        active: the holds.
    """

    database: str
    active: list[Hold] = field(default_factory=list)
    _logged: set[int] = field(default_factory=set)

    def error(self, jurisdiction: str, hosts: Collection[str]) -> ZoningError | None:
        """The error for a jurisdiction with feeds at these hosts if it is paused; None: it is not paused."""
        hold = hold_records.find_hold(self.active, jurisdiction, hosts)
        return hold.error() if hold else None

    async def wait_until_resumed(
        self, jurisdiction: str, hosts: Collection[str], stopped: Callable[[], ZoningError | None] = lambda: None
    ) -> ZoningError | None:
        """Wait until a jurisdiction is not paused. Return the reason to stop waiting: that `stopped` gives one, or that
        the hold lasts too long; None: it is not paused."""
        since = time.monotonic()
        while error := self.error(jurisdiction, hosts):
            if why := stopped() or (error if time.monotonic() - since > _LONGEST_S else None):
                return why
            self._log(error)
            await asyncio.sleep(_REFRESH_S)
        return None

    def report(self, jurisdiction: str, hosts: Collection[str]) -> None:
        """Log a pause of a jurisdiction, each one once; for a process that watches a run of another process."""
        if error := self.error(jurisdiction, hosts):
            self._log(error)

    def refresh(self) -> None:
        """Read the active holds. If the database does not answer, the last ones are kept."""
        with suppress(StoreError):
            self.active = hold_records.active(self.database) if self.database else []

    def _log(self, error: ZoningError) -> None:
        """Log each hold once."""
        ids = {hold.id for hold in self.active}
        if not ids <= self._logged:
            self._logged |= ids
            _log.warning("%s; the run continues when the hold ends", error)


@asynccontextmanager
async def watch_holds(database: str) -> AsyncIterator[ActiveHolds]:
    """Read the active holds repeatedly while the block runs."""
    active_holds = ActiveHolds(database)
    await asyncio.to_thread(active_holds.refresh)

    async def watch() -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            await asyncio.to_thread(active_holds.refresh)

    task = asyncio.create_task(watch())
    try:
        yield active_holds
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def wait(database: str, jurisdiction: Jurisdiction) -> None:
    """Wait until a jurisdiction is not paused; for steps that send no requests.

    Raises:
        Held: the hold lasts longer than a run waits.
        Stopping: this process was asked to stop.
    """

    async def wait_until_resumed() -> ZoningError | None:
        async with watch_holds(database) as active_holds:
            return await active_holds.wait_until_resumed(jurisdiction.id, hosts_of(jurisdiction))

    if error := graceful_stop.run(wait_until_resumed()):
        raise error
