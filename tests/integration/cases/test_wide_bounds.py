"""A harvest costs its pages and five requests, whatever the bounds and the layer's extent say."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.conftest import read_toml
from tests.sources.arcgis.test_arcgis_source import EVERY_ID, RELEASES, Desk, fetched
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock
from tests.support.sampling import examples
from zoning_assets.model import PARCELS, Bounds, Place
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal import layer_description
from zoning_assets.simulation.portal.portal import county_portal
from zoning_assets.sources import Request
from zoning_assets.sources.arcgis import arcgis_source
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry import h3_cells, row_tiles

PAGES = 6  # of the 600 rows of the simulated county
WIDE = (-125.0, 36.0, -115.0, 39.0)
WORLD = (-180.0, -90.0, 180.0, 90.0)
OWN = RELEASES(1)[0]


def described(extent: Bounds) -> Mapping[str, Any]:
    """The county's description with another extent, degrees."""
    names = ("xmin", "ymin", "xmax", "ymax")
    told = {**dict(zip(names, extent, strict=True)), "spatialReference": {"wkid": 4326}}
    return {**layer_description.layer(0, OWN, layer_description.FEATURE), "extent": told}


async def queries_of(folder: Path, bounds: Bounds, extent: Bounds | None, *, told: bool) -> Sequence[Mapping[str, str]]:
    """What is asked of the county under other bounds and another extent; `told`: the server tells the rows' own."""

    def instead(query: Mapping[str, str]) -> Any:
        if query["path"].endswith("/0"):
            return described(extent) if extent else None
        if query.get("returnExtentOnly") == "true" and not told:
            return {"features": []}  # a server that does not know the question
        return None

    desk, clock = Desk(instead), Clock()
    async with (
        county_portal(RELEASES, fault=desk).running() as address,
        plain_client(sleep=clock.sleep, clock=clock) as http,
    ):
        county = replace(read_toml(folder, county_toml(address), ID), bounds=bounds)
        feed = replace(county.feeds[PARCELS], format="json", crs="EPSG:2249")
        draft = HarvestDraft(Objects(str(folder / uuid.uuid4().hex)), Place(ID), PARCELS)
        source = await arcgis_source.open_source(Request(county, feed, http, folder / "scratch", draft))
        await fetched(source, draft)
        assert sum(page.rows for page in draft.pages) == len(EVERY_ID)
        return desk.queries


boxes = st.builds(
    lambda x, y, width, height: (x, y, min(x + width, 180.0), min(y + height, 90.0)),
    st.one_of(st.floats(-180, 179), st.sampled_from([-180.0, 179.0])),
    st.one_of(st.floats(-90, 85), st.sampled_from([-90.0, 85.0])),
    st.sampled_from([0.001, 0.4, 3.0, 20.0, 360.0]),
    st.sampled_from([0.001, 0.4, 3.0, 20.0, 180.0]),
)


@settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # an example is a portal and a harvest: too slow to be made smaller
)
@given(boxes, st.none() | boxes, st.booleans())
@example(WIDE, None, True)
@example(WIDE, None, False)
@example(WORLD, WORLD, False)
@example((179.0, -17.0, 180.0, -16.0), (-180.0, -18.0, -179.0, -16.0), False)
@example((-71.2, 42.3, -71.0, 42.5), (20.0, -30.0, 21.0, -29.0), False)
@example((-71.2, 42.3, -71.0, 42.5), (0.0, 89.0, 1.0, 90.0), False)
async def test_requests_are_few_for_any_bounds_and_extent(
    tmp_path: Path, bounds: Bounds, extent: Bounds | None, told: bool
) -> None:
    """Across the antimeridian, at the poles, for the whole world, for bounds or an extent that lie elsewhere; no
    request asks by area, and no row is left out."""
    queries = await queries_of(tmp_path, bounds, extent, told=told)
    assert len(queries) <= PAGES + 5
    assert not [each for each in queries if "geometry" in each]


places = st.tuples(st.floats(-180, 180), st.floats(-1, 1).map(lambda z: math.degrees(math.asin(z))))


@settings(max_examples=examples(200), deadline=None)
@given(places, st.integers(0, row_tiles.SMALLEST))
@example((180.0, -16.5), 4)
@example((-180.0, 66.0), 1)
@example((-179.99, 51.9), 7)
def test_an_envelope_is_as_large_as_its_tile(place: tuple[float, float], resolution: int) -> None:
    """On the sphere, four times a tile's own area at most (padding included), where no pole is near."""
    tile = h3_cells.to_str(int(h3_cells.ancestors(h3_cells.finest_cells(np.array([place])), resolution)[0]))
    area = h3_cells.envelope(tile)
    west, south, east, north = area.bounds
    if max(abs(south), abs(north)) < 85:
        assert sum(part.bounds[2] - part.bounds[0] for part in shapely.get_parts(area)) < 180
        assert on_sphere(area) < 4 * h3_cells.h3s.cell_area(tile, unit="km^2")
    assert -180 <= west < east <= 180


def on_sphere(area: shapely.Geometry) -> float:
    """km2, by the equal-area cylinder: x as it is, y by its sine."""
    flat = shapely.transform(
        shapely.segmentize(area, 0.5), lambda c: np.column_stack([np.radians(c[:, 0]), np.sin(np.radians(c[:, 1]))])
    )
    return float(flat.area) * 6371.007180918475**2
