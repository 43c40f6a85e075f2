"""A release is judged as a whole: what is told, what is only looked at again, and what is not believed."""

import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.transform.maps import CELLS, GAPPED, SIDE, districts, few, grid, ground, lots, moved, shuffled, told
from zoning_assets.transform.changes import change_event
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.changes.zoning_changes import detect_zoning_changes

TOWN = [["A", "B", "C", "D"] * 2, ["D", "C", "B", "A"] * 2] * 4
#: One lot for each cell of a small grid, and four for each of the town.
SMALL = lots(*[(x, y, x + SIDE, y + SIDE) for x in range(0, 120, SIDE) for y in range(0, 120, SIDE)])
LOTS = lots(*[(x, y, x + 20, y + 20) for x in range(0, 320, 20) for y in range(0, 320, 20)])
PLAIN = ("kind", "state", "facet", "parcel_ids", "old", "new")


def spelled(map_, how):
    return map_.assign(code_local=pd.Series([code and how(code) for code in map_["code"]], dtype=object))


@given(GAPPED)
@few
def test_a_first_publication_and_the_same_map_give_no_change(cells):
    for before in (districts(), grid(cells)):
        assert detect_zoning_changes(SMALL, before, grid(cells)).changes.empty


@given(CELLS, CELLS, st.randoms())
@few
def test_ids_do_not_depend_on_the_order_of_rows(one, two, random):
    """Another order of parcels and of both maps: the same changes, to the letter; and no id twice."""
    before, after = grid(one), grid(two)
    again = detect_zoning_changes(shuffled(SMALL, random), shuffled(before, random), shuffled(after, random))
    found = detect_zoning_changes(SMALL, before, after)
    assert told(again.changes, "id", "evidence", *PLAIN) == told(found.changes, "id", "evidence", *PLAIN)
    assert found.changes["id"].is_unique


@given(CELLS, CELLS, st.floats(0, 2))
@few
def test_no_ground_is_both_told_and_to_be_reviewed(one, two, east_m):
    judged = detect_zoning_changes(SMALL, grid(one), moved(grid(two), east_m))
    located = judged.changes[judged.changes["geometry"].notna()]
    event, review = (ground(located, state=state) for state in ("event", "review"))
    assert event.intersection(review).area < 0.1


def test_a_town_that_was_drawn_anew_a_metre_aside_is_one_event_and_the_strips_are_kept():
    judged = detect_zoning_changes(LOTS, grid(TOWN), moved(grid(TOWN), 1.0))
    assert judged.alarms == ()
    assert set(told(judged.changes, "kind", "state")) <= {("redrawn", "event")} | {
        (kind, "review") for kind in ("rezoned", "partly_rezoned")
    }
    strips = judged.changes[judged.changes["state"] == "review"]
    assert strips["area_m2"].sum() == pytest.approx(8 * 320, rel=0.01)  # 7 boundaries within the town, and its edge


def test_a_respelled_map_has_one_change_a_code_and_none_of_ground():
    """`A` is `a.` now; what a code is compared by did not change."""
    judged = detect_zoning_changes(LOTS, grid(TOWN), spelled(grid(TOWN), lambda code: code.lower() + "."))
    assert told(judged.changes.sort_values("old"), "kind", "old", "new") == [
        ("recoded", code, code.lower() + ".") for code in "ABCD"
    ]


def test_a_renamed_code_is_one_change_too():
    renamed = [[{"A": "RES"}.get(code, code) for code in row] for row in TOWN]
    judged = detect_zoning_changes(LOTS, grid(TOWN), grid(renamed))
    assert told(judged.changes, *PLAIN) == [("recoded", "event", "base", [], "A", "RES")]


def test_an_overlay_that_comes_is_not_another_spelling_of_the_base_below():
    """`B/H` says B and H; H was known, of other ground: no code is spelled in another way."""
    h_was, h_now = ("H", (0, 0, 20, 20), "overlay", None, "A/H"), ("H", (40, 0, 60, 20), "overlay", None, "B/H")
    before, after = grid(TOWN), grid(TOWN)
    before.loc[0, "code_local"] = after.loc[0, "code_local"] = "A/H"
    after.loc[1, "code_local"] = "B/H"
    before, after = (
        pd.concat([side, districts(*more)], ignore_index=True)
        for side, more in ((before, [h_was]), (after, [h_was, h_now]))
    )
    key = LOTS["key"][LOTS.geometry.intersects(shapely.Point(50, 10))].iloc[0]
    judged = detect_zoning_changes(LOTS, before, after)
    assert told(judged.changes, *PLAIN) == [("overlay_added", "event", "overlay", [key], None, "H")]


def test_each_overlay_of_a_lot_is_a_change_of_its_own():
    box = (0, 0, 40, 40)
    before = pd.concat([grid(TOWN), districts(("H", box, "overlay"))], ignore_index=True)
    after = pd.concat([grid(TOWN), districts(("T", box, "overlay"), ("F", box, "overlay"))], ignore_index=True)
    found = detect_zoning_changes(lots(box), grid(TOWN), after).changes
    assert {row[1:] for row in told(found, "kind", "old", "new")} == {(None, "T"), (None, "F")}
    found = detect_zoning_changes(lots(box), before, after).changes
    assert set(told(found, "kind", "old", "new")) == {("overlay_changed", "H", "T"), ("overlay_changed", "H", "F")}


def test_a_map_joined_by_code_is_no_alarm_and_no_change():
    """A layer of lots with codes becomes one of districts: nearly all boundaries are gone, none that meant anything."""
    fine = grid([[TOWN[y // 8][x // 8] for x in range(64)] for y in range(64)], side=20)
    joined = fine.dissolve(["facet", "code"], as_index=False)
    judged = detect_zoning_changes(LOTS, fine, joined)
    assert (judged.alarms, told(judged.changes, *PLAIN)) == ((), [])


def _cut(map_):
    return map_.iloc[: len(map_) // 2]


def _one(map_):
    return map_.assign(code="A")


def _other_column(map_):
    return map_.assign(code=[f"FID {i}" for i in range(len(map_))])


def _aside(map_):
    return moved(map_, 217)


def _nameless(map_):
    return map_.assign(code=pd.Series([None] * len(map_), dtype=object))


def _gone(map_):
    return map_.iloc[:0]


@pytest.mark.parametrize("harm", [_cut, _one, _other_column, _aside, _nameless, _gone])
def test_a_broken_map_gives_an_alarm_and_no_change(harm):
    """Truncated, one code, other columns, moved by 200 m, without codes, empty."""
    judged = detect_zoning_changes(LOTS, grid(TOWN), harm(grid(TOWN)))
    assert judged.alarms
    assert judged.changes.empty


def test_a_lot_that_is_split_within_a_district_is_a_split_and_no_rezoning():
    before, after = (
        lots(a=(0, 0, 20, 20), z=(20, 0, 40, 20)),
        lots(b=(0, 0, 10, 20), c=(10, 0, 20, 20), z=(20, 0, 40, 20)),
    )
    assert told(detect_parcel_changes(before, after, has_own_codes=False).changes, "kind", "old", "new") == [
        ("split", "a", "b, c")
    ]
    assert detect_zoning_changes(after, grid(TOWN), grid(TOWN)).changes.empty


def test_a_lot_line_that_moved_among_many_that_did_not_is_told():
    """The lots that stayed say that nobody drew the layer anew; without them 3 m would look like drift."""
    before, after = lots(a=(0, 0, 20, 30), b=(20, 0, 40, 30)), lots(a=(0, 0, 23, 30), b=(23, 0, 40, 30))
    assert told(detect_parcel_changes(before, after, has_own_codes=False, same=500).changes, "kind") == [("adjusted",)]


def test_a_town_without_a_map_tells_what_its_parcels_say():
    before = lots(a=(0, 0, 20, 20), b=(20, 0, 40, 20), c=(40, 0, 60, 20)).assign(zoning_code=["A", "B", None])
    after = before.assign(zoning_code=["A2", "B", "C"], content_hash=["x", "y", "z"])
    assert told(detect_parcel_changes(before, after, has_own_codes=True).changes, *PLAIN) == [
        ("rezoned", "event", "base", ["a"], "A", "A2")
    ]
    assert detect_parcel_changes(before, after, has_own_codes=False).changes.empty
    assert change_event.no_changes().columns.tolist() == list(change_event.COLUMNS)
