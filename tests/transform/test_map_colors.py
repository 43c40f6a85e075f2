"""Colors of zone types and codes: a code keeps its color, and two neighbors in the alphabet never share one."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.model import ZONE_TYPES
from zoning_assets.transform.map_colors import GREY, code_colors, type_color

CODES = st.sets(st.text(min_size=1, max_size=4), max_size=40)


@given(CODES, CODES)
def test_the_color_of_a_known_code_depends_on_no_other_list(known: set[str], others: set[str]) -> None:
    """The map knows the codes of the jurisdiction, a report also those of its period."""
    of_map, of_report = code_colors(known), code_colors(sorted(known, reverse=True), others)
    assert of_map.items() <= of_report.items()
    assert set(of_report) == known | others
    assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in of_report.values())


@given(CODES)
def test_neighbors_differ(codes: set[str]) -> None:
    colors = code_colors(codes)
    assert all(colors[one] != colors[other] for one, other in pairwise(sorted(codes)))


def test_each_type_has_a_color_of_its_own() -> None:
    assert len({type_color(name) for name in (*ZONE_TYPES, None)}) == len(ZONE_TYPES) + 1
    assert type_color("<script>") == type_color(None) == GREY


def test_colors_are_stable() -> None:
    """Pictures in reports and in the documentation show these."""
    assert list(code_colors("ABC").values()) == ["#88CCEE", "#CC6677", "#DDCC77"]
    assert [type_color(name) for name in ZONE_TYPES] == ["#E69F00", "#56B4E9", "#009E73", "#CC79A7"]
