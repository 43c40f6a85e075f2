"""Coordinates are believed only where they can be true."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.errors import CrsRefused
from zoning_assets.model import PARCELS, Feed, Jurisdiction
from zoning_assets.transform import normalize
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import crs

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
LOT = shapely.box(-71.1, 42.38, -71.099, 42.381)
FEED = Feed(PARCELS, "arcgis", "https://x/0", key="ML")


def normalized(shape: shapely.Geometry, layer_crs: str | None, feed_crs: str | None = None):
    feed = Feed(PARCELS, "arcgis", "https://x/0", key="ML", crs=feed_crs)
    city = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: feed})
    rows = Rows([{"ML": "a"}], np.array([shape]), {})
    return normalize.normalize(rows, jurisdiction=city, feed=feed, layer={"crs": layer_crs})


def in_crs(target: str) -> shapely.Geometry:
    return crs.reproject(np.array([LOT]), "EPSG:4326", target)[0]


@pytest.mark.parametrize("source", ["EPSG:2249", "EPSG:26986", "EPSG:3857", "EPSG:4326", "ESRI:102686"])
def test_a_declared_crs_brings_the_rows_home(source):
    """Rows in feet, metres or degrees land on the same square on the ground."""
    found = normalized(in_crs(source), source).geometry[0]
    assert shapely.symmetric_difference(found, LOT).area < 1e-3 * LOT.area


def test_swapped_axes_are_found():
    """Latitude before longitude is refused, and said to be that."""
    swapped = shapely.transform(LOT, lambda c: c[:, ::-1])
    with pytest.raises(CrsRefused, match="axes are swapped") as caught:
        normalized(swapped, "EPSG:4326")
    assert str(caught.value).startswith("us-ma-cambridge parcels: ")
    assert "`crs`" in caught.value.do


@pytest.mark.parametrize(
    ("declared", "said"),
    [(None, r" because no CRS is declared \(a shapefile declares it in its .prj\)"), ("EPSG:4326", "")],
)
def test_feet_taken_for_degrees_are_found(declared, said):
    """Feet of which nothing, or degrees, is declared are refused, and not published off Africa."""
    with pytest.raises(CrsRefused, match=rf"read as EPSG:4326{said}, they are at about"):
        normalized(in_crs("EPSG:2249"), declared)


def test_the_wrong_zone_is_found():
    """A CRS of another state puts the rows elsewhere, and is refused."""
    with pytest.raises(CrsRefused, match="EPSG:2263"):
        normalized(in_crs("EPSG:2249"), "EPSG:2263")


def test_nothing_declared_is_degrees_if_it_fits():
    """Rows without a CRS that lie in the bounds as degrees are degrees."""
    assert normalized(LOT, None).geometry[0].equals(LOT)


def test_the_jurisdiction_file_wins():
    """What the jurisdiction file says of the CRS wins over what the portal states."""
    found = normalized(in_crs("EPSG:2249"), "EPSG:4326", "EPSG:2249").geometry[0]
    assert shapely.symmetric_difference(found, LOT).area < 1e-3 * LOT.area
    assert crs.declared("EPSG:4326", None) == "EPSG:4326"


def test_a_few_rows_elsewhere_do_not_stop_the_page():
    """The CRS is doubted only where most rows lie outside; single rows outside are judged later. NaN has no say."""
    inside, outside, nowhere = (-71.1, 42.38), (0.0, 0.0), (math.nan, math.nan)
    crs.check_bounds(np.array([inside, inside, outside, nowhere, nowhere]), BOUNDS, crs="EPSG:4326", where="x")
    crs.check_bounds(np.array([nowhere, nowhere]), BOUNDS, crs="EPSG:4326", where="x")
    crs.check_bounds(np.empty((0, 2)), BOUNDS, crs="EPSG:4326", where="x")
    with pytest.raises(CrsRefused):
        crs.check_bounds(np.array([inside, outside, outside, nowhere, nowhere]), BOUNDS, crs="EPSG:4326", where="x")


@given(
    st.floats(-180, 170), st.floats(-90, 80), st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 1), st.floats(0, 1)
)
def test_nothing_inside_the_bounds_is_outside(west, south, width, height, fx, fy):
    """Each point of the bounds is inside, on their edge too; a point beyond the margin is outside."""
    bounds = (west, south, west + width, south + height)
    assert not crs.outside(np.array([(west + fx * width, south + fy * height)]), bounds)[0]
    padded = crs.padded(bounds)
    assert padded[0] <= west < west + width <= padded[2] <= 180
    assert -90 <= padded[1] <= south < south + height <= padded[3] <= 90
    assert crs.outside(np.array([(west + 1.3 * width, south), (west, south - 0.3 * height)]), bounds).all()
    assert crs.outside(np.array([(math.nan, south)]), bounds)[0] == np.False_


def test_the_same_crs_moves_nothing():
    """Two names of one CRS are one: the shapes are handed back untouched; WGS 84 and NAD 83 are two."""
    shapes = np.array([LOT, None])
    assert crs.reproject(shapes, "EPSG:4326", "OGC:CRS84") is shapes
    assert crs.is_same("EPSG:2249", "epsg:2249")
    assert not crs.is_same("EPSG:4326", "EPSG:4269")
    assert crs.reproject(shapes, "EPSG:4326", "EPSG:3857")[1] is None


def test_the_metric_frame_is_metres_about_the_middle():
    """Measures are taken in an equal-area frame about the jurisdiction: a degree of latitude is 111 km there."""
    west, south, east, north = BOUNDS
    line = shapely.LineString([((west + east) / 2, south), ((west + east) / 2, north)])
    [flat] = crs.reproject(np.array([line]), "EPSG:4326", crs.metric_frame(BOUNDS))
    assert flat.length == pytest.approx((north - south) * 111_070, rel=1e-3)
    assert abs(flat.centroid.x) < 10
    assert abs(flat.centroid.y) < 10
