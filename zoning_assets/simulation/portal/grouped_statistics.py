"""Grouped statistics of a query: outStatistics, groupByFieldsForStatistics, having."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from zoning_assets.simulation.portal.answer_forms import sendable
from zoning_assets.simulation.portal.polygon_arrays import Ints
from zoning_assets.simulation.portal.refusal import RefusalError
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.simulation.portal.where_clause import Values, WhereError, rows_where

_KINDS = ("count", "min", "max", "sum", "avg")
_AGGREGATE = re.compile(r"\b(count|min|max|sum|avg)\s*\(\s*(\w+)\s*\)", re.IGNORECASE)
_MAX_STATISTICS = 50


def names_of(layer: ServedLayer, text: str) -> list[str]:
    """The columns of a comma-separated list.

    Raises:
        RefusalError: there is no such column.
    """
    names = [layer.column_named(name.strip()) for name in text.split(",") if name.strip()]
    if None in names:
        raise RefusalError("Invalid or missing input parameters.", f"'Invalid field: {text[:80]}' parameter is invalid")
    return list(dict.fromkeys(name for name in names if name is not None))


def answer(layer: ServedLayer, rows: Ints, params: Mapping[str, str]) -> list[dict[str, Any]]:
    """One dict for each group, sorted by the values of the group; one dict if nothing is grouped.

    Raises:
        RefusalError: the parameters are invalid.
    """
    by = names_of(layer, params.get("groupByFieldsForStatistics", ""))
    groups, firsts = grouped(layer, rows, by)
    kept = np.arange(len(firsts))
    if params.get("having", "").strip():
        kept = np.flatnonzero(_having(layer, rows, groups, len(firsts), params["having"]))
    columns = [sendable(layer.columns[name][rows[firsts[kept]]]) for name in by]
    names = list(by)
    for kind, name, alias in _wanted(layer, params["outStatistics"]):
        columns.append(_statistic(layer, rows, groups, len(firsts), (kind, name))[kept].tolist())
        names.append(alias)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def grouped(layer: ServedLayer, rows: Ints, by: Sequence[str]) -> tuple[Ints, Ints]:
    """The group number of each row, and for each group one of its rows (as a position in `rows`); nulls first."""
    if not by:
        return np.zeros(len(rows), dtype=np.int64), np.zeros(1, dtype=np.int64)
    codes = [ranks(layer, name)[rows] for name in by]
    both = codes[0] if len(by) == 1 else np.stack(codes, axis=1)  # numpy is slow with rows of one column
    _, firsts, groups = np.unique(both, axis=0, return_index=True, return_inverse=True)
    return groups.ravel(), firsts


def ranks(layer: ServedLayer, name: str) -> Ints:
    """The rank of each row in the order of a column; equal values have the same rank; 0: null."""
    found = layer.values(name)
    if found is None:
        raise RefusalError("Invalid or missing input parameters.", f"no column {name!r}")
    return np.where(found.known, found.ordered[1] + 1, 0)


def _wanted(layer: ServedLayer, text: str) -> list[tuple[str, str, str]]:
    """The requested statistics: kind, column, name in the response."""
    try:
        wanted = [
            (each["statisticType"].lower(), str(each["onStatisticField"]), str(each.get("outStatisticFieldName") or ""))
            for each in orjson.loads(text)[:_MAX_STATISTICS]
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RefusalError("'outStatistics' parameter is invalid", str(error)) from error
    if any(kind not in _KINDS for kind, _, _ in wanted):
        raise RefusalError("'outStatistics' parameter is invalid", f"statisticType is one of: {', '.join(_KINDS)}")
    return [(kind, _one(layer, on), alias or f"{kind}_{on}") for kind, on, alias in wanted]


def _one(layer: ServedLayer, text: str) -> str:
    names = names_of(layer, text)
    if len(names) != 1:
        raise RefusalError("Invalid or missing input parameters.", f"exactly one column is required, not {text[:80]!r}")
    return names[0]


def _statistic(
    layer: ServedLayer, rows: Ints, groups: Ints, count: int, wanted: tuple[str, str]
) -> npt.NDArray[np.object_]:
    """One statistic of each group, over the values that are not null; null if there are none (a count: 0)."""
    kind, name = wanted
    found = layer.values(name)
    known = np.zeros(len(rows), dtype=bool) if found is None else found.known[rows]
    counts = np.bincount(groups[known], minlength=count)
    if kind == "count":
        return counts.astype(object)
    if found is None or found.is_text:
        raise RefusalError("'outStatistics' parameter is invalid", f"{kind} of text: {name}")
    values, mine = found.values[rows][known], groups[known]
    statistic = _aggregate(kind, values, mine, counts).astype(object)
    statistic[counts == 0] = None
    return statistic


def _aggregate(kind: str, values: npt.NDArray[Any], groups: Ints, counts: Ints) -> npt.NDArray[Any]:
    if kind in ("sum", "avg"):
        sums = np.bincount(groups, weights=values, minlength=len(counts))
        return sums if kind == "sum" else sums / np.maximum(counts, 1)
    found = np.zeros(len(counts), dtype=values.dtype)
    order = np.lexsort((values if kind == "max" else -values, groups))
    found[groups[order]] = values[order]  # the last value of each group stays
    return found


def _having(layer: ServedLayer, rows: Ints, groups: Ints, count: int, text: str) -> npt.NDArray[np.bool_]:
    """The groups that fulfil a condition on aggregates; `COUNT(x)` is read as a column of that name."""
    named: dict[str, tuple[str, str]] = {}

    def column(found: re.Match[str]) -> str:
        name = f"aggregate_{len(named)}"
        named[name] = (found[1].lower(), found[2])
        return name

    def values(name: str) -> Values | None:
        if name not in named:
            return None
        kind, on = named[name]
        each = _statistic(layer, rows, groups, count, (kind, _one(layer, on)))
        known = np.array([value is not None for value in each], dtype=bool)
        return Values(np.array([value or 0 for value in each], dtype=np.float64), known)

    try:
        return rows_where(_AGGREGATE.sub(column, text), count, values)
    except WhereError as error:
        raise RefusalError("'having' parameter is invalid", str(error)) from error
