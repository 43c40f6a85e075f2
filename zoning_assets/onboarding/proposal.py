"""Propose a jurisdiction file: the chosen layers and columns, the reasons, and the alternatives."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoning_assets.errors import NotALayer, PortalError
from zoning_assets.http import Client
from zoning_assets.http.request import TRIES
from zoning_assets.model import LON_LAT, PARCELS, ZONING, Bounds
from zoning_assets.onboarding import column_roles, layer_sample, location, portal_detection, repeat_policy
from zoning_assets.onboarding.column_roles import ColumnCandidate
from zoning_assets.onboarding.layer_sample import Sample
from zoning_assets.onboarding.toml_text import quoted, remark
from zoning_assets.redaction import without_secrets
from zoning_assets.transform.decode import value_names

#: The most layers of each feed that are sampled.
_MOST_SAMPLED = 5
#: The proposed bounds are enlarged by this share of their size.
_MARGIN = 0.02
#: Parts of a host's name that do not name a place.
_HOST_NOISE = {
    "www", "gis", "maps", "map", "data", "opendata", "arcgis", "services",
    "server", "geo", "portal", "gov", "org", "com", "us", "net",
}  # fmt: skip


@dataclass(frozen=True)
class KnownFacts:
    """What was known about an address before its portal was asked; each may be unknown.

    Attributes:
        place: the name of the place.
        key: the column of the parcels' key.
        layer: the name of the layer, of a file with several.
        remarks: comments for the file.
    """

    place: str | None = None
    key: str | None = None
    layer: str | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Chosen:
    """One feed of the proposal, and the columns that may fill each role."""

    feed: str
    sample: Sample
    candidates: Mapping[str, Sequence[ColumnCandidate]]
    remark: str = ""  # about the key that was known before

    def column(self, role: str) -> str | None:
        """The best column for a role; None: there is none."""
        found = self.candidates.get(role)
        return found[0].column.name if found else None

    @property
    def score(self) -> float:
        """How well the layer fits: the sum of the best scores of its roles; higher is better."""
        best = [each[0].score for each in self.candidates.values() if each]
        return sum(best) + (1.0 if self.candidates.get("key") else 0.0)


@dataclass(frozen=True)
class Proposal:
    """A proposed jurisdiction file, and the layers that were not chosen, with the reasons."""

    id: str
    bounds: Bounds | None
    feeds: Sequence[Chosen]
    passed_over: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None  # of the place; None: the id
    remarks: Sequence[str] = ()  # comments at the top of the file

    def toml(self) -> str:
        """The file's text."""
        head = [
            "# Proposed by `zoning onboard`; check each line that has a remark.",
            *(f"# {remark(each, 200)}" for each in self.remarks),
            f"id = {quoted(self.id)}",
            f"name = {quoted(self.name or self.id)}  # the name of the place",
            _bounds(self.bounds),
            'target_crs = "EPSG:4326"',
            'tile_resolution = "auto"',
        ]
        return "\n".join(head + [line for chosen in self.feeds for line in _feed(chosen)]) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """The document that `zoning onboard --json` prints."""
        feeds = {each.feed: _as_dict(each) for each in self.feeds}
        return {
            "id": self.id,
            "name": self.name or self.id,
            "bounds": self.bounds,
            "feeds": feeds,
            "passed_over": dict(self.passed_over),
            "toml": self.toml(),
        }


async def propose(  # noqa: PLR0913 - an address, what is known of it, and where to work
    http: Client,
    url: str,
    folder: Path,
    name: str | None,
    on_step: Callable[[str], None] = lambda _: None,
    known: KnownFacts = KnownFacts(),
    tries: int = TRIES,
) -> Proposal:
    """Sample the layers at an address, and propose a file.

    Args:
        http: the client.
        url: the address of a layer, a service, a server, or a file.
        folder: a folder for downloads.
        name: the id of the jurisdiction; None: derived from the host.
        on_step: called with a description before each step.
        known: what a person or a catalogue states. A key that is stated is proposed if its values can be a key.
        tries: the most times that the first request to an ArcGIS server is sent.

    Raises:
        NotALayer: no layer there can be parcels or zoning.
        PortalError, FileRefused: see errors.py.
    """
    passed: dict[str, str] = {}
    found = await portal_detection.layers(http, url, tries)
    if known.layer:
        found = [each if each.type == "arcgis" else replace(each, layer=known.layer) for each in found]
    chosen = []
    for feed, layers in _layers_by_feed(found).items():
        sampled = []
        for layer in layers:
            on_step(f"Reading some rows of the layer {remark(layer.name)}")
            sampled += [each] if (each := await _sample_layer(http, feed, layer, folder, passed, name)) else []
        if sampled:
            best = max(sampled, key=lambda each: each.score)
            chosen.append(_with_known_key(best, known.key) if feed == PARCELS and known.key else best)
            passed |= {each.sample.layer.name: "another layer fits better" for each in sampled if each is not best}
    if not chosen:
        why = "; ".join(f"{layer}: {reason}" for layer, reason in passed.items()) or "no polygons"
        what, do = f"no layer can be parcels or zoning ({why})", "give the address of a layer"
        raise NotALayer(what, where=without_secrets(url), do=do)
    boxes = [each.sample.bounds for each in chosen if each.sample.bounds]
    bounds = _enlarged(boxes)
    return Proposal(name or _id(url, bounds), bounds, chosen, passed, known.place, known.remarks)


def _layers_by_feed(found: Sequence[portal_detection.FoundLayer]) -> dict[str, list[portal_detection.FoundLayer]]:
    """The layers to sample for each feed, by their names. If no name tells, all of them may be parcels: a person gave
    the address."""
    polygons = [each for each in found if each.polygons]
    named = {
        feed: [each for each in polygons if portal_detection.feed_of(each.name) == feed] for feed in (PARCELS, ZONING)
    }
    if not any(named.values()):
        named[PARCELS] = polygons
    return {feed: layers[:_MOST_SAMPLED] for feed, layers in named.items()}


def _with_known_key(chosen: Chosen, key: str) -> Chosen:
    """The parcels with the stated key first, if its values can be a key; else with a remark about it."""
    found = chosen.candidates["key"]
    stated = next((each for each in found if each.column.name.lower() == key.lower()), None)
    if stated is None:
        return replace(chosen, remark=f"the catalogue names the key {key!r}, which is missing or repeats too often")
    best = replace(stated, why=f"{stated.why}; the catalogue names it")
    others = [each for each in found if each is not stated]
    return replace(chosen, candidates={**chosen.candidates, "key": [best, *others]})


async def _sample_layer(  # noqa: PLR0913 - a layer, and what is known of it
    http: Client, feed: str, layer: portal_detection.FoundLayer, folder: Path, passed: dict[str, str], name: str | None
) -> Chosen | None:
    try:
        seen = await layer_sample.take_sample(http, layer, folder, name)
    except PortalError as error:
        passed[layer.name] = error.what
        return None
    if not seen.rows:
        passed[layer.name] = "it has no rows"
        return None
    found = column_roles.candidates(feed, column_roles.describe_columns(seen.rows), seen.managed)
    if feed == PARCELS and not found["key"]:
        passed[layer.name] = "no column can be a key: each has nulls or repeats too often"
        return None
    return Chosen(feed, seen, found)


def _feed(chosen: Chosen) -> list[str]:
    seen = chosen.sample
    rows = "rows not counted" if seen.count is None else f"{seen.count:,} rows"
    lines = [
        "",
        f"[feeds.{chosen.feed}]",
        f"type = {quoted(seen.layer.type)}",
        f"url = {quoted(seen.layer.url)}  # {remark(seen.layer.name)}; {rows}",
    ]
    if seen.layer.layer:
        lines.append(f"layer = {quoted(seen.layer.layer)}")
    if chosen.remark:
        lines.append(f"# {remark(chosen.remark, 160)}")
    if seen.geometry:
        lines.append(f"geometry = {quoted(seen.geometry)}  # the shapes of this column are in a possible place")
    if seen.axes != LON_LAT:
        lines.append(f"axes = {quoted(seen.axes)}  # {remark(seen.remark)}")
    if seen.shift:
        lines.append(f"# shift_accuracy_m = 1000  # {remark(seen.shift, 160)}")
    if seen.crs is None:
        lines.append('# crs = "EPSG:..."  # the portal does not state it; degrees are assumed')
    key = chosen.candidates.get("key")
    if key:
        best = key[0]
        others = ", ".join(each.column.name for each in key[1:])
        lines.append(
            f"key = {quoted(best.column.name)}  # {remark(best.why)}{f'; or: {remark(others)}' if others else ''}"
        )
        policy = repeat_policy.policy(seen.rows, best.column.name, seen.managed)
        lines.append(f'on_repeated_key = "{policy.choice}"  # {remark(policy.why, 160)}')
    fields = {role: found[0] for role, found in chosen.candidates.items() if found and role != "key"}
    if fields:
        lines.append(f"  [feeds.{chosen.feed}.fields]")
        lines += [
            f"  {role} = {quoted(each.column.name)}  # {remark(each.why + _named(seen, each.column.name), 160)}"
            for role, each in sorted(fields.items())
        ]
    return lines


def _named(seen: Sample, column: str) -> str:
    """A remark with the portal's names of some of a column's coded values; empty: it has none."""
    found = value_names.names_of_column(column, seen.rows, seen.names)
    pairs = zip([row.get(column) for row in seen.rows], found or (), strict=False)
    pairs_shown = list(dict.fromkeys(f"{value} = {name}" for value, name in pairs if name is not None))
    return f"; the portal's names of its codes are kept: {', '.join(pairs_shown[:3])}" if pairs_shown else ""


def _as_dict(chosen: Chosen) -> dict[str, Any]:
    columns = {
        role: [
            {
                "column": c.column.name,
                "score": c.score,
                "why": c.why,
                "samples": c.column.samples,
                "nulls": c.column.nulls,
                "repeats": c.column.repeats,
            }
            for c in found
        ]
        for role, found in chosen.candidates.items()
    }
    seen = chosen.sample
    return {
        "type": seen.layer.type,
        "url": seen.layer.url,
        "layer": seen.layer.name,
        "rows": seen.count,
        "sampled": len(seen.rows),
        "crs": seen.crs,
        "page_size": seen.page_size,
        "columns": columns,
    }


def _enlarged(boxes: Sequence[Bounds]) -> Bounds | None:
    if not boxes:
        return None
    west, south, east, north = (f(side) for f, side in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    x, y = (east - west) * _MARGIN + 1e-3, (north - south) * _MARGIN + 1e-3
    return (
        round(max(west - x, -180), 4),
        round(max(south - y, -90), 4),
        round(min(east + x, 180), 4),
        round(min(north + y, 90), 4),
    )


def _bounds(bounds: Bounds | None) -> str:
    if bounds is None:
        return "bounds = [-180.0, -90.0, 180.0, 90.0]  # unknown: give west, south, east, north in degrees"
    return f"bounds = [{', '.join(map(str, bounds))}]  # west, south, east, north; degrees"


def _id(url: str, bounds: Bounds | None) -> str:
    """An id from the host's name; a person should replace it."""
    words = [each for each in re.split(r"[^a-z0-9]+", (urlsplit(url).hostname or urlsplit(url).path).lower()) if each]
    names = [each for each in words if each not in _HOST_NOISE and not each.isdigit()]
    country = "us" if bounds is None or location.in_united_states(bounds) else "xx"
    return "-".join([country, "xx", *(names or ["new"])[:2]])
