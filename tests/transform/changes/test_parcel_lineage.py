"""What became of the parcels is read from the ground, whatever their ids say."""

from itertools import pairwise
from random import Random

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import shared_data
from zoning_assets.transform.changes import parcel_lineage
from zoning_assets.transform.geometry import crs

TOLERANCE_M = 2.0
MIRRORED = {"split": "merged", "merged": "split", "added": "retired", "retired": "added"}


def parcels(**shapes):
    return gpd.GeoDataFrame({"key": list(shapes)}, geometry=[shapely.box(*box) for box in shapes.values()])


def trace(before, after, tolerance_m=TOLERANCE_M):
    return parcel_lineage.trace(before, after, tolerance_m)


def events(before, after):
    """(kind, parents, children) of each event, keys as words."""
    found = trace(parcels(**before), parcels(**after))
    return [
        (kind, " ".join(p), " ".join(c)) for kind, p, c in zip(found.kind, found.parents, found.children, strict=True)
    ]


# One example of each kind; metres, west south east north


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"a": (0, 0, 20, 30)}, {"b": (0, 0, 20, 30)}, ("renumbered", "a", "b")),
        ({"a": (0, 0, 40, 30)}, {"b": (0, 0, 20, 30), "c": (20, 0, 40, 30)}, ("split", "a", "b c")),
        ({"a": (0, 0, 40, 30)}, {"a": (0, 0, 20, 30), "c": (20, 0, 40, 30)}, ("split", "a", "a c")),
        ({"b": (0, 0, 20, 30), "c": (20, 0, 40, 30)}, {"b": (0, 0, 40, 30)}, ("merged", "b c", "b")),
        (
            {"a": (0, 0, 20, 30), "b": (20, 0, 40, 30)},
            {"a": (0, 0, 23, 30), "b": (23, 0, 40, 30)},
            ("adjusted", "a b", "a b"),
        ),
        (
            {"a": (0, 0, 20, 30), "b": (20, 0, 40, 30)},
            {"c": (0, 0, 40, 15), "d": (0, 15, 40, 30)},
            ("replatted", "a b", "c d"),
        ),
        ({"a": (0, 0, 20, 30)}, {"a": (0, 0, 20, 33)}, ("reshaped", "a", "a")),
        ({"road": (0, 0, 10, 10)}, {"road": (0, 0, 10, 10_000)}, ("reshaped", "road", "road")),
        ({}, {"a": (0, 0, 20, 30)}, ("added", "", "a")),
        ({"a": (0, 0, 20, 30)}, {}, ("retired", "a", "")),
    ],
)
def test_each_kind(before, after, wanted):
    assert events(before, after) == [wanted]


def test_a_strip_thinner_than_the_tolerance_is_noise_and_a_wider_one_is_not():
    before = {"a": (0, 0, 20, 30), "b": (20, 0, 40, 30)}
    assert events(before, {"a": (0, 0, 21.9, 30), "b": (21.9, 0, 40, 30)}) == []
    assert events(before, {"a": (0, 0, 22.1, 30), "b": (22.1, 0, 40, 30)}) == [("adjusted", "a b", "a b")]
    assert events(before, {"c": (0, 0, 21.9, 30), "d": (21.9, 0, 40, 30)}) == [
        ("renumbered", "a", "c"),
        ("renumbered", "b", "d"),
    ]


def test_the_figures_are_evidence():
    before = parcels(a=(0, 0, 20, 30), b=(20, 0, 40, 30))
    (event,) = trace(before, parcels(a=(0, 0, 24, 30), b=(24, 0, 40, 20))).itertuples()
    assert (event.kind, event.before_m2, event.after_m2) == ("adjusted", 1200, 1040)
    assert (event.overlap_m2, event.passed_m2) == (1040, 120)
    assert event.score == pytest.approx((4 * 30 + 16 * 20) / 600, abs=1e-4)


def test_an_id_that_stands_on_other_ground_proves_nothing():
    """The lots of a block exchange their numbers, and a retired number comes back far away."""
    before = parcels(a=(0, 0, 20, 30), b=(20, 0, 40, 30), c=(40, 0, 60, 30), z=(90, 0, 110, 30))
    after = parcels(b=(0, 0, 20, 30), c=(20, 0, 40, 30), a=(40, 0, 60, 30), z=(900, 0, 920, 30))
    found = trace(before, after)
    assert list(zip(found.kind, found.parents, found.children, found.reused, strict=True)) == [
        ("added", (), ("z",), ("z",)),
        ("renumbered", ("a",), ("b",), ("a", "b")),
        ("renumbered", ("b",), ("c",), ("b", "c")),
        ("renumbered", ("c",), ("a",), ("a", "c")),
        ("retired", ("z",), (), ("z",)),
    ]
    assert found.score.tolist() == [1.0] * 5


def test_lots_thinner_than_the_tolerance_have_a_lineage_too():
    alleys = {"a": (0, 0, 1.5, 30), "b": (1.5, 0, 20, 30)}
    assert events(alleys, {"c": (0, 0, 1.5, 30), "b": (1.5, 0, 20, 30)}) == [("renumbered", "a", "c")]
    assert events(alleys, {"a": (1.4, 0, 2.9, 30), "b": (2.9, 0, 20, 30)}) == []
    assert events(alleys, {"a": (300, 0, 301.5, 30), "b": (1.5, 0, 20, 30)}) == [
        ("added", "", "a"),
        ("retired", "a", ""),
    ]


def test_a_new_number_needs_most_of_the_ground():
    assert events({"a": (0, 0, 20, 30)}, {"b": (14, 0, 80, 30)}) == [("replatted", "a", "b")]


def test_streets_kept_as_one_parcel_do_not_tie_events_together():
    """Two lots far apart become street: each is retired, and who holds the ground now is said."""
    before = parcels(a=(0, 10, 20, 20), b=(9000, 10, 9020, 20), road=(0, 0, 10_000, 10))
    after = before[before.key == "road"].assign(geometry=[shapely.union_all(before.geometry)])
    found = trace(before, after)
    assert found.kind.tolist() == ["retired", "retired", "reshaped"]
    assert found.holders.tolist() == [("road",), ("road",), ()]
    assert found.score.tolist()[:2] == [0.0, 0.0]


# Stacked lots


GROUND = (0, 0, 20, 30)


def test_a_stack_is_one_piece_of_ground():
    units = dict.fromkeys(("u1", "u2", "u3"), GROUND)
    assert events({"a": GROUND}, units) == [("split", "a", "u1 u2 u3")]
    assert events(units, {"a": GROUND}) == [("merged", "u1 u2 u3", "a")]
    assert events(units, units) == []
    assert events(units, dict.fromkeys(("v1", "v2", "v3"), GROUND)) == [("replatted", "u1 u2 u3", "v1 v2 v3")]
    assert events(units, dict.fromkeys(("u1", "u2", "v3"), GROUND)) == [("renumbered", "u3", "v3")]
    assert events(units, dict.fromkeys(units, (0, 0, 20, 40))) == [("reshaped", "u1 u2 u3", "u1 u2 u3")]


def test_a_unit_that_joins_or_leaves_a_stack_has_no_ground_of_its_own():
    units = parcels(**dict.fromkeys(("u1", "u2"), GROUND))
    (event,) = trace(units, parcels(u1=GROUND)).itertuples()
    assert (event.kind, event.parents, event.score, event.holders) == ("retired", ("u2",), 0.0, ("u1",))
    (event,) = trace(parcels(u1=GROUND), units).itertuples()
    assert (event.kind, event.children, event.score, event.holders) == ("added", ("u2",), 0.0, ("u1",))


def test_a_tower_of_a_thousand_units_takes_no_million_overlaps():
    before = parcels(**{f"u{n}": GROUND for n in range(1000)})
    (event,) = trace(before, before.assign(key="n" + before["key"])).itertuples()
    assert (event.kind, event.before_m2, event.score) == ("replatted", 600, 1.0)


# Properties


@st.composite
def platted(draw, *, narrowest=1):
    """Lots side by side, some perhaps missing, under letters of chance; and perhaps a row behind."""
    lots = {}
    letters = draw(st.permutations("abcdefghijklmnop"))
    for south in draw(st.sampled_from(((0,), (0, 30)))):
        cuts = draw(st.lists(st.integers(0, 60 // narrowest), min_size=2, max_size=7, unique=True))
        edges = [cut * narrowest for cut in sorted(cuts)]
        boxes = [(west, south, east, south + 30) for west, east in pairwise(edges)]
        lots |= {letters.pop(): box for box in boxes if draw(st.integers(0, 9))}
    return parcels(**lots)


@given(platted(), platted(), st.randoms())
def test_the_order_of_rows_and_corners_does_not_matter(before, after, random):
    def shuffled(table):
        rows = random.sample(range(len(table)), len(table))
        return table.iloc[rows].assign(geometry=[turned(shape, random) for shape in table.geometry.iloc[rows]])

    pd.testing.assert_frame_equal(trace(before, after), trace(shuffled(before), shuffled(after)))


def turned(shape, random: Random):
    corners = list(shape.exterior.coords)[:-1]
    at = random.randrange(len(corners))
    return shapely.Polygon(corners[at:] + corners[:at])


@given(platted(), platted())
def test_backwards_a_split_is_a_merger(before, after):
    there, back = trace(before, after), trace(after, before)
    mirrored = there.assign(
        kind=there.kind.replace(MIRRORED),
        parents=there.children,
        children=there.parents,
        before_m2=there.after_m2,
        after_m2=there.before_m2,
    )
    order = ["parents", "children"]
    mirrored, back = (t.sort_values(order, ignore_index=True) for t in (mirrored, back))
    pd.testing.assert_frame_equal(mirrored, back, atol=1e-3)


@given(platted(), platted())
def test_no_parcel_is_lost_and_none_is_told_of_twice(before, after):
    found = trace(before, after)
    for side, other, column in ((before, after, found.parents), (after, before, found.children)):
        told = [key for keys in column for key in keys]
        assert len(told) == len(set(told))
        assert set(side.key) - set(other.key) <= set(told) <= set(side.key)
    assert found.score.between(0, 1).all()


@given(platted(), st.randoms())
def test_the_same_parcels_give_nothing(lots, random):
    again = lots.assign(geometry=[turned(shape, random) for shape in lots.geometry])
    assert trace(lots, again).empty
    assert trace(lots, again).columns.tolist() == list(parcel_lineage.COLUMNS)


@example(parcels(p=(0, 0, 1, 30)), 1.25, 1.9921875)  # between two corners of the circle about a corner
@given(platted(), st.floats(0, 2 * np.pi), st.floats(0, TOLERANCE_M * 0.999))
def test_a_layer_moved_by_less_than_the_tolerance_has_not_changed(lots, angle, metres):
    moved = lots.assign(geometry=lots.translate(metres * np.cos(angle), metres * np.sin(angle)))
    assert trace(lots, moved).empty


@given(platted(narrowest=5), st.floats(0, 2 * np.pi), st.floats(0, TOLERANCE_M * 0.999))
def test_renumbered_and_moved_it_is_renumbered(lots, angle, metres):
    shapes = lots.translate(metres * np.cos(angle), metres * np.sin(angle))
    found = trace(lots, lots.assign(key=[f"n{key}" for key in lots["key"]], geometry=shapes))
    assert set(found.kind) <= {"renumbered"}
    assert dict(zip(found.parents, found.children, strict=True)) == {(key,): (f"n{key}",) for key in lots["key"]}


# The frame and the caller


def test_the_callers_tables_are_left_alone():
    before = parcels(a=(0, 0, 20, 30))
    bow_tie = before.assign(key="b", geometry=[shapely.Polygon([(0, 0), (20, 30), (20, 0), (0, 30)])])
    copies = before.copy(), bow_tie.copy()
    trace(before, bow_tie)
    for table, copy in zip((before, bow_tie), copies, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_a_repeated_key_is_refused():
    twice = pd.concat([parcels(a=(0, 0, 20, 30))] * 2)
    with pytest.raises(ValueError, match="the key a is repeated"):
        trace(twice, twice)


# Real data


@pytest.mark.slow
def test_every_key_that_came_or_went_in_cambridge_is_told_of():
    """FY2013 to FY2014; each release lies on its own grid of 0.8 m, so that all but a few shapes differ in a bit."""
    folder = shared_data.cambridge()
    before = metric(folder / "parcels_FY2013_2249.gpkg")
    after = metric(f"zip://{folder}/parcels_FY2014_2249_shp.zip")
    found = trace(before, after)
    told = [{key for keys in column for key in keys} for column in (found.parents, found.children)]
    gone, come = set(before.key) - set(after.key), set(after.key) - set(before.key)
    assert (len(gone), len(come)) == (95, 52)
    assert gone <= told[0]
    assert come <= told[1]
    counts = found.kind.value_counts()
    assert counts.sum() < 80
    assert counts[["merged", "split", "renumbered", "added"]].tolist() == [25, 4, 4, 2]
    kinds = {parents: kind for kind, parents in zip(found.kind, found.parents, strict=True)}
    assert kinds["140-124", "140-72", "140-73", "140-74"] == "merged"
    assert kinds["238-65",] == "split"
    assert kinds["269.5-100",] == "renumbered"
    assert kinds["80-147", "80-165"] == "adjusted"


def metric(path):
    rows = gpd.read_file(path)[["ML", "geometry"]].rename(columns={"ML": "key"})
    rows = rows[rows.key.notna() & ~rows.is_empty & rows.geometry.notna()]
    rows = rows.set_geometry(rows.make_valid()).dissolve("key").reset_index()
    frame = crs.metric_frame((-71.17, 42.34, -71.06, 42.41))
    return rows.set_geometry(crs.reproject(rows.geometry.to_numpy(), "EPSG:2249", frame), crs=frame)
