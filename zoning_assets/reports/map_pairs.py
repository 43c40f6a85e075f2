"""Maps before and after: one pair with all changes, and one pair for each place where much changed.

A pair shows the two states that were compared when its change was found, in the same window. A code has the colour that
it has on the map.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from zoning_assets.reports.svg_map import SvgMap, Window, draw, legend, window_around
from zoning_assets.storage.postgis.records.report_queries import PeriodRecords
from zoning_assets.transform.map_colors import code_colors

Row = Mapping[str, Any]

#: The most places with a pair of their own: of zoning changes, and of splits, mergers and similar changes.
_MOST_PLACES = {True: 3, False: 6}
#: The most districts and lots of one map, the largest districts first.
_MOST_DISTRICTS, _MOST_LOTS = 3_000, 1_500
#: The most changes that are drawn, the largest ones.
_MOST_CHANGES = 5_000
_MOST_NAMED = 5  # changes that a caption names
#: A change whose window would be higher is shown with all changes only, metres.
_LARGEST_PLACE_M = 1_500.0


@dataclass(frozen=True)
class Legend:
    """A colour of a pair: the code, or a description of several codes, whose colour is "none"."""

    label: str
    colour: str


@dataclass(frozen=True)
class MapPair:
    """Two maps of one window. `title` and `lines` describe what changed there."""

    title: str
    lines: Sequence[str]
    before: SvgMap
    after: SvgMap
    legend: Sequence[Legend]


@dataclass
class _Place:
    """A window with the changes in it; `first` decides which states are shown."""

    window: Window
    first: Row
    changes: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class _State:
    """Areas with their codes, and outlines of lots (None: not read), in a window at one time."""

    codes: Sequence[str]
    areas: Any
    lots: Any


@dataclass(frozen=True)
class _View:
    """A pair that is not drawn yet: two states of a window."""

    title: str
    lines: Sequence[str]
    window: Window
    states: Sequence[_State]
    changes: Sequence[Row]


def draw_pairs(records: PeriodRecords) -> list[MapPair]:
    """Draw the pairs of a period: first all changes, then the places; empty: nothing can be shown."""
    changes = [{**row, "shape": shapely.from_wkb(bytes(row["geom"]))} for row in records.changed_ground(_MOST_CHANGES)]
    if not changes:
        return []
    views = [_overview(records, changes), *(_place_views(records, place) for place in _places(changes))]
    changed = {code for each in changes if each["facet"] != "parcel" for code in (each["old"], each["new"])}
    drawn = {code for view in views for state in view.states for code in state.codes if code}
    colours = code_colors(records.codes(), drawn)
    return [_pair(view, colours, changed) for view in views]


def _places(changes: Sequence[Row]) -> Iterator[_Place]:
    """Yield the places with the largest changes. A change that another place shows has none of its own."""
    places: list[_Place] = []
    counts = Counter[bool]()
    for change in changes:
        of_parcels = change["facet"] == "parcel"
        bounds = shapely.bounds(change["shape"]).tolist()
        known = next((place for place in places if _shows(place, change, bounds)), None)
        if known:
            known.changes.append(change)
        elif counts[of_parcels] < _MOST_PLACES[of_parcels]:
            window = window_around(bounds, change["srid"])
            if window.height_m <= _LARGEST_PLACE_M:
                counts[of_parcels] += 1
                places.append(_Place(window, change, [change]))
    yield from places


def _shows(place: _Place, change: Row, bounds: Sequence[float]) -> bool:
    """Whether the window of a place contains a change between the same states."""
    same = all(place.first[name] == change[name] for name in ("parcels_from", "parcels_to", "zoning_from", "zoning_to"))
    return same and place.window.contains(bounds)


def _overview(records: PeriodRecords, changes: Sequence[Row]) -> _View:
    """All changes: the map before the first release of the period, and after the last one."""
    zoning = [each for each in changes if each["facet"] != "parcel"] or changes
    bounds = shapely.total_bounds(np.array([each["shape"] for each in zoning], dtype=object)).tolist()
    window = window_around(bounds, zoning[0]["srid"], margin=0.2, least_m=1_000.0)
    batches = min(each["zoning_from"] for each in zoning), max(each["zoning_to"] for each in zoning)
    states = [_State(*_districts(records, window, batch), None) for batch in batches]
    largest = "largest " if len(changes) == _MOST_CHANGES else ""
    lines = [f"The ground of {len(zoning):,} {largest}changes is outlined; small areas are marked with a circle."]
    return _View("All changes", lines, window, states, zoning)


def _place_views(records: PeriodRecords, place: _Place) -> _View:
    states = [_state(records, place.window, place.first, side) for side in ("from", "to")]
    lines = [_sentence(each) for each in place.changes[:_MOST_NAMED]]
    more = len(place.changes) - len(lines)
    rest = [*lines[1:], *([f"and {more:,} more changes"] if more else [])]
    return _View(lines[0], rest, place.window, states, place.changes)


def _pair(view: _View, colours: Mapping[str, str], preferred: Collection[str]) -> MapPair:
    """Draw a view. The legend has the codes of its maps, the preferred ones first."""
    together = shapely.union_all([each["shape"] for each in view.changes])
    changed = np.asarray(shapely.get_parts(together), dtype=object)
    before, after = (
        draw(view.window, (state.codes, state.areas), colours, lots=state.lots, changed=changed)
        for state in view.states
    )
    used = {code for state in view.states for code in state.codes}
    entries = [Legend(label, colour) for label, colour in legend(colours, used, preferred)]
    return MapPair(view.title, view.lines, before, after, entries)


def _sentence(change: Row) -> str:
    ids = ", ".join(change["parcel_ids"][:3]) or "no single parcel"
    more = len(change["parcel_ids"]) - 3
    where = ids + (f" and {more:,} more" if more > 0 else "")
    if change["facet"] == "parcel":
        return f"{change['kind'].replace('_', ' ')}: {where}"
    codes = f"{change['old'] or 'nothing'} to {change['new'] or 'nothing'}"
    return f"{change['kind'].replace('_', ' ')}: {where}, from {codes}"


def _state(records: PeriodRecords, window: Window, change: Row, side: str) -> _State:
    """What is in a window at one side of a release (`from` or `to`). Without a zoning map, the codes are those that the
    parcel layer states."""
    codes, lots = _columns(records.parcels_in(window.values, change[f"parcels_{side}"], _MOST_LOTS))
    districts = _districts(records, window, change[f"zoning_{side}"])
    return _State(*(districts if districts[0] else (codes, lots)), lots)


def _districts(records: PeriodRecords, window: Window, batch: int) -> tuple[list[str], Any]:
    return _columns(records.districts_in(window.values, batch, window.pixel / 2, _MOST_DISTRICTS))


def _columns(rows: Sequence[Row]) -> tuple[list[str], Any]:
    drawn = [row for row in rows if row["geom"] is not None]
    shapes = shapely.from_wkb(np.array([bytes(row["geom"]) for row in drawn], dtype=object))
    return [row["code"] for row in drawn], np.asarray(shapes, dtype=object)
