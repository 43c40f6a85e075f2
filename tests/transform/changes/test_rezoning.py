"""Which ground has another code: all of it, only it, and a strip thinner than the tolerance is no proof."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.transform.maps import (
    CELLS,
    GAPPED,
    LOTS,
    OVERLAPPING,
    SIDE,
    districts,
    few,
    grid,
    ground,
    lots,
    shuffled,
    told,
)
from zoning_assets.transform.changes.overlay import BASE, shares
from zoning_assets.transform.changes.rezoning import rezonings
from zoning_assets.transform.geometry.polygon_overlay import areal

TOLERANCE_M = 2.1
SAID = ("parcel_id", "facet", "old", "new", "kind", "confirmed", "area_m2", "geometry")
PLAIN = ("parcel_id", "old", "new", "kind", "confirmed")


def find(parcels, before, after, tolerance_m=TOLERANCE_M):
    return rezonings(parcels, before, after, tolerance_m)


@few
@given(LOTS, GAPPED, GAPPED)
def test_changed_and_unchanged_ground_are_the_parcel(parcels, one, two):
    """Cell by cell: what changed is just where the codes differ, each piece once."""
    before, after = grid(one), grid(two)
    found = find(parcels, before, after)
    differ = [shape for shape, a, b in zip(before.geometry, before["code"], after["code"], strict=True) if a != b]
    for key, lot in zip(parcels["key"], parcels.geometry, strict=True):
        mine = found[found["parcel_id"] == key]
        expected = lot.intersection(shapely.union_all(differ))
        assert mine["area_m2"].sum() == pytest.approx(expected.area, abs=0.1)
        assert shapely.union_all(mine["geometry"].to_numpy()).symmetric_difference(expected).area < 0.1


@few
@given(LOTS, OVERLAPPING, OVERLAPPING)
def test_where_districts_overlap_no_code_is_lost_either(parcels, before, after):
    """Ground that a code came to, or left, is in a row that says so; ground that it holds still is in none."""
    found = find(parcels, before, after)
    for key, lot in zip(parcels["key"], parcels.geometry, strict=True):
        for facet in ("base", "overlay"):
            mine = found[(found["parcel_id"] == key) & (found["facet"] == facet)]
            for code in ("A", "B", "C", "PD-1"):
                was, now = (
                    areal(np.array([ground(side, facet=facet, code=code).intersection(lot)]))[0]
                    for side in (before, after)
                )
                for side, other, column in ((was, now, "old"), (now, was, "new")):
                    told_ = ground(mine, **{column: code})
                    assert told_.symmetric_difference(side.difference(other)).area < 0.1, (key, facet, code, column)


@few
@given(LOTS, OVERLAPPING, OVERLAPPING)
def test_the_way_back_is_the_same_with_old_and_new_exchanged(parcels, before, after):
    """But for thin lots: those are believed where the code that they had is gone (`confirmed`)."""
    there, back = (find(parcels, *sides).drop(columns="confirmed") for sides in ((before, after), (after, before)))
    names = [name for name in SAID if name != "confirmed"]
    mirrored = back.rename(columns={"old": "new", "new": "old"})
    mine, theirs = (sorted(told(each, *names), key=str) for each in (there, mirrored))
    assert mine == theirs


@few
@given(LOTS, OVERLAPPING, OVERLAPPING, st.randoms())
def test_the_order_of_rows_does_not_matter(parcels, before, after, random):
    found = find(shuffled(parcels, random), shuffled(before, random), shuffled(after, random))
    assert told(found, *SAID) == told(find(parcels, before, after), *SAID)


@few
@given(LOTS, OVERLAPPING, st.integers(1, 99))
def test_the_same_map_cut_and_joined_in_another_way_has_no_change(parcels, map_, cut):
    """Each district cut in two, or all of one code joined."""
    halves = [shapely.box(-1, -1, cut, 999), shapely.box(cut, -1, 999, 999)]
    split = pd.concat([map_.set_geometry(map_.geometry.intersection(half)) for half in halves], ignore_index=True)
    split = split[~split.geometry.is_empty]
    joined = map_.dissolve(["facet", "code"], as_index=False) if len(map_) else map_
    for other in (map_, split, joined):
        assert find(parcels, map_, gpd.GeoDataFrame(other)).empty


@few
@given(CELLS, CELLS)
def test_the_largest_code_is_that_of_the_shares(one, two):
    """What is told as rezoned is what `parcel_zoning` will say: the first rank, ties and all."""
    parcels, sides = lots((10, 10, 90, 90), (0, 0, 80, 40)), (grid(one), grid(two))
    largest = [
        {row.parcel_id: row.code for row in shares(parcels, side).itertuples() if row.rank == 1} for side in sides
    ]
    for row in find(parcels, *sides).itertuples():
        assert [row.largest_old, row.largest_new] == [side[row.parcel_id] for side in largest]
        assert (row.kind == "rezoned") == (row.largest_old != row.largest_new)


@few
@given(st.floats(0.1, 15), st.sampled_from([1.0, 2.0, 6.0]))
def test_a_boundary_that_moved_by_more_than_the_tolerance_is_confirmed_and_by_less_is_not(by_m, tolerance_m):
    if abs(by_m - tolerance_m) < 0.01:
        return
    before = districts(("A", (0, 0, 100, 100)), ("B", (100, 0, 200, 100)))
    after = districts(("A", (0, 0, 100 + by_m, 100)), ("B", (100 + by_m, 0, 200, 100)))
    (row,) = told(find(lots((50, 0, 190, 100)), before, after, tolerance_m), *PLAIN, "area_m2")
    kind = "partly_rezoned"
    assert row == ("p0", "B", "A", kind, by_m > tolerance_m, pytest.approx(by_m * 100, abs=0.01))


def test_a_district_that_moved_within_a_lot_is_found_though_its_area_is_the_same():
    before, after = districts(("A", (10, 10, 20, 20))), districts(("A", (60, 10, 70, 20)))
    found = told(find(lots((0, 0, 100, 50)), before, after), "old", "new", "area_m2")
    assert found == [("A", None, 100.0), (None, "A", 100.0)]


def test_an_overlay_above_another_is_added_and_removed():
    """Overlays lie upon one another: the second is new though the first is still there."""
    box = (0, 0, 50, 50)
    one, both = districts(("H", box, "overlay")), districts(("H", box, "overlay"), ("FLOOD", box, "overlay"))
    assert told(find(lots(box), one, both), "old", "new", "confirmed") == [(None, "FLOOD", True)]
    assert told(find(lots(box), both, one), "old", "new", "confirmed") == [("FLOOD", None, True)]


def test_a_base_district_that_lay_upon_another_is_a_doubt_and_is_kept():
    """Two base codes on one ground are an error of the map: taking one away is no rezoning, and is not lost."""
    box = (0, 0, 50, 50)
    one, both = districts(("A", box)), districts(("A", box), ("B", box))
    assert told(find(lots(box), both, one), "old", "new", "confirmed") == [("B", None, False)]
    assert told(find(lots(box), one, both), "old", "new", "confirmed") == [(None, "B", False)]


@pytest.mark.parametrize(("to", "confirmed"), [((0, 0, 40, 50), True), ((1, 0, 3, 50), False)])
def test_a_lot_thinner_than_the_tolerance_is_believed_where_the_ground_around_it_changed_too(to, confirmed):
    """A row house of 4 m among others, and a lone strip along a boundary."""
    lone = districts(("B", to), ("A", shapely.box(0, 0, 40, 50) - shapely.box(*to)))
    after = lone if not confirmed else districts(("B", to))
    found = find(lots((1, 0, 3, 50)), districts(("A", (0, 0, 40, 50))), after, 6.0)
    assert told(found, "old", "new", "confirmed") == [("A", "B", confirmed)]


def test_a_sliver_of_another_code_is_no_proof_that_its_lot_was_rezoned():
    """A lot of A gets B; the metre of C at its edge, which now is B too, is a boundary that may be drawn so or so."""
    before = districts(("A", (0, 0, 20, 50)), ("C", (20, 0, 60, 50)))
    found = find(lots((0, 0, 21, 50)), before, districts(("B", (0, 0, 60, 50))))
    assert told(found, "old", "new", "confirmed") == [("A", "B", True), ("C", "B", False)]


@pytest.mark.parametrize("parcels", [lots(), lots((900, 900, 950, 950)), lots(shapely.MultiPolygon())])
@pytest.mark.parametrize("before", [districts(), grid([["A"]])])
def test_no_ground_no_change(parcels, before):
    """No parcels, parcels outside of both maps, a parcel without ground; and no map."""
    assert find(parcels, before, grid([["B", None]])).empty
    assert find(parcels, grid([["B"]]), before).empty


def test_facets_do_not_disturb_one_another():
    """A base that stays below an overlay that goes."""
    box = (0, 0, SIDE, SIDE)
    before = districts(("A", box), ("H", box, "overlay"))
    found = find(lots(box), before, before[before["facet"] == BASE])
    assert told(found, "facet", "old", "new") == [("overlay", "H", None)]
    assert np.isclose(found["share"].iloc[0], 1.0)
