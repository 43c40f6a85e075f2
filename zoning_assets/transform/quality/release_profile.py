"""What a release looks like, in sums: they add up, however its tiles are cut, and stay small, however large it is.

What belongs here: what is counted, of the rows themselves and beside the rows that stand published. What does not: what
is too much of it (release_checks.py).
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
#: What is looked at in a parcel that stands already.
COMPARED = ("zoning_code", "land_use", "address")
#: Codes and moves that are kept: those of the smallest hashes, so that the same are kept however tiles are cut. No city
#: has as many codes (Chicago: 1,509); a column of addresses taken for codes has as many as rows.
MOST_CODES, MOST_MOVES = 4096, 400
#: What a centre moves by without anything having moved, metres.
_STILL_M = 0.01


class Ground(NamedTuple):
    """What lies in one code: rows, area, and its box in the target CRS."""

    rows: int
    m2: float
    west: float
    south: float
    east: float
    north: float

    def together(self, other: "Ground") -> "Ground":
        """Both."""
        low, high = map(min, self[2:4], other[2:4]), map(max, self[4:], other[4:])
        return Ground(self.rows + other.rows, self.m2 + other.m2, *low, *high)


@dataclass(frozen=True)
class Survey:
    """Sums over the rows of some places. `+` joins places that share no row."""

    fetched: int = 0
    accepted: int = 0
    repaired: int = 0
    dissolved: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)  # by reason
    rows: int = 0  # that would be published
    m2: float = 0.0  # their area
    codes: Mapping[str, Ground] = field(default_factory=dict)  # by `mark`; of very many, those of the smallest marks
    fields: tuple[str, ...] = ()  # columns of the layer
    # Beside the rows that stand published:
    kept: int = 0  # rows whose key stands there
    differ: int = 0  # of those, not the same
    changed: Mapping[str, int] = field(default_factory=dict)  # by column, of those that had a value in it
    taken: Mapping[str, int] = field(default_factory=dict)  # "a<b": column a holds now what column b held
    moves: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of some that differ, by hash: metres

    def __add__(self, other: "Survey") -> "Survey":
        summed: dict[str, Any] = {
            each.name: getattr(self, each.name) + getattr(other, each.name)
            for each in fields(self)
            if each.type in (int, float)
        }
        counted: dict[str, Any] = {
            name: _added(getattr(self, name), getattr(other, name)) for name in ("rejected", "changed", "taken")
        }
        return Survey(
            **summed,
            **counted,
            codes=_joined(self.codes, other.codes),
            fields=tuple(sorted({*self.fields, *other.fields})),
            moves=_fewest({**self.moves, **other.moves}, MOST_MOVES, str),
        )

    def as_dict(self) -> dict[str, Any]:
        """As it is stored; `of` reads it."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**said, "codes": {code: [*ground] for code, ground in self.codes.items()}}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Survey":
        """From what `as_dict` gave, through JSON or not."""
        codes = {code: Ground(*ground) for code, ground in stored["codes"].items()}
        moves = {name: (dx, dy) for name, (dx, dy) in stored["moves"].items()}
        return cls(**{**stored, "codes": codes, "moves": moves, "fields": tuple(stored["fields"])})


def surveyed(table: pd.DataFrame, feed: str, counts: Counts, reasons: Iterable[str]) -> Survey:
    """The rows of one part, as judge.judge gives them.

    Args:
        table: accepted rows; `geometry` in the target CRS, `area_m2` in an equal-area frame.
        feed: parcels or zoning.
        counts: of the part.
        reasons: why rows were rejected, one each.
    """
    codes = [mark(code) if isinstance(code, str) else "" for code in table[CODE[feed]]]
    ground = _ground(codes, table["area_m2"].to_numpy(), shapely.bounds(table["geometry"].to_numpy()))
    return Survey(
        fetched=counts.fetched,
        accepted=counts.accepted,
        repaired=counts.repaired,
        dissolved=counts.dissolved,
        rejected=dict(Counter(reasons)),
        rows=len(table),
        m2=float(table["area_m2"].sum()),
        codes=few(ground),
    )


def compared(old: pd.DataFrame, new: pd.DataFrame, kept: int, target: str, frame: str) -> Survey:
    """The rows of one place beside those that stand under their keys.

    Args:
        old: rows that stand and differ: COMPARED, and `geometry` (target CRS) of some, None elsewhere.
        new: the same rows as they would be published, in the same order; with `content_hash`.
        kept: how many stand, differing or not.
        target: the target CRS.
        frame: a metric one.
    """
    before = {name: _plain(old[name]) for name in COMPARED}
    after = {name: _plain(new[name]) for name in COMPARED}
    # Another spelling of a code is no other code.
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
    return Survey(
        kept=kept,
        differ=len(old),
        changed={name: count for name, count in changed.items() if count},
        taken={pair: count for pair, count in taken.items() if count},
        moves=_moves(old, new, target, frame),
    )


def standing(rows: Iterable[tuple[str, Ground]]) -> Survey:
    """Published rows by code ("": none), read one after the other, measured as a release is."""
    codes, total, m2 = dict[str, Ground](), 0, 0.0
    for code, ground in rows:
        name = mark(code)
        codes[name] = codes[name].together(ground) if name in codes else ground
        total, m2 = total + ground.rows, m2 + ground.m2
        if len(codes) > 2 * MOST_CODES:
            codes = few(codes)
    return Survey(rows=total, m2=m2, codes=few(codes))


@lru_cache(maxsize=2 * MOST_CODES)
def mark(code: str) -> str:
    """A short name for all spellings of a code, evenly spread; "" for none."""
    return hashlib.blake2b(fold(code).encode("utf-8", "replace"), digest_size=8).hexdigest() if code else ""


def few(codes: Mapping[str, Ground]) -> dict[str, Ground]:
    """Not more codes than are kept; the same ones everywhere."""
    return _fewest(codes, MOST_CODES, str)


def alike(one: Survey, other: Survey) -> tuple[Mapping[str, Ground], Mapping[str, Ground]]:
    """The codes of both sides that would be kept on either: where one side has too many, the other is cut as it is."""
    cuts = [max(side.codes) for side in (one, other) if len(side.codes) >= MOST_CODES]
    if not cuts:
        return one.codes, other.codes
    last = min(cuts)
    first, second = ({name: each for name, each in side.codes.items() if name <= last} for side in (one, other))
    return first, second


def _fewest(values: Mapping[str, Any], most: int, rank: Any) -> dict[str, Any]:
    """The values of the smallest ranks: what is among the smallest of all is among the smallest of each part."""
    if len(values) <= most:
        return dict(values)
    return {name: values[name] for name in sorted(values, key=rank)[:most]}


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(other))


def _joined(one: Mapping[str, Ground], other: Mapping[str, Ground]) -> dict[str, Ground]:
    both = {code: one[code].together(other[code]) for code in one.keys() & other.keys()}
    return few({**one, **other, **both})


def _ground(codes: Sequence[str], areas: npt.NDArray[np.float64], boxes: npt.NDArray[np.float64]) -> dict[str, Ground]:
    names, at = np.unique(np.array(codes, dtype=object), return_inverse=True)
    rows, m2 = np.bincount(at, minlength=len(names)), np.bincount(at, weights=areas, minlength=len(names))
    edges = np.full((len(names), 4), [np.inf, np.inf, -np.inf, -np.inf])
    np.minimum.at(edges[:, :2], at, boxes[:, :2])
    np.maximum.at(edges[:, 2:], at, boxes[:, 2:])
    return {
        str(name): Ground(int(n), float(area), *map(float, edge))
        for name, n, area, edge in zip(names, rows, m2, edges, strict=True)
    }


def _plain(column: pd.Series) -> list[str]:
    """Text without case and spaces: another way to write it is no other value."""
    return [" ".join(value.casefold().split()) if isinstance(value, str) else "" for value in column]


def _moves(old: pd.DataFrame, new: pd.DataFrame, target: str, frame: str) -> dict[str, tuple[float, float]]:
    """How far the centre of each shape that is at hand moved: metres to the east and to the north."""
    there = np.flatnonzero(old["geometry"].notna().to_numpy())
    if not len(there):
        return {}
    sides = (side["geometry"].to_numpy()[there] for side in (old, new))
    was, now = (shapely.get_coordinates(shapely.centroid(crs.reproject(side, target, frame))) for side in sides)
    names = new["content_hash"].to_numpy()[there]
    return {str(name): (float(dx), float(dy)) for name, (dx, dy) in zip(names, now - was, strict=True)}


def shift_m(moves: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The share of the moves that are some, and how far those went together (the length of their median), metres."""
    way = np.array([move for move in moves.values() if np.hypot(*move) > _STILL_M])
    if not len(way):
        return 0.0, 0.0
    return len(way) / len(moves), float(np.hypot(*np.median(way, axis=0)))
