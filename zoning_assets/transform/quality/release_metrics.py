"""The metrics of a release, compared with what is published: shares of rows or of area, metres, days.

What belongs here: one value for each release check. What does not: the limits of these values (release_checks.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zoning_assets.model import PARCELS, ZONING, Bounds
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.quality.release_profile import CodeTotals, ReleaseProfile, comparable_codes, shift_m
from zoning_assets.transform.validate import NULL_KEY, OUT_OF_BOUNDS, REPEATED_KEY

#: Zoning maps with fewer districts are not compared by code, nor is the variety of fewer codes.
_FEWEST_DISTRICTS, _FEWEST_CODES = 5, 3.0
#: If a smaller share of the parcels moved, one neighbourhood was redrawn; the layer did not shift.
_SHIFTED_SHARE = 0.1


@dataclass(frozen=True)
class ReleaseCandidate:
    """A release that is not published yet, and what is published in the same tiles."""

    feed: str
    profile: ReleaseProfile
    before: ReleaseProfile = field(default_factory=ReleaseProfile)  # what is published
    published_rows: int = 0  # of the whole jurisdiction
    known_codes: frozenset[str] = frozenset()  # digests of the profile's codes that were published before
    has_codes: bool = False  # a code was published before
    fields: tuple[str, ...] = ()  # columns that the layer had before; empty: not known
    age_days: float | None = None  # of the last full harvest
    shrink_accepted: bool = False  # a person accepted that the layer became smaller
    # Of a release of some tiles:
    earlier: ReleaseProfile | None = None  # of the rows of the same tiles when they were published
    layer: ReleaseProfile | None = None  # the codes of the whole layer that the tiles are of


class Measure(NamedTuple):
    """A metric, the number of affected rows (infinite if rows do not matter), text for the end of the sentence, and the
    value that the same tiles had (None: not known, or the release is of all tiles)."""

    value: float
    rows: float = math.inf
    remark: str = ""
    earlier: float | None = None


def measure_release(release: ReleaseCandidate, bounds: Bounds, target: str) -> dict[str, Measure]:
    """Measure a release.

    Args:
        release: what would be published, and what is published.
        bounds: of the jurisdiction: west, south, east, north; degrees, EPSG:4326.
        target: CRS of the published shapes, such as `EPSG:4326`.

    Returns:
        Metrics by check name; what cannot be measured is missing. Shares are 0 to 1, `shifted` is in metres,
            `freshness` in days, `schema` a number of columns.
    """
    profile = release.profile
    lost = abs(profile.fetched - profile.accepted - sum(profile.rejected.values()))
    earlier = _bad_rows(release.earlier) if release.earlier else {}
    found = {
        "completeness": Measure(_share(lost, profile.fetched)),
        **{
            name: each._replace(earlier=earlier[name].value if earlier else None)
            for name, each in _bad_rows(profile).items()
        },
        **_of_codes(release),
        **(_of_map(release, bounds, target) if release.feed == ZONING else _of_parcels(release)),
    }
    if release.fields and profile.fields:
        added, removed = set(profile.fields) - set(release.fields), set(release.fields) - set(profile.fields)
        remark = "".join(
            f", {label} {', '.join(sorted(some)[:8])}" for label, some in (("new", added), ("removed", removed)) if some
        )
        found["schema"] = Measure(float(len(added | removed)), remark=remark)
    if release.age_days is not None:
        found["freshness"] = Measure(release.age_days)
    return found


def _bad_rows(profile: ReleaseProfile) -> dict[str, Measure]:
    """The shares of rows that were rejected, repaired, or joined because of their keys."""
    rejected = {name: profile.rejected.get(name, 0) for name in (NULL_KEY, REPEATED_KEY, OUT_OF_BOUNDS)}
    keys = rejected[NULL_KEY] + rejected[REPEATED_KEY] + profile.dissolved
    return {
        "bad_keys": Measure(_share(keys, profile.fetched), keys),
        "crs_bounds": Measure(_share(rejected[OUT_OF_BOUNDS], profile.fetched), rejected[OUT_OF_BOUNDS]),
        "rejected": Measure(_share(sum(profile.rejected.values()), profile.fetched), sum(profile.rejected.values())),
        "invalid": Measure(_share(profile.repaired, profile.accepted), profile.repaired),
    }


def _of_parcels(release: ReleaseCandidate) -> dict[str, Measure]:
    profile, before = release.profile, release.before.rows
    fell = before - profile.rows
    gone, new = max(before - profile.kept, 0), max(profile.rows - profile.kept, 0)
    found = dict[str, Measure]()
    if before:
        found["key_turnover"] = Measure(_share(min(gone, new), before), min(gone, new))
    if before and not release.shrink_accepted:
        found["count_drop"] = Measure(max(_share(fell, before), 0.0), fell, f", from {before:,} to {profile.rows:,}")
    if profile.kept:
        rezoned = profile.changed.get("zoning_code", 0)
        found["mass_rezoning"] = Measure(_share(rezoned, profile.kept), rezoned)
        found["columns_changed"] = _columns(profile)
        share, together_m = shift_m(profile.moves)
        moved = share * profile.differ
        found["shifted"] = Measure(together_m if moved > _SHIFTED_SHARE * profile.kept else 0.0, moved)
    return found


def _columns(profile: ReleaseProfile) -> Measure:
    """The column that changed in most parcels. A column that holds the former values of another one was swapped."""
    counts = {name: profile.changed.get(name, 0) for name in ("land_use", "address")}
    counts |= {
        f"{a} (it has the former values of {b})": n
        for (a, b), n in ((p.split("<"), n) for p, n in profile.taken.items())
    }
    column, count = max(counts.items(), key=lambda each: each[1])
    return Measure(_share(count, profile.kept), count, f" {column}" if count else " any column")


def _of_map(release: ReleaseCandidate, bounds: Bounds, target: str) -> dict[str, Measure]:
    """Metrics of a zoning map, by area: districts are often cut and joined."""
    total, was, found = release.profile.m2, release.before.m2, dict[str, Measure]()
    if release.before.rows and not release.shrink_accepted:
        remark = f", from {was / 1e6:.2f} to {total / 1e6:.2f} km2"
        found["count_drop"] = Measure(max(1 - total / max(was, 1e-9), 0.0), remark=remark)
    if release.before.rows >= _FEWEST_DISTRICTS:
        found["mass_rezoning"] = Measure(_rezoned(release))
        found["shifted"] = Measure(_map_shift_m(release, bounds, target))
    return found


def _rezoned(release: ReleaseCandidate) -> float:
    """The share of the area that has another code, 0 to 1."""
    after, before = (_weights(side) for side in comparable_codes(release.profile, release.before))
    sums = [max(sum(side.values()), 1e-9) for side in (after, before)]
    shares = [(after.get(code, 0.0) / sums[0], before.get(code, 0.0) / sums[1]) for code in {*after, *before}]
    return min(sum(abs(now - then) for now, then in shares) / 2, 1.0)


def _map_shift_m(release: ReleaseCandidate, bounds: Bounds, target: str) -> float:
    """The median distance by which the bounding boxes of the codes moved, in metres. A box that only grew has not
    moved.
    """
    after, before = release.profile.codes, release.before.codes
    names = sorted(after.keys() & before.keys())
    if not names:
        return 0.0
    was, now = (_boxes([side[name] for name in names], target, bounds) for side in (before, after))
    moved = now - was
    low, high = moved[:, :2], moved[:, 2:]
    shift = np.where(low * high > 0, np.sign(low) * np.minimum(np.abs(low), np.abs(high)), 0.0)
    return float(np.hypot(*np.median(shift, axis=0)))


def _boxes(grounds: Sequence[CodeTotals], target: str, bounds: Bounds) -> np.ndarray:
    """West, south, east, north in the metric frame, metres; one row a code."""
    project = crs.transformer(target, crs.metric_frame(bounds))
    west, south, east, north = np.array([ground[2:] for ground in grounds]).T
    return np.column_stack([*project.transform(west, south), *project.transform(east, north)])


def _of_codes(release: ReleaseCandidate) -> dict[str, Measure]:
    """The variety of the zoning codes, and the share of new ones; empty where there are no codes."""
    by_rows = release.feed == PARCELS
    if not release.has_codes or (not by_rows and release.before.rows < _FEWEST_DISTRICTS):
        return {}
    measures = [_unknown_codes(release, each, by_rows=by_rows) for each in (release.profile, release.layer) if each]
    # New codes in one part of the jurisdiction are usual, new codes in all of it are not.
    found = {"unknown_codes": measures[0]._replace(value=min(each.value for each in measures))}
    after, before = (_weights(side, by_rows=by_rows) for side in comparable_codes(release.profile, release.before))
    if (were := _variety(before)) >= _FEWEST_CODES:
        lost = max(1 - _variety(after) / were, 0.0)
        remark = f", from {were:.1f} equal codes to {_variety(after):.1f}"
        found["code_entropy"] = Measure(lost, sum(after.values()) if by_rows else math.inf, remark)
    return found


def _unknown_codes(release: ReleaseCandidate, profile: ReleaseProfile, *, by_rows: bool) -> Measure:
    """The share of rows or area whose code is new."""
    weights = _weights(profile.codes, by_rows=by_rows)
    unknown = sum(weight for code, weight in weights.items() if code and code not in release.known_codes)
    return Measure(_share(unknown, sum(weights.values())), unknown if by_rows else math.inf)


def _weights(codes: Mapping[str, CodeTotals], *, by_rows: bool = False) -> dict[str, float]:
    """Rows or area (m2) by code."""
    return {code: ground.rows if by_rows else ground.m2 for code, ground in codes.items()}


def _variety(weights: Mapping[str, float]) -> float:
    """The number of equally frequent codes of the same variety: the exponential of the Shannon entropy. 1 without
    codes.
    """
    values = np.array([weight for code, weight in weights.items() if code and weight > 0])
    shares = values / values.sum() if len(values) else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _share(part: float, total: float) -> float:
    return part / total if total else 0.0
