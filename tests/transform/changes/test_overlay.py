"""How much of each lot lies in each code is exact, and does not depend on how the map is cut or sorted."""

from datetime import date

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.transform.maps import LOTS, OVERLAPPING, districts, few, ground, lots, shuffled, told
from zoning_assets.transform.changes.overlay import COLUMNS, LISTED_SHARE, shares

RANKS = ("parcel_id", "code", "rank", "listed")


@few
@given(LOTS, OVERLAPPING)
def test_a_share_is_the_ground_that_lot_and_code_have_in_common(parcels, map_):
    """Measured another way: all districts of a code and facet joined first, one lot at a time."""
    expected = {}
    for key, lot in zip(parcels["key"], parcels.geometry, strict=True):
        for facet, code in {*zip(map_["facet"], map_["code"], strict=True)}:
            area = lot.intersection(ground(map_, facet=facet, code=code)).area
            if code and area > 0:
                expected[key, facet, code] = (area, area / lot.area)
    found = shares(parcels, map_)
    assert found.columns.tolist() == list(COLUMNS)
    assert {tuple(row[:3]) for row in found.itertuples(index=False)} == set(expected)
    for row in found.itertuples():
        area, fraction = expected[row.parcel_id, row.facet, row.code]
        assert row.area_m2 == pytest.approx(area, abs=0.006)
        assert row.fraction == pytest.approx(fraction, abs=1e-6)


@few
@given(LOTS, OVERLAPPING)
def test_where_codes_do_not_overlap_the_shares_sum_to_the_covered_ground(parcels, map_):
    """Each district loses what those before it hold."""
    apart = map_[map_["code"].notna() & (map_["facet"] == "base")].reset_index(drop=True)
    left = [
        shape.difference(shapely.union_all(apart.geometry.to_numpy()[:i])) for i, shape in enumerate(apart.geometry)
    ]
    apart = apart.set_geometry(left)
    apart = apart[~apart.geometry.is_empty]
    sums = shares(parcels, apart).groupby("parcel_id")["area_m2"].sum()
    for key, lot in zip(parcels["key"], parcels.geometry, strict=True):
        assert sums.get(key, 0.0) == pytest.approx(lot.intersection(ground(apart)).area, abs=0.05)


@few
@given(LOTS, OVERLAPPING, st.randoms())
def test_the_order_of_rows_does_not_matter(parcels, map_, random):
    found = shares(shuffled(parcels, random), shuffled(map_, random))
    assert told(found, *COLUMNS) == told(shares(parcels, map_), *COLUMNS)


@few
@given(LOTS, OVERLAPPING)
def test_listed_is_the_largest_a_tenth_or_the_district_s_best_lot(parcels, map_):
    found = shares(parcels, map_)
    best = set()
    for facet, code, shape in zip(map_["facet"], map_["code"], map_.geometry, strict=True):
        each = zip(parcels["key"], parcels.geometry, strict=True)
        held = [(round(-lot.intersection(shape).area, 3), key) for key, lot in each]
        if code and min(held, default=(0, ""))[0]:
            best.add((min(held)[1], facet, code))
    for (_, _), rows in found.groupby(["parcel_id", "facet"]):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        ranked = list(zip((-rows["area_m2"]).round(2), rows["code"], strict=True))
        assert ranked == sorted(ranked)
    for row in found.itertuples():
        mine = (row.parcel_id, row.facet, row.code) in best
        assert row.listed == (row.rank == 1 or row.fraction >= LISTED_SHARE or mine)


@pytest.mark.parametrize(
    ("more", "first"), [(0.0, "A"), (0.004, "A"), (0.008, "A"), (0.012, "B"), (0.4, "B"), (-0.4, "A")]
)
@pytest.mark.parametrize("height", [10, 20.3, 1000])
def test_areas_closer_than_a_hundredth_of_a_square_metre_tie_and_spelling_decides(more, first, height):
    """`B` has a little more ground; the areas are far from round numbers or near, and large or small."""
    middle = 5 - more / height / 2
    map_ = districts(("A", (0, 0, middle, height)), ("B", (middle, 0, 10, height)))
    found = shares(lots((0, 0, 10, height)), map_)
    assert found["code"].iloc[0] == first


def test_of_lots_that_hold_as_much_of_a_district_the_first_by_key_lists_it():
    """Two lots of 1,000 m2 hold 5 m2 each of a strip: one of them lists it, the same in any order."""
    map_ = districts(("A", (0, 0, 20, 100)), ("Z", (9.95, 0, 10.05, 100)))
    for parcels in (lots(b=(0, 0, 10, 100), c=(10, 0, 20, 100)), lots(c=(10, 0, 20, 100), b=(0, 0, 10, 100))):
        found = told(shares(parcels, map_), *RANKS)
        assert found == [("b", "A", 1, True), ("b", "Z", 2, True), ("c", "A", 1, True), ("c", "Z", 2, False)]


def test_each_facet_is_ranked_for_itself_and_dates_are_the_latest():
    box, old, new = (0, 0, 10, 10), date(1961, 12, 15), date(2019, 5, 8)
    map_ = districts(
        ("A", box, "base", old),
        ("A", box, "base", None),
        ("A", (0, 0, 5, 5), "base", new),
        ("H", (0, 0, 4, 4), "overlay"),
    )
    found = told(shares(lots(box), map_), "facet", "code", "rank", "fraction", "effective")
    assert found == [("base", "A", 1, 1.0, new), ("overlay", "H", 1, 0.16, None)]


@pytest.mark.parametrize("parcels", [lots(), lots((0, 0, 1, 1)), lots(shapely.MultiPolygon())])
@pytest.mark.parametrize("map_", [districts(), districts((None, (0, 0, 9, 9))), districts(("A", (1, 0, 9, 9)))])
def test_what_shares_no_ground_has_no_row(parcels, map_):
    """No map, no parcels, no code, a parcel without ground, a boundary that only touches."""
    assert shares(parcels, map_).empty
