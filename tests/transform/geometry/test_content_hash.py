"""What is equal is equal whatever way it is written, and what differs differs."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import orjson
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from tests.transform.strategies import GRID, Lot, lots
from zoning_assets.transform.geometry import content_hash, validity

randoms = st.randoms(use_true_random=False)


def hash_of(*shapes: shapely.Geometry) -> list[str]:
    """The hashes of rows that have these shapes and are alike in everything else."""
    array = np.array(shapes, dtype=object)
    return content_hash.content_hashes([["key"] * len(array)], validity.repair_shapes(array, GRID).geometry)


@given(lots(), randoms)
def test_a_shape_written_otherwise_is_the_same_shape(lot, random):
    """Another first corner, direction, order of parts and holes, or a corner said twice changes no hash."""
    assert hash_of(lot.respelled(random)) == hash_of(lot.shape())


@given(lots(), randoms)
def test_noise_below_the_grid_is_no_change(lot, random):
    """Coordinates that moved by less than half a step of the grid are the same coordinates."""
    assert hash_of(lot.respelled(random, noise=0.3)) == hash_of(lot.shape())


@given(lots(), st.integers(0, 50), st.sampled_from([(1, 0), (0, 1), (-1, -1), (40, 7)]))
def test_a_moved_corner_is_a_change(lot, corner, step):
    """A corner that moved by one step of the grid gives another hash."""
    assert hash_of(lot.moved(corner, *step).shape()) != hash_of(lot.shape())


@given(lots())
def test_a_lost_hole_or_part_is_a_change(lot):
    """Filling a hole or losing a part gives another hash."""
    (shell, holes), *others = lot.parts
    assert holes == [] or hash_of(Lot([(shell, holes[1:]), *others]).shape()) != hash_of(lot.shape())
    assert others == [] or hash_of(Lot(others).shape()) != hash_of(lot.shape())


@given(st.lists(lots(), min_size=1, max_size=5), randoms)
def test_the_order_of_rows_is_no_content(many, random):
    """A page in another order has the same set of hashes, and a row more or less has another."""
    hashes = hash_of(*(lot.shape() for lot in many))
    shuffled = random.sample(hashes, len(hashes))
    assert content_hash.set_hash(shuffled) == content_hash.set_hash(iter(hashes))
    assert content_hash.set_hash(hashes[1:]) != content_hash.set_hash(hashes)
    assert content_hash.set_hash([*hashes, hashes[0]]) != content_hash.set_hash(hashes)


@given(lots(), randoms)
def test_the_canonical_form_is_its_own(lot, random):
    """Making a canonical shape canonical changes no byte of it."""
    once = content_hash.normal(content_hash.on_grid(np.array([lot.respelled(random, noise=0.3)]), GRID))
    twice = content_hash.normal(content_hash.on_grid(once, GRID))
    assert shapely.to_wkb(once[0]) == shapely.to_wkb(twice[0])
    assert shapely.to_wkb(content_hash.normal(twice)[0]) == shapely.to_wkb(once[0])


@given(lots())
def test_heights_and_measures_are_no_content(lot):
    """z is left behind, and a coordinate of minus zero is zero."""
    flat = np.array([lot.shape()])
    assert hash_of(shapely.force_3d(flat, 7.0)[0]) == hash_of(*flat)
    assert not np.signbit(
        shapely.get_coordinates(content_hash.on_grid(np.array([shapely.Point(-1e-12, 0)]), GRID))
    ).any()


@pytest.mark.parametrize(
    ("raw", "canonical_value"),
    [
        ("  R-1 ", "R-1"),
        ("", None),
        (" \t\n", None),
        ("\x00", None),
        ("R\x00-1", "R-1"),
        ("\ud800x", "?x"),
        ("R1", "R1"),
        (1.0, 1),
        (-0.0, 0),
        (0.1 + 0.2, 0.3),
        (1e300, 1e300),
        (float("nan"), None),
        (float("inf"), None),
        (True, True),
        (2**53 + 1, 2**53 + 1),
        (2**80, str(2**80)),
        (Decimal("12.50"), 12.5),
        (Decimal("3.00"), 3),
        (None, None),
        (b"\x01\xff", "01ff"),
    ],
)
def test_a_value_has_one_form(raw, canonical_value):
    """Blanks, whole floats, float noise, no-numbers and bytes have one stated form each."""
    found = content_hash.value(raw)
    assert found == canonical_value
    assert type(found) is type(canonical_value)


DAY, TEN = datetime(2014, 1, 2, tzinfo=UTC), datetime(2014, 1, 2, 10, 30, tzinfo=UTC)
MIDNIGHT = ["2014-01-02", "2014/01/02", "2014-01-02T00:00:00", "2014/01/02 00:00:00.000", "2014-01-02T00:00:00Z"]
MIDNIGHT += ["2014/01/02 00:00:00+00", DAY.date(), DAY, DAY.replace(tzinfo=None)]
MORNING = [
    "2014-01-02T10:30:00Z",
    "2014/01/02 10:30:00+00",
    "2014-01-02 10:30:00.000+00:00",
    "2014-01-02T10:30+0000",
    TEN,
]
EASTERN = ["2014-01-02T10:30:00-05:00", "2014/01/02 10:30:00-05", "2014-01-02 10:30:00.0-0500"]
EASTERN += [TEN.replace(tzinfo=timezone(timedelta(hours=-5)))]
LOCAL = ["2014-01-02T10:30:00", "2014/01/02 10:30:00.000", "2014-01-02 10:30", TEN.replace(tzinfo=None)]


@pytest.mark.parametrize(
    ("spellings", "one"),
    [
        (MIDNIGHT, "2014-01-02"),
        (MORNING, "2014-01-02T10:30:00Z"),
        (EASTERN, "2014-01-02T10:30:00-05:00"),
        (LOCAL, "2014-01-02T10:30:00"),
    ],
    ids=["midnight", "morning", "eastern", "local"],
)
def test_a_date_has_one_spelling(spellings, one):
    """However a file format or a server writes a moment, it is the same moment; with a zone or without is not."""
    assert {content_hash.value(spelling) for spelling in spellings} == {one}


@pytest.mark.parametrize("text", ["2014-01-02x", "12-1234-56", "2014-1-2", "1234-56", "2014-01-02T10:30:00.125Z"])
def test_what_only_looks_like_a_date_stays(text):
    """Parcel numbers with hyphens are not mended into dates, and parts of a second are kept."""
    assert content_hash.value(text) == text


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        (-2208988800000, "1900-01-01"),
        (0, "1970-01-01"),
        (1388658600000.0, "2014-01-02T10:30:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_are_moments_before_1970_too(raw, moment):
    """A portal's epoch milliseconds are moments in UTC, negative ones included."""
    assert content_hash.value(content_hash.epoch_ms(raw)) == moment


@pytest.mark.parametrize("raw", [None, "2014", 9e15, -(2**62), float("nan")])
def test_milliseconds_that_are_no_moment_stay(raw):
    """What cannot be a moment is handed on, not lost and not an error."""
    found = content_hash.epoch_ms(raw)
    assert found == raw or (raw != raw and found != found)  # noqa: PLR0124 - NaN


texts = st.text(st.characters(exclude_categories=[]), max_size=20)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.dates(), st.datetimes(), st.binary(max_size=5)
)


@given(scalars)
@example("2014/01/02 10:30:00+00")
@example("\x00 2014/01/02")
def test_the_canonical_value_is_its_own(raw):
    """Making a canonical value canonical changes nothing, and it always goes into JSON and comes out the same."""
    once = content_hash.value(raw)
    assert content_hash.value(once) == once
    assert orjson.loads(content_hash.dumps({"a": once}))["a"] == once


@given(st.dictionaries(st.text("abcXY_", max_size=5), scalars, max_size=6), randoms)
def test_the_order_of_keys_is_no_content(attributes, random):
    """The same attributes in another order are the same text."""
    cleaned = {name: content_hash.value(raw) for name, raw in attributes.items()}
    shuffled = {name: cleaned[name] for name in random.sample(sorted(cleaned), len(cleaned))}
    assert content_hash.dumps(shuffled) == content_hash.dumps(cleaned)


@given(st.text(alphabet='\\u0\x00"a', max_size=12))
@example("C:\\u0000")
def test_attributes_are_json_without_nul(text):
    """NUL, which PostgreSQL refuses, is left out everywhere; a backslash that only resembles it is kept."""
    found = orjson.loads(content_hash.dumps({"a": [text]}))
    assert found == {"a": [text.replace("\x00", "")]}


@given(lots(), st.integers(0, 2))
def test_a_changed_value_is_a_change(lot, column):
    """Another value in any column gives another hash, and so does the same value in another column."""
    shape, columns = np.array([lot.shape()]), [["R-1"], ["101"], [None]]
    other = [*columns[:column], ["R-2"], *columns[column + 1 :]]
    hashes = [content_hash.content_hashes(each, shape) for each in (columns, other, columns[::-1])]
    assert len({each[0] for each in hashes}) == 3
