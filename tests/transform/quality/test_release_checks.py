"""Profiles add up; a limit follows the usual value; a worse release never passes a check that a better one fails."""

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.model import PARCELS, TRIPWIRES, ZONING, Counts, Place
from zoning_assets.pipeline.part_release import earlier_profile
from zoning_assets.transform.geometry.crs import metric_frame
from zoning_assets.transform.quality import release_checks, release_profile
from zoning_assets.transform.quality.release_checks import CHECKS, ENOUGH, CheckFinding, check_release, limit_of
from zoning_assets.transform.quality.release_metrics import Measure, ReleaseCandidate, measure_release
from zoning_assets.transform.quality.release_profile import (
    CodeTotals,
    ReleaseProfile,
    compare_with_published,
    profile_rows,
)

BOUNDS = (-71.2, 42.3, -71.0, 42.5)
FRAME = metric_frame(BOUNDS)
CODES = ("R-1", "R-2", "C-1", None)


def lots(count: int, seed: int) -> gpd.GeoDataFrame:
    """Some accepted rows."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-71.15, -71.05, count), rng.uniform(42.35, 42.45, count)
    return gpd.GeoDataFrame(
        {
            "key": [f"{seed}-{n}" for n in range(count)],
            "zoning_code": pd.Series([CODES[n] for n in rng.integers(0, 4, count)], dtype=object),
            "land_use": ["101"] * count,
            "address": [f"{n} ELM ST" for n in range(count)],
            "content_hash": [f"{n:064x}" for n in rng.permutation(count)],
            "area_m2": rng.integers(1, 4000, count).astype(float),
        },
        geometry=shapely.box(x, y, x + 0.001, y + 0.001),
    )


def seen(rows: gpd.GeoDataFrame, reasons: list[str]) -> ReleaseProfile:
    counts = Counts(fetched=len(rows) + len(reasons), accepted=len(rows), rejected=len(reasons))
    return profile_rows(rows, PARCELS, counts, reasons)


@given(st.integers(1, 60), st.lists(st.integers(0, 60), max_size=4), st.randoms())
def test_profiles_add_up_however_tiles_are_cut(count: int, cuts: list[int], random) -> None:
    """The profiles of any parts, added in any order, equal the profile of the whole."""
    rows = lots(count, 7)
    shuffled = rows.iloc[random.sample(range(count), count)]
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    parts = [seen(shuffled.iloc[a:b], ["null_key"] * (b - a)) for a, b in pairwise(edges)]
    random.shuffle(parts)
    assert sum(parts, ReleaseProfile()) == seen(rows, ["null_key"] * count)


@given(st.sets(st.text(max_size=3), max_size=40), st.integers(1, 10), st.randoms())
def test_what_is_kept_of_many_codes_is_the_same_however_they_are_cut(codes: set[str], most: int, random) -> None:
    """A column mistaken for the codes has as many values as rows: a bounded number is kept, always the same ones, with
    exact sums.
    """
    whole = {code: CodeTotals(len(code) + 1, 1.0, 0, 0, 1, 1) for code in codes}
    parts = [{code: ground for code, ground in whole.items() if random.random() < 0.5} for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_profile, "MOST_CODES", most)
        joined = sum(
            (ReleaseProfile(codes=release_profile.limit_codes(part)) for part in parts), ReleaseProfile()
        ).codes
        all_parts = [code for part in parts for code in part]
        assert set(joined) == set(release_profile.limit_codes({code: whole[code] for code in all_parts}))
    for code, ground in joined.items():
        assert ground.rows == whole[code].rows * all_parts.count(code)


def test_a_profile_is_stored_whole() -> None:
    """Through JSON and back."""
    was = seen(lots(30, 1), ["curve"]) + ReleaseProfile(moves={"a": (1.0, 2.0)}, taken={"a<b": 1}, fields=("A", "B"))
    assert ReleaseProfile.of(json.loads(json.dumps(was.as_dict()))) == was


def beside(old: pd.DataFrame, new: pd.DataFrame) -> ReleaseProfile:
    return compare_with_published(old, new, len(new) * 2, "EPSG:4326", FRAME)


def test_what_changed_is_told_by_column_and_in_metres() -> None:
    """Another spelling is no change, an empty value cannot change, and a shift is measured in metres."""
    old = lots(40, 3)
    respelled = old.assign(
        zoning_code=pd.Series([code and code.replace("-", "") for code in old["zoning_code"]], dtype=object),
        address=[each.lower() for each in old["address"]],
    )
    assert beside(old, respelled).changed == {}
    swapped = beside(old, old.assign(address=old["land_use"], land_use=old["address"]))
    assert swapped.changed == {"land_use": 40, "address": 40}
    assert swapped.taken == {"land_use<address": 40, "address<land_use": 40}
    in_metres = old.set_crs(4326).to_crs(FRAME)
    moved = in_metres.set_geometry(in_metres.translate(200, 0)).to_crs(4326)
    share, together_m = release_profile.shift_m(beside(old, moved).moves)
    assert share == 1.0
    assert together_m == pytest.approx(200, abs=0.1)


def test_lots_that_are_redrawn_each_their_own_way_have_not_moved_together() -> None:
    """The median of moves in random directions is near zero."""
    rng = np.random.default_rng(1)
    moves = {str(n): (float(dx), float(dy)) for n, (dx, dy) in enumerate(rng.normal(0, 10, (400, 2)))}
    share, together_m = release_profile.shift_m(moves)
    assert share == 1.0
    assert together_m < 2


def word(name: str, measure: Measure, past: list[dict[str, float]], standing: int = 0) -> CheckFinding:
    """The finding of one check on parcels."""
    found = {each.name: each for each in check_release({name: measure}, past, {}, feed=PARCELS, published=standing)}
    assert {other for other, each in found.items() if each.value is None} == {*found} - {name}
    return found[name]


VALUES = st.dictionaries(st.sampled_from(TRIPWIRES), st.floats(0, 1), min_size=1)


@given(VALUES, st.lists(VALUES, max_size=12), st.floats(0, 1))
def test_more_of_what_is_wrong_is_never_less_suspicious(
    values: dict[str, float], past: list[dict[str, float]], more: float
) -> None:
    low, high = (
        {each.name for each in check_release(side, past, {}, feed=PARCELS) if each.tripped}
        for side in (
            {name: Measure(value) for name, value in values.items()},
            {name: Measure(value + more) for name, value in values.items()},
        )
    )
    assert low <= high


@given(VALUES, st.lists(VALUES, max_size=12), st.floats(0, 2), st.floats(0, 2))
def test_a_higher_limit_in_the_file_is_never_stricter(
    values: dict[str, float], past: list[dict[str, float]], one: float, other: float
) -> None:
    measured = {name: Measure(value) for name, value in values.items()}
    strict, lenient = (
        {
            each.name
            for each in check_release(measured, past, dict.fromkeys(TRIPWIRES, limit), feed=PARCELS)
            if each.tripped
        }
        for limit in sorted((one, other))
    )
    assert lenient <= strict


@given(st.lists(st.floats(0, 0.01), min_size=11, max_size=11), st.lists(st.floats(0, 1), max_size=5))
def test_a_few_wild_releases_do_not_move_the_limit(calm: list[float], wild: list[float]) -> None:
    """Median and MAD ignore a minority of outliers."""
    past = [{"mass_rezoning": value} for value in (*wild, *calm)]
    assert limit_of("mass_rezoning", past, {}) <= 0.01 + max(0.25, 10 * 1.4826 * 0.01)


def test_the_usual_is_the_jurisdictions_own() -> None:
    """A county that regenerates a third of its keys each month passes; in a county with stable keys that fails."""
    restless, quiet = ([{"key_turnover": share}] * ENOUGH for share in (0.33, 0.001))
    one, other = (word("key_turnover", Measure(0.34), past) for past in (restless, quiet))
    assert (one.tripped, other.tripped) == (False, True)
    assert one.usual == pytest.approx(0.33)


def test_few_rows_are_no_bad_release() -> None:
    """All lots of one tile may be rezoned in a larger town; all of them under other keys is suspicious."""
    for name, rows, standing, tripped in (
        ("mass_rezoning", 19, 30, False),
        ("mass_rezoning", 21, 30, True),
        ("mass_rezoning", 400, 10_000, False),
        ("mass_rezoning", 501, 10_000, True),
        ("key_turnover", 90, 10_000, False),
        ("key_turnover", 101, 10_000, True),
    ):
        assert word(name, Measure(1.0, rows), [], standing=standing).tripped == tripped


def test_a_level_is_compared_with_the_last_and_not_with_nothing() -> None:
    """A fifth of a county's rows never had a key: the check compares with the previous release."""
    for past, tripped in (([], False), ([{"bad_keys": 0.2}], False), ([{"bad_keys": 0.01}], True)):
        assert word("bad_keys", Measure(0.22), past).tripped == tripped


def measured_of(now: ReleaseProfile, was: ReleaseProfile, feed: str) -> dict[str, Measure]:
    """The metrics of a release whose codes are all known."""
    release = ReleaseCandidate(feed, now, was, known_codes=frozenset({*was.codes, *now.codes}), has_codes=True)
    return measure_release(release, BOUNDS, "EPSG:4326")


def side(codes: list[str]) -> ReleaseProfile:
    """The profile of one square of a hectare for each code."""
    return release_profile.profile_published((code, CodeTotals(1, 1e4, -71.15, 42.35, -71.14, 42.36)) for code in codes)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("count", [700, 1509, 2000, 10_000, 50_000])
@pytest.mark.parametrize("feed", [PARCELS, ZONING])
def test_however_many_codes_both_sides_are_measured_alike(count: int, feed: str) -> None:
    """One of many codes is replaced: count and variety stay the same, and the number of codes kept is bounded."""
    was, now = ([f"PD-{n}" for n in range(count)] for _ in range(2))
    now[count // 2] = "PD-NEW"
    before, after = side(was), side(now)
    assert max(len(before.codes), len(after.codes)) <= release_profile.MOST_CODES
    found = measured_of(after, before, feed)
    assert found["count_drop"].value == 0
    assert found["code_entropy"].value < 0.001
    assert feed == PARCELS or found["mass_rezoning"].value < 0.002


def test_many_codes_that_became_few_are_seen() -> None:
    """Addresses instead of codes, or the other way round: the variety is lost, or the codes are unknown."""
    many, few = side([f"{n} ELM ST" for n in range(50_000)]), side(["R-1", "R-2", "C-1", "C-2"] * 12_500)
    assert measured_of(few, many, PARCELS)["code_entropy"].value > 0.9
    strange = measure_release(
        ReleaseCandidate(PARCELS, many, few, known_codes=frozenset(), has_codes=True), BOUNDS, "EPSG:4326"
    )
    assert strange["unknown_codes"].value == 1.0


def test_spellings_of_a_code_are_one_however_many_there_are() -> None:
    """`PD 7` is `PD-7`: of very many codes, the same ones are kept in either spelling."""
    was, now = side([f"PD-{n}" for n in range(20_000)]), side([f"pd {n}" for n in range(20_000)])
    assert was == now


def test_what_some_tiles_had_is_usual_there() -> None:
    """A level that is high in these tiles alone trips only above what they had; a limit in the file counts as it is."""

    def trips(value: float, configured: dict[str, float] | None = None) -> bool:
        measured = {"bad_keys": Measure(value, 200, earlier=0.33)}
        found = check_release(measured, [{"bad_keys": 0.05}], configured or {}, feed=PARCELS, published=1000)
        return any(each.tripped for each in found)

    assert [trips(0.33), trips(0.42), trips(0.44)] == [False, False, True]
    assert trips(0.33, {"bad_keys": 0.2})


def test_a_first_release_has_nothing_to_compare_with() -> None:
    """Before the first release, comparisons are not made at all; they do not pass by comparing with 0 rows."""
    first = ReleaseProfile(fetched=300, accepted=300, rows=300)
    found = check_release(measure_release(ReleaseCandidate(PARCELS, first), BOUNDS, "EPSG:4326"), [], {}, feed=PARCELS)
    said = {each.name: each.sentence for each in found}
    for name in ("count_drop", "mass_rezoning", "shifted", "columns_changed", "code_entropy", "key_turnover"):
        assert said[name] == f"{name}: nothing to compare with"


def test_a_small_map_that_lost_ground_is_seen() -> None:
    """One of four districts is missing: there are too few codes to compare, but the area shows it."""
    assert measured_of(side(["A", "B", "C"]), side(["A", "B", "C", "D"]), ZONING)["count_drop"].value == 0.25


def test_a_map_that_grew_has_not_moved() -> None:
    """Annexed land moves one edge of a box; a wrong false easting moves all edges."""
    was = {str(n): CodeTotals(3, 1e5, -71.15 + n / 100, 42.35, -71.14 + n / 100, 42.36) for n in range(6)}
    grown = {code: ground._replace(east=ground.east + 0.01) for code, ground in was.items()}
    moved = {code: g._replace(west=g.west + 0.002, east=g.east + 0.002) for code, g in was.items()}
    for now, least, most in ((was, 0, 0), (grown, 0, 0), (moved, 150, 180)):
        found = measured_of(ReleaseProfile(rows=18, codes=now), ReleaseProfile(rows=18, codes=was), ZONING)
        assert least <= found["shifted"].value <= most


def test_every_tripwire_has_a_name_that_a_file_may_say() -> None:
    assert tuple(CHECKS) == TRIPWIRES


def test_a_part_of_which_nothing_is_known_has_the_limit_of_a_whole_release() -> None:
    """After a rollback no tile tells what it had; that is not the same as no bad row."""
    rolled_back: Any = SimpleNamespace(published_edition=lambda _: None)
    items: Any = [SimpleNamespace(place=Place("us-xx-a", "882a306603fffff"))]
    profile = ReleaseProfile(fetched=1000, accepted=920, rejected={"null_key": 80})
    release = ReleaseCandidate(PARCELS, profile, earlier=earlier_profile(rolled_back, items))
    past = [{"bad_keys": 0.01, "rejected": 0.01}] * ENOUGH
    found = check_release(measure_release(release, BOUNDS, "EPSG:4326"), past, {}, feed=PARCELS)
    assert {each.name for each in found if each.tripped} == {"bad_keys", "rejected"}


def test_a_finding_is_a_sentence() -> None:
    """It names the check, the value, the usual value and the limit."""
    past = [{"mass_rezoning": 0.002}] * ENOUGH
    found = word("mass_rezoning", Measure(0.84), past)
    assert found.sentence == "mass_rezoning: 84.0% of the parcels got another zoning code (usual 0.2%, limit 25.2%)"
    assert replace(release_checks.Verdict("us-xx-a", PARCELS, (found,)), held=True).why == found.sentence
