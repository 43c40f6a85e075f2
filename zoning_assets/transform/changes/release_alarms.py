"""What speaks against believing a release of a map at all: outages, truncations, other columns, other coordinates."""

import geopandas as gpd
import shapely

from zoning_assets.transform.changes.boundary_drift import Drift
from zoning_assets.transform.changes.overlay import BASE

#: What no map does from one release to the next, and a broken one does.
_LEAST_GROUND, _MOST_NAMELESS, _MOST_STRANGE, MOST_GONE, _FEW_CODES = 0.8, 0.2, 0.5, 0.6, 4


def alarms(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, moved: Drift) -> tuple[str, ...]:
    """Each alarm in words, with its figures; `before` and `after`: `facet`, `code`, in an equal-area frame, metres."""
    was, now = (side[side["facet"] == BASE] for side in (before, after))
    area, old_area = shapely.area(now.geometry.to_numpy()), shapely.area(was.geometry.to_numpy()).sum()
    nameless = now["code"].isna().to_numpy()
    strange = ~now["code"].isin(set(was["code"].dropna())).to_numpy() & ~nameless
    codes = was["code"].nunique(), now["code"].nunique()
    whole = max(area.sum(), 1e-9)
    found = {
        f"the map's ground fell from {old_area / 1e6:.2f} to {area.sum() / 1e6:.2f} km2": area.sum()
        < _LEAST_GROUND * old_area,
        f"{area[nameless].sum() / whole:.0%} of the ground has no code": area[nameless].sum() > _MOST_NAMELESS * whole,
        f"{codes[0]} codes became one": codes[0] >= _FEW_CODES and codes[1] == 1,
        f"{area[strange].sum() / whole:.0%} of the ground has codes that the map never had": area[strange].sum()
        > _MOST_STRANGE * whole,
        f"{moved.gone:.0%} of the boundaries are gone or moved": moved.gone > MOST_GONE,
    }
    return tuple(what for what, holds in found.items() if holds)
