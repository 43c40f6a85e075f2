"""Lineage of parcels: splits, mergers and other events, found from the area that parcels share before and after. Ids
are no evidence, because counties reuse them.

All shapes are in one metric equal-area frame (x, y; metres). Two shapes share area only if their overlap is wider than
the tolerance somewhere (something remains after an erosion by half of it), or covers half of the smaller shape, which
may itself be thinner than the tolerance. A layer that moved by less than the tolerance gives no event.

Stacked lots (condominiums: several keys with the same shape) are one piece with several keys. An event of that piece
names all of its keys that changed: a lot that became 40 units is split into 40; 40 units that are renumbered at once
are replatted, because the shapes do not tell which became which. A key that joins or leaves a stack while the others
stay is added or retired with score 0: its area was and is covered by parcels.
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

#: Vertices of a quarter of a buffer's circle.
_QUAD_SEGS = 8

RENUMBERED, SPLIT, MERGED, REPLATTED = "renumbered", "split", "merged", "replatted"
ADJUSTED, RESHAPED, ADDED, RETIRED = "adjusted", "reshaped", "added", "retired"
COLUMNS = (
    *("kind", "parents", "children", "score"),
    *("overlap_m2", "before_m2", "after_m2", "passed_m2", "holders", "reused"),
)
#: Parcels are related only if they share at least this part of the larger one. Otherwise a street that is one parcel
#: would join all changes along it into one event.
_LEAST_PART = 1 / 500
_MAJORITY = 0.5  # of each parcel, for a split, a merger or a renumbering
_DECIMALS = 4


@dataclass(frozen=True)
class _Side:
    """The pieces of one release, ordered by their first keys."""

    keys: list[list[str]]
    shapes: Geometries
    areas: Floats  # m2


@dataclass(frozen=True)
class _Overlaps:
    """Pairs of pieces that share area."""

    before: Ints  # index in the pieces before and after
    after: Ints
    areas: Floats  # m2


def trace(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float) -> pd.DataFrame:
    """Find the events that lead from the parcels before to the parcels after.

    Args:
        before: `key` (unique) and `geometry` of the parcels that were removed or differ; unchanged ones may be
            included.
        after: the same of the parcels that are new or differ.
        tolerance_m: thinner differences are noise; it must exceed the drift of the layer.

    Returns:
        One row an event, sorted by parents and children; a key is parent in one event at most, and child in one at
            most.
        `kind`: renumbered (1:1, the same area under another key), split (1:n), merged (n:1), adjusted (the same keys on
            both sides, area passed between them), reshaped (the same key; its boundary moved, and no other event has
            that area), added (new area), retired (area without parcels now), replatted (n:m, and events that share too
            little for the other kinds).
        `parents`, `children`: sorted tuples of keys.
        `score`: 0..1, the least share of any of these parcels that is covered by the other side; for added and retired
            parcels, the share that is not covered.
        `overlap_m2`, `before_m2`, `after_m2`: the area on both sides, of the parents, and of the children.
        `passed_m2`: the part of the overlap that has other keys than before.
        `holders`: the parcels that now cover a retired parcel, or covered an added one before.
        `reused`: keys that had another place before, or have one after.

    Raises:
        ValueError: a key is repeated on one side.
    """
    olds, news = _sorted(before), _sorted(after)
    removed, added = _differing(olds, news, tolerance_m)
    one, two = _stacked(olds[removed]), _stacked(news[added])
    shared = _related(one, two, _overlaps(one, two, tolerance_m))
    common = _common(one, two, shared)
    rows = list(_related_events(one, two, shared, common))
    for key, score, overlap, area, holders in _unrelated(one, shared.before, news, tolerance_m):
        rows.append((RETIRED, key, (), score, overlap, area, 0.0, 0.0, holders))
    for key, score, overlap, area, holders in _unrelated(two, shared.after, olds, tolerance_m):
        rows.append((ADDED, (), key, score, overlap, 0.0, area, 0.0, holders))
    moved = ({*olds["key"][removed]} & {*news["key"][added]}).difference(*common)
    events = [(*row, tuple(sorted(moved.intersection(row[1] + row[2])))) for row in sorted(rows, key=lambda r: r[1:3])]
    return pd.DataFrame(events, columns=list(COLUMNS)).round(_DECIMALS)


def _sorted(parcels: gpd.GeoDataFrame) -> pd.DataFrame:
    """`key` and `shape` (valid), sorted by key, so that the order of rows does not matter."""
    shapes = parcels.geometry.to_numpy(copy=True)
    wrong = ~shapely.is_valid(shapes)
    # The reprojection to the metric frame can make a shape invalid.
    shapes[wrong] = polygons(shapes[wrong])
    rows = pd.DataFrame({"key": parcels["key"].to_numpy(), "shape": shapes})
    if rows["key"].duplicated().any():
        message = f"the key {rows['key'][rows['key'].duplicated()].min()} is repeated"
        raise ValueError(message)
    return rows.sort_values("key", ignore_index=True)


def _differing(olds: pd.DataFrame, news: pd.DataFrame, tolerance_m: float) -> tuple[Flags, Flags]:
    """The rows of each side whose key does not have the same area on the other side."""
    where = pd.Index(news["key"]).get_indexer(olds["key"])
    row = np.flatnonzero(where >= 0)
    same = _same_area(olds["shape"].to_numpy()[row], news["shape"].to_numpy()[where[row]], tolerance_m)
    removed, added = np.ones(len(olds), dtype=bool), np.ones(len(news), dtype=bool)
    removed[row[same]] = added[where[row[same]]] = False
    return removed, added


def _same_area(one: Geometries, two: Geometries, tolerance_m: float) -> Flags:
    """Whether the two shapes of each pair differ nowhere by more than the tolerance."""
    rest = symmetric_difference(one, two)
    mostly = shapely.area(rest) <= np.minimum(shapely.area(one), shapely.area(two))  # both have half of the larger one
    same = np.zeros(len(one), dtype=bool)
    same[mostly] = ~_is_wide(rest[mostly], tolerance_m)
    # Two shapes thinner than the tolerance may be disjoint and yet within it.
    close = ~mostly & (np.abs(shapely.bounds(one) - shapely.bounds(two)) <= tolerance_m).all(axis=1)
    same[close] = _covers(one[close], two[close], tolerance_m) & _covers(two[close], one[close], tolerance_m)
    return same


def _covers(one: Geometries, two: Geometries, tolerance_m: float) -> Flags:
    """Whether each shape of `two` is within the tolerance of the shape of `one`."""
    round_m = tolerance_m / np.cos(np.pi / (4 * _QUAD_SEGS))  # a buffer is a polygon: the circle must fit into it
    with np.errstate(invalid="ignore"):  # for rings without area
        covers: Flags = shapely.covers(shapely.buffer(one, round_m, quad_segs=_QUAD_SEGS), two)
    return covers


def _is_wide(shapes: Geometries, tolerance_m: float) -> Flags:
    """Whether a circle with the tolerance as diameter fits into each shape. Cheaper tests come first."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    west, south, east, north = shapely.bounds(parts).T
    roomy = (shapely.area(parts) > np.pi * tolerance_m**2 / 4) & (np.minimum(east - west, north - south) > tolerance_m)
    left = ~shapely.is_empty(eroded(parts[roomy], tolerance_m / 2))
    wide = np.zeros(len(shapes), dtype=bool)
    wide[owner[roomy][left]] = True
    return wide


def _stacked(parcels: pd.DataFrame) -> _Side:
    """Lots with equal shapes (ring start ignored) become one piece."""
    shapes, keys = parcels["shape"].to_numpy(), parcels["key"].tolist()
    forms = shapely.to_wkb(shapely.normalize(shapes))
    pieces: dict[bytes, list[int]] = {}
    for row, form in enumerate(forms):
        pieces.setdefault(form, []).append(row)
    shapes = shapes[[rows[0] for rows in pieces.values()]]
    return _Side([[keys[row] for row in rows] for rows in pieces.values()], shapes, shapely.area(shapes))


def _overlaps(one: _Side, two: _Side, tolerance_m: float) -> _Overlaps:
    """The pairs that share area, in order; slivers are left out."""
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


def _related(one: _Side, two: _Side, shared: _Overlaps) -> _Overlaps:
    """The pairs that share enough of the larger piece, or have a key in common."""
    larger = np.maximum(one.areas[shared.before], two.areas[shared.after])
    related = (shared.areas >= _LEAST_PART * larger) | np.array(_common(one, two, shared), dtype=bool)
    return _Overlaps(shared.before[related], shared.after[related], shared.areas[related])


def _common(one: _Side, two: _Side, shared: _Overlaps) -> list[set[str]]:
    """The keys that both pieces of each pair have."""
    return [set(one.keys[i]).intersection(two.keys[j]) for i, j in zip(shared.before, shared.after, strict=True)]


def _groups(shared: _Overlaps, pieces_before: int) -> list[list[int]]:
    """The connected groups of pairs: pieces that share area repeatedly take the smallest label among them."""
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


def _related_events(one: _Side, two: _Side, shared: _Overlaps, common: list[set[str]]) -> Iterator[tuple[Any, ...]]:
    """The events of parcels that share area: one for each connected group."""
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
    """The kind of an event in which keys changed."""
    if score < _MAJORITY or min(parents, children) > 1:
        return REPLATTED
    return SPLIT if children > 1 else MERGED if parents > 1 else RENUMBERED


def _keys(side: _Side, pieces: list[int]) -> tuple[str, ...]:
    return tuple(sorted(key for piece in pieces for key in side.keys[piece]))


def _shares(side: _Side, pieces: Ints, areas: Floats) -> Floats:
    """The part of each piece that is covered by overlaps, at most 1."""
    covered = np.bincount(pieces, weights=areas, minlength=len(side.keys))
    shares: Floats = np.minimum(covered / np.maximum(side.areas, 1e-9), 1.0)
    return shares


def _unrelated(side: _Side, paired: Ints, others: pd.DataFrame, tolerance_m: float) -> Iterator[tuple[Any, ...]]:
    """Keys of pieces that share no area with a changed parcel: key, score, overlap and area in m2, holders."""
    rows = np.setdiff1d(np.arange(len(side.keys)), paired)
    unrelated = _Side([side.keys[row] for row in rows], side.shapes[rows], side.areas[rows])
    shapes = others["shape"].to_numpy()
    shared = _overlaps(unrelated, _Side([[key] for key in others["key"]], shapes, shapely.area(shapes)), tolerance_m)
    covered = _shares(unrelated, shared.before, shared.areas)
    holders = np.split(others["key"].to_numpy()[shared.after], np.searchsorted(shared.before, np.arange(1, len(rows))))
    for keys, share, area, held in zip(unrelated.keys, covered, unrelated.areas, holders, strict=False):
        yield from (((key,), 1 - share, share * area, area, tuple(held)) for key in keys)
