"""Bad releases are caught by name before anything of them is published; good ones are not."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Timer

import pytest

from tests.conftest import going_on, read_toml, rows, sync
from tests.support import town
from tests.support.databases import copied
from tests.support.shared_data import cambridge, need
from zoning_assets.errors import AcceptanceNeeded, NothingWaits
from zoning_assets.model import PARCELS, ZONING, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import _PLACES_AT_ONCE, STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County
from zoning_assets.simulation.county.release_plan import Plan
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import hold_records, release_profiles
from zoning_assets.transform.quality.release_checks import Verdict

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


Standing = tuple[Pipeline, Jurisdiction, Path]


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The town with both layers published once: its database, and the folder of its files and its store."""
    folder = tmp_path_factory.mktemp("published")
    town.release(folder, County.build(LOTS))
    with copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        for feed in (PARCELS, ZONING):
            good(sync(pipeline, town.town(folder), feed))
        yield name, folder


@pytest.fixture
def standing(server: str, published: tuple[str, Path], tmp_path: Path, pool: Pool) -> Iterator[Standing]:
    """A copy of that, to go on from; a test says what the town's files in the folder are next."""
    name, folder = published
    with going_on(server, name, folder / "store", tmp_path, pool) as pipeline:
        yield pipeline, town.town(folder), folder


BAD = [
    (PARCELS, town.one_code("ZONE"), "mass_rezoning"),
    (PARCELS, town.one_code("ZONE"), "code_entropy"),
    (PARCELS, town.rekeyed, "key_turnover"),
    (PARCELS, town.shifted, "shifted"),
    (PARCELS, town.swapped("USE_CODE", "SITE_ADDR"), "columns_changed"),
    (PARCELS, town.swapped("ZONE", "USE_CODE"), "unknown_codes"),
    (ZONING, town.shrunk, "count_drop"),
    (ZONING, town.one_code("ZONE_CODE"), "code_entropy"),
    (ZONING, town.shifted, "shifted"),
    (ZONING, town.swapped("ZONE_CODE", "ORDINANCE"), "unknown_codes"),
]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("feed", "spoil", "name"), BAD, ids=lambda each: each if isinstance(each, str) else "")
def test_a_bad_release_is_caught_by_name(standing: Standing, feed: str, spoil: town.EDIT, name: str) -> None:
    """Not a row of it is published; a rerun says the same; once it is discarded, the next good one is published."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    before = told(pipeline, feed)
    town.release(folder, county, **{feed: spoil})
    line = held(sync(pipeline, jurisdiction, feed), name)
    assert told(pipeline, feed) == before
    evidence = "SELECT count(*)::int, max(id) FROM zoning.survey"
    once = rows(pipeline.database, evidence)
    assert held(sync(pipeline, jurisdiction, feed), name) == line
    assert rows(pipeline.database, evidence) == once, "kept once"
    why = release_profiles.decide(pipeline.database, ID, feed, release_profiles.DISCARDED, actor="ann", reason="spoilt")
    assert any(each.startswith(f"{name}: ") for each in why)
    town.release(folder, county.after_changes())
    good(sync(pipeline, jurisdiction, feed))
    assert told(pipeline, feed) != before
    with pytest.raises(NothingWaits):
        release_profiles.decide(pipeline.database, ID, feed, release_profiles.ACCEPTED, actor="ann", reason="late")


def test_a_truncated_layer_is_caught_when_it_is_opened(standing: Standing) -> None:
    """Not a page of it is fetched: its rows are counted first."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    before = told(pipeline, PARCELS)
    town.release(folder, county, parcels=town.truncated)
    with pytest.raises(AcceptanceNeeded, match="count_drop: the layer fell from"):
        sync(pipeline, jurisdiction)
    assert told(pipeline, PARCELS) == before


def test_what_is_accepted_is_published_and_nothing_else(standing: Standing) -> None:
    """A person's word is of what was held: it is published by the next sync; another release is judged anew."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    town.release(folder, county, parcels=town.one_code("ZONE"))
    held(sync(pipeline, jurisdiction), "mass_rezoning")
    release_profiles.decide(
        pipeline.database, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="they did it"
    )
    town.release(folder, county, parcels=town.shifted)
    held(sync(pipeline, jurisdiction), "shifted")
    town.release(folder, county, parcels=town.one_code("ZONE"))
    held(sync(pipeline, jurisdiction), "mass_rezoning")
    release_profiles.decide(
        pipeline.database, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="they did it"
    )
    outcomes = sync(pipeline, jurisdiction)
    good(outcomes)
    assert sum(outcome.counts.changed for outcome in outcomes) > LOTS / 2
    assert rows(pipeline.database, "SELECT count(DISTINCT zoning_code_local) FROM zoning.parcel") == [(1,)]
    assert (
        rows(pipeline.database, "SELECT actor, action, reason FROM zoning.audit")
        == [("ann", "accept", "they did it")] * 2
    )


def test_a_map_that_was_accepted_is_believed_when_its_changes_are_told(pipeline: Pipeline, tmp_path: Path) -> None:
    """Whoever says that it is right before it is published is not asked again afterwards."""
    jurisdiction, county = town.town(tmp_path), County.build(LOTS)
    told = None
    for edit in (lambda rows: rows, town.one_code("ZONE_CODE")):
        town.release(tmp_path, county, zoning=edit)
        good(sync(pipeline, jurisdiction))
        outcomes = sync(pipeline, jurisdiction, ZONING)
        if outcomes[0].error:
            release_profiles.decide(
                pipeline.database, ID, ZONING, release_profiles.ACCEPTED, actor="ann", reason="one zone for all"
            )
            good(sync(pipeline, jurisdiction, ZONING))
        change_detection.update_parcel_zoning(pipeline.database, jurisdiction)
        told = change_detection.detect_changes(pipeline.database, jurisdiction)
    assert told is not None
    assert told.alarms == ()
    assert (told.changes["kind"] == "rezoned").sum() > LOTS / 2


def test_the_countys_own_changes_trip_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """A district rezoned, lots split, merged, renumbered, all shapes re-digitised: what counties do."""
    jurisdiction, county = town.town(tmp_path), County.build(LOTS)
    for each in (county, county.after_changes(), county.after_changes(Plan.town(drift_m=1.5, lots=LOTS))):
        town.release(tmp_path, each)
        for feed in (PARCELS, ZONING):
            good(sync(pipeline, jurisdiction, feed))
    states = rows(pipeline.database, "SELECT feed, state, count(*)::int FROM zoning.survey GROUP BY 1, 2 ORDER BY 1")
    assert states == [(PARCELS, "passed", 3), (ZONING, "passed", 3)]


def test_more_places_than_work_at_a_time_wait_for_one_another(pipeline: Pipeline, tmp_path: Path) -> None:
    """A place that waits gives its slot back, so the others get there; none is published before the last is judged."""
    jurisdiction, county = town.town(tmp_path, tiles=9), County.build(LOTS)
    town.release(tmp_path, county)
    good(sync(pipeline, jurisdiction))
    town.release(tmp_path, county, parcels=town.edited)
    outcomes = sync(pipeline, jurisdiction)
    good(outcomes)
    assert len(outcomes) > 2 * _PLACES_AT_ONCE
    (committed, judged) = rows(
        pipeline.database,
        "SELECT (SELECT max(judged) FROM zoning.survey), min(started) FROM zoning.batch WHERE id > %s",
        len(outcomes),
    )[0]
    assert committed < judged


def test_a_place_that_fails_keeps_none_waiting(standing: Standing) -> None:
    """A tile that is none any more ends with its own error; the others are judged and published without it."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    town.release(folder, county, parcels=town.edited)
    gone = "882a306603fffff"
    outcomes = sync(pipeline, jurisdiction, choose=lambda tiles: [gone, *tiles])
    assert [outcome.place.tile for outcome in outcomes if outcome.error] == [gone]
    assert sum(outcome.counts.changed for outcome in outcomes) > LOTS / 3


def test_a_pause_at_the_gate_is_obeyed_and_outlived(standing: Standing) -> None:
    """A person pauses at the moment when the release is judged: nothing is published until `resume`, then all of it."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    town.release(folder, county, parcels=town.edited)
    before, seen, outcomes = told(pipeline, PARCELS), [], list[Outcome]()
    words = {"jurisdiction": ID, "host": None, "actor": "ann"}

    def lift() -> None:
        seen.append(told(pipeline, PARCELS))
        hold_records.resume(pipeline.database, **words, reason="over")

    def pause(_: Verdict) -> None:
        hold_records.pause(pipeline.database, **words, reason="wait", until=None)
        Timer(1.5, lift).start()

    tiles = asyncio.run(pipeline.harvest(jurisdiction)).tiles
    places = [Place(ID, tile) for tile in tiles]
    asyncio.run(pipeline.run({ID: jurisdiction}, places, PARCELS, STAGES, outcomes.append, pause))
    good(outcomes)
    assert seen == [before]
    assert told(pipeline, PARCELS) != before


def test_one_bad_tile_by_itself_is_judged_by_its_own_rows(standing: Standing) -> None:
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    town.release(folder, county, parcels=town.swapped("USE_CODE", "SITE_ADDR"))
    (tile,) = rows(pipeline.database, "SELECT tile FROM zoning.parcel GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")[0]
    held(sync(pipeline, jurisdiction, choose=lambda _: [tile]), "columns_changed")
    assert rows(pipeline.database, "SELECT whole FROM zoning.survey WHERE state = 'held'") == [(False,)]


def owners(pipeline: Pipeline) -> dict[str, str]:
    """The tile of each parcel."""
    return dict(rows(pipeline.database, "SELECT parcel_id, tile FROM zoning.parcel ORDER BY 1"))


def in_tile(owner: dict[str, str], tile: str, column: str, value: str | None, one_of: int) -> town.EDIT:
    """One of so many rows of a tile has another value."""
    chosen = set([key for key in owner if owner[key] == tile][::one_of])
    return lambda rows: rows.assign(
        **{column: [value if key in chosen else old for key, old in zip(rows["PIN"], rows[column], strict=True)]}
    )


def test_a_new_code_in_one_part_of_town_is_no_strange_release(standing: Standing) -> None:
    """A third of one tile has a new code: of the whole layer that is little, in whatever runs it is published. A layer
    whose codes are those of another column is caught in any part of it."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    owner = owners(pipeline)
    tile = max(set(owner.values()), key=list(owner.values()).count)
    town.release(folder, county, parcels=in_tile(owner, tile, "ZONE", "MX-9", 3))
    good(sync(pipeline, jurisdiction, choose=lambda _: [tile]))
    assert rows(pipeline.database, "SELECT count(*) > 20 FROM zoning.parcel WHERE zoning_code_local = 'MX-9'") == [
        (True,)
    ]
    town.release(folder, county, parcels=town.swapped("ZONE", "USE_CODE"))
    held(sync(pipeline, jurisdiction, choose=lambda _: [tile]), "unknown_codes")


def test_a_tile_that_always_had_bad_rows_is_no_strange_release(standing: Standing) -> None:
    """A third of one tile has no keys, as a person accepted: a run of this tile alone finds what is usual there. When
    more of its rows lose their keys, it is held."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    owner = owners(pipeline)
    tile = max(set(owner.values()), key=list(owner.values()).count)
    without_keys = in_tile(owner, tile, "PIN", None, 3)
    town.release(folder, county, parcels=without_keys)
    sync(pipeline, jurisdiction)
    release_profiles.decide(pipeline.database, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="it is so")
    good(sync(pipeline, jurisdiction))
    town.release(folder, county, parcels=lambda table: without_keys(town.edited(table)))
    good(sync(pipeline, jurisdiction, choose=lambda _: [tile]))
    worse = in_tile(owners(pipeline), tile, "PIN", None, 5)
    town.release(folder, county, parcels=lambda table: worse(without_keys(table)))
    held(sync(pipeline, jurisdiction, choose=lambda _: [tile]), "bad_keys")


def test_a_limit_in_the_file_is_the_limit(pipeline: Pipeline, tmp_path: Path) -> None:
    """Who knows that a county reformats all its addresses says so."""
    folder, county = tmp_path, County.build(LOTS)
    jurisdiction = town.town(folder, more="[tripwires]\ncolumns_changed = 1.0")
    town.release(folder, county)
    good(sync(pipeline, jurisdiction))
    town.release(folder, county, parcels=town.swapped("USE_CODE", "SITE_ADDR"))
    good(sync(pipeline, jurisdiction))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_releases_trip_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """Two and a half years of a county: rezonings, plats, merges, renumbered blocks, edits; 0 false alarms,
    and then a bad release is caught by limits that follow the usual."""
    jurisdiction, county = town.town(tmp_path), County.build(3000)
    for number in range(30):
        town.release(tmp_path, county)
        for feed in (PARCELS, ZONING):
            good(sync(pipeline, jurisdiction, feed))
        # As much as a county of this size has room for.
        plan = Plan(
            districts=int(number % 5 == 4), blocks=number % 2, edited=10, split=2, merged=2, added=int(number < 8)
        )
        county = county.after_changes(plan)
    tripped = """
        SELECT DISTINCT f->>'name' FROM zoning.survey, jsonb_array_elements(findings) f WHERE (f->>'tripped')::boolean
    """
    assert rows(pipeline.database, tripped) == []
    assert rows(pipeline.database, "SELECT state, count(*)::int FROM zoning.survey GROUP BY 1") == [("passed", 60)]
    town.release(tmp_path, county, parcels=town.one_code("ZONE"))
    assert "usual" in held(sync(pipeline, jurisdiction), "mass_rezoning")


CAMBRIDGE = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "{url}"
key = "ML"
on_repeated_key = "dissolve"
"""


@pytest.mark.slow
def test_a_city_that_is_drawn_anew_trips_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """Cambridge, FY2013 to FY2014: 12,980 of the 12,982 lots that stayed differ, by up to 1.02 m."""
    for year in (2013, 2014):
        (url,) = cambridge().glob(f"parcels_FY{year}_2249*")
        outcomes = sync(pipeline, read_toml(tmp_path / "toml", CAMBRIDGE.format(url=url)))
        good(outcomes)
    assert sum(outcome.counts.changed for outcome in outcomes) > 12_000
    query = """
        SELECT (f->>'value')::float FROM zoning.survey, jsonb_array_elements(findings) f
        WHERE f->>'name' = 'shifted' ORDER BY id DESC LIMIT 1
    """
    assert rows(pipeline.database, query)[0][0] < 1.1


SAN_JOSE = """
id = "us-ca-san-jose"
name = "San Jose, California"
bounds = [-122.08, 37.10, -121.55, 37.48]
[feeds.zoning]
type = "download"
url = "{url}"
key = "ZONING_ID"
on_repeated_key = "suffix"
  [feeds.zoning.fields]
  code = "ZONING"
"""


def test_a_quarter_of_san_jose_trips_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """Two vintages of 4,191 and 4,199 districts."""
    for day in ("2014-07-23", "2014-10-23"):
        text = SAN_JOSE.format(url=need(f"sanjose_ca/Zoning_{day}.zip"))
        good(sync(pipeline, read_toml(tmp_path / "toml", text, "us-ca-san-jose"), ZONING))
    tripped = "SELECT count(*) FROM zoning.survey, jsonb_array_elements(findings) f WHERE (f->>'tripped')::boolean"
    assert rows(pipeline.database, tripped) == [(0,)]


def test_two_parts_that_are_held_can_both_be_accepted(standing: Standing) -> None:
    """A run for each of two tiles, as Dagster makes them where tiles were registered at different times: what a person
    said of one is not forgotten when the other one is checked."""
    (pipeline, jurisdiction, folder), county = standing, County.build(LOTS)
    town.release(folder, county, parcels=town.swapped("USE_CODE", "SITE_ADDR"))
    largest = "SELECT tile FROM zoning.parcel GROUP BY 1 ORDER BY count(*) DESC LIMIT 2"
    one, other = [tile for (tile,) in rows(pipeline.database, largest)]
    held(sync(pipeline, jurisdiction, choose=lambda _: [one]), "columns_changed")
    held(sync(pipeline, jurisdiction, choose=lambda _: [other]), "columns_changed")
    release_profiles.decide(pipeline.database, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="it is so")
    held(sync(pipeline, jurisdiction, choose=lambda _: [one]), "columns_changed")
    good(sync(pipeline, jurisdiction, choose=lambda _: [other]))
    release_profiles.decide(pipeline.database, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="it is so")
    good(sync(pipeline, jurisdiction, choose=lambda _: [one]))


def test_two_parts_that_are_held_at_the_same_moment(standing: Standing) -> None:
    """Two runs hold a tile each. The second waits until the first is recorded, and is held too."""
    pipeline, tiles = standing[0], ("one", "other")
    at_once = Barrier(len(tiles))

    def hold(tile: str) -> None:
        with release_profiles.opened(pipeline.database, ID, PARCELS) as stored:
            stored.newest()
            at_once.wait(10)
            stored.store(release_profiles.HELD, {tile: ["hash", "harvest"]}, {}, [], [], whole=False)
            time.sleep(0.2)

    with ThreadPoolExecutor(len(tiles)) as threads:
        list(threads.map(hold, tiles))
    found = rows(pipeline.database, "SELECT state FROM zoning.survey WHERE NOT whole ORDER BY id")
    assert found == [("superseded",), ("held",)]
