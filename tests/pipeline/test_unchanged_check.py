"""The look before a run: it finds what a run would report, and only where a run would have nothing to do."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import going_on, read_toml, rows, sync
from tests.operations.test_history_rollback import go_on, harvest, now, undo
from tests.pipeline.test_unchanged import harvest as harvested
from tests.pipeline.test_unchanged import tracked
from tests.support import town
from tests.support.databases import copied
from zoning_assets.errors import FeedRefused, HarvestIncomplete
from zoning_assets.http import ResponseCaches
from zoning_assets.model import CHANGES, PARCELS, ZONING, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import change_detection, corrections
from zoning_assets.pipeline.corrections import FixRequest
from zoning_assets.pipeline.known_layer import mark_for_refetch
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.unchanged_check import UnchangedCheck
from zoning_assets.pipeline.workers import work_item
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal import SimulatedPortal
from zoning_assets.storage.object_store import feed_baselines, raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import correction_records, failure_records, hold_records

LOTS = 300


@dataclass
class Town:
    """A town whose layers are files, and what works on it."""

    folder: Path
    pipeline: Pipeline
    described: Jurisdiction
    monkeypatch: pytest.MonkeyPatch

    @property
    def url(self) -> str:
        return self.pipeline.database

    def look(self, feed: str) -> list[Outcome]:
        """What a look finds."""
        return asyncio.run(self._look.check_feed(self.described, feed, {}))

    def needs_no_run(self, step: str) -> bool:
        """Of a feed, or of what is made of both."""
        return self._look.is_compared(self.described) if step == CHANGES else bool(self.look(step))

    @property
    def _look(self) -> UnchangedCheck:
        """Its pool must not start."""
        made = self.pipeline
        return UnchangedCheck(made.objects, made.database, made.scratch, _NoPool(), made.http, made.now)  # type: ignore[arg-type]

    def batches(self) -> list[tuple]:
        return rows(self.url, "SELECT count(*) FROM zoning.batch")


class _NoPool:
    workers = 2

    async def run(self, *_: object) -> None:
        raise AssertionError


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A town that is published, compared and told, once for all tests: its database, and the folder of all else."""
    folder = tmp_path_factory.mktemp("published")
    town.release(folder / "town", County.build(LOTS))
    shutil.copytree(folder / "town", folder / "served")
    with copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        harvest(pipeline, town.town(folder / "served", may_shrink=0.5))
        yield name, folder


@pytest.fixture
def place(
    server: str, published: tuple[str, Path], tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Town]:
    """A copy of it. Its files lie where they lay, as they were."""
    name, folder = published
    for each in (folder / "town").iterdir():
        shutil.copy2(each, folder / "served")
    with going_on(server, name, folder / "store", tmp_path, pool) as pipeline:
        yield Town(folder / "served", pipeline, town.town(folder / "served", may_shrink=0.5), monkeypatch)


def told(outcomes: list[Outcome]) -> list[tuple]:
    """What a report says of outcomes, but for what they cost."""
    costs = {"received": 0, "requests": 0, "bytes": 0, "seconds": 0.0}
    found = [
        (str(each.place), each.feed, replace(each.counts, **costs), each.content_hash, each.remark, each.left_out)
        for each in outcomes
    ]
    return sorted(found, key=str)


def test_a_look_finds_what_a_run_would_report(place: Town) -> None:
    """Tile by tile, and the map; nothing is published; that it is up to date is noted."""
    found, batches, before = place.look(PARCELS) + place.look(ZONING), place.batches(), now(place.url)
    run = sync(place.pipeline, place.described) + sync(place.pipeline, place.described, ZONING)
    assert len(found) > 2
    assert told(found) == told(run)
    assert place.batches() == batches
    assert place.needs_no_run(CHANGES)
    assert place.needs_no_run(ZONING)
    fresh = rows(place.url, "SELECT feed, current > %s, harvested > %s FROM zoning.feed ORDER BY 1", before, before)
    assert fresh == [(PARCELS, True, True), (ZONING, True, True)]


def test_a_look_finds_rows_that_a_person_fixed(place: Town) -> None:
    """A fix that was published is no reason for a run."""
    _fix(place)
    harvest(place.pipeline, place.described)
    assert told(place.look(PARCELS)) == told(sync(place.pipeline, place.described))


def test_of_a_feed_that_stands_no_run_is_needed_where_the_other_one_changed(place: Town) -> None:
    _changed(place)
    assert [place.needs_no_run(each) for each in (PARCELS, ZONING, CHANGES)] == [False, True, True]
    sync(place.pipeline, place.described)
    assert [place.needs_no_run(each) for each in (PARCELS, ZONING, CHANGES)] == [True, True, False]


def _changed(place: Town) -> None:
    town.release(place.folder, County.build(LOTS), parcels=town.edited)


def _map_changed(place: Town) -> None:
    town.release(place.folder, County.build(LOTS), zoning=lambda rows_: rows_.iloc[1:])


def _fetched_and_not_published(place: Town) -> None:
    """As after a run that was killed between its two halves."""
    _changed(place)
    asyncio.run(place.pipeline.harvest(place.described))


def _published_in_part(place: Town) -> None:
    _changed(place)
    sync(place.pipeline, place.described, choose=lambda tiles: tiles[1:])


def _went_back_before_all_was_published(place: Town) -> None:
    """The portal has again what was published before, and some tiles are of the release between."""
    _published_in_part(place)
    town.release(place.folder, County.build(LOTS))
    asyncio.run(place.pipeline.harvest(place.described))


def _not_compared(place: Town) -> None:
    _changed(place)
    sync(place.pipeline, place.described)


def _shares_not_told(place: Town) -> None:
    _not_compared(place)
    change_detection.update_parcel_zoning(place.url, place.described)


def _doubted(place: Town) -> None:
    cover = raw_harvests.find_cover(place.pipeline.objects, ID, PARCELS)
    assert cover
    asyncio.run(mark_for_refetch(place.pipeline.objects, place.url, cover, lambda: None))


def _paused(place: Town) -> None:
    hold_records.pause(place.url, jurisdiction=None, host=None, reason="storm", actor="ann", until=None)


def _fix(place: Town) -> None:
    held = correction_records.rejected(place.url, jurisdiction=ID, reason="null_key")
    wish = FixRequest({"PIN": "FIXED-1"})
    refused = corrections.fix(
        place.url, place.pipeline.objects, place.described, held[:1], wish, actor="ann", reason="seen"
    )
    assert (len(held) > 0, refused) == (True, {})


def _withdrawn_fix(place: Town) -> None:
    _fix(place)
    harvest(place.pipeline, place.described)
    ids = [row_id for (row_id,) in rows(place.url, "SELECT row_id FROM zoning.fix")]
    correction_records.withdraw(place.url, ids, "ann", "wrong")


def _other_rules(place: Town) -> None:
    place.monkeypatch.setattr(work_item, "RULES_VERSION", work_item.RULES_VERSION + 1)


def _other_rules_of_changes(place: Town) -> None:
    place.monkeypatch.setattr(change_detection, "RULES_VERSION", change_detection.RULES_VERSION + 1)


def _other_columns_in_the_file(place: Town) -> None:
    parcels = place.described.feeds[PARCELS]
    fields = {**parcels.fields, "land_use": "ZONE"}
    place.described = replace(
        place.described, feeds={**place.described.feeds, PARCELS: replace(parcels, fields=fields)}
    )


def _failed(place: Town, feed: str = ZONING) -> None:
    error = FeedRefused("HTTP 404", where="the portal", do="check the address")
    failure_records.store_outcomes(place.url, [Outcome(Place(ID), feed, error=error)], "a run", datetime.now(UTC))


def _changes_failed(place: Town) -> None:
    _failed(place, CHANGES)


def _rolled_back(place: Town) -> None:
    before = now(place.url)
    _changed(place)
    harvest(place.pipeline, place.described)
    undo(place.pipeline, place.described, before)
    go_on(place.pipeline)


def _rolled_back_to_what_the_portal_has(place: Town) -> None:
    _rolled_back(place)
    town.release(place.folder, County.build(LOTS))


def _too_old(place: Town) -> None:
    later = datetime.now(UTC) + timedelta(days=31)
    place.pipeline = replace(place.pipeline, now=lambda: later)


def _rows_are_gone_from_the_table(place: Town) -> None:
    rows(place.url, "DELETE FROM zoning.parcel_zoning RETURNING 1")
    rows(
        place.url, "DELETE FROM zoning.parcel WHERE parcel_id = (SELECT min(parcel_id) FROM zoning.parcel) RETURNING 1"
    )


def _signals_moved(place: Town) -> None:
    """Else each probe would find a change, for ever."""
    objects, at = place.pipeline.objects, datetime.now(UTC)
    before = feed_baselines.find(objects, ID, PARCELS)
    assert before
    feed_baselines.put(objects, ID, PARCELS, replace(before, signals={"size": 1}, at=at.isoformat()))


def _file_is_gone(place: Town) -> None:
    (place.folder / "parcels.geojson").unlink()


def _store_is_empty(place: Town) -> None:
    place.pipeline.objects.delete([f"raw/{ID}/{PARCELS}/cover.json"])


#: Reason -> what needs a run for it.
REASONS: dict[Callable[[Town], None], str] = {
    _changed: PARCELS,
    _map_changed: ZONING,
    _fetched_and_not_published: PARCELS,
    _published_in_part: PARCELS,
    _went_back_before_all_was_published: PARCELS,
    _not_compared: CHANGES,
    _shares_not_told: CHANGES,
    _changes_failed: CHANGES,
    _other_rules_of_changes: CHANGES,
    _doubted: PARCELS,
    _paused: ZONING,
    _fix: PARCELS,
    _withdrawn_fix: PARCELS,
    _other_rules: PARCELS,
    _other_columns_in_the_file: PARCELS,
    _failed: ZONING,
    _rolled_back: PARCELS,
    _rolled_back_to_what_the_portal_has: PARCELS,
    _too_old: ZONING,
    _rows_are_gone_from_the_table: PARCELS,
    _signals_moved: PARCELS,
    _file_is_gone: PARCELS,
    _store_is_empty: PARCELS,
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("reason", "step"), REASONS.items(), ids=lambda each: getattr(each, "__name__", each))
def test_a_reason_for_a_run_is_seen(place: Town, reason: Callable[[Town], None], step: str) -> None:
    """And a feed that needs a run is not noted to be up to date."""
    reason(place)
    query = f"SELECT current, harvested FROM zoning.feed WHERE feed = '{step}'"
    before = rows(place.url, query)
    assert not place.needs_no_run(step)
    assert rows(place.url, query) == before


def test_nothing_is_found_of_a_jurisdiction_that_was_never_harvested(pipeline: Pipeline, tmp_path: Path) -> None:
    town.release(tmp_path, County.build(LOTS))
    look = UnchangedCheck(pipeline.objects, pipeline.database, pipeline.scratch, _NoPool())  # type: ignore[arg-type]
    assert asyncio.run(look.check_feed(town.town(tmp_path), PARCELS, {})) == []


def test_a_layer_that_changes_between_look_and_pages_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    """The run takes what the look was told, and proves its pages by what the portal states after them."""
    county = County.build(LOTS)

    async def all_of_it() -> None:
        portal = SimulatedPortal([tracked(county, 1_000)])
        async with portal.running() as address:
            described, kept = read_toml(tmp_path / "toml", county_toml(address), ID), ResponseCaches()
            await harvested(pipeline, described)
            look = UnchangedCheck(pipeline.objects, pipeline.database, pipeline.scratch, _NoPool())  # type: ignore[arg-type]
            assert len(await look.check_feed(described, PARCELS, kept)) > 1
            portal.layers = [tracked(county, 2_000, edit=7)]
            assert await look.check_feed(described, PARCELS, kept) == []
            portal.layers = [tracked(county, 3_000, edit=7, take_away=9)]
            with pytest.raises(HarvestIncomplete):
                await replace(pipeline, kept=kept).harvest(described)
            await harvested(replace(pipeline, kept=kept), described)

    asyncio.run(all_of_it())
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel WHERE land_use = '999'") == [(1,)]
