"""What runs do while a person has paused them: nothing is asked or published, what came is kept, and it goes on by
itself."""

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

#: Between two looks; a pause is in force for requests within this.
_LOOK_S = 0.5
#: No run waits longer; it fails then, and the same command goes on.
_LONGEST_S = 24 * 3600.0


def hosts_of(jurisdiction: Jurisdiction, feed: str | None = None) -> set[str]:
    """The hosts that a jurisdiction's feeds, or one of them, are asked from; none for a file of one's own."""
    urls = [each.url for name, each in jurisdiction.feeds.items() if feed in (None, name)]
    return {host_of(url) for url in urls if "://" in url}


@dataclass
class Pauses:
    """What is paused, as it was seen last."""

    database: str
    seen: list[Hold] = field(default_factory=list)
    _told: set[int] = field(default_factory=set)

    def held(self, jurisdiction: str, hosts: Collection[str]) -> ZoningError | None:
        """Why a jurisdiction whose feeds lie at these hosts is paused; None: it is not."""
        hold = hold_records.of(self.seen, jurisdiction, hosts)
        return hold.error() if hold else None

    async def over(
        self, jurisdiction: str, hosts: Collection[str], stopped: Callable[[], ZoningError | None] = lambda: None
    ) -> ZoningError | None:
        """Wait until it is not paused; or why it is waited for no longer."""
        since = time.monotonic()
        while error := self.held(jurisdiction, hosts):
            if why := stopped() or (error if time.monotonic() - since > _LONGEST_S else None):
                return why
            self._tell(error)
            await asyncio.sleep(_LOOK_S)
        return None

    def report(self, jurisdiction: str, hosts: Collection[str]) -> None:
        """Log a pause of a jurisdiction, each one once; for a process that watches a run of another process."""
        if error := self.held(jurisdiction, hosts):
            self._tell(error)

    def look(self) -> None:
        """See what is paused now; where nobody answers, what was seen stays. Who has no database waits for nobody."""
        with suppress(StoreError):
            self.seen = hold_records.active(self.database) if self.database else []

    def _tell(self, error: ZoningError) -> None:
        ids = {hold.id for hold in self.seen}
        if not ids <= self._told:
            self._told |= ids
            _log.warning("%s; goes on by itself then", error)


@asynccontextmanager
async def watching(database: str) -> AsyncIterator[Pauses]:
    """What is paused, looked at again and again while the block runs."""
    pauses = Pauses(database)
    await asyncio.to_thread(pauses.look)

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(pauses.look)

    task = asyncio.create_task(watch())
    try:
        yield pauses
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def wait(database: str, jurisdiction: Jurisdiction) -> None:
    """Wait until a jurisdiction is not paused; for work that asks no portal.

    Raises:
        Held: it is paused for longer than a run waits.
        Stopping: this process was asked to stop.
    """

    async def over() -> ZoningError | None:
        async with watching(database) as pauses:
            return await pauses.over(jurisdiction.id, hosts_of(jurisdiction))

    if error := graceful_stop.run(over()):
        raise error
