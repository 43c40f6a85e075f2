"""The town: a year of true changes under a re-digitised layer, each of them known."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from zoning_assets.simulation.county.county import BOUNDS, County
from zoning_assets.simulation.county.plat import METRES_PER_FOOT
from zoning_assets.simulation.county.redigitised import densified, drifted
from zoning_assets.simulation.county.release_plan import Plan
from zoning_assets.transform.changes import parcel_lineage
from zoning_assets.transform.geometry import crs

LOTS = 4000
PLAN = Plan.town(3.0, LOTS)
SQUARE = METRES_PER_FOOT**2


@pytest.fixture(scope="module")
def county():
    return County.build(LOTS)


@pytest.fixture(scope="module")
def town(county):
    return county.after_changes(replace(PLAN, parcels_drift_m=1.5))


@pytest.fixture(scope="module")
def still(county):
    """The same town, before anything drifts."""
    return county.after_changes(replace(PLAN, drift_m=0.0, respelled=None))


def test_the_yardstick_has_its_figures():
    plan = Plan.town(1.5)
    assert plan.spots + plan.partly == 309
    assert (plan.blocks, plan.split, plan.merged, plan.drift_m) == (60, 690, 690, 1.5)
    truth = County.build(69_000).after_changes(plan).truth
    assert len(truth.rezoned) + len(truth.partly_rezoned) == 309
    assert len(truth.partly_rezoned) == len(truth.strips) == 154
    assert (len(truth.split), len(truth.merged)) == (690, 690)


def test_the_same_numbers_give_the_same_town(county, town):
    again = county.after_changes(replace(PLAN, parcels_drift_m=1.5))
    assert again.truth == town.truth
    for one, other in zip(again.frames(), town.frames(), strict=True):
        assert one.equals(other)


def test_drift_and_spelling_change_nothing_that_is_true(town, still):
    assert town.truth == still.truth


# Drift


@pytest.mark.parametrize("drift_m", [1.5, 3.0])
@pytest.mark.parametrize("layer", ["zoning", "parcels"])
def test_corners_move_by_the_drift_and_no_farther(still, layer, drift_m):
    table = getattr(still, layer)
    before = densified(table.shapes).points
    moved = np.hypot(*(drifted(table, drift_m, np.random.default_rng(1)).shapes.points - before).T) * METRES_PER_FOOT
    assert moved.max() <= drift_m
    assert np.median(moved) > 0.85 * drift_m
    assert (moved < 0.79 * drift_m).mean() < 0.02  # only where a shape would have crossed itself


def test_long_edges_get_corners_and_keep_their_line(county):
    shapes, many = county.zoning.shapes, densified(county.zoning.shapes)
    steps = np.hypot(*np.diff(many.points, axis=0).T) * METRES_PER_FOOT
    inner = np.ones(len(steps), dtype=bool)
    inner[many.rings[1:-1] - 1] = False
    assert steps[inner].max() < 60.01
    assert np.median(steps[inner]) > 30
    assert np.allclose(many.areas(), shapes.areas(), rtol=1e-6)


def test_districts_still_tile_the_county(town):
    shapes = town.frames()[1].geometry.to_numpy()
    assert shapely.is_valid(town.zoning.shapes.to_shapely()).all()
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(shapely.area(shapes).sum(), rel=1e-9)


def test_no_sound_parcel_becomes_invalid(town, still):
    invalid = [(~shapely.is_valid(each.parcels.shapes.to_shapely())).sum() for each in (town, still)]
    assert invalid[0] <= invalid[1]


# Codes


@pytest.mark.parametrize(("by", "some", "most"), [("codes", 0.2, 0.8), ("rows", 0.45, 0.55)])
def test_half_of_the_codes_are_respelled(county, still, by, some, most):
    other = county.after_changes(replace(PLAN, drift_m=0.0, respelled=by)).zoning
    codes, truth = other.columns["ZONE_CODE"], still.zoning.columns["ZONE_CODE"]
    hyphens = np.char.find(truth.astype(str), "-") > 0
    assert sorted(code.replace("-", "") for code in codes) == sorted(code.replace("-", "") for code in truth)
    gone = hyphens.sum() - (np.char.find(codes.astype(str), "-") > 0).sum()
    assert some <= gone / hyphens.sum() <= most
    both = set(codes) & {code.replace("-", "") for code in codes if "-" in code}
    assert bool(both) == (by == "rows")  # a code is spelled in two ways only where rows are respelled one by one


# Truth


def zoned(county):
    """PIN -> square feet by code without hyphen, and the parcel's own code."""
    parcels, zoning = county.frames()
    rows, districts = shapely.STRtree(zoning.geometry).query(parcels.geometry, predicate="intersects")
    areas = shapely.area(shapely.intersection(parcels.geometry.to_numpy()[rows], zoning.geometry.to_numpy()[districts]))
    codes = zoning["code"].str.replace("-", "").to_numpy()
    shares = {key: {} for key in parcels["key"]}
    for key, code, area in zip(parcels["key"].to_numpy()[rows], codes[districts], areas, strict=True):
        shares[key][code] = shares[key].get(code, 0.0) + area
    return shares, dict(zip(parcels["key"], parcels["code"], strict=True))


def test_rezonings_are_in_the_layers_and_strips_are_as_large_as_said(still, county):
    before, (shares, own) = zoned(county)[0], zoned(still)
    for pin, (old, new) in still.truth.rezoned.items():
        assert own[pin] == new
        assert shares[pin][new.replace("-", "")] == pytest.approx(sum(shares[pin].values()), abs=1)
        assert before[pin].get(old.replace("-", ""), 0) > 0
    for pin, (old, new) in still.truth.partly_rezoned.items():
        assert own[pin] == old
        assert shares[pin][new.replace("-", "")] * SQUARE == pytest.approx(still.truth.strips[pin].area_m2, abs=0.1)
        assert shares[pin][new.replace("-", "")] < sum(shares[pin].values()) / 2


def test_strips_are_of_all_widths(county):
    plan = replace(PLAN, partly=100)
    widths = [strip.width_m for strip in county.after_changes(plan).truth.strips.values()]
    assert min(widths) < 4
    assert max(widths) > 11
    assert all(2 < width < 16 for width in widths)


def test_rezoned_lots_lie_in_blocks_of_their_own(still):
    pins = [*still.truth.rezoned, *still.truth.partly_rezoned]
    blocks = [pin[:8] for pin in pins]
    assert len(set(blocks)) == len(pins) == PLAN.spots + PLAN.partly


def test_whole_blocks_are_renumbered_and_old_numbers_stand_elsewhere(county, still):
    truth = still.truth
    blocks = {pin[:8] for pin in truth.renumbered}
    assert len(blocks) == PLAN.blocks
    for block in blocks:
        there = {key for key in county.frames()[0]["key"] if key.startswith(block)}
        assert there == {pin for pin in truth.renumbered if pin.startswith(block)}
    again = set(truth.renumbered) & set(truth.renumbered.values())
    assert len({pin[:8] for pin in again}) == 1  # of three
    ground = [dict(zip(f["key"], f.geometry, strict=True)) for f in (county.frames()[0], still.frames()[0])]
    for old, new in truth.renumbered.items():
        assert old != new
        assert ground[0][old].equals(ground[1][new])


def test_keys_come_and_go_as_said(county, still):
    before, after = (set(each.frames()[0]["key"]) for each in (county, still))
    assert after - before == still.truth.new_keys
    assert before - after == still.truth.gone_keys
    assert sum(pin in children for pin, children in still.truth.split.items()) == PLAN.split // 2


def test_frames_hold_what_a_true_harvest_publishes(county):
    parcels, zoning = county.frames()
    assert len(parcels) == county.parcels_by_policy()["dissolve"]
    assert parcels["key"].is_unique
    assert parcels.is_valid.all()
    assert parcels.crs.to_epsg() == zoning.crs.to_epsg() == 2249
    assert len(zoning) == len(county.zoning)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("drift_m", [0.0, 1.5, 3.0])
def test_lineage_finds_the_town_out(county, drift_m):
    after = county.after_changes(replace(PLAN, drift_m=drift_m, parcels_drift_m=drift_m))
    found = parcel_lineage.trace(metric(county), metric(after), max(1.5, 2 * drift_m))
    truth = after.truth
    wanted = {("split", (old,), tuple(sorted(new))) for old, new in truth.split.items()}
    wanted |= {("merged", tuple(sorted(old)), (new,)) for new, old in truth.merged.items()}
    wanted |= {("renumbered", (old,), (new,)) for old, new in truth.renumbered.items()}
    assert set(zip(found.kind, found.parents, found.children, strict=True)) == wanted
    again = set(truth.renumbered) & set(truth.renumbered.values())
    assert {pin for pins in found.reused for pin in pins} == again


def metric(county):
    parcels, frame = county.frames()[0], crs.metric_frame(BOUNDS)
    return parcels.set_geometry(crs.reproject(parcels.geometry.to_numpy(), "EPSG:2249", frame), crs=frame)
