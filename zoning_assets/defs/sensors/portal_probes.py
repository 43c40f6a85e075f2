"""Probes, all at the same time, and what is made of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from zoning_assets.defs.sensors import probe_schedule
from zoning_assets.defs.sensors.probe_schedule import Entry, Feed
from zoning_assets.errors import ZoningError
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.records.feed_freshness import Known

if TYPE_CHECKING:
    from zoning_assets.pipeline.pipeline import Pipeline, Probed

#: One portal may keep a tick waiting for so long; the others are asked meanwhile.
_PROBE_S = 20.0


@dataclass(frozen=True)
class Decided:
    """A feed that was probed: what is known of it now, what the cursor remembers, and whether a run is asked for."""

    feed: Feed
    known: Known
    entry: Entry
    run_key: str | None


async def ask(pipeline: "Pipeline", feeds: Sequence[Feed], now: datetime) -> "list[tuple[Feed, Probed | Exception]]":
    """Probe them; an error is an answer."""

    async def one(feed: Feed) -> "tuple[Feed, Probed | Exception]":
        try:
            return feed, await asyncio.wait_for(pipeline.probe(feed.jurisdiction, feed.name, now), _PROBE_S)
        except (ZoningError, TimeoutError) as error:
            return feed, error

    return await asyncio.gather(*map(one, feeds))


def decide(
    cursor: Mapping[str, Entry],
    found: "Sequence[tuple[Feed, Probed | Exception]]",
    failures_of: Callable[[Feed], Sequence[Failure]],
    now: datetime,
) -> list[Decided]:
    """What becomes of each; pure."""
    return [
        _unheard(cursor.get(feed.key), feed, said, now)
        if isinstance(said, Exception)
        else _heard(cursor.get(feed.key), feed, said, failures_of(feed), now)
        for feed, said in found
    ]


def _unheard(before: Entry | None, feed: Feed, error: Exception, now: datetime) -> Decided:
    failed = before.failed + 1 if before else 1
    again = probe_schedule.after(feed, now, failed, getattr(error, "wait_s", None))
    entry = Entry(again.isoformat(), failed, before.why if before else "", before.asked if before else "")
    known = Known(feed.jurisdiction.id, feed.name, now, again, error=str(error) or "no answer in time")
    return Decided(feed, known, entry, None)


def _heard(before: Entry | None, feed: Feed, said: "Probed", failures: Sequence[Failure], now: datetime) -> Decided:
    again, why = probe_schedule.after(feed, now), said.why
    current = None if why else now
    known = Known(feed.jurisdiction.id, feed.name, now, again, why, requests=said.requests, current=current)
    if why and probe_schedule.worth(before, why, failures, now):
        entry = Entry(again.isoformat(), why=why, asked=now.isoformat())
        return Decided(feed, known, entry, probe_schedule.run_key(feed, before, why))
    kept = (before.why, before.asked) if before and why else ("", "")
    return Decided(feed, known, Entry(again.isoformat(), 0, *kept), None)
