"""Reasons to reject a total release of a zoning map: outages, truncated files, other columns, other coordinates."""

import geopandas as gpd
import shapely

from zoning_assets.transform.changes.boundary_drift import Drift
from zoning_assets.transform.changes.overlay import BASE

#: Limits that no real release exceeds: the least share of the former area, the largest shares of area without a code
#: and with unknown codes, the largest share of lost boundaries, and the fewest codes that may not become one.
_LEAST_AREA, _MOST_UNCODED, _MOST_UNKNOWN, MOST_LOST, _FEW_CODES = 0.8, 0.2, 0.5, 0.6, 4


def alarms(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, moved: Drift) -> tuple[str, ...]:
    """The reasons to reject the release, as sentences with figures; empty if there are none.

    Args:
        before: the map published last: `facet`, `code`; equal-area frame, metres.
        after: the new map, likewise.
        moved: the drift between the two.
    """
    was, now = (side[side["facet"] == BASE] for side in (before, after))
    area, old_area = shapely.area(now.geometry.to_numpy()), shapely.area(was.geometry.to_numpy()).sum()
    uncoded = now["code"].isna().to_numpy()
    unknown = ~now["code"].isin(set(was["code"].dropna())).to_numpy() & ~uncoded
    codes = was["code"].nunique(), now["code"].nunique()
    total = max(area.sum(), 1e-9)
    found = {
        f"the map's area fell from {old_area / 1e6:.2f} to {area.sum() / 1e6:.2f} km2": area.sum()
        < _LEAST_AREA * old_area,
        f"{area[uncoded].sum() / total:.0%} of the area has no code": area[uncoded].sum() > _MOST_UNCODED * total,
        f"{codes[0]} codes became one": codes[0] >= _FEW_CODES and codes[1] == 1,
        f"{area[unknown].sum() / total:.0%} of the area has codes that the map did not have before": area[unknown].sum()
        > _MOST_UNKNOWN * total,
        f"{moved.lost:.0%} of the boundaries were removed or moved": moved.lost > MOST_LOST,
    }
    return tuple(what for what, holds in found.items() if holds)
