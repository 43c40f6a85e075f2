"""Find out why a feed broke, and propose a patch of its file: renamed columns, moved layers and services."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoning_assets.errors import HarvestMissing, NotALayer, PortalError, ZoningError
from zoning_assets.http import Client
from zoning_assets.model import Feed, Jurisdiction, Place
from zoning_assets.onboarding import layer_sample, portal_detection
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import page_readers

#: A column counts as renamed if it has at least this share of the old column's values.
_SAME_VALUES = 0.5
#: If the old values are unknown: if its name is at least this similar (difflib's ratio).
_SAME_NAME = 0.6
_MOST_LAYERS = 20
_MOST_PAGES = 20


@dataclass(frozen=True)
class FeedDiagnosis:
    """What is wrong with a feed, and what to replace in its file. `problem` None: the feed works."""

    feed: str
    problem: str | None
    replacements: Mapping[str, str] = field(default_factory=dict)  # old text in the file -> new text
    why: Sequence[str] = ()


async def examine(
    http: Client, jurisdiction: Jurisdiction, feed: Feed, objects: Objects, folder: Path
) -> FeedDiagnosis:
    """Examine one feed. Errors of the portal are returned in the diagnosis, not raised.

    Args:
        http: the client.
        jurisdiction: its jurisdiction.
        feed: the feed.
        objects: the store with earlier harvests.
        folder: a folder for downloads.
    """
    layer = portal_detection.FoundLayer(feed.type, feed.url, feed.name, layer=feed.layer)
    try:
        seen = await layer_sample.take_sample(http, layer, folder, jurisdiction.id)
    except ZoningError as error:
        return (
            await _find_moved_layer(http, feed, error, folder)
            if feed.type == "arcgis"
            else FeedDiagnosis(feed.name, error.what)
        )
    missing = [name for name in _named_columns(feed) if seen.rows and all(name not in row for row in seen.rows)]
    if not missing:
        return FeedDiagnosis(feed.name, None if seen.rows else "the layer has no rows")
    before = known_values(objects, jurisdiction.id, feed)
    replacements, why = {}, []
    for name in missing:
        found = find_renamed(name, before.get(name, set()), seen.rows, taken=_named_columns(feed))
        if found:
            replacements[name] = found[0]
            why.append(f"{name} -> {found[0]}: {found[1]}")
    return FeedDiagnosis(feed.name, f"columns are missing: {', '.join(missing)}", replacements, why)


def _named_columns(feed: Feed) -> list[str]:
    return [name for name in (feed.key, *feed.fields.values()) if name]


def find_renamed(
    name: str, values: Collection[str], rows: Sequence[Mapping[str, Any]], taken: Collection[str]
) -> tuple[str, str] | None:
    """Find the new name of a missing column; None: no column fits.

    Args:
        name: the missing column.
        values: its values in the last harvest; may be empty.
        rows: some rows of the layer as it is now.
        taken: columns that the file already names.

    Returns:
        The new name, and the reason.
    """
    scored = []
    for candidate in dict.fromkeys(each for row in rows for each in row if each not in taken):
        now = {text for row in rows if (text := normalize.key_of(row.get(candidate))) is not None}
        shared = len(now & set(values)) / len(now) if now and values else 0.0
        alike = difflib.SequenceMatcher(None, name.lower(), candidate.lower()).ratio()
        if shared >= _SAME_VALUES or (not values and alike >= _SAME_NAME):
            scored.append((shared, alike, candidate))
    if not scored:
        return None
    shared, alike, candidate = max(scored)
    by_values = f"{shared:.0%} of its values were in the old column"
    return candidate, by_values if shared else f"its name is similar ({alike:.0%})"


def known_values(objects: Objects, jurisdiction: str, feed: Feed) -> dict[str, set[str]]:
    """The values of the feed's columns in its last harvest, from at most 20 pages; empty sets without a harvest."""
    values: dict[str, set[str]] = {name: set() for name in _named_columns(feed)}
    try:
        harvest = raw_harvests.latest(objects, Place(jurisdiction), feed.name)
    except HarvestMissing:
        return values
    for page in harvest.pages[:_MOST_PAGES]:
        rows = page_readers.READERS[harvest.form](
            raw_harvests.read_page(objects, harvest, page), harvest.layer
        ).attributes
        for name, found in values.items():
            found.update(text for row in rows if (text := normalize.key_of(row.get(name))) is not None)
    return values


async def _find_moved_layer(http: Client, feed: Feed, error: ZoningError, folder: Path) -> FeedDiagnosis:
    """Search for the layer elsewhere: in its service, then in services of its server with similar names."""
    service = re.sub(r"/\d+/?$", "", feed.url)
    for where in (service, re.sub(r"(/rest/services).*", r"\1", service, flags=re.IGNORECASE)):
        try:
            found = await portal_detection.layers(http, where)
        except PortalError:
            continue
        best = await _best_match(http, feed, (each for each in found if each.polygons and each.url != feed.url), folder)
        if best is not None:
            layer, share = best
            why = f"{layer.name} has {share:.0%} of the columns that the file names"
            return FeedDiagnosis(feed.name, error.what, {feed.url: layer.url}, [why])
    return FeedDiagnosis(feed.name, error.what)


async def _best_match(
    http: Client, feed: Feed, layers: Iterable[portal_detection.FoundLayer], folder: Path
) -> tuple[portal_detection.FoundLayer, float] | None:
    """The layer with most of the columns that the file names, at least half of them, and its share of them."""
    expected, best = set(_named_columns(feed)), None
    alike = sorted(layers, key=lambda each: -difflib.SequenceMatcher(None, feed.url, each.url).ratio())
    for layer in alike[:_MOST_LAYERS]:
        try:
            seen = await layer_sample.take_sample(http, layer, folder)
        except (NotALayer, PortalError):
            continue
        share = len(expected & {name for row in seen.rows[:1] for name in row}) / max(len(expected), 1)
        if share >= _SAME_VALUES and (best is None or share > best[1]):
            best = (layer, share)
    return best


def patch(file: Path, findings: Sequence[FeedDiagnosis]) -> str:
    """The proposed change of the file as a unified diff; empty if there is none."""
    before = after = file.read_text(encoding="utf-8")
    for finding in findings:
        for old, new in finding.replacements.items():
            after = after.replace(f'"{old}"', f'"{new}"')
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), file.name, f"{file.name} (proposed)", lineterm=""
    )
    return "\n".join(lines)
