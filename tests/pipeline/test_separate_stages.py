"""The four tile assets in four runs: the feed ends as one run leaves it, and only if all of it is of one harvest."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest

from tests.conftest import going_on, rows, sync
from tests.support import town
from tests.support.databases import continued, copied
from zoning_assets.errors import AcceptanceNeeded, CoverStale, DatabaseUnavailable, HarvestMissing
from zoning_assets.harvest import Cover
from zoning_assets.model import PARCELS, ZONING, Jurisdiction, Outcome, Place
from zoning_assets.operations.history_rollback import roll_back
from zoning_assets.pipeline import change_detection, known_layer
from zoning_assets.pipeline import pipeline as pipeline_module
from zoning_assets.pipeline.pipeline import NORMALIZED, PUBLISHED, RAW, STAGES, VALIDATED, Pipeline
from zoning_assets.pipeline.publishing import Publisher
from zoning_assets.pipeline.validation import ValidatedTable
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County
from zoning_assets.storage.object_store import feed_baselines, raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.publish import newest_batch
from zoning_assets.storage.postgis.records import correction_records, feed_freshness

LOTS = 800
COUNTY = County.build(LOTS)
CHANGED = COUNTY.after_changes()

Standing = tuple[Pipeline, Jurisdiction, Path]


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The town with its first release: the name of its database, and the folder of its files and its store."""
    folder = tmp_path_factory.mktemp("published")
    town.release(folder, COUNTY)
    with copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        assert errors(sync(pipeline, town.town(folder))) == []
        change_detection.detect_changes(url, town.town(folder))
        yield name, folder


@pytest.fixture
def standing(server: str, published: tuple[str, Path], tmp_path: Path, pool: Pool) -> Iterator[Standing]:
    """A copy of that, and the next release at the portal."""
    name, folder = published
    town.release(folder, CHANGED)
    with going_on(server, name, folder / "store", tmp_path, pool) as pipeline:
        yield pipeline, town.town(folder), folder


@pytest.fixture(scope="module")
def in_one_run(server: str, published: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Any:
    """The contents after one run of all assets for the next release."""
    name, folder = published
    town.release(folder, CHANGED)
    with going_on(server, name, folder / "store", tmp_path_factory.mktemp("one_run"), pool) as pipeline:
        assert errors(sync(pipeline, town.town(folder))) == []
        assert is_complete(pipeline, harvest_of(pipeline))
        change_detection.detect_changes(pipeline.database, town.town(folder))
        return contents(pipeline)


def harvest(pipeline: Pipeline, jurisdiction: Jurisdiction) -> Cover:
    return asyncio.run(pipeline.harvest(jurisdiction))


def harvest_of(pipeline: Pipeline) -> Cover:
    """The newest harvest, without a request."""
    cover = raw_harvests.find_cover(pipeline.objects, ID, PARCELS)
    assert cover is not None
    return cover


def run(pipeline: Pipeline, jurisdiction: Jurisdiction, stages: Sequence[str], tiles: Sequence[str]) -> list[Outcome]:
    """One run of some stages, without the asset `tiles`."""
    outcomes: list[Outcome] = []
    places = [Place(jurisdiction.id, tile) for tile in tiles]
    asyncio.run(pipeline.run({jurisdiction.id: jurisdiction}, places, PARCELS, stages, outcomes.append))
    return outcomes


def one_by_one(pipeline: Pipeline, jurisdiction: Jurisdiction, tiles: Sequence[str]) -> None:
    for stage in STAGES:
        assert errors(run(pipeline, jurisdiction, [stage], tiles)) == []


def errors(outcomes: Sequence[Outcome]) -> list[str]:
    return [str(each.error) for each in outcomes if each.error]


def is_complete(pipeline: Pipeline, cover: Cover) -> bool:
    """Whether all that tells of a complete feed is of this harvest."""
    baseline = feed_baselines.find(pipeline.objects, ID, PARCELS)
    assert baseline is not None
    harvested = feed_freshness.find_harvested(pipeline.database, ID, PARCELS)
    newest = "SELECT (SELECT batch_id FROM zoning.whole) = (SELECT max(id) FROM zoning.batch)"
    tiles = feed_baselines.published_tiles(pipeline.objects, cover)
    told = [
        (baseline.seen, baseline.rows, baseline.signals) == (cover.seen, cover.rows, cover.signals),
        harvested == datetime.fromisoformat(cover.seen),
        tiles == set(cover.tiles),
        rows(pipeline.database, newest) == [(True,)],
    ]
    assert all(told) or not all(told[:2]), told
    return all(told)


def contents(pipeline: Pipeline) -> dict[str, Any]:
    """What one run and four runs must leave equally, without times and numbers of batches."""
    queries = {
        "now": "SELECT parcel_id, tile, zoning_code_local, content_hash FROM zoning.parcel ORDER BY 1",
        "then": "SELECT parcel_id, tile, content_hash FROM zoning.parcel_version ORDER BY 1, 3",
        "batches": "SELECT tile, harvest, rules, counts FROM zoning.batch ORDER BY 1, 2",
        "rejections": "SELECT tile, reason, raw::text, state FROM zoning.rejection ORDER BY 1, 2, 3, 4",
        "profiles": "SELECT state, whole, fields, contents, measured - 'freshness' FROM zoning.survey ORDER BY id",
        "changes": "SELECT id, kind, state, parcel_ids, old, new FROM zoning.change ORDER BY 1",
    }
    baseline = feed_baselines.find(pipeline.objects, ID, PARCELS)
    return {"rows": baseline and baseline.rows, **{name: rows(pipeline.database, q) for name, q in queries.items()}}


def test_four_runs_leave_what_one_run_leaves(standing: Standing, in_one_run: dict[str, Any]) -> None:
    """Tables, rejections, release profile, baseline, freshness and changes; and a repetition changes nothing."""
    pipeline, jurisdiction, _ = standing
    cover = harvest(pipeline, jurisdiction)
    assert not is_complete(pipeline, cover)
    one_by_one(pipeline, jurisdiction, list(cover.tiles))
    assert is_complete(pipeline, cover)
    change_detection.detect_changes(pipeline.database, jurisdiction)
    assert contents(pipeline) == in_one_run
    one_by_one(pipeline, jurisdiction, list(cover.tiles))
    assert change_detection.detect_changes(pipeline.database, jurisdiction) is None
    assert contents(pipeline) == in_one_run


def test_a_feed_is_complete_with_the_last_of_its_tiles(standing: Standing, in_one_run: dict[str, Any]) -> None:
    """Some tiles in four runs, the others in one: changes are found with the last ones, not before."""
    pipeline, jurisdiction, _ = standing
    cover = harvest(pipeline, jurisdiction)
    first, *others = sorted(cover.tiles)
    assert len(others) > 1
    one_by_one(pipeline, jurisdiction, others)
    assert not is_complete(pipeline, cover)
    assert change_detection.detect_changes(pipeline.database, jurisdiction) is None
    assert errors(run(pipeline, jurisdiction, STAGES, [first])) == []
    assert is_complete(pipeline, cover)
    change_detection.detect_changes(pipeline.database, jurisdiction)
    for each in ("now", "then", "batches", "rejections", "changes"):
        assert contents(pipeline)[each] == in_one_run[each]


def test_rows_of_an_earlier_harvest_complete_nothing(standing: Standing, in_one_run: dict[str, Any]) -> None:
    """A newer harvest came between: the rows that the tiles got before it are published, and the feed waits for the
    rows of the newer one. Tiles that are equal in both need no second run of `parcels`."""
    pipeline, jurisdiction, folder = standing
    town.release(folder, COUNTY, parcels=town.edited)
    older = harvest(pipeline, jurisdiction)
    tiles = sorted(older.tiles)
    for stage in (RAW, NORMALIZED, VALIDATED):
        assert errors(run(pipeline, jurisdiction, [stage], tiles)) == []
    town.release(folder, CHANGED)
    newer = harvest(pipeline, jurisdiction)
    assert newer.harvest != older.harvest
    assert errors(run(pipeline, jurisdiction, [PUBLISHED], tiles)) == []
    assert rows(pipeline.database, "SELECT count(*) > 0 FROM zoning.parcel WHERE land_use = '999'") == [(True,)]
    assert not is_complete(pipeline, newer)
    assert change_detection.detect_changes(pipeline.database, jurisdiction) is None
    one_by_one(pipeline, jurisdiction, list(newer.tiles))
    assert is_complete(pipeline, newer)
    assert contents(pipeline)["now"] == in_one_run["now"]


def test_an_unchanged_layer_is_complete_again(standing: Standing) -> None:
    """The portal is asked and has what is published: four runs confirm it, as one run does."""
    pipeline, jurisdiction, folder = standing
    town.release(folder, COUNTY)
    before = contents(pipeline)
    cover = harvest(pipeline, jurisdiction)
    assert not is_complete(pipeline, cover), "it was seen later than it was published"
    one_by_one(pipeline, jurisdiction, list(cover.tiles))
    assert is_complete(pipeline, cover)
    assert contents(pipeline) == before


def _ends(owner: dict[str, str]) -> tuple[str, str]:
    """Two lots of different tiles, the same two each time."""
    keys = sorted(owner)
    return keys[0], next(key for key in keys if owner[key] != owner[keys[0]])


def _swapped_shapes(table: gpd.GeoDataFrame, owner: dict[str, str]) -> gpd.GeoDataFrame:
    """Two lots of different tiles have each other's shape."""
    one, other = _ends(owner)
    return table.assign(PIN=table["PIN"].replace({one: other, other: one}))


def test_a_row_that_went_to_another_tile_between_two_harvests(standing: Standing) -> None:
    """A tile with rows of the older harvest still has it, another tile has it by the newer one: it is published once,
    and neither of them is told to be wrong."""
    pipeline, jurisdiction, folder = standing
    owner = dict(rows(pipeline.database, "SELECT parcel_id, tile FROM zoning.parcel"))
    town.release(folder, COUNTY, parcels=town.edited)
    older = harvest(pipeline, jurisdiction)
    tiles = sorted(older.tiles)
    assert errors(run(pipeline, jurisdiction, [RAW], tiles)) == []
    town.release(folder, COUNTY, parcels=lambda table: _swapped_shapes(table, owner))
    newer = harvest(pipeline, jurisdiction)
    assert set(newer.tiles) == set(tiles)
    old_tile, new_tile = sorted({owner[key] for key in _ends(owner)})
    assert errors(run(pipeline, jurisdiction, STAGES[1:], [old_tile])) == []
    assert errors(run(pipeline, jurisdiction, STAGES, [new_tile])) == []
    assert not is_complete(pipeline, newer)
    assert errors(run(pipeline, jurisdiction, STAGES, tiles)) == []
    assert is_complete(pipeline, newer)
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == [(len(owner),)]


def test_each_asset_needs_the_one_before_it(pipeline: Pipeline, tmp_path: Path) -> None:
    """`parcels` before the others were made: one line says what to make first, and nothing is published."""
    town.release(tmp_path, COUNTY)
    jurisdiction = town.town(tmp_path)
    tiles = sorted(harvest(pipeline, jurisdiction).tiles)
    for stage, made_first in ((PUBLISHED, "raw_feed"), (RAW, ""), (PUBLISHED, "normalized"), (NORMALIZED, "")):
        outcomes = run(pipeline, jurisdiction, [stage], tiles)
        assert all(isinstance(each.error, HarvestMissing) for each in outcomes) is bool(made_first), errors(outcomes)
        assert all(f"materialize {made_first} first" in each for each in errors(outcomes)), errors(outcomes)
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.batch") == [(0,)]
    assert errors(run(pipeline, jurisdiction, [PUBLISHED], tiles)) == [], "`validated` is made with it"
    assert is_complete(pipeline, harvest_of(pipeline))


def test_a_tile_that_is_gone_publishes_nothing(standing: Standing) -> None:
    """`tiles` was materialized between, and the layer has no such tile any more: its rows have new owners."""
    pipeline, _, folder = standing
    tiles = sorted(harvest_of(pipeline).tiles)
    finer = town.town(folder, tiles=9)
    cover = harvest(pipeline, finer)
    assert not set(cover.tiles) & set(tiles)
    before = contents(pipeline)
    outcomes = run(pipeline, finer, [VALIDATED, PUBLISHED], tiles)
    assert all(isinstance(each.error, CoverStale) for each in outcomes)
    assert contents(pipeline) == before
    assert not harvest_of(pipeline).doubted, "the run is old, not the harvest: the layer is not fetched again"
    one_by_one(pipeline, finer, list(cover.tiles))
    assert is_complete(pipeline, cover)


def test_rows_that_the_portal_took_back_are_not_published(standing: Standing) -> None:
    """A tile got rows of a release, and the portal has the release before it again, which is published."""
    pipeline, jurisdiction, folder = standing
    town.release(folder, COUNTY)
    first = harvest(pipeline, jurisdiction)
    tile, *_ = tiles = sorted(first.tiles)
    town.release(folder, COUNTY, parcels=town.edited)
    harvest(pipeline, jurisdiction)
    assert errors(run(pipeline, jurisdiction, [RAW, NORMALIZED], [tile])) == []
    town.release(folder, COUNTY)
    again = harvest(pipeline, jurisdiction)
    assert again.state == first.state
    one_by_one(pipeline, jurisdiction, tiles[1:])
    assert is_complete(pipeline, again)
    before = contents(pipeline)
    (refused,) = errors(run(pipeline, jurisdiction, [PUBLISHED], [tile]))
    assert "materialize raw_feed first" in refused
    one_by_one(pipeline, jurisdiction, [tile])
    assert contents(pipeline) == before
    assert is_complete(pipeline, again)


def test_runs_that_end_at_the_same_moment_complete_the_feed(standing: Standing) -> None:
    """Each run published one tile: none of them overwrites what another one records."""
    pipeline, jurisdiction, _ = standing
    cover = harvest(pipeline, jurisdiction)
    places = [{Place(ID, tile): True} for tile in cover.tiles]
    before = newest_batch(pipeline.database, ID, PARCELS)
    record = partial(known_layer.record_published, pipeline.objects, pipeline.database, cover, newest_batch=before)
    with ThreadPoolExecutor(len(places)) as threads:
        list(threads.map(record, places))
    assert is_complete(pipeline, cover)


def test_a_restored_database_is_not_complete_with_one_tile(
    standing: Standing, server: str, published: tuple[str, Path]
) -> None:
    """The object store knows of a release that a database from a backup does not have: it is complete when all tiles
    are published again, in whatever runs."""
    pipeline, jurisdiction, _ = standing
    cover = harvest(pipeline, jurisdiction)
    one_by_one(pipeline, jurisdiction, list(cover.tiles))
    now = contents(pipeline)["now"]
    with continued(server, published[0]) as url:
        restored = replace(pipeline, database=url)
        first, *others = sorted(cover.tiles)
        assert errors(run(restored, jurisdiction, [PUBLISHED], [first])) == []
        assert not is_complete(restored, cover)
        assert asyncio.run(restored.probe(jurisdiction, PARCELS, datetime.now(UTC))).why
        for tile in others:
            assert errors(run(restored, jurisdiction, [PUBLISHED], [tile])) == []
        assert is_complete(restored, cover)
        assert contents(restored)["now"] == now


def test_an_accepted_fall_is_not_forgotten_by_a_replay(standing: Standing) -> None:
    """A person accepts that the layer became smaller; before the next harvest, the last one is replayed."""
    pipeline, jurisdiction, folder = standing
    town.release(folder, COUNTY, parcels=town.truncated)
    with pytest.raises(AcceptanceNeeded):
        harvest(pipeline, jurisdiction)
    feed_baselines.accept(pipeline.objects, ID, PARCELS, "ann", "a part left the county")
    tiles = sorted(harvest_of(pipeline).tiles)
    assert errors(run(pipeline, jurisdiction, STAGES[1:], tiles)) == []
    cover = harvest(pipeline, jurisdiction)
    assert errors(run(pipeline, jurisdiction, STAGES, list(cover.tiles))) == []
    assert is_complete(pipeline, cover)


def test_a_newer_harvest_that_another_run_publishes_meanwhile(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tiles are published from the older harvest, and one of them from the newer one, before the end of the older
    run is recorded: changes are not told of this mixture."""
    pipeline, jurisdiction, folder = standing
    town.release(folder, COUNTY, parcels=town.edited)
    tiles = sorted(harvest(pipeline, jurisdiction).tiles)

    def late(*args: Any) -> None:
        monkeypatch.setattr(pipeline_module, "record_published", known_layer.record_published)
        town.release(folder, CHANGED)
        harvest(pipeline, jurisdiction)
        assert errors(run(pipeline, jurisdiction, STAGES, tiles[:1])) == []
        known_layer.record_published(*args)

    monkeypatch.setattr(pipeline_module, "record_published", late)
    assert errors(run(pipeline, jurisdiction, STAGES, tiles)) == []
    assert change_detection.detect_changes(pipeline.database, jurisdiction) is None
    assert not is_complete(pipeline, harvest_of(pipeline))
    one_by_one(pipeline, jurisdiction, tiles)
    assert is_complete(pipeline, harvest_of(pipeline))


def test_a_rollback_before_the_end_of_a_run_is_recorded_stays_known(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next probe would find nothing to do, and the rolled back rows would stay."""
    pipeline, jurisdiction, _ = standing
    tiles = sorted(harvest(pipeline, jurisdiction).tiles)
    ((before,),) = rows(pipeline.database, "SELECT clock_timestamp()")

    def late(*args: Any) -> None:
        url, objects = pipeline.database, pipeline.objects
        roll_back(url, objects, jurisdiction, to=before, actor="ann", reason="wrong", dry_run=False)
        known_layer.record_published(*args)

    monkeypatch.setattr(pipeline_module, "record_published", late)
    assert errors(run(pipeline, jurisdiction, STAGES, tiles)) == []
    assert asyncio.run(pipeline.probe(jurisdiction, PARCELS, datetime.now(UTC))).why == "it was rolled back"


def test_a_run_that_was_killed_before_its_end_was_recorded(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has published all tiles. Then the portal takes the release back, so that it has again what was published and
    recorded before: neither the probe nor a run of one tile may take the feed for published."""
    pipeline, jurisdiction, folder = standing
    first, before = harvest_of(pipeline), contents(pipeline)["now"]
    tiles = sorted(harvest(pipeline, jurisdiction).tiles)
    with monkeypatch.context() as killed:
        killed.setattr(pipeline_module, "record_published", lambda *_: None)
        assert errors(run(pipeline, jurisdiction, STAGES, tiles)) == []
    assert contents(pipeline)["now"] != before
    town.release(folder, COUNTY)
    assert asyncio.run(pipeline.probe(jurisdiction, PARCELS, datetime.now(UTC))).why
    cover = harvest(pipeline, jurisdiction)
    assert cover.harvest == first.harvest
    tile, *others = sorted(cover.tiles)
    assert errors(run(pipeline, jurisdiction, STAGES, [tile])) == []
    assert not is_complete(pipeline, cover)
    assert asyncio.run(pipeline.probe(jurisdiction, PARCELS, datetime.now(UTC))).why
    assert errors(run(pipeline, jurisdiction, STAGES, others)) == []
    assert is_complete(pipeline, cover)
    assert asyncio.run(pipeline.probe(jurisdiction, PARCELS, datetime.now(UTC))).why is None
    assert contents(pipeline)["now"] == before


def test_a_run_of_a_map_that_was_killed_before_its_end_was_recorded(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with the zoning map, which has no tiles."""
    (pipeline, jurisdiction, folder), districts = standing, "SELECT content_hash FROM zoning.district ORDER BY 1"
    town.release(folder, COUNTY)
    assert errors(sync(pipeline, jurisdiction, ZONING)) == []
    before = rows(pipeline.database, districts)
    town.release(folder, COUNTY, zoning=town.shrunk)
    with monkeypatch.context() as killed:
        killed.setattr(pipeline_module, "record_published", lambda *_: None)
        assert errors(sync(pipeline, replace(jurisdiction, tripwires={"count_drop": 1.0}), ZONING)) == []
    assert rows(pipeline.database, districts) != before
    town.release(folder, COUNTY)
    assert asyncio.run(pipeline.probe(jurisdiction, ZONING, datetime.now(UTC))).why
    assert errors(sync(pipeline, jurisdiction, ZONING)) == []
    assert rows(pipeline.database, districts) == before
    assert asyncio.run(pipeline.probe(jurisdiction, ZONING, datetime.now(UTC))).why is None


def test_an_error_while_a_repeated_key_is_resolved_fails_its_place_only(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is lost at that moment: the outcome of the place says it, and the other places are published."""
    pipeline, jurisdiction, _ = standing
    tile, *others = sorted(harvest(pipeline, jurisdiction).tiles)
    publish = Publisher.publish

    async def repeated(self: Publisher, validated: ValidatedTable, *args: Any) -> Any:
        if validated.item.place.tile == tile:
            raise CoverStale("the key 'k' is in two rows", where=tile, do="run it again", key="k")
        return await publish(self, validated, *args)

    def lost(*_: Any) -> bool:
        raise DatabaseUnavailable("gone", where="the database", do="start it")

    monkeypatch.setattr(Publisher, "publish", repeated)
    monkeypatch.setattr(correction_records, "end_fix_of_key", lost)
    outcomes = run(pipeline, jurisdiction, STAGES, [tile, *others])
    assert {each.place.tile: type(each.error) for each in outcomes if each.error} == {tile: DatabaseUnavailable}
    assert sum(PUBLISHED in each.stages for each in outcomes) == len(others)


@pytest.mark.parametrize("finds", ["the same", "a newer one"])
def test_a_repeated_key_that_is_found_during_a_harvest(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, finds: str
) -> None:
    """Another process has read what is stored, and has still to store what it harvested. If it confirms the harvest
    that has the key twice, the mark must stay; if it has a newer one, that must stay."""
    pipeline, jurisdiction, folder = standing
    if finds == "the same":
        town.release(folder, COUNTY)
    first, key_is_found, harvests, stored = harvest_of(pipeline), *(threading.Event() for _ in range(3))
    publish, put_cover = Publisher.publish, raw_harvests.put_cover

    async def repeated(_: Publisher, validated: ValidatedTable, *__: Any) -> Any:
        await asyncio.to_thread(harvests.wait, 60)
        key_is_found.set()
        raise CoverStale("the key 'k' is in two rows", where=str(validated.item.place), do="run it again", key="k")

    def stored_late(objects: Objects, cover: Cover) -> None:
        if not cover.doubted:
            harvests.set()
            key_is_found.wait(60)
            time.sleep(1)
        elif finds == "a newer one":  # the mark is set to what was stored a moment ago
            stored.wait(60)
        put_cover(objects, cover)
        stored.set()

    monkeypatch.setattr(Publisher, "publish", repeated)
    monkeypatch.setattr(raw_harvests, "put_cover", stored_late)
    with ThreadPoolExecutor(1) as other:
        layer = other.submit(harvest, pipeline, jurisdiction)
        (outcome,) = run(pipeline, jurisdiction, STAGES, sorted(first.tiles)[:1])
        assert isinstance(outcome.error, CoverStale), outcome.error
        assert (layer.result(60).harvest == first.harvest) is (finds == "the same")
    newest = harvest_of(pipeline)
    assert newest.harvest == layer.result().harvest
    assert newest.doubted is (finds == "the same")
    monkeypatch.setattr(Publisher, "publish", publish)
    monkeypatch.setattr(raw_harvests, "put_cover", put_cover)
    assert errors(run(pipeline, jurisdiction, STAGES, sorted(harvest(pipeline, jurisdiction).tiles))) == []
    assert not harvest_of(pipeline).doubted


@pytest.mark.parametrize("ends", ["later", "earlier"])
def test_an_older_run_that_publishes_last_is_followed_by_a_harvest(
    standing: Standing, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """A run waited, for example for a hold. Meanwhile another run has published a newer harvest; then the first one
    publishes its rows over newer ones, and ends later or earlier than the newer run."""
    pipeline, jurisdiction, folder = standing
    town.release(folder, COUNTY, parcels=town.edited)
    older = harvest(pipeline, jurisdiction)
    tile, *_ = tiles = sorted(older.tiles)
    publish, record = Publisher.publish, known_layer.record_published
    newer_published, older_published = threading.Event(), threading.Event()

    def newer_run() -> None:
        town.release(folder, CHANGED)
        harvest(pipeline, jurisdiction)
        assert errors(run(pipeline, jurisdiction, STAGES, tiles)) == []
        newer_published.set()

    def late_record(objects: Objects, database: str, cover: Cover, *args: Any) -> None:
        if cover.harvest != older.harvest and ends == "earlier":
            newer_published.set()
            assert older_published.wait(30)
        record(objects, database, cover, *args)

    async def late_publish(self: Publisher, validated: ValidatedTable, *args: Any) -> Any:
        if validated.item.state != older.harvest:
            return await publish(self, validated, *args)
        thread.start()
        assert await asyncio.to_thread(newer_published.wait, 30)
        done = await publish(self, validated, *args)
        older_published.set()
        return done

    thread = threading.Thread(target=newer_run)
    monkeypatch.setattr(pipeline_module, "record_published", late_record)
    monkeypatch.setattr(Publisher, "publish", late_publish)
    assert errors(run(pipeline, jurisdiction, STAGES, [tile])) == []
    thread.join(30)
    assert rows(pipeline.database, "SELECT count(*) > 0 FROM zoning.parcel WHERE land_use = '999'") == [(True,)]
    assert asyncio.run(pipeline.probe(jurisdiction, PARCELS, datetime.now(UTC))).why
    cover = harvest(pipeline, jurisdiction)
    assert errors(run(pipeline, jurisdiction, STAGES, tiles)) == []
    assert is_complete(pipeline, cover)
    assert rows(pipeline.database, "SELECT count(*) > 0 FROM zoning.parcel WHERE land_use = '999'") == [(False,)]
