"""What a feed was when it was published last: how many rows it had, and what the portal said of it then.

raw/JURISDICTION/FEED/baseline.json   rows, the portal's signals, when; and who accepted a fall, and why
raw/JURISDICTION/FEED/waiting.json    a fall that waits for a person
raw/JURISDICTION/FEED/published.json  the tiles that were published from the layer's newest state
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from zoning_assets.errors import AcceptanceNeeded, NothingWaits
from zoning_assets.model import ZONING, Feed
from zoning_assets.storage.object_store.object_store import Objects


@dataclass(frozen=True)
class Baseline:
    """A feed at its last publication."""

    rows: int
    signals: Mapping[str, Any] | None = None  # of the feed type's probe; None: not asked
    at: str = ""  # ISO 8601
    accepted_by: str | None = None
    reason: str | None = None
    rolled_back: bool = False  # and not harvested since


def find(objects: Objects, jurisdiction: str, feed: str) -> Baseline | None:
    """The baseline, None where nothing was published yet."""
    document = objects.find_json(_name(jurisdiction, feed, "baseline"))
    return Baseline(**document) if document else None


def put(  # noqa: PLR0913 - what a feed was, and when
    objects: Objects, jurisdiction: str, feed: str, rows: int, signals: Mapping[str, Any] | None, at: datetime
) -> None:
    """Note what was published, as the portal had it at that time."""
    baseline = Baseline(rows, signals, at.isoformat())
    objects.put_json(_name(jurisdiction, feed, "baseline"), asdict(baseline))


def published_of(objects: Objects, jurisdiction: str, feed: str, layer: str, tiles: Collection[str]) -> set[str]:
    """All tiles that were published from one state of a layer, these among them."""
    together = {*tiles, *published(objects, jurisdiction, feed, layer)}
    objects.put_json(_name(jurisdiction, feed, "published"), {"layer": layer, "tiles": sorted(together)})
    return together


def published(objects: Objects, jurisdiction: str, feed: str, layer: str) -> set[str]:
    """The tiles that were published from one state of a layer, if none was published from another since."""
    known = objects.find_json(_name(jurisdiction, feed, "published")) or {}
    return set(known["tiles"]) if known.get("layer") == layer else set()


def roll_back(objects: Objects, jurisdiction: str, feed: str) -> None:
    """Whatever was published of the layer's newest state stands no longer; the next probe says that it is missing."""
    objects.delete([_name(jurisdiction, feed, "published")])
    if before := find(objects, jurisdiction, feed):
        undone = replace(before, signals=None, accepted_by=None, reason=None, rolled_back=True)
        objects.put_json(_name(jurisdiction, feed, "baseline"), asdict(undone))


def forget(objects: Objects, jurisdiction: str, feed: str) -> None:
    """The next harvest is a first one."""
    for each in ("baseline", "waiting", "published"):
        objects.delete([_name(jurisdiction, feed, each)])


def guard(objects: Objects, jurisdiction: str, feed: Feed, rows: int) -> None:
    """Refuse a layer that is empty, or whose parcels became much fewer, before its pages are fetched; unless a person
    said that it is right.

    It is the tripwire `count_drop`, as far as the row count decides it: the limit is `may_shrink` (a tenth by default:
    OpenAddresses' alarm). Of a map only emptiness is refused here, since districts are cut and joined at will: its rule
    is its ground, which the release gate measures.

    Raises:
        AcceptanceNeeded: what was published before stays.
    """
    if feed.name == ZONING and rows > 0:
        return
    before = find(objects, jurisdiction, feed.name)
    if before is not None and rows > 0 and before.rows - rows < max(feed.may_shrink * before.rows, 1):
        return
    same = rows > 0 if before is None else rows == before.rows
    if same or feed.may_shrink == 1.0:
        return
    objects.put_json(_name(jurisdiction, feed.name, "waiting"), {"rows": rows})
    fell = f"fell from {before.rows:,} to {rows:,} rows" if before and before.rows else f"has {rows:,} rows"
    raise AcceptanceNeeded.of(jurisdiction, feed.name, f"count_drop: the layer {fell}")


def accept(objects: Objects, jurisdiction: str, feed: str, who: str, reason: str) -> tuple[int | None, int]:
    """A person says that a fall is right: it is the new baseline. Rows before and now.

    Raises:
        NothingWaits: no fall was refused.
    """
    rows = discard(objects, jurisdiction, feed)
    before = find(objects, jurisdiction, feed)
    accepted = replace(before or Baseline(0), rows=rows, accepted_by=who, reason=reason)
    objects.put_json(_name(jurisdiction, feed, "baseline"), asdict(accepted))
    return before.rows if before else None, accepted.rows


def discard(objects: Objects, jurisdiction: str, feed: str) -> int:
    """A fall that was refused waits no longer; its rows.

    Raises:
        NothingWaits: no fall was refused.
    """
    name = _name(jurisdiction, feed, "waiting")
    waiting = objects.find_json(name)
    if waiting is None:
        raise NothingWaits("nothing waits for a person", where=f"{jurisdiction} {feed}", do="nothing is to be done")
    objects.delete([name])
    return int(waiting["rows"])


def changed(baseline: Baseline | None, signals: Mapping[str, Any], full_refresh_days: int, now: datetime) -> str | None:
    """Why a feed is worth fetching; None where nothing says so and it was fetched not long ago.

    A signal may only skip work, and only within a bounded age: some portals move theirs without a change, and some
    change without moving it (docs/explanation/portals.md).
    """
    if baseline is not None and baseline.rolled_back:
        return "it was rolled back"
    if baseline is None or baseline.signals is None:
        return "it was not harvested yet"
    if now - datetime.fromisoformat(baseline.at) > timedelta(days=full_refresh_days):
        return f"it was fetched more than {full_refresh_days} days ago"
    if not signals:
        return "it says nothing of itself: only fetching it can tell"
    before = baseline.signals
    names = sorted({*before, *signals})
    moved = [
        f"{name} {before.get(name)} -> {signals.get(name)}" for name in names if before.get(name) != signals.get(name)
    ]
    return ", ".join(moved) or None


def _name(jurisdiction: str, feed: str, what: str) -> str:
    return f"raw/{jurisdiction}/{feed}/{what}.json"
