"""Why a feed of a jurisdiction broke, and the patch that may mend it: renamed columns, moved layers and services."""

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

#: A column is taken for a renamed one when so many of its values were the old one's.
_SAME_VALUES = 0.5
_SAME_NAME = 0.6
_MOST_LAYERS = 20
_MOST_PAGES = 20


@dataclass(frozen=True)
class Finding:
    """What is wrong with a feed, and what to write instead of what; nothing where it is well."""

    feed: str
    wrong: str | None
    instead: Mapping[str, str] = field(default_factory=dict)  # text in the file -> text that may mend it
    why: Sequence[str] = ()


async def examine(http: Client, jurisdiction: Jurisdiction, feed: Feed, objects: Objects, folder: Path) -> Finding:
    """Look at one feed. Errors of the portal are findings, not raised."""
    layer = portal_detection.Layer(feed.type, feed.url, feed.name, layer=feed.layer)
    try:
        seen = await layer_sample.taken(http, layer, folder, jurisdiction.id)
    except ZoningError as error:
        return await _moved(http, feed, error, folder) if feed.type == "arcgis" else Finding(feed.name, error.what)
    gone = [name for name in _wanted(feed) if seen.rows and all(name not in row for row in seen.rows)]
    if not gone:
        return Finding(feed.name, None if seen.rows else "the layer has no rows")
    before = known_values(objects, jurisdiction.id, feed)
    instead, why = {}, []
    for name in gone:
        found = renamed(name, before.get(name, set()), seen.rows, taken=_wanted(feed))
        if found:
            instead[name] = found[0]
            why.append(f"{name} -> {found[0]}: {found[1]}")
    return Finding(feed.name, f"columns are gone: {', '.join(gone)}", instead, why)


def _wanted(feed: Feed) -> list[str]:
    return [name for name in (feed.key, *feed.fields.values()) if name]


def renamed(
    name: str, values: Collection[str], rows: Sequence[Mapping[str, Any]], taken: Collection[str]
) -> tuple[str, str] | None:
    """Which column holds what a column that is gone held, and why it is thought so; None where none does."""
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
    by_values = f"{shared:.0%} of its values were the old column's"
    return candidate, by_values if shared else f"its name is alike ({alike:.0%})"


def known_values(objects: Objects, jurisdiction: str, feed: Feed) -> dict[str, set[str]]:
    """The values that the feed's columns had when it was harvested last, from a few of its pages."""
    values: dict[str, set[str]] = {name: set() for name in _wanted(feed)}
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


async def _moved(http: Client, feed: Feed, error: ZoningError, folder: Path) -> Finding:
    """Look for the layer elsewhere: in its service, then in the services of its server whose names are alike."""
    service = re.sub(r"/\d+/?$", "", feed.url)
    for where in (service, re.sub(r"(/rest/services).*", r"\1", service, flags=re.IGNORECASE)):
        try:
            found = await portal_detection.layers(http, where)
        except PortalError:
            continue
        best = await _best(http, feed, (each for each in found if each.polygons and each.url != feed.url), folder)
        if best is not None:
            layer, share = best
            why = f"{layer.name} has {share:.0%} of the columns that the file names"
            return Finding(feed.name, error.what, {feed.url: layer.url}, [why])
    return Finding(feed.name, error.what)


async def _best(
    http: Client, feed: Feed, layers: Iterable[portal_detection.Layer], folder: Path
) -> tuple[portal_detection.Layer, float] | None:
    """The layer that has most of the columns that the file names, at least half of them."""
    wanted, best = set(_wanted(feed)), None
    alike = sorted(layers, key=lambda each: -difflib.SequenceMatcher(None, feed.url, each.url).ratio())
    for layer in alike[:_MOST_LAYERS]:
        try:
            seen = await layer_sample.taken(http, layer, folder)
        except (NotALayer, PortalError):
            continue
        share = len(wanted & {name for row in seen.rows[:1] for name in row}) / max(len(wanted), 1)
        if share >= _SAME_VALUES and (best is None or share > best[1]):
            best = (layer, share)
    return best


def patch(file: Path, findings: Sequence[Finding]) -> str:
    """The file's change as a unified diff; empty where nothing is proposed."""
    before = after = file.read_text(encoding="utf-8")
    for finding in findings:
        for old, new in finding.instead.items():
            after = after.replace(f'"{old}"', f'"{new}"')
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), file.name, f"{file.name} (proposed)", lineterm=""
    )
    return "\n".join(lines)
