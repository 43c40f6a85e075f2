"""The state of a feed at its last publication: the number of rows, and the change signals of the portal.

raw/JURISDICTION/FEED/baseline.json   rows, signals, time; who accepted a drop of the row count, and why
raw/JURISDICTION/FEED/waiting.json    a refused drop of the row count, which waits for a person
raw/JURISDICTION/FEED/published.json  the state of the layer that was published last, and its tiles that were published
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from zoning_assets.errors import AcceptanceNeeded, NothingWaits
from zoning_assets.harvest import Cover
from zoning_assets.model import ZONING, Feed
from zoning_assets.storage.object_store.object_store import Objects


@dataclass(frozen=True)
class Baseline:
    """A feed at its last publication."""

    rows: int
    signals: Mapping[str, Any] | None = None  # of the last probe; None: not probed
    at: str = ""  # ISO 8601
    seen: str = ""  # ISO 8601; when the portal was last confirmed to have these rows; "": an earlier version
    accepted_by: str | None = None
    reason: str | None = None
    rolled_back: bool = False  # and not published since


def find(objects: Objects, jurisdiction: str, feed: str) -> Baseline | None:
    """The baseline of a feed; None: it was not published yet."""
    document = objects.find_json(_name(jurisdiction, feed, "baseline"))
    return Baseline(**document) if document else None


def put(objects: Objects, jurisdiction: str, feed: str, baseline: Baseline) -> None:
    """Store the baseline of a publication."""
    objects.put_json(_name(jurisdiction, feed, "baseline"), asdict(baseline))


def add_published_tiles(objects: Objects, cover: Cover, tiles: Collection[str]) -> set[str]:
    """Add tiles that were published from this state of the layer; return all tiles of this state."""
    together = {*tiles, *published_tiles(objects, cover)}
    document = {"layer": cover.state, "tiles": sorted(together)}
    objects.put_json(_name(cover.jurisdiction, cover.feed, "published"), document)
    return together


def published_tiles(objects: Objects, cover: Cover) -> set[str]:
    """The tiles that were published from this state of the layer; empty if a tile of another state followed."""
    known = objects.find_json(_name(cover.jurisdiction, cover.feed, "published")) or {}
    return set(known["tiles"]) if known.get("layer") == cover.state else set()


def is_recorded(objects: Objects, cover: Cover) -> bool:
    """Whether this state of the layer was the last one of which a publication was recorded."""
    return (objects.find_json(_name(cover.jurisdiction, cover.feed, "published")) or {}).get("layer") == cover.state


def mark_rolled_back(objects: Objects, jurisdiction: str, feed: str) -> None:
    """Mark a feed as rolled back, so that the next probe requests a harvest."""
    objects.delete([_name(jurisdiction, feed, "published")])
    if before := find(objects, jurisdiction, feed):
        undone = replace(before, signals=None, accepted_by=None, reason=None, rolled_back=True)
        objects.put_json(_name(jurisdiction, feed, "baseline"), asdict(undone))


def forget_published(objects: Objects, jurisdiction: str, feed: str) -> None:
    """Forget what was published: the database does not have it. The next probe requests a harvest."""
    objects.delete([_name(jurisdiction, feed, "published")])
    if before := find(objects, jurisdiction, feed):
        put(objects, jurisdiction, feed, replace(before, signals=None, seen=""))


def delete(objects: Objects, jurisdiction: str, feed: str) -> None:
    """Delete everything that is stored about a feed; its next harvest is treated as the first."""
    for each in ("baseline", "waiting", "published"):
        objects.delete([_name(jurisdiction, feed, each)])


def check_row_count(objects: Objects, jurisdiction: str, feed: Feed, rows: int) -> None:
    """Refuse an empty layer, or a parcel layer with far fewer rows than before, unless a person accepted it.

    This is the part of the check `count_drop` that needs only the row count; it runs before pages are fetched. The
    limit is the setting `may_shrink` (default: a tenth, as in OpenAddresses). A zoning map is refused only if it is
    empty, because districts are often split and merged; the release gate checks its area.

    Raises:
        AcceptanceNeeded: the layer is refused; what is published stays.
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
    raise AcceptanceNeeded.of(jurisdiction, feed.name, f"count_drop: the layer {fell}{_selection(feed, before)}")


def _selection(feed: Feed, before: Baseline | None) -> str:
    """The clause of the feed, and the one of the last publication if it was another, for messages."""
    known = before.signals.get("where") if before and before.signals else feed.where
    other = "" if known == feed.where else f", before: {known!r}"
    return f" (where: {feed.where!r}{other})" if feed.where or other else ""


def accept(objects: Objects, jurisdiction: str, feed: str, who: str, reason: str) -> tuple[int | None, int]:
    """A person accepts a drop: its row count is the new baseline. Return the rows before (None: no baseline) and now.

    Raises:
        NothingWaits: no drop was refused.
    """
    rows = discard(objects, jurisdiction, feed)
    before = find(objects, jurisdiction, feed)
    accepted = replace(before or Baseline(0), rows=rows, accepted_by=who, reason=reason)
    objects.put_json(_name(jurisdiction, feed, "baseline"), asdict(accepted))
    return before.rows if before else None, accepted.rows


def discard(objects: Objects, jurisdiction: str, feed: str) -> int:
    """Delete a refused drop; return its row count.

    Raises:
        NothingWaits: no drop was refused.
    """
    name = _name(jurisdiction, feed, "waiting")
    waiting = objects.find_json(name)
    if waiting is None:
        raise NothingWaits("no harvest waits for a decision", where=f"{jurisdiction} {feed}", do="no action is needed")
    objects.delete([name])
    return int(waiting["rows"])


def database_is_older(baseline: Baseline | None, harvested: datetime | None) -> bool:
    """Whether the database does not know of this publication: it was restored from a backup that is older.

    Args:
        baseline: of the feed.
        harvested: when the complete feed was last published, by the database; None: never.
    """
    if baseline is None or not baseline.seen:
        return False
    return harvested is None or harvested < datetime.fromisoformat(baseline.seen)


def fetch_reason(
    baseline: Baseline | None, signals: Mapping[str, Any], full_refresh_days: int, now: datetime
) -> str | None:
    """Why a feed has to be fetched; None: its signals are unchanged and its last harvest is recent enough.

    Signals only avoid work, and only for `full_refresh_days`: some portals change their signals without a change of the
    data, and some change data without changing their signals (docs/explanation/portals.md).
    """
    if baseline is not None and baseline.rolled_back:
        return "it was rolled back"
    if baseline is None or baseline.signals is None:
        return "it was not harvested yet"
    if now - datetime.fromisoformat(baseline.at) > timedelta(days=full_refresh_days):
        return f"it was fetched more than {full_refresh_days} days ago"
    if not signals:
        return "the portal gives no change signals, so it has to be fetched"
    before = baseline.signals
    names = sorted({*before, *signals})
    moved = [
        f"{name} {before.get(name)} -> {signals.get(name)}" for name in names if before.get(name) != signals.get(name)
    ]
    return ", ".join(moved) or None


def _name(jurisdiction: str, feed: str, what: str) -> str:
    return f"raw/{jurisdiction}/{feed}/{what}.json"
