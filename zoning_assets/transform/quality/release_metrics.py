"""What is measured of a release, beside what stands published: shares of rows or of ground, metres, days.

What belongs here: a value by the name of each tripwire. What does not: how much of it is too much (release_checks.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zoning_assets.model import PARCELS, ZONING, Bounds
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.quality.release_profile import Ground, Survey, alike, shift_m
from zoning_assets.transform.validate import NULL_KEY, OUT_OF_BOUNDS, REPEATED_KEY

#: A map of fewer districts says too little of what is usual; one of fewer codes has none to lose.
_FEWEST_DISTRICTS, _FEWEST_CODES = 5, 3.0
#: A shift that fewer of the parcels show is a redrawn quarter.
_SHIFTED_SHARE = 0.1


@dataclass(frozen=True)
class Release:
    """What would be published, and what stands in its place."""

    feed: str
    survey: Survey
    before: Survey = field(default_factory=Survey)  # what stands
    standing: int = 0  # rows of the whole jurisdiction that stand
    seen: frozenset[str] = frozenset()  # marks of the survey's codes that were ever seen
    has_codes: bool = False  # any code was ever seen
    fields: tuple[str, ...] = ()  # columns that the layer had before; none: not known
    age_days: float | None = None  # of the last whole harvest
    shrinks_rightly: bool = False  # a person has said that it is right


class Measure(NamedTuple):
    """A value, the rows that it is of, and words beside it."""

    value: float
    rows: float = math.inf
    words: str = ""


def measures(release: Release, bounds: Bounds, target: str) -> dict[str, Measure]:
    """What is measured of a release, by the names of the tripwires; what cannot be, is left out."""
    survey = release.survey
    told = {name: survey.rejected.get(name, 0) for name in (NULL_KEY, REPEATED_KEY, OUT_OF_BOUNDS)}
    lost = abs(survey.fetched - survey.accepted - sum(survey.rejected.values()))
    keys = told[NULL_KEY] + told[REPEATED_KEY] + survey.dissolved
    found = {
        "completeness": Measure(_share(lost, survey.fetched)),
        "bad_keys": Measure(_share(keys, survey.fetched), keys),
        "crs_bounds": Measure(_share(told[OUT_OF_BOUNDS], survey.fetched), told[OUT_OF_BOUNDS]),
        "rejected": Measure(_share(sum(survey.rejected.values()), survey.fetched), sum(survey.rejected.values())),
        "invalid": Measure(_share(survey.repaired, survey.accepted), survey.repaired),
        **_of_codes(release),
        **(_of_map(release, bounds, target) if release.feed == ZONING else _of_parcels(release)),
    }
    if release.fields and survey.fields:
        came, went = set(survey.fields) - set(release.fields), set(release.fields) - set(survey.fields)
        words = "".join(
            f", {word} {', '.join(sorted(some)[:8])}" for word, some in (("new", came), ("gone", went)) if some
        )
        found["schema"] = Measure(float(len(came | went)), words=words)
    if release.age_days is not None:
        found["freshness"] = Measure(release.age_days)
    return found


def _of_parcels(release: Release) -> dict[str, Measure]:
    survey, before = release.survey, release.before.rows
    fell = before - survey.rows
    gone, new = max(before - survey.kept, 0), max(survey.rows - survey.kept, 0)
    found = dict[str, Measure]()
    if before:
        found["key_turnover"] = Measure(_share(min(gone, new), before), min(gone, new))
    if before and not release.shrinks_rightly:
        found["count_drop"] = Measure(max(_share(fell, before), 0.0), fell, f", from {before:,} to {survey.rows:,}")
    if survey.kept:
        rezoned = survey.changed.get("zoning_code", 0)
        found["mass_rezoning"] = Measure(_share(rezoned, survey.kept), rezoned)
        found["columns_changed"] = _columns(survey)
        share, together_m = shift_m(survey.moves)
        moved = share * survey.differ
        found["shifted"] = Measure(together_m if moved > _SHIFTED_SHARE * survey.kept else 0.0, moved)
    return found


def _columns(survey: Survey) -> Measure:
    """The column that changed most. One that holds now what another held was swapped, whatever it is."""
    said = {name: survey.changed.get(name, 0) for name in ("land_use", "address")}
    said |= {f"{a} (it holds what {b} held)": n for (a, b), n in ((p.split("<"), n) for p, n in survey.taken.items())}
    column, count = max(said.items(), key=lambda each: each[1])
    return Measure(_share(count, survey.kept), count, f" {column}" if count else " any column")


def _of_map(release: Release, bounds: Bounds, target: str) -> dict[str, Measure]:
    """A map is measured by its ground: districts are cut and joined at will."""
    whole, was, found = release.survey.m2, release.before.m2, dict[str, Measure]()
    if release.before.rows and not release.shrinks_rightly:
        words = f", from {was / 1e6:.2f} to {whole / 1e6:.2f} km2"
        found["count_drop"] = Measure(max(1 - whole / max(was, 1e-9), 0.0), words=words)
    if release.before.rows >= _FEWEST_DISTRICTS:
        found["mass_rezoning"] = Measure(_rezoned(release))
        found["shifted"] = Measure(_map_shift_m(release, bounds, target))
    return found


def _rezoned(release: Release) -> float:
    """The share of the ground that has another code."""
    after, before = (_weights(side) for side in alike(release.survey, release.before))
    sums = [max(sum(side.values()), 1e-9) for side in (after, before)]
    shares = [(after.get(code, 0.0) / sums[0], before.get(code, 0.0) / sums[1]) for code in {*after, *before}]
    return min(sum(abs(now - then) for now, then in shares) / 2, 1.0)


def _map_shift_m(release: Release, bounds: Bounds, target: str) -> float:
    """How far the codes' boxes moved as they are, in the middle; a box that only grew has not moved."""
    after, before = release.survey.codes, release.before.codes
    names = sorted(after.keys() & before.keys())
    if not names:
        return 0.0
    was, now = (_boxes([side[name] for name in names], target, bounds) for side in (before, after))
    moved = now - was
    low, high = moved[:, :2], moved[:, 2:]
    way = np.where(low * high > 0, np.sign(low) * np.minimum(np.abs(low), np.abs(high)), 0.0)
    return float(np.hypot(*np.median(way, axis=0)))


def _boxes(grounds: Sequence[Ground], target: str, bounds: Bounds) -> np.ndarray:
    """West, south, east, north in the metric frame, one row each."""
    ways = crs.transformer(target, crs.metric_frame(bounds))
    west, south, east, north = np.array([ground[2:] for ground in grounds]).T
    return np.column_stack([*ways.transform(west, south), *ways.transform(east, north)])


def _of_codes(release: Release) -> dict[str, Measure]:
    """How varied the zoning codes are, and how many were never seen; where there are codes at all."""
    by_rows = release.feed == PARCELS
    if not release.has_codes or (not by_rows and release.before.rows < _FEWEST_DISTRICTS):
        return {}
    weights = _weights(release.survey.codes, by_rows=by_rows)
    strange = sum(weight for code, weight in weights.items() if code and code not in release.seen)
    found = {"unknown_codes": _measured(strange, sum(weights.values()), by_rows=by_rows)}
    after, before = (_weights(side, by_rows=by_rows) for side in alike(release.survey, release.before))
    if (were := _variety(before)) >= _FEWEST_CODES:
        lost = max(1 - _variety(after) / were, 0.0)
        words = f", from {were:.1f} equal codes to {_variety(after):.1f}"
        found["code_entropy"] = Measure(lost, sum(after.values()) if by_rows else math.inf, words)
    return found


def _measured(part: float, whole: float, *, by_rows: bool) -> Measure:
    return Measure(_share(part, whole), part if by_rows else math.inf)


def _weights(codes: Mapping[str, Ground], *, by_rows: bool = False) -> dict[str, float]:
    """Rows or ground by code."""
    return {code: ground.rows if by_rows else ground.m2 for code, ground in codes.items()}


def _variety(weights: Mapping[str, float]) -> float:
    """How many codes of equal weight are as varied: the exponential of the entropy; without a code: 1."""
    values = np.array([weight for code, weight in weights.items() if code and weight > 0])
    shares = values / values.sum() if len(values) else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
