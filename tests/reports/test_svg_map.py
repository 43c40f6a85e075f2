"""The drawing of a map: proportions, colours, and nothing but numbers in a path."""

import re

import numpy as np
import pytest
import shapely

from zoning_assets.reports.svg_map import HEIGHT, WIDTH, Colours, draw, window_around

LOT = (-71.0910, 42.3700, -71.0905, 42.3702)


def shapes(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*each) for each in boxes], dtype=object)


@pytest.mark.parametrize(
    ("bounds", "srid", "metres"),
    [(LOT, 4326, 41.1), ((-7_913_800.0, 5_214_000.0, -7_913_744.0, 5_214_010.0), 3857, 41.3)],
)
def test_a_metre_is_a_metre_in_both_directions(bounds: tuple[float, ...], srid: int, metres: float) -> None:
    """The lot is about 41 m wide at latitude 42.4; its width on the map agrees with the scale bar."""
    window = window_around(bounds, srid)
    ((west, _), (east, _)) = window.pixels(np.reshape(bounds, (2, 2)))
    assert (east - west) * window.metres_per_pixel == pytest.approx(metres, rel=0.02)
    assert window.contains(bounds)
    assert not window.contains((window.west - 1e-6, *bounds[1:]))


def test_a_point_gets_a_window_of_some_size() -> None:
    window = window_around((-71.0, 42.0, -71.0, 42.0), 4326)
    assert HEIGHT * window.metres_per_pixel == pytest.approx(120, rel=0.01)


def test_a_map_has_areas_labels_and_marks() -> None:
    window = window_around(LOT, 4326, least_m=2_000)
    west, south, east, north = LOT
    districts = shapes((west - 1, south - 1, west, north + 1), (west, south - 1, east + 1, north + 1))
    found = draw(window, (["R-1", "C-2"], districts), Colours.of(["R-1", "C-2"]), changed=shapes(LOT))
    assert {each.text for each in found.labels} == {"R-1", "C-2"}
    assert (len(found.areas), len(found.circles)) == (2, 1)
    assert all(re.fullmatch(r"[MLZe\d. -]+", path) for path in (*(each.path for each in found.areas), found.changed))
    assert len({each.colour for each in found.areas}) == 2
    assert found.scale_text in ("200 m", "500 m")
    assert 0 < found.scale_px < WIDTH / 2


def test_nothing_to_draw_is_an_empty_map() -> None:
    none = np.array([], dtype=object)
    found = draw(window_around(LOT, 4326), ([], none), Colours.of([]), lots=none, changed=none)
    assert (found.areas, found.labels, found.lots, found.changed, found.circles) == ([], [], "", "", [])


def test_rare_codes_share_a_colour_and_are_counted() -> None:
    codes = [f"C-{number}" for number in range(12) for _ in range(12 - number)]
    colours = Colours.of(codes)
    assert [label for label, _ in colours.labelled(set(codes))][-1] == "4 other codes"
    assert colours.get("C-11") == colours.get("unknown") != colours.get("C-0")
    assert [label for label, _ in colours.labelled({"C-0"})] == ["C-0"]
    assert {"C-10", "C-11"} < set(Colours.of(codes, {"C-10", "C-11"}).named)


def test_no_label_covers_another() -> None:
    window = window_around(LOT, 4326)
    middle = ((window.west + window.east) / 2, (window.south + window.north) / 2)
    wide, high = (window.east - window.west) / 3, (window.north - window.south) / 3
    boxes = [(middle[0] - wide, middle[1] - high * n, middle[0] + wide, middle[1] + high * n) for n in (1, 0.98, 0.96)]
    found = draw(window, (["R-1", "C-2", "C-3"], shapes(*boxes)), Colours.of([]), changed=shapes(LOT))
    assert [each.text for each in found.labels] == ["R-1"]
