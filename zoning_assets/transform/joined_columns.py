"""Columns of a second table that are added to the rows of a layer by key.

A keyed table is an Arrow table with the columns `hash` (uint64, row_tiles.key_hashes), `key` and `values` (text, JSON
object: our name -> value), sorted by all three, each key once. So a part of the layer is joined with a binary search.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from zoning_assets.model import PARCELS, Feed
from zoning_assets.transform import normalize
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import content_hash, row_tiles

#: Our columns that a table can fill; other names are attributes.
COLUMNS = normalize.COLUMNS[PARCELS]
SCHEMA = pa.schema([("hash", pa.uint64()), ("key", pa.string()), ("values", pa.string())])


class ColumnTakenError(ValueError):
    """The layer has a column with the name of a joined one. `args[0]`: the name."""


@dataclass(frozen=True)
class KeyedTable:
    """A keyed table, and what became of the other rows.

    Attributes:
        table: see the module.
        without_key: rows without a key.
        same: rows with the key and the values of another row.
        repeated: rows with the key of another row and other values; the first one is in `table`.
        example: a key of `repeated`; None: there is none.
    """

    table: pa.Table
    without_key: int
    same: int
    repeated: int
    example: str | None


def page_rows(rows: Rows, feed: Feed, layer: Mapping[str, Any]) -> pa.Table:
    """The rows of a decoded page of the table, in SCHEMA.

    Args:
        rows: the page.
        feed: `fields` are the columns to take (our name -> column).
        layer: see normalize.normalize.
    """
    names, theirs = sorted(feed.fields), sorted(set(feed.fields.values()))
    dates = layer.get("dates", ())
    cleaned = {
        name: normalize.cleaned_values([row.get(name) for row in rows.attributes], is_date=name in dates)
        for name in theirs
    }
    decoded, _ = normalize.decoded_values(rows.attributes, cleaned, theirs, layer)
    values = zip(*(decoded[feed.fields[name]] for name in names), strict=True)
    texts = [
        content_hash.dumps({name: value for name, value in zip(names, row, strict=True) if value is not None})
        for row in values
    ]
    keys = [content_hash.key(row.get(feed.key or "")) for row in rows.attributes]
    return pa.table([row_tiles.key_hashes(keys), keys, texts], schema=SCHEMA)


def keyed(pages: Sequence[pa.Table]) -> KeyedTable:
    """Sort the rows of all pages, and keep one row of each key: the first in the order of the values, so that the order
    of the portal does not matter."""
    table = pa.concat_tables([SCHEMA.empty_table(), *pages])
    without_key = table.column("key").null_count
    table = table.filter(pc.is_valid(table.column("key")))
    table = table.sort_by([(name, "ascending") for name in SCHEMA.names]).combine_chunks()
    same_key, same_row = _equal_to_next(table, "key"), _equal_to_next(table, "values")
    again = np.concatenate([[False], same_key]) if len(table) else np.empty(0, dtype=bool)
    differing = np.flatnonzero(same_key & ~same_row)
    return KeyedTable(
        table.filter(pa.array(~again)),
        without_key,
        int(np.count_nonzero(same_key & same_row)),
        len(differing),
        table.column("key")[int(differing[0])].as_py() if len(differing) else None,
    )


def _equal_to_next(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    column = table.column(name)
    equal = pc.equal(column.slice(1), column.slice(0, max(len(column) - 1, 0)))
    return np.asarray(equal.to_numpy(), dtype=bool)


def content_id(table: pa.Table) -> str:
    """A hash of the rows of a keyed table."""
    digest = hashlib.blake2b(digest_size=16)
    for batch in table.to_batches(max_chunksize=10_000):
        digest.update(orjson.dumps([batch.column(name).to_pylist() for name in ("key", "values")]))
    return digest.hexdigest()


def add_columns(rows: pa.Table, table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Rows of a normalized table with the values of a keyed table.

    Args:
        rows: with the columns `key`, `attributes` and COLUMNS.
        table: the keyed table.
        columns: our names of all joined columns. Those in COLUMNS are filled, also with null; others are
            added to `attributes`.

    Raises:
        ColumnTakenError: an attribute has the name of a joined column.
    """
    values = _values_of(rows.column("key").to_pylist(), table)
    ours = [name for name in columns if name in COLUMNS]
    for name in ours:
        texts = [None if value is None or name not in value else str(value.pop(name)) for value in values]
        rows = _replaced(rows, name, texts)
    if len(ours) == len(columns):
        return rows
    attributes = map(_merged, rows.column("attributes").to_pylist(), values)
    return _replaced(rows, "attributes", list(attributes))


def _values_of(keys: Sequence[str | None], table: pa.Table) -> list[dict[str, Any] | None]:
    """The values of the table for each key; None: it has no such key."""
    if not len(table):
        return [None] * len(keys)
    hashes = row_tiles.key_hashes(keys)
    at = np.minimum(np.searchsorted(table.column("hash").to_numpy(), hashes), len(table) - 1)
    others, texts = (table.column(name).take(pa.array(at)).to_pylist() for name in ("key", "values"))
    return [
        orjson.loads(text) if key is not None and key == other else None
        for key, other, text in zip(keys, others, texts, strict=True)
    ]


def _merged(attributes: str, values: Mapping[str, Any] | None) -> str:
    if not values:
        return attributes
    known = orjson.loads(attributes)
    for name in values:
        if name in known:
            raise ColumnTakenError(name)
    return content_hash.dumps({**known, **values})


def _replaced(rows: pa.Table, name: str, texts: list[str | None]) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(texts, pa.string()))
