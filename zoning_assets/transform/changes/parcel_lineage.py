"""What became of each parcel: lineage by the ground that parcels share before and after, never by their ids.

All shapes lie in one metric equal-area frame (x, y; metres). Two shapes share ground only where their overlap is
somewhere wider than the tolerance (eroded by half of it, something is left), or covers half of the smaller of the two,
which may be thinner than the tolerance itself. So a layer moved by less than the tolerance gives no event.

Stacked lots (condominiums: several keys on identical ground) are one piece of ground with several keys. An event of
that ground names all keys on it that changed: a lot that became 40 units is split into 40; the 40 renumbered at once
are replatted (which became which, the ground cannot say). A key that joins a stack, or leaves it, while the others
stay is added or retired with score 0: its ground was and is parcelled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.transform.geometry.polygon_overlay import eroded, intersection, polygons, symmetric_difference

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Corners of a quarter of a buffer's circle.
_CORNERS = 8

RENUMBERED, SPLIT, MERGED, REPLATTED = "renumbered", "split", "merged", "replatted"
ADJUSTED, RESHAPED, ADDED, RETIRED = "adjusted", "reshaped", "added", "retired"
COLUMNS = (
    *("kind", "parents", "children", "score"),
    *("overlap_m2", "before_m2", "after_m2", "passed_m2", "holders", "reused"),
)
#: Of the larger parcel: what shares less is no kin of it. Else streets, where they are kept as one parcel, would tie
#: all changes along them into one.
_LEAST_PART = 1 / 500
_MOST = 0.5  # of each parcel, for a split, a merger or a new number
_DECIMALS = 4


@dataclass(frozen=True)
class _Side:
    """Parcels by piece of ground, in the order of their first keys."""

    keys: list[list[str]]
    shapes: Geometries
    areas: Floats  # m2


@dataclass(frozen=True)
class _Overlaps:
    """Pairs of pieces that share ground."""

    before: Ints  # rows of the two sides
    after: Ints
    areas: Floats  # m2


def trace(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float) -> pd.DataFrame:
    """The events that lead from the parcels before to the parcels after.

    Args:
        before: `key` (unique) and `geometry` of the parcels that are there no longer or differ; others may be there.
        after: the same of the parcels that are new or differ.
        tolerance_m: what is thinner is noise; it must exceed the drift of the layer.

    Returns:
        One row an event, sorted by parents and children; a key is parent of one event at most, and child of one.
        `kind`: renumbered (1:1, the same ground under another key), split (1:n), merged (n:1), adjusted (the same keys
        on both sides, ground passed between them), reshaped (the same key, its boundary moved against ground that is
        in no other event), added (new ground), retired (ground no longer parcelled), replatted (n:m, and what shares
        too little for the other words).
        `parents`, `children`: tuples of keys, sorted.
        `score`: 0..1, the least share of any of these parcels that lies on ground of the other side; of an added or a
        retired one the share that does not.
        `overlap_m2`, `before_m2`, `after_m2`: the ground on both sides, of the parents and of the children.
        `passed_m2`: how much of the overlap stands under other keys than before.
        `holders`: who holds the ground of a retired parcel now, or held that of an added one before.
        `reused`: those of the keys that stood before, or stand after, on other ground.

    Raises:
        ValueError: a key stands twice on one side.
    """
    olds, news = _sorted(before), _sorted(after)
    gone, come = _differing(olds, news, tolerance_m)
    one, two = _stacked(olds[gone]), _stacked(news[come])
    shared = _kin(one, two, _overlaps(one, two, tolerance_m))
    common = _common(one, two, shared)
    rows = list(_joined(one, two, shared, common))
    for key, score, overlap, area, holders in _alone(one, shared.before, news, tolerance_m):
        rows.append((RETIRED, key, (), score, overlap, area, 0.0, 0.0, holders))
    for key, score, overlap, area, holders in _alone(two, shared.after, olds, tolerance_m):
        rows.append((ADDED, (), key, score, overlap, 0.0, area, 0.0, holders))
    moved = ({*olds["key"][gone]} & {*news["key"][come]}).difference(*common)
    events = [(*row, tuple(sorted(moved.intersection(row[1] + row[2])))) for row in sorted(rows, key=lambda r: r[1:3])]
    return pd.DataFrame(events, columns=list(COLUMNS)).round(_DECIMALS)


def _sorted(parcels: gpd.GeoDataFrame) -> pd.DataFrame:
    """`key` and `shape` (valid) in the order of the keys, so that the order of rows cannot matter."""
    shapes = parcels.geometry.to_numpy(copy=True)
    wrong = ~shapely.is_valid(shapes)
    # The way into the metric frame may have made a shape invalid that was valid in degrees.
    shapes[wrong] = polygons(shapes[wrong])
    rows = pd.DataFrame({"key": parcels["key"].to_numpy(), "shape": shapes})
    if rows["key"].duplicated().any():
        message = f"the key {rows['key'][rows['key'].duplicated()].min()} stands twice"
        raise ValueError(message)
    return rows.sort_values("key", ignore_index=True)


def _differing(olds: pd.DataFrame, news: pd.DataFrame, tolerance_m: float) -> tuple[Flags, Flags]:
    """The rows of each side whose key does not stand on the same ground on the other side."""
    where = pd.Index(news["key"]).get_indexer(olds["key"])
    row = np.flatnonzero(where >= 0)
    same = _same_ground(olds["shape"].to_numpy()[row], news["shape"].to_numpy()[where[row]], tolerance_m)
    gone, come = np.ones(len(olds), dtype=bool), np.ones(len(news), dtype=bool)
    gone[row[same]] = come[where[row[same]]] = False
    return gone, come


def _same_ground(one: Geometries, two: Geometries, tolerance_m: float) -> Flags:
    """Whether each pair differs nowhere by more than the tolerance."""
    rest = symmetric_difference(one, two)
    mostly = shapely.area(rest) <= np.minimum(shapely.area(one), shapely.area(two))  # half of the larger is in both
    same = np.zeros(len(one), dtype=bool)
    same[mostly] = ~_is_wide(rest[mostly], tolerance_m)
    # Shapes thinner than the tolerance may lie beside one another and yet within it.
    close = ~mostly & (np.abs(shapely.bounds(one) - shapely.bounds(two)) <= tolerance_m).all(axis=1)
    same[close] = _covers(one[close], two[close], tolerance_m) & _covers(two[close], one[close], tolerance_m)
    return same


def _covers(one: Geometries, two: Geometries, tolerance_m: float) -> Flags:
    """Whether each of the second lies within the tolerance of the first."""
    round_m = tolerance_m / np.cos(np.pi / (4 * _CORNERS))  # a buffer has corners: the circle must fit into it
    with np.errstate(invalid="ignore"):  # of a ring without area
        covers: Flags = shapely.covers(shapely.buffer(one, round_m, quad_segs=_CORNERS), two)
    return covers


def _is_wide(shapes: Geometries, tolerance_m: float) -> Flags:
    """Whether a circle as wide as the tolerance finds room in each shape. Cheaper tests first."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    west, south, east, north = shapely.bounds(parts).T
    roomy = (shapely.area(parts) > np.pi * tolerance_m**2 / 4) & (np.minimum(east - west, north - south) > tolerance_m)
    left = ~shapely.is_empty(eroded(parts[roomy], tolerance_m / 2))
    wide = np.zeros(len(shapes), dtype=bool)
    wide[owner[roomy][left]] = True
    return wide


def _stacked(parcels: pd.DataFrame) -> _Side:
    """Lots whose shapes are equal, but for where they are drawn from, become one piece."""
    shapes, keys = parcels["shape"].to_numpy(), parcels["key"].tolist()
    forms = shapely.to_wkb(shapely.normalize(shapes))
    pieces: dict[bytes, list[int]] = {}
    for row, form in enumerate(forms):
        pieces.setdefault(form, []).append(row)
    shapes = shapes[[rows[0] for rows in pieces.values()]]
    return _Side([[keys[row] for row in rows] for rows in pieces.values()], shapes, shapely.area(shapes))


def _overlaps(one: _Side, two: _Side, tolerance_m: float) -> _Overlaps:
    """The pairs that share ground, by rows; slivers are left out."""
    i, j = shapely.STRtree(two.shapes).query(one.shapes, predicate="intersects")
    smaller = np.minimum(one.areas[i], two.areas[j])
    first, second = shapely.bounds(one.shapes)[i], shapely.bounds(two.shapes)[j]
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    may = (sides.min(axis=1) > tolerance_m) | (sides.prod(axis=1) >= smaller / 2)
    i, j, smaller = i[may], j[may], smaller[may]
    common = intersection(one.shapes[i], two.shapes[j])
    areas = shapely.area(common)
    kept = areas >= smaller / 2
    kept[~kept] = _is_wide(common[~kept], tolerance_m)
    i, j, areas = i[kept], j[kept], areas[kept]
    order = np.lexsort((j, i))
    return _Overlaps(i[order], j[order], areas[order])


def _kin(one: _Side, two: _Side, shared: _Overlaps) -> _Overlaps:
    """The pairs that share enough of the larger piece, or have a key in common."""
    larger = np.maximum(one.areas[shared.before], two.areas[shared.after])
    kin = (shared.areas >= _LEAST_PART * larger) | np.array(_common(one, two, shared), dtype=bool)
    return _Overlaps(shared.before[kin], shared.after[kin], shared.areas[kin])


def _common(one: _Side, two: _Side, shared: _Overlaps) -> list[set[str]]:
    """The keys that both pieces of each pair have."""
    return [set(one.keys[i]).intersection(two.keys[j]) for i, j in zip(shared.before, shared.after, strict=True)]


def _groups(shared: _Overlaps, pieces_before: int) -> list[list[int]]:
    """The numbers of the pairs that hang together: pieces that share ground get the least label among them."""
    i, j = shared.before, shared.after + pieces_before
    labels, least = np.empty(0, dtype=np.int64), np.arange(j.max(initial=-1) + 1)
    while not np.array_equal(labels, least):
        labels, least = least, least.copy()
        for ends in (i, j):
            np.minimum.at(least, ends, np.minimum(labels[i], labels[j]))
    groups: dict[int, list[int]] = {}
    for pair, label in enumerate(labels[i].tolist()):
        groups.setdefault(label, []).append(pair)
    return list(groups.values())


def _joined(one: _Side, two: _Side, shared: _Overlaps, common: list[set[str]]) -> Iterator[tuple[Any, ...]]:
    """The events of parcels that share ground: one for all that hang together."""
    share_before, share_after = _shares(one, shared.before, shared.areas), _shares(two, shared.after, shared.areas)
    for pairs in _groups(shared, len(one.keys)):
        i, j = sorted({int(shared.before[pair]) for pair in pairs}), sorted({int(shared.after[pair]) for pair in pairs})
        parents, children = _keys(one, i), _keys(two, j)
        stayed = {key for pair in pairs for key in common[pair]}
        score = min(share_before[i].min(), share_after[j].min())
        if parents == children and stayed.issuperset(parents):
            kind = RESHAPED if len(pairs) == 1 else ADJUSTED
        else:
            kind = _kind(len(parents), len(children), score)
        passed = sum(shared.areas[pair] for pair in pairs if not common[pair])
        overlap, before_m2, after_m2 = shared.areas[pairs].sum(), one.areas[i].sum(), two.areas[j].sum()
        yield kind, parents, children, score, overlap, before_m2, after_m2, passed, ()


def _kind(parents: int, children: int, score: float) -> str:
    """What to call it where keys have changed."""
    if score < _MOST or min(parents, children) > 1:
        return REPLATTED
    return SPLIT if children > 1 else MERGED if parents > 1 else RENUMBERED


def _keys(side: _Side, pieces: list[int]) -> tuple[str, ...]:
    return tuple(sorted(key for piece in pieces for key in side.keys[piece]))


def _shares(side: _Side, pieces: Ints, areas: Floats) -> Floats:
    """The part of each piece that lies in overlaps; overlaps of overlapping parcels count once at most."""
    covered = np.bincount(pieces, weights=areas, minlength=len(side.keys))
    shares: Floats = np.minimum(covered / np.maximum(side.areas, 1e-9), 1.0)
    return shares


def _alone(side: _Side, paired: Ints, others: pd.DataFrame, tolerance_m: float) -> Iterator[tuple[Any, ...]]:
    """Keys of pieces that share no ground with a changed parcel: key, score, overlap and area in m2, holders."""
    rows = np.setdiff1d(np.arange(len(side.keys)), paired)
    alone = _Side([side.keys[row] for row in rows], side.shapes[rows], side.areas[rows])
    shapes = others["shape"].to_numpy()
    shared = _overlaps(alone, _Side([[key] for key in others["key"]], shapes, shapely.area(shapes)), tolerance_m)
    covered = _shares(alone, shared.before, shared.areas)
    holders = np.split(others["key"].to_numpy()[shared.after], np.searchsorted(shared.before, np.arange(1, len(rows))))
    for keys, share, area, held in zip(alone.keys, covered, alone.areas, holders, strict=False):
        yield from (((key,), 1 - share, share * area, area, tuple(held)) for key in keys)
