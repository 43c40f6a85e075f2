"""Find the rows of an ArcGIS layer that were edited since a harvest, by editor tracking.

Here they are chosen. id_list_scan.py fetches them, and pipeline/incremental_harvest.py merges them with stored rows.

Editor tracking stores the time of the last edit of each row (ArcGIS REST API, "Layer (Feature Service)":
editFieldsInfo). Deleted rows are found by the list of ids. An edit that bypasses editor tracking, such as a load into
the database, is not found: if the layer was edited later than its newest row, or if the list is not reliable, the whole
layer is fetched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from zoning_assets.sources.arcgis.layer_metadata import LayerMetadata
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Ids, Params
from zoning_assets.sources.source import Earlier

#: An edit is committed at most this long after its time stamp. Clocks differ by less.
_COMMITTED_WITHIN = timedelta(hours=1)
#: The largest difference between local times and UTC.
_ZONES = timedelta(hours=14)
#: If a larger share of the rows changed, the whole layer is fetched.
_MOST_CHANGED = 0.5


@dataclass(frozen=True)
class EditedRows:
    """Rows that were added or edited since a harvest.

    Attributes:
        ids: their ids, sorted.
        condition: a WHERE clause that selects rows with a newer edit.
        all_meet_it: whether it selects all of these rows.
    """

    ids: Ids
    condition: str
    all_meet_it: bool

    @property
    def ways(self) -> Sequence[str]:
        """The strategies that can fetch only these rows; see page_walks."""
        return ("ranges", "ids") if self.all_meet_it else ("ids",)

    def which(self, plan: str) -> Params:
        """The parameters that restrict a strategy to these rows. Lists of ids need none."""
        return {"where": self.condition} if plan == "ranges" else EVERY_ROW


def condition(about: LayerMetadata, stamp: Mapping[str, Any], earlier: Earlier) -> str | None:
    """The WHERE clause for edits that the earlier harvest may lack; None: the layer cannot select them.

    Args:
        about: the layer's metadata.
        stamp: the layer's stamp now.
        earlier: the earlier harvest.
    """
    before, now = _last_edit(earlier.stamp), _last_edit(stamp)
    if not about.edits or before is None or now is None or _is_untracked(stamp):
        return None
    try:
        since = min(datetime.fromtimestamp(before / 1000, UTC), earlier.began - _COMMITTED_WITHIN)
        since -= timedelta() if about.edits_in_utc else _ZONES
    except (ValueError, OverflowError, OSError):
        return None
    return f"{about.edits} > timestamp '{since:%Y-%m-%d %H:%M:%S}'"


def _last_edit(stamp: Mapping[str, Any]) -> int | None:
    """The time of the last edit, of the layer or else of its newest row; epoch milliseconds."""
    last = stamp.get("edited") if stamp.get("edited") is not None else stamp.get("last_edit")
    return last if type(last) is int else None


def _is_untracked(stamp: Mapping[str, Any]) -> bool:
    """Whether the layer was edited, but none of its rows has the time of that edit."""
    layer, row = stamp.get("edited"), stamp.get("last_edit")
    if type(layer) is not int or type(row) is not int:
        return False
    return layer - row > _COMMITTED_WITHIN / timedelta(milliseconds=1)


def edited(ids: Ids, newer: Ids | None, earlier: Earlier, condition: str, *, most_rows: int) -> EditedRows | None:
    """The rows to fetch; None: all rows must be fetched.

    Args:
        ids: the ids of all rows of the layer now, sorted.
        newer: the ids of the rows that meet the condition, sorted; None: the layer did not list them.
        earlier: the stored harvest.
        condition: see `condition`.
        most_rows: the layer's page size; a list of exactly this length may have been cut.
    """
    if newer is None or len(newer) == most_rows or len(np.setdiff1d(newer, ids)):
        return None
    fetched = np.union1d(newer, np.setdiff1d(ids, earlier.ids))
    gone = np.setdiff1d(earlier.ids, ids)
    if len(fetched) + len(gone) == 0 or len(fetched) > _MOST_CHANGED * len(ids):
        return None
    return EditedRows(fetched, condition, len(fetched) == len(newer))
