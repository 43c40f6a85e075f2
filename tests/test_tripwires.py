"""Bad releases are caught by name before anything of them is published; good ones are not."""

from pathlib import Path

import pytest

from tests import town
from tests.conftest import rows, sync
from zoning_assets.errors import AcceptanceNeeded, NothingWaits
from zoning_assets.model import PARCELS, ZONING, Outcome
from zoning_assets.pipeline import Pipeline
from zoning_assets.simulation.county import ID, County
from zoning_assets.simulation.plan import Plan
from zoning_assets.stores import surveys

TABLE = {PARCELS: "parcel", ZONING: "district"}
LOTS = 1200


def told(pipeline: Pipeline, feed: str) -> str:
    """The hash of all that stands, and of all that stood."""
    table = f"zoning.{TABLE[feed]}"
    query = f"""
        SELECT (SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t),
            (SELECT count(*) FROM {table}_version), (SELECT count(*) FROM zoning.batch)
    """
    return str(rows(pipeline.database, query))


def good(outcomes: list[Outcome]) -> None:
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []


def held(outcomes: list[Outcome], name: str) -> str:
    """All places are held by the tripwire, in one line."""
    assert outcomes
    (line,) = {str(outcome.error) for outcome in outcomes}
    assert all(isinstance(outcome.error, AcceptanceNeeded) for outcome in outcomes)
    assert f"{name}: " in line, line
    return line


BAD = {
    "one code": (PARCELS, town.one_code("ZONE"), "code_entropy"),
    "keys made anew": (PARCELS, town.rekeyed, "key_turnover"),
    "shifted": (PARCELS, town.shifted, "shifted"),
    "swapped": (PARCELS, town.swapped("USE_CODE", "SITE_ADDR"), "columns_changed"),
    "swapped with the code": (PARCELS, town.swapped("ZONE", "USE_CODE"), "unknown_codes"),
    "a map without its ground": (ZONING, town.shrunk, "count_drop"),
    "a map of one code": (ZONING, town.one_code("ZONE_CODE"), "code_entropy"),
    "a map shifted": (ZONING, town.shifted, "shifted"),
    "a map swapped": (ZONING, town.swapped("ZONE_CODE", "ORDINANCE"), "unknown_codes"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_release_is_caught_by_name(pipeline: Pipeline, tmp_path: Path, what: str) -> None:
    """Not a row of it is published, a rerun says the same, and after `discard` the next good release is published."""
    feed, spoil, name = BAD[what]
    folder = tmp_path / "files"
    jurisdiction, county = town.town(folder), County.build(LOTS)
    town.release(folder, county)
    good(sync(pipeline, jurisdiction, feed))
    before = told(pipeline, feed)
    town.release(folder, county, **{feed: spoil})
    lines = {held(sync(pipeline, jurisdiction, feed), name) for _ in range(2)}
    assert len(lines) == 1, "the same words again"
    assert told(pipeline, feed) == before
    assert rows(pipeline.database, "SELECT state FROM zoning.survey ORDER BY id") == [("passed",), ("held",)]
    why = surveys.decide(pipeline.database, ID, feed, surveys.DISCARDED, actor="ann", reason="spoilt")
    assert any(each.startswith(f"{name}: ") for each in why)
    held(sync(pipeline, jurisdiction, feed), name)
    town.release(folder, county.after_changes())
    good(sync(pipeline, jurisdiction, feed))
    assert told(pipeline, feed) != before
    with pytest.raises(NothingWaits):
        surveys.decide(pipeline.database, ID, feed, surveys.ACCEPTED, actor="ann", reason="late")


def test_a_truncated_layer_is_caught_when_it_is_opened(pipeline: Pipeline, tmp_path: Path) -> None:
    """Not a page of it is fetched: its rows are counted first."""
    jurisdiction, county = town.town(tmp_path), County.build(LOTS)
    town.release(tmp_path, county)
    good(sync(pipeline, jurisdiction))
    before = told(pipeline, PARCELS)
    town.release(tmp_path, county, parcels=town.truncated)
    with pytest.raises(AcceptanceNeeded, match="count_drop: the layer fell from"):
        sync(pipeline, jurisdiction)
    assert told(pipeline, PARCELS) == before


def test_what_is_accepted_is_published_and_nothing_else(pipeline: Pipeline, tmp_path: Path) -> None:
    """A person's word is of what was held: it is published by the next sync; another release is judged anew."""
    jurisdiction, county = town.town(tmp_path), County.build(LOTS)
    town.release(tmp_path, county)
    good(sync(pipeline, jurisdiction))
    town.release(tmp_path, county, parcels=town.one_code("ZONE"))
    held(sync(pipeline, jurisdiction), "mass_rezoning")
    surveys.decide(pipeline.database, ID, PARCELS, surveys.ACCEPTED, actor="ann", reason="they did it")
    town.release(tmp_path, county, parcels=town.shifted)
    held(sync(pipeline, jurisdiction), "shifted")
    town.release(tmp_path, county, parcels=town.one_code("ZONE"))
    held(sync(pipeline, jurisdiction), "mass_rezoning")
    surveys.decide(pipeline.database, ID, PARCELS, surveys.ACCEPTED, actor="ann", reason="they did it")
    outcomes = sync(pipeline, jurisdiction)
    good(outcomes)
    assert sum(outcome.counts.changed for outcome in outcomes) > LOTS / 2
    assert rows(pipeline.database, "SELECT count(DISTINCT zoning_code_local) FROM zoning.parcel") == [(1,)]
    assert (
        rows(pipeline.database, "SELECT actor, deed, reason FROM zoning.audit")
        == [("ann", "accept", "they did it")] * 2
    )


def test_the_countys_own_changes_trip_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """A district rezoned, lots split, merged, renumbered, all shapes re-digitised: what counties do."""
    jurisdiction, county = town.town(tmp_path), County.build(LOTS)
    for each in (county, county.after_changes(), county.after_changes(Plan.town(drift_m=1.5, lots=LOTS))):
        town.release(tmp_path, each)
        for feed in (PARCELS, ZONING):
            good(sync(pipeline, jurisdiction, feed))
    states = rows(pipeline.database, "SELECT feed, state, count(*)::int FROM zoning.survey GROUP BY 1, 2 ORDER BY 1")
    assert states == [(PARCELS, "passed", 3), (ZONING, "passed", 3)]
