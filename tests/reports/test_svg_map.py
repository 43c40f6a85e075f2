"""The drawing of a map: proportions, colours, and nothing but numbers in a path."""

import re
from collections.abc import Iterable

import numpy as np
import pytest
import shapely

from zoning_assets.reports.svg_map import FILL_OPACITY, HEIGHT, WIDTH, draw, legend, window_around
from zoning_assets.transform.map_colors import GREY, code_colors

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
    found = draw(window, (["R-1", "C-2"], districts), code_colors(["R-1", "C-2"]), changed=shapes(LOT))
    assert {each.text for each in found.labels} == {"R-1", "C-2"}
    assert (len(found.areas), len(found.circles)) == (2, 1)
    assert all(re.fullmatch(r"[MLZe\d. -]+", path) for path in (*(each.path for each in found.areas), found.changed))
    assert len({each.colour for each in found.areas}) == 2
    assert found.scale_text in ("200 m", "500 m")
    assert 0 < found.scale_px < WIDTH / 2


def test_nothing_to_draw_is_an_empty_map() -> None:
    none = np.array([], dtype=object)
    found = draw(window_around(LOT, 4326), ([], none), {}, lots=none, changed=none)
    assert (found.areas, found.labels, found.lots, found.changed, found.circles) == ([], [], "", "", [])


def test_a_long_legend_lists_the_changed_codes() -> None:
    """The codes that changed are listed, however many there are; the map has the letters of the others."""
    codes = {f"C-{number:02}" for number in range(30)}
    colours = code_colors(codes)
    entries = list(legend(colours, codes | {""}, {"C-28", "C-29"}))
    assert entries[-1] == ("6 other codes, by their letters", "none")
    assert {"C-00", "C-28", "C-29"} < {label for label, _ in entries}
    assert all(colour == colours[label] for label, colour in entries[:-1])
    assert list(legend(colours, {"C-05"})) == [("C-05", colours["C-05"])]


def test_letters_on_every_colour_can_be_read() -> None:
    """WCAG 2.1, 1.4.3: a contrast of at least 4.5, on white paper under the areas."""
    for colour in {*code_colors(map(str, range(50))).values(), GREY}:
        mixed = [FILL_OPACITY * value + (1 - FILL_OPACITY) * 255 for value in bytes.fromhex(colour[1:])]
        assert (luminance(mixed) + 0.05) / (luminance(bytes.fromhex("1d2329")) + 0.05) >= 4.5, colour


def luminance(rgb: Iterable[float]) -> float:
    """Relative luminance by WCAG 2.1; rgb: 0 to 255."""
    linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_no_label_covers_another() -> None:
    window = window_around(LOT, 4326)
    middle = ((window.west + window.east) / 2, (window.south + window.north) / 2)
    wide, high = (window.east - window.west) / 3, (window.north - window.south) / 3
    boxes = [(middle[0] - wide, middle[1] - high * n, middle[0] + wide, middle[1] + high * n) for n in (1, 0.98, 0.96)]
    found = draw(window, (["R-1", "C-2", "C-3"], shapes(*boxes)), {}, changed=shapes(LOT))
    assert [each.text for each in found.labels] == ["R-1"]
