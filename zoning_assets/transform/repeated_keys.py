"""Rows that share a key: identical rows become one, other rows follow the feed's policy (reject, suffix or dissolve).

Which policy a new feed gets is proposed by onboarding/repeat_policy.py.
"""

import numpy as np
import orjson
import pandas as pd
import shapely

from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.transform.geometry import content_hash, crs, metric_frame, validity
from zoning_assets.transform.normalize import COLUMNS, text_values


def resolve(rows: pd.DataFrame, feed: Feed, jurisdiction: Jurisdiction) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge identical rows, then apply the feed's policy to keys of several rows. The first row is never preferred.

    Identical rows have the same key, columns, attributes and shape (the same content hash). They count as accepted, and
    all but one as dissolved. If a feed has no key, the key is the content hash, so that only identical rows repeat.

    Policies: `reject`: all rows of the key are rejected. `dissolve`: the rows become one parcel with the union of their
    shapes; a column in which they differ is null, and `attributes` lists the values. `suffix`: each row becomes a
    parcel of its own, `KEY#1` and so on, from west to east.

    Returns:
        The rows that remain, and the rows that are rejected.
    """
    all_rows = rows
    rows = _without_copies(rows, feed)
    repeated = rows["key"].duplicated(keep=False).to_numpy()
    if not feed.key or not repeated.any():
        return rows, rows[:0]
    again = rows[repeated]
    if feed.on_repeated_key == "reject":
        with_copies = all_rows[all_rows["key"].isin(set(again["key"]))]
        return rows[~repeated], with_copies
    settled = _suffixed(again, feed) if feed.on_repeated_key == "suffix" else _dissolved(again, feed, jurisdiction)
    return pd.concat([rows[~repeated], settled], ignore_index=True), rows[:0]


def _without_copies(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """Keep one of each set of identical rows, if possible one that was not repaired. Only rows with the same key, or
    without a key, are compared."""
    suspects = rows[rows["key"].duplicated(keep=False)].sort_values(["repair", "repair_area_m2"], na_position="first")
    if suspects.empty:
        return rows
    return rows.drop(index=suspects.index[with_content_hash(suspects, feed)["content_hash"].duplicated()])


def _suffixed(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """Append a number to the key of each row, from west to east; rows with the same shape are sorted by content."""
    contents = zip(*(text_values(rows[name]) for name in (*COLUMNS[feed.name], "attributes")), strict=True)
    shapes = rows["geometry"].to_numpy()
    order = pd.DataFrame(shapely.bounds(shapes), rows.index, ["minx", "miny", "maxx", "maxy"])
    order["key"], order["shape"] = rows["key"], shapely.to_wkb(shapes, hex=True)
    order["content"] = [orjson.dumps(row).decode() for row in contents]
    ranked = order.sort_values(["key", "minx", "miny", "maxx", "maxy", "shape", "content"])
    numbers = ranked.groupby("key").cumcount() + 1
    return rows.assign(key=rows["key"] + "#" + numbers.reindex(rows.index).astype(str))


def _dissolved(rows: pd.DataFrame, feed: Feed, jurisdiction: Jurisdiction) -> pd.DataFrame:
    """Merge the rows of each key: common values, and lists of values if they differ."""
    grid, frame = content_hash.GRID[jurisdiction.target_crs], crs.metric_frame(jurisdiction.bounds)
    groups = [positions for _, positions in sorted(rows.groupby("key").indices.items())]
    shapes = rows["geometry"].to_numpy()
    whole = validity.repair_shapes(
        np.array([shapely.union_all(shapes[g], grid_size=grid) for g in groups]), grid
    ).geometry
    attributes = [orjson.loads(text) for text in rows["attributes"]]
    merged = [_merge_attributes([attributes[i] for i in g]) for g in groups]
    columns: dict[str, list[str | None]] = {}
    for name in COLUMNS[feed.name]:
        values = text_values(rows[name])
        agreed = [_common_value([values[i] for i in g]) for g in groups]
        columns[name] = [one for one, _ in agreed]
        for into, (_, several) in zip(merged, agreed, strict=True):
            into.update({name: several} if several else {})
    mends = text_values(rows["repair"])
    columns["attributes"] = [content_hash.dumps(each) for each in merged]
    columns["repair"] = ["; ".join(sorted({mends[i] or "" for i in g} - {""})) or None for g in groups]
    first = rows.iloc[[g[0] for g in groups]]
    return first.assign(
        **{name: pd.Series(values, first.index, dtype=object) for name, values in columns.items()},
        geometry=pd.Series(whole, first.index, dtype=object),
        area_m2=metric_frame.areas_m2(whole, jurisdiction.target_crs, frame),
        # NaN: none was repaired
        repair_area_m2=rows.groupby("key")["repair_area_m2"].sum(min_count=1).round(4).to_numpy(),
    )


def _common_value(values: list[str | None]) -> tuple[str | None, list[str]]:
    """Return the common value of all rows, or None and the sorted different values."""
    found = sorted({value for value in values if value is not None})
    if len(found) == 1:
        return (found[0], []) if None not in values else (None, found)
    return None, found


def _merge_attributes(rows: list[dict[str, object]]) -> dict[str, object]:
    """Merge the attributes of several rows: the common value, else the sorted list of values."""
    names = sorted(set().union(*rows))
    merged: dict[str, object] = {}
    for name in names:
        values = {orjson.dumps(row[name]): row[name] for row in rows if name in row}
        shared = len(values) == 1 and all(name in row for row in rows)
        merged[name] = next(iter(values.values())) if shared else [values[text] for text in sorted(values)]
    return merged


def with_content_hash(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """Add `content_hash`. If the feed has no key, the start of the hash is the key."""
    columns = [rows[name].tolist() for name in ("key", *COLUMNS[feed.name], "attributes")]
    hashes = content_hash.content_hashes(columns, rows["geometry"].to_numpy())
    keys = rows["key"] if feed.key else [each[:16] for each in hashes]
    return rows.assign(content_hash=pd.Series(hashes, rows.index, dtype=object), key=keys)
