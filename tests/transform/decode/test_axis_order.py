"""Names of CRS, and the order of axes that the jurisdiction's bounds decide."""

import numpy as np
import pytest
import shapely

from zoning_assets.errors import CrsRefused
from zoning_assets.transform.decode import axis_order

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
THERE = np.array([shapely.box(-71.1, 42.37, -71.0999, 42.3701), None, shapely.Polygon()], dtype=object)


@pytest.mark.parametrize(
    ("name", "crs", "north_first"),
    [
        ("urn:ogc:def:crs:EPSG::4326", "EPSG:4326", True),
        ("urn:ogc:def:crs:EPSG:6.9:4326", "EPSG:4326", True),
        ("urn:x-ogc:def:crs:EPSG:31370", "EPSG:31370", False),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", "EPSG:4326", True),
        ("<http://www.opengis.net/def/crs/OGC/1.3/CRS84>", "OGC:CRS84", False),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84", False),
        ("CRS:84", "OGC:CRS84", False),
        ("EPSG:4326", "EPSG:4326", False),
        ("http://www.opengis.net/gml/srs/epsg.xml#4326", "EPSG:4326", False),
        ("urn:ogc:def:crs:EPSG::2249", "EPSG:2249", False),
        ("urn:ogc:def:crs:EPSG::31466", "EPSG:31466", True),
        ("urn:ogc:def:crs:EPSG::102067", "ESRI:102067", False),
        ("urn:ogc:def:crs:EPSG::999999", None, None),
        ("file:///etc/passwd", None, None),
        ("+proj=longlat +init=epsg:4326", None, None),
        (None, None, None),
        (7, None, None),
    ],
)
def test_names_are_understood(name: object, crs: str | None, north_first: bool | None) -> None:
    """As PROJ knows them, with the order that their form says; nothing else reaches PROJ."""
    found = axis_order.parse_crs_name(name)
    assert (found and found.crs, found and found.north_first) == (crs, north_first)


def test_what_is_said_comes_before_what_is_not() -> None:
    """Where both orders fit, the name decides."""
    square = np.array([shapely.box(-0.1, -0.1, 0.1, 0.1)], dtype=object)
    ways = axis_order.candidate_readings([("srsName", axis_order.parse_crs_name("urn:ogc:def:crs:EPSG::4326"))], None)
    assert axis_order.choose_reading(square, ways, (-1, -1, 1, 1), "x").swap


def test_the_jurisdiction_file_wins() -> None:
    """Its CRS is the only one that is tried, in both orders."""
    ways = axis_order.candidate_readings([("srsName", axis_order.parse_crs_name("EPSG:2249"))], "EPSG:4326")
    assert [(way.crs, way.swap) for way in ways] == [("EPSG:4326", False), ("EPSG:4326", True)]
    found = axis_order.choose_reading(THERE, ways, BOUNDS, "x")
    assert found.reason == "EPSG:4326 by the jurisdiction file; the first number is x"


@pytest.mark.parametrize("swapped", [False, True])
def test_shapes_come_out_with_x_first(swapped: bool) -> None:
    """Whichever way they came; rows without a shape do not speak."""
    came = shapely.transform(THERE, lambda points: points[:, ::-1]) if swapped else THERE
    ways = axis_order.candidate_readings([("srsName", axis_order.parse_crs_name("EPSG:4326"))], None)
    found = axis_order.choose_reading(came, ways, BOUNDS, "x")
    assert found.swap == swapped
    assert shapely.equals(found.with_x_first(came)[0], THERE[0])


@pytest.mark.parametrize("name", ["EPSG:2249", "EPSG:3857", "urn:ogc:def:crs:EPSG::999999"])
def test_what_fits_in_no_way_is_refused(name: str) -> None:
    """Degrees are no feet; a CRS that nobody knows is none."""
    with pytest.raises(CrsRefused):
        axis_order.choose_reading(
            THERE, axis_order.candidate_readings([("srsName", axis_order.parse_crs_name(name))], None), BOUNDS, "x"
        )


def test_infinite_coordinates_are_not_within_the_bounds() -> None:
    """Numbers that a CRS cannot have are no reason to believe in it."""
    far = np.array([shapely.box(1e30, 1e30, 2e30, 2e30)], dtype=object)
    with pytest.raises(CrsRefused):
        axis_order.choose_reading(
            far, axis_order.candidate_readings([("srsName", axis_order.parse_crs_name("EPSG:2249"))], None), BOUNDS, "x"
        )
