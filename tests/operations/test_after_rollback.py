"""What a rollback means to all that remembers what was published: probes, acceptances, fixes, runs that waited."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import rows, sync
from tests.operations.test_history_rollback import CHANGES, go_on, harvest, now, undo
from tests.storage.postgis import synthetic
from tests.support import town
from zoning_assets.errors import AcceptanceNeeded
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import change_detection, corrections
from zoning_assets.pipeline.corrections import FixRequest
from zoning_assets.pipeline.pipeline import NORMALIZED, PUBLISHED, STAGES, VALIDATED, Pipeline
from zoning_assets.simulation.county.county import ID, County
from zoning_assets.storage.postgis import rollback_batches
from zoning_assets.storage.postgis.publish import publish
from zoning_assets.storage.postgis.records import correction_records, hold_records, release_profiles

LOTS = 400
COVER = synthetic.COVERS[0]
REPLAY = (NORMALIZED, VALIDATED, PUBLISHED)


@pytest.fixture
def described(tmp_path: Path) -> Jurisdiction:
    town.release(tmp_path, County.build(LOTS))
    return town.town(tmp_path)


def errors(outcomes: list[Outcome]) -> list[str]:
    return [str(each.error) for each in outcomes if each.error]


def is_held(outcomes: list[Outcome]) -> bool:
    """Every place that has something to publish."""
    return {type(each.error) for each in outcomes} - {type(None)} == {AcceptanceNeeded}


def edited(folder: Path) -> None:
    """A release of which two rows of five differ."""
    town.release(folder, County.build(LOTS), parcels=town.edited)


def uses(url: str) -> int:
    return rows(url, "SELECT count(*) FROM zoning.parcel WHERE land_use = '999'")[0][0]


def test_a_probe_says_that_what_was_rolled_back_differs_from_the_portal(
    pipeline: Pipeline, described: Jurisdiction, tmp_path: Path
) -> None:
    """Else nobody would ask for weeks, and what stands would pass for what the portal has."""
    sync(pipeline, described)
    before = now(pipeline.database)
    edited(tmp_path)
    sync(pipeline, described)
    probe = lambda: asyncio.run(pipeline.probe(described, PARCELS, datetime.now(UTC))).why  # noqa: E731
    assert probe() is None
    undo(pipeline, described, before)
    assert probe() == "it was rolled back"
    go_on(pipeline)
    assert errors(sync(pipeline, described)) == []
    assert (probe(), uses(pipeline.database) > 0) == (None, True)


def test_a_release_that_was_accepted_and_rolled_back_is_held_again(
    pipeline: Pipeline, described: Jurisdiction, tmp_path: Path
) -> None:
    """Whoever undoes what was accepted takes the acceptance back; and such a release is no measure of what is usual."""
    sync(pipeline, described)
    before = now(pipeline.database)
    town.release(tmp_path, County.build(LOTS), parcels=town.rekeyed)
    assert is_held(sync(pipeline, described))
    release_profiles.decide(pipeline.database, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="?")
    assert errors(sync(pipeline, described)) == []
    undo(pipeline, described, before)
    go_on(pipeline)
    assert is_held(sync(pipeline, described))
    with release_profiles.opened(pipeline.database, ID, PARCELS) as desk:
        assert len(desk.past_measures()) == 1


def test_a_first_backfill_that_was_rolled_back_to_its_midst_goes_on(
    pipeline: Pipeline, described: Jurisdiction
) -> None:
    """It was never whole then: the rest of a city is nothing strange beside a quarter of it."""
    sync(pipeline, described, choose=lambda tiles: tiles[:1])
    midst = now(pipeline.database)
    harvest(pipeline, described)
    undo(pipeline, described, midst)
    go_on(pipeline)
    harvest(pipeline, described)
    assert rows(pipeline.database, "SELECT count(DISTINCT tile) > 1 FROM zoning.parcel") == [(True,)]


def test_a_fall_that_was_accepted_and_rolled_back_is_held_again(
    pipeline: Pipeline, described: Jurisdiction, tmp_path: Path
) -> None:
    from zoning_assets.storage.object_store import feed_baselines  # noqa: PLC0415

    sync(pipeline, described)
    before = now(pipeline.database)
    town.release(tmp_path, County.build(LOTS), parcels=town.truncated)
    with pytest.raises(AcceptanceNeeded):
        sync(pipeline, described)
    feed_baselines.accept(pipeline.objects, ID, PARCELS, "ann", "?")
    assert errors(sync(pipeline, described)) == []
    undo(pipeline, described, before)
    go_on(pipeline)
    whole = rows(pipeline.database, "SELECT count(*) FROM zoning.parcel")
    assert is_held(sync(pipeline, described))
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == whole


def test_a_run_that_waited_while_its_county_was_rolled_back_publishes_nothing_more(
    pipeline: Pipeline, described: Jurisdiction, tmp_path: Path
) -> None:
    """Half of a release was published when a person paused and rolled it back: the other half was judged beside what
    stood then. The run says so; the next one publishes all of it, or nothing."""
    sync(pipeline, described)
    before = now(pipeline.database)
    edited(tmp_path)
    outcomes: list[Outcome] = []
    begun = asyncio.Event()

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        begun.set()
        if len(outcomes) == 1:
            hold_records.pause(pipeline.database, jurisdiction=ID, host=None, reason="odd", actor="ann", until=None)

    async def run() -> None:
        tiles = sorted((await pipeline.harvest(described)).tiles)
        places = [Place(ID, tile) for tile in tiles]
        running = asyncio.create_task(pipeline.run({ID: described}, places, PARCELS, STAGES, report))
        await begun.wait()
        await asyncio.sleep(1)
        assert len(outcomes) < len(places)
        await asyncio.to_thread(undo, pipeline, described, before)
        await asyncio.to_thread(go_on, pipeline)
        await running

    asyncio.run(run())
    assert uses(pipeline.database) == 0
    assert any("it was rolled back meanwhile" in each for each in errors(outcomes))
    assert asyncio.run(pipeline.probe(described, PARCELS, datetime.now(UTC))).why == "it was rolled back"
    assert errors(sync(pipeline, described)) == []
    assert uses(pipeline.database) > 0


def test_a_fix_says_that_it_was_rolled_back(pipeline: Pipeline, described: Jurisdiction) -> None:
    sync(pipeline, described)
    before = now(pipeline.database)
    (chosen, *_) = correction_records.rejected(pipeline.database, jurisdiction=ID, reason="null_key")
    wish = FixRequest({"key": "NEW-1"})
    assert corrections.fix(pipeline.database, pipeline.objects, described, [chosen], wish, actor="a", reason="b") == {}
    sync(pipeline, described, stages=REPLAY)
    state = lambda: [each["state"] for each in correction_records.active(pipeline.database, None)]  # noqa: E731
    assert state() == ["applies"]
    undo(pipeline, described, before)
    assert state() == ["rolled back: `zoning replay`, or the next harvest, applies it again"]
    go_on(pipeline)
    sync(pipeline, described, stages=REPLAY)
    assert state() == ["applies"]


def test_what_was_not_told_before_a_rollback_is_told_after_it(
    pipeline: Pipeline, described: Jurisdiction, tmp_path: Path
) -> None:
    """Two releases are published and nobody asked for changes; undone is the second; those of the first are told with
    the next whole harvest, and none twice."""
    harvest(pipeline, described)
    county = County.build(LOTS).after_changes()
    town.release(tmp_path, county)
    sync(pipeline, described)
    change_detection.update_parcel_zoning(pipeline.database, described)
    between = now(pipeline.database)
    told = rows(pipeline.database, CHANGES)
    town.release(tmp_path, county.after_changes())
    sync(pipeline, described)
    change_detection.update_parcel_zoning(pipeline.database, described)
    undo(pipeline, described, between)
    go_on(pipeline)
    assert change_detection.detect_changes(pipeline.database, described) is None, "perhaps a part of a release stands"
    town.release(tmp_path, county)
    assert errors(sync(pipeline, described)) == []
    change_detection.detect_changes(pipeline.database, described)
    assert county.truth
    kinds = [kind for _, kind in rows(pipeline.database, CHANGES)][len(told) :]
    assert kinds.count("split") == len(county.truth.split) > 0
    assert kinds.count("merged") == len(county.truth.merged) > 0
    assert change_detection.detect_changes(pipeline.database, described) is None


def test_a_parcel_that_had_passed_to_another_tile_passes_again(database: str) -> None:
    """The tile in which it stands again says nothing of today's state of the layer any more."""

    def publish_(tile: str, layer: str, **mine: synthetic.Fact) -> None:
        edition = replace(synthetic.edition(ID, tile, mine, COVER), layer=layer)
        publish(database, edition, synthetic.in_parts(synthetic.table(mine)), [])

    north, south = {"A": synthetic.Fact(1, "a")}, {"B": synthetic.Fact(4, "a")}
    publish_(synthetic.NORTH, "1", **north, K=synthetic.Fact(0, "a"))
    publish_(synthetic.SOUTH, "1", **south)
    before = now(database)
    for _ in range(2):
        publish_(synthetic.SOUTH, "2", **south, K=synthetic.Fact(3, "b"))
        where = rows(database, "SELECT tile FROM zoning.parcel WHERE parcel_id = 'K'")
        assert where == [(synthetic.SOUTH,)]
        publish_(synthetic.NORTH, "2", **north)
        with rollback_batches.opened(database, ID, dry_run=False) as work:
            work.to(before)
            work.finish()
        where = rows(database, "SELECT tile FROM zoning.parcel WHERE parcel_id = 'K'")
        assert where == [(synthetic.NORTH,)]
