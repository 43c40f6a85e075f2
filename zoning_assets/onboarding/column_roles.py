"""Which columns may be the key, the zoning code or the address, by their names and their values. Pure."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.transform import normalize

#: Regular expressions of column names, best first. Source: the 1,025 Esri parcel layers in the US that OpenAddresses
#: lists (github.com/openaddresses/openaddresses), and the layers named in the packaged jurisdiction files.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "key": (
        r"(apn|parcel_?(id|no|num|number)|parno|par_?id|pin|mbl|bbl|blklot|map_?par(_?id)?|gis_?pin|taxlot(_?id)?|ml)",
        r"(pid|folio(_?no)?|strap|prop_?id|map_?(block_?)?lot|loc_?id|account(_?(no|num|number))?|acct(_?(no|num))?)",
        r".*(parcel|tax_?lot|folio|apn|pin).*",
    ),
    "zoning_code": (
        r"(zone|zoning|zone_?code|zoning_?code|zone_?class|zoning_?class|zone_?type|zone_?dist|zonedist1|zoning_?dist)",
        r".*(zone|zoning).*",
    ),
    "address": (
        r"(site_?addr(ess)?|situs(_?addr(ess)?)?|prop_?addr(ess)?|loc_?addr|full_?addr(ess)?|address|addr)",
        r".*(situs|addr).*",
    ),
    "land_use": (
        r"(use_?code|land_?use(_?code)?|prop_?class|property_?class|use_?cd|lu|lu_?code|usetype|use_?type)",
        r".*(land_?use|use_?desc|use_?code|class_?cd).*",
    ),
    "effective": (
        r"(effective(_?date)?|eff_?date|adopt(ed|ion)?_?(date)?|ord(inance)?_?date|enact(ed|ment)?_?(date)?)",
        r".*(effective|adopted|enact).*",
    ),
}
_NAMES_OF: Mapping[str, Mapping[str, str]] = {
    PARCELS: {each: each for each in ("key", "zoning_code", "address", "land_use")},
    ZONING: {"code": "zoning_code", "effective": "effective"},
}
#: The least share of distinct values of a key, and its greatest share of nulls.
_FEWEST_DISTINCT_KEYS, _MOST_NULL_KEYS = 0.9, 0.1
#: Characters of a zoning code.
_LONGEST_CODE = 24


@dataclass(frozen=True)
class ColumnSample:
    """Statistics of one column in a sample of rows."""

    name: str
    rows: int
    nulls: int
    repeats: int  # rows whose value occurs in another row too
    samples: tuple[str, ...]  # up to five different values

    @property
    def distinct(self) -> float:
        """The share of the rows with a value whose value is unique, from 0 to 1."""
        known = self.rows - self.nulls
        return 0.0 if not known else 1 - self.repeats / known


@dataclass(frozen=True)
class ColumnCandidate:
    """A column for a role, with a score from 0 to 1 and its reasons."""

    role: str
    column: ColumnSample
    score: float
    why: str


def describe_columns(rows: Sequence[Mapping[str, Any]]) -> list[ColumnSample]:
    """Statistics of each column of some rows, in the order of the columns."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [_column(name, [row.get(name) for row in rows]) for name in names]


def _column(name: str, values: Sequence[Any]) -> ColumnSample:
    texts = [text for text in map(normalize.key_of, values) if text is not None]
    counts = Counter(texts)
    repeats = sum(n for n in counts.values() if n > 1)
    return ColumnSample(name, len(values), len(values) - len(texts), repeats, tuple(list(counts)[:5]))


def candidates(feed: str, found: Sequence[ColumnSample], managed: Sequence[str]) -> dict[str, list[ColumnCandidate]]:
    """For each role of a feed, the columns that may fill it, best first, at most five.

    Args:
        feed: `parcels` or `zoning`; the roles are `key` and the keys of the feed's table `fields`.
        found: the columns.
        managed: columns that the portal maintains itself, such as OBJECTID; they are left out.
    """
    usable = [each for each in found if each.name not in managed and not normalize.is_managed(each.name)]
    result = {}
    for role, kind in _NAMES_OF[feed].items():
        scored = [candidate for each in usable if (candidate := _scored(role, kind, each))]
        result[role] = sorted(scored, key=lambda each: (-each.score, each.column.name))[:5]
    return result


def _scored(role: str, kind: str, column: ColumnSample) -> ColumnCandidate | None:
    by_name = _name_score(kind, column.name)
    by_value, why = _value_score(kind, column)
    if by_value == 0 or (by_name == 0 and (kind != "key" or by_value < 1)):
        return None
    name = {0: "unusual name", 1: "usual name"}.get(int(by_name), "similar to a usual name")
    return ColumnCandidate(role, column, round(0.6 * by_name + 0.4 * by_value, 3), f"{name}; {why}")


def _name_score(kind: str, name: str) -> float:
    plain = name.rpartition(".")[2].lower()
    for place, pattern in enumerate(_NAMES[kind]):
        if re.fullmatch(pattern, plain):
            return 1.0 - 0.25 * place
    return 0.0


def _value_score(kind: str, column: ColumnSample) -> tuple[float, str]:
    """How well the values fit (0 to 1; 0 rules the column out), and a description of them."""
    if column.nulls == column.rows:
        return 0.0, "empty"
    nulls = column.nulls / column.rows
    if kind == "key":
        fits = column.distinct >= _FEWEST_DISTINCT_KEYS and nulls <= _MOST_NULL_KEYS
        described = f"{column.nulls} null and {column.repeats} repeated of {column.rows}"
        return (column.distinct * (1 - nulls) if fits else 0.0), described
    if kind == "zoning_code":
        short = all(len(each) <= _LONGEST_CODE for each in column.samples)
        return (1.0 - nulls / 2 if short and column.distinct < 0.5 else 0.0), f"codes like {column.samples[0]}"
    if kind == "address":
        worded = any(re.search(r"\d.*[A-Za-z]", each) for each in column.samples)
        return (1.0 - nulls / 2 if worded else 0.0), f"values like {column.samples[0]}"
    return 1.0 - nulls / 2, f"values like {column.samples[0]}"
