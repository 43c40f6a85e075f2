"""A change as a row: its columns, its id, and tables of changes.

The id of a change is a hash of what happened, not of when it was detected: the same two states always give the same
ids, in any order and at any time.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pandas as pd

from zoning_assets.transform.changes.boundary_drift import Drift
from zoning_assets.transform.changes.overlay import BASE

EVENT, REVIEW = "event", "review"
COLUMNS = (
    "id", "kind", "state", "facet", "parcel_ids", "old", "new", "area_m2", "share", "confidence", "effective",
    "evidence", "geometry",
)  # fmt: skip


@dataclass(frozen=True)
class DetectedChanges:
    """The changes between two releases. With `alarms`, the release was rejected, and there are no changes."""

    changes: pd.DataFrame
    drift: Drift = field(default_factory=Drift)
    alarms: tuple[str, ...] = ()


def change(kind: str, *, of: Sequence[Any], state: str = EVENT, facet: str = BASE, **rest: Any) -> dict[str, Any]:
    """Build one change, a dictionary with COLUMNS.

    Args:
        kind: such as `rezoned`.
        of: what distinguishes this change from others of the same kind, facet, parcels and codes.
        state: EVENT, or REVIEW for a change that a person must confirm.
        facet: the facet of the code.
        rest: other columns.
    """
    identity = [kind, state, facet, rest.get("parcel_ids", []), rest.get("old"), rest.get("new"), of]
    name = hashlib.blake2b(orjson.dumps(identity), digest_size=12).hexdigest()
    empty: dict[str, Any] = dict.fromkeys(COLUMNS) | {"parcel_ids": []}
    return empty | {"id": name, "kind": kind, "state": state, "facet": facet} | rest


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Changes as a table with COLUMNS, sorted by kind and id."""
    # Series of objects: pandas would make a text column of an array of texts, and NaN of None
    columns = {name: pd.Series(_objects([row[name] for row in rows]), dtype=object) for name in COLUMNS}
    table = pd.DataFrame(columns)
    return table.sort_values(["kind", "id"], ignore_index=True)


def concatenated(*tables: pd.DataFrame) -> pd.DataFrame:
    """Several tables of changes as one. In contrast to pandas.concat, None stays None."""
    return table_of([row for table in tables for row in records(table)])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries by column name."""
    return table.to_dict("records")  # type: ignore[return-value] # the names of columns are texts


def no_changes() -> pd.DataFrame:
    """An empty table of changes."""
    return table_of([])


def _objects(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def text_of(value: Any) -> str | None:
    """A code as text; None if it is missing."""
    return None if pd.isna(value) else str(value)
