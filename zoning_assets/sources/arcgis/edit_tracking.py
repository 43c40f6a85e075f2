"""Which rows of an ArcGIS layer were edited since a harvest, by editor tracking (docs/explanation/portals.md).

Editor tracking keeps when each row was edited. It does not tell what was deleted; the list of ids does. It does not
see an edit that goes past it, such as a load into the database: where the layer was edited and no row says so, or where
the list cannot be trusted, the whole layer is fetched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from zoning_assets.sources.arcgis.layer_metadata import Layer
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Ids, Params
from zoning_assets.sources.source import Earlier

#: An edit is committed at most so long after the time that it is stamped with; clocks differ by less.
_COMMITTED_WITHIN = timedelta(hours=1)
#: Times that are not in UTC are at most so far from it.
_ZONES = timedelta(hours=14)
#: Of a layer of which a larger part changed all rows are fetched.
_MOST_CHANGED = 0.5


@dataclass(frozen=True)
class Edited:
    """Rows that were added or edited since a harvest: their ids, sorted; the condition that those with a newer edit
    date meet; and whether all of them meet it."""

    ids: Ids
    condition: str
    all_meet_it: bool

    @property
    def ways(self) -> Sequence[str]:
        """The ways by which just these rows can be fetched; see arcgis_walks."""
        return ("ranges", "ids") if self.all_meet_it else ("ids",)

    def which(self, way: str) -> Params:
        """What restricts a way to these rows. A list of ids does so by itself."""
        return {"where": self.condition} if way == "ranges" else EVERY_ROW


def condition(about: Layer, stamp: Mapping[str, Any], earlier: Earlier) -> str | None:
    """The condition of an edit that the earlier harvest may not have; None where the layer cannot tell.

    Args:
        about: the layer.
        stamp: what it states now.
        earlier: the harvest, and what the layer stated then.
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
    """When the layer was edited last: as it says itself, else by its newest row; epoch milliseconds."""
    told = stamp.get("edited") if stamp.get("edited") is not None else stamp.get("last_edit")
    return told if type(told) is int else None


def _is_untracked(stamp: Mapping[str, Any]) -> bool:
    """Whether the layer was edited, and no row that it has says so."""
    layer, row = stamp.get("edited"), stamp.get("last_edit")
    if type(layer) is not int or type(row) is not int:
        return False
    return layer - row > _COMMITTED_WITHIN / timedelta(milliseconds=1)


def edited(ids: Ids, newer: Ids | None, earlier: Earlier, condition: str, *, most_rows: int) -> Edited | None:
    """The rows that must be fetched; None where all must.

    Args:
        ids: of all rows of the layer now, sorted.
        newer: of those that meet the condition, sorted; None: the layer did not list them.
        earlier: the harvest that is stored.
        condition: see `condition`.
        most_rows: a list of just so many ids may have been cut there.
    """
    if newer is None or len(newer) == most_rows or len(np.setdiff1d(newer, ids)):
        return None
    fetched = np.union1d(newer, np.setdiff1d(ids, earlier.ids))
    gone = np.setdiff1d(earlier.ids, ids)
    if len(fetched) + len(gone) == 0 or len(fetched) > _MOST_CHANGED * len(ids):
        return None
    return Edited(fetched, condition, len(fetched) == len(newer))
