"""A change as a row: its columns, its name, and tables of such rows.

A change's id is made of what happened, never of when it was found: the same two states give the same ids in any order
and at any time.
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
class Judged:
    """A release, judged. `alarms`: why nothing of it is believed; then there are no changes."""

    changes: pd.DataFrame
    drift: Drift = field(default_factory=Drift)
    alarms: tuple[str, ...] = ()


def change(kind: str, *, of: Sequence[Any], state: str = EVENT, facet: str = BASE, **rest: Any) -> dict[str, Any]:
    """One change; `of`: what makes it this one and no other, beside kind, facet, parcels and codes."""
    said = [kind, state, facet, rest.get("parcel_ids", []), rest.get("old"), rest.get("new"), of]
    name = hashlib.blake2b(orjson.dumps(said), digest_size=12).hexdigest()
    empty: dict[str, Any] = dict.fromkeys(COLUMNS) | {"parcel_ids": []}
    return empty | {"id": name, "kind": kind, "state": state, "facet": facet} | rest


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Changes as a table with COLUMNS, in an order of their own."""
    # Series of objects: of an array of texts pandas would make a text column, where None becomes NaN
    columns = {name: pd.Series(_objects([row[name] for row in rows]), dtype=object) for name in COLUMNS}
    table = pd.DataFrame(columns)
    return table.sort_values(["kind", "id"], ignore_index=True)


def together(*tables: pd.DataFrame) -> pd.DataFrame:
    """Several tables of changes as one; unlike pandas' own, None stays None."""
    return table_of([row for table in tables for row in records(table)])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows, by the names of its columns."""
    return table.to_dict("records")  # type: ignore[return-value] # the names of columns are texts


def none() -> pd.DataFrame:
    """No changes."""
    return table_of([])


def _objects(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def text_of(value: Any) -> str | None:
    """A code as text, None where there is none."""
    return None if pd.isna(value) else str(value)
