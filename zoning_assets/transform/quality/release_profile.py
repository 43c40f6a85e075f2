"""The profile of a release: sums that add up however the tiles are cut, and whose size is bounded.

What belongs here: what is counted of the rows themselves, and in comparison with the published rows. What does not:
which values are too large (release_checks.py).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.model import PARCELS, ZONING, Counts
from zoning_assets.transform.changes.zoning_codes import fold
from zoning_assets.transform.geometry import crs

#: feed -> the column with the zoning code.
CODE = {PARCELS: "zoning_code", ZONING: "code"}
#: The columns of a published parcel that are compare_with_published.
COMPARED = ("zoning_code", "land_use", "address")
#: Limits on the codes and moves of a profile. Those with the smallest hashes are kept, so that the same ones are kept
#: however tiles are cut. No known city has as many codes (Chicago: 1,509). Only a column that is mistaken for the code
#: column, such as addresses, has more.
MOST_CODES, MOST_MOVES = 4096, 400
#: A centroid that moved by less has not moved, metres.
_STILL_M = 0.01


class CodeTotals(NamedTuple):
    """The rows of one zoning code: their number, their area in m2, and their bounding box in the target CRS."""

    rows: int
    m2: float
    west: float
    south: float
    east: float
    north: float

    def merged(self, other: "CodeTotals") -> "CodeTotals":
        """The totals of two sets of rows that share no row."""
        low, high = map(min, self[2:4], other[2:4]), map(max, self[4:], other[4:])
        return CodeTotals(self.rows + other.rows, self.m2 + other.m2, *low, *high)


@dataclass(frozen=True)
class ReleaseProfile:
    """Sums over the rows of some tiles. `+` joins tiles that share no row."""

    fetched: int = 0
    accepted: int = 0
    repaired: int = 0
    dissolved: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason
    rows: int = 0  # rows to publish
    m2: float = 0.0  # their area
    codes: Mapping[str, CodeTotals] = field(default_factory=dict)  # by code_digest; at most MOST_CODES
    fields: tuple[str, ...] = ()  # columns of the layer
    # In comparison with the published rows:
    kept: int = 0  # rows whose key is published
    differ: int = 0  # of those, rows with another content hash
    changed: Mapping[str, int] = field(default_factory=dict)  # by column: rows that had a value and have another one
    taken: Mapping[str, int] = field(
        default_factory=dict
    )  # "a<b": rows whose column a has the former value of column b
    moves: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # by content hash: metres east, north

    def __add__(self, other: "ReleaseProfile") -> "ReleaseProfile":
        summed: dict[str, Any] = {
            each.name: getattr(self, each.name) + getattr(other, each.name)
            for each in fields(self)
            if each.type in (int, float)
        }
        counted: dict[str, Any] = {
            name: _added(getattr(self, name), getattr(other, name)) for name in ("rejected", "changed", "taken")
        }
        return ReleaseProfile(
            **summed,
            **counted,
            codes=_joined(self.codes, other.codes),
            fields=tuple(sorted({*self.fields, *other.fields})),
            moves=_fewest({**self.moves, **other.moves}, MOST_MOVES, str),
        )

    def as_dict(self) -> dict[str, Any]:
        """The profile as it is stored; `of` reads it."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "codes": {code: [*ground] for code, ground in self.codes.items()}}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ReleaseProfile":
        """Read what `as_dict` returned, with or without a detour through JSON."""
        codes = {code: CodeTotals(*ground) for code, ground in stored["codes"].items()}
        moves = {name: (dx, dy) for name, (dx, dy) in stored["moves"].items()}
        return cls(**{**stored, "codes": codes, "moves": moves, "fields": tuple(stored["fields"])})


def profile_rows(table: pd.DataFrame, feed: str, counts: Counts, reasons: Iterable[str]) -> ReleaseProfile:
    """Profile the rows of one part of a table.

    Args:
        table: accepted rows, from validate.validate_rows; `geometry` in the target CRS, `area_m2` from an equal-area
            frame.
        feed: parcels or zoning.
        counts: the part's counts.
        reasons: the reasons of the rejections, one each.
    """
    codes = [code_digest(code) if isinstance(code, str) else "" for code in table[CODE[feed]]]
    ground = _ground(codes, table["area_m2"].to_numpy(), shapely.bounds(table["geometry"].to_numpy()))
    return ReleaseProfile(
        fetched=counts.fetched,
        accepted=counts.accepted,
        repaired=counts.repaired,
        dissolved=counts.dissolved,
        rejected=dict(Counter(reasons)),
        rows=len(table),
        m2=float(table["area_m2"].sum()),
        codes=limit_codes(ground),
    )


def compare_with_published(old: pd.DataFrame, new: pd.DataFrame, kept: int, target: str, frame: str) -> ReleaseProfile:
    """Compare parcels with the published parcels of the same keys.

    Args:
        old: published rows whose content differs: COMPARED, and `geometry` (target CRS) of some, None elsewhere.
        new: the same rows as they would be published, in the same order; with `content_hash`.
        kept: the number of rows whose key is published, whether they differ or not.
        target: the target CRS.
        frame: a metric CRS.
    """
    before = {name: _plain(old[name]) for name in COMPARED}
    after = {name: _plain(new[name]) for name in COMPARED}
    # Two spellings of one code are equal.
    folded = {"zoning_code": [[fold(code) for code in side["zoning_code"]] for side in (before, after)]}
    changed = {
        name: sum(
            1 for was, now in zip(*folded.get(name, (before[name], after[name])), strict=True) if was and was != now
        )
        for name in COMPARED
    }
    taken = {
        f"{a}<{b}": sum(
            1 for was, now, own in zip(before[b], after[a], before[a], strict=True) if now and now == was and now != own
        )
        for a in COMPARED
        for b in COMPARED
        if a != b
    }
    return ReleaseProfile(
        kept=kept,
        differ=len(old),
        changed={name: count for name, count in changed.items() if count},
        taken={pair: count for pair, count in taken.items() if count},
        moves=_moves(old, new, target, frame),
    )


def profile_published(rows: Iterable[tuple[str, CodeTotals]]) -> ReleaseProfile:
    """Profile published rows from a stream of codes ("": none) and their totals."""
    codes, total, m2 = dict[str, CodeTotals](), 0, 0.0
    for code, ground in rows:
        name = code_digest(code)
        codes[name] = codes[name].merged(ground) if name in codes else ground
        total, m2 = total + ground.rows, m2 + ground.m2
        if len(codes) > 2 * MOST_CODES:
            codes = limit_codes(codes)
    return ReleaseProfile(rows=total, m2=m2, codes=limit_codes(codes))


@lru_cache(maxsize=2 * MOST_CODES)
def code_digest(code: str) -> str:
    """A short, evenly distributed digest that is the same for all spellings of a code; "" for no code."""
    return hashlib.blake2b(fold(code).encode("utf-8", "replace"), digest_size=8).hexdigest() if code else ""


def limit_codes(codes: Mapping[str, CodeTotals]) -> dict[str, CodeTotals]:
    """At most MOST_CODES codes: those with the smallest digests, so that all profiles keep the same ones."""
    return _fewest(codes, MOST_CODES, str)


def comparable_codes(
    one: ReleaseProfile, other: ReleaseProfile
) -> tuple[Mapping[str, CodeTotals], Mapping[str, CodeTotals]]:
    """The codes of both profiles, limited to those that both would keep: where one profile is cut, the other is cut at
    the same digest.
    """
    cuts = [max(side.codes) for side in (one, other) if len(side.codes) >= MOST_CODES]
    if not cuts:
        return one.codes, other.codes
    last = min(cuts)
    first, second = ({name: each for name, each in side.codes.items() if name <= last} for side in (one, other))
    return first, second


def _fewest(values: Mapping[str, Any], most: int, rank: Any) -> dict[str, Any]:
    """The values with the smallest ranks: what is among the smallest of a whole is among the smallest of its part."""
    if len(values) <= most:
        return dict(values)
    return {name: values[name] for name in sorted(values, key=rank)[:most]}


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(other))


def _joined(one: Mapping[str, CodeTotals], other: Mapping[str, CodeTotals]) -> dict[str, CodeTotals]:
    both = {code: one[code].merged(other[code]) for code in one.keys() & other.keys()}
    return limit_codes({**one, **other, **both})


def _ground(
    codes: Sequence[str], areas: npt.NDArray[np.float64], boxes: npt.NDArray[np.float64]
) -> dict[str, CodeTotals]:
    names, at = np.unique(np.array(codes, dtype=object), return_inverse=True)
    rows, m2 = np.bincount(at, minlength=len(names)), np.bincount(at, weights=areas, minlength=len(names))
    edges = np.full((len(names), 4), [np.inf, np.inf, -np.inf, -np.inf])
    np.minimum.at(edges[:, :2], at, boxes[:, :2])
    np.maximum.at(edges[:, 2:], at, boxes[:, 2:])
    return {
        str(name): CodeTotals(int(n), float(area), *map(float, edge))
        for name, n, area, edge in zip(names, rows, m2, edges, strict=True)
    }


def _plain(column: pd.Series) -> list[str]:
    """Text without differences of case and spaces."""
    return [" ".join(value.casefold().split()) if isinstance(value, str) else "" for value in column]


def _moves(old: pd.DataFrame, new: pd.DataFrame, target: str, frame: str) -> dict[str, tuple[float, float]]:
    """How far the centroid of each available shape moved: metres to the east and to the north, by content hash."""
    present = np.flatnonzero(old["geometry"].notna().to_numpy())
    if not len(present):
        return {}
    sides = (side["geometry"].to_numpy()[present] for side in (old, new))
    was, now = (shapely.get_coordinates(shapely.centroid(crs.reproject(side, target, frame))) for side in sides)
    names = new["content_hash"].to_numpy()[present]
    return {str(name): (float(dx), float(dy)) for name, (dx, dy) in zip(names, now - was, strict=True)}


def shift_m(moves: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The share of the moves longer than 1 cm, and the length of their median in metres."""
    moved = np.array([move for move in moves.values() if np.hypot(*move) > _STILL_M])
    if not len(moved):
        return 0.0, 0.0
    return len(moved) / len(moves), float(np.hypot(*np.median(moved, axis=0)))
