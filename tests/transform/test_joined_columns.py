"""Columns that are joined by key: one row a key, whatever the order, and only where the key is the same."""

import random
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from zoning_assets.model import PARCELS_JOIN, Feed
from zoning_assets.transform import joined_columns
from zoning_assets.transform.decode.rows import Rows

FEED = Feed(PARCELS_JOIN, "download", "x", key="K", fields={"owner": "OWN", "land_use": "USE"})


def page(rows: list[dict[str, Any]]) -> pa.Table:
    return joined_columns.page_rows(Rows(rows, np.full(len(rows), None, dtype=object), {}), FEED, {})


def layer(keys: list[str | None]) -> pa.Table:
    texts = ["{}"] * len(keys)
    columns = {"key": keys, "zoning_code": texts, "land_use": texts, "address": texts, "attributes": texts}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def test_the_order_of_rows_and_pages_has_no_effect() -> None:
    """The same table, and the same one of several rows with a key."""
    rows = [{"K": f"k{i % 400}", "OWN": f"o{i}", "USE": i} for i in range(500)] + [{"K": " ", "OWN": "x"}]
    first = joined_columns.keyed([page(rows)])
    random.Random(3).shuffle(rows)
    again = joined_columns.keyed([page(rows[:7]), page(rows[7:])])
    assert joined_columns.content_id(first.table) == joined_columns.content_id(again.table)
    assert (first.without_key, first.same, first.repeated, len(first.table)) == (1, 0, 100, 400)
    assert (again.without_key, again.same, again.repeated) == (1, 0, 100)
    assert first.example == again.example


def test_a_value_that_changes_is_another_table() -> None:
    one, other = (joined_columns.keyed([page([{"K": "a", "OWN": owner, "USE": 1}])]) for owner in ("x", "y"))
    assert joined_columns.content_id(one.table) != joined_columns.content_id(other.table)


def test_only_equal_keys_are_joined() -> None:
    """Numbers and texts of a key are one key, as for parcels; a row without a key gets nothing."""
    keyed = joined_columns.keyed([page([{"K": 17, "OWN": "x", "USE": None}, {"K": "b", "OWN": None, "USE": 5}])])
    found = joined_columns.add_columns(layer(["17", None, "b", "c", ""]), keyed.table, ["land_use", "owner"])
    assert found.column("land_use").to_pylist() == [None, None, "5", None, None]
    assert [orjson.loads(each) for each in found.column("attributes").to_pylist()] == [{"owner": "x"}, {}, {}, {}, {}]
    assert found.column("key").to_pylist() == ["17", None, "b", "c", ""]


def test_an_empty_table_joins_nothing() -> None:
    found = joined_columns.add_columns(layer(["a"]), joined_columns.keyed([]).table, ["owner"])
    assert found.column("attributes").to_pylist() == ["{}"]


def test_a_name_that_is_taken_is_refused() -> None:
    rows = layer(["a"]).set_column(4, "attributes", pa.array(['{"owner":"of the layer"}']))
    keyed = joined_columns.keyed([page([{"K": "a", "OWN": "x", "USE": 1}])])
    with pytest.raises(joined_columns.ColumnTakenError, match="owner"):
        joined_columns.add_columns(rows, keyed.table, ["owner", "land_use"])
