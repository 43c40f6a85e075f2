"""A table in another database that is kept equal to zoned_parcel, also while processes are killed and rolled back."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import going_on, read_toml, rows, sync
from tests.subscriptions.log_rows import change, deliver, subscribe, tell
from tests.subscriptions.receiver import receiving
from tests.support.databases import copied
from zoning_assets.errors import SettingInvalid
from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.operations import history_rollback
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import hold_records, subscription_records
from zoning_assets.subscriptions import postgis_copy
from zoning_assets.subscriptions.postgis_copy import table_name

_COLUMNS = """
    jurisdiction, parcel_id, zoning_code, zoning_codes, zone_type, split_zoned, zoned_fraction, overlays, conditions,
    puds, parcel_layer_code, agrees, address, land_use, area_m2, last_changed
"""
OURS = f"SELECT {_COLUMNS}, ST_AsBinary(ST_Transform(geom, 4326)) FROM zoning.zoned_parcel ORDER BY 1, 2"
THEIRS = f"SELECT {_COLUMNS}, ST_AsBinary(geom) FROM gis.lots ORDER BY 1, 2"
_BATCH = """
    INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started) VALUES (%s, 'parcels', 'h', 'r', now())
    RETURNING id
"""
_RETIRE = """
    WITH gone AS (DELETE FROM zoning.parcel WHERE parcel_id = %s RETURNING *)
    INSERT INTO zoning.parcel_version SELECT gone.*, last_changed, now(), NULL, NULL, %s FROM gone
"""
_TELLS = "SELECT id, state FROM zoning.change WHERE state <> 'review' ORDER BY 1"


def publish(pipeline: Pipeline, county: Jurisdiction) -> None:
    sync(pipeline, county)
    sync(pipeline, county, ZONING)
    change_detection.update_parcel_zoning(pipeline.database, county)
    change_detection.detect_changes(pipeline.database, county)


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    folder = tmp_path_factory.mktemp("published")
    with serving(400) as portal, copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        publish(pipeline, read_toml(folder / "toml", county_toml(portal), ID))
        yield portal, name, folder / "store"


@pytest.fixture
def pipeline(server: str, published: tuple[str, str, Path], tmp_path: Path, pool: Pool) -> Iterator[Pipeline]:
    _, name, store = published
    with going_on(server, name, store, tmp_path, pool) as pipeline:
        yield pipeline


@pytest.fixture
def consumer(server: str, template: str) -> Iterator[str]:
    """Another database with PostGIS."""
    with copied(server, template) as (_, url):
        owner = url.partition("?")[0]
        with psycopg.connect(owner) as connection:
            connection.execute("CREATE SCHEMA gis")
        yield owner


def test_the_table_stays_equal_through_releases_and_a_rollback(
    pipeline: Pipeline, consumer: str, published: tuple[str, str, Path], tmp_path: Path
) -> None:
    """And a webhook gets each change, then its retraction; a list of parcels follows the split of a lot."""
    portal, *_ = published
    switch_release(portal, 1)
    county = read_toml(tmp_path / "toml", county_toml(portal), ID)
    url = pipeline.database
    subscribe(url, "postgis", consumer, "mirror", consumer_table="gis.lots")
    (first,) = deliver(url)
    assert (first.error, first.delivered) == (None, len(rows(url, OURS)))
    assert rows(consumer, THEIRS) == rows(url, OURS)
    assert deliver(url)[0].delivered == 0
    with receiving() as receiver:
        subscribe(url, "webhook", receiver.url, "hook")
        moment = rows(url, "SELECT clock_timestamp()")[0][0]
        switch_release(portal, 2)
        publish(pipeline, county)
        _, second = deliver(url)
        assert 0 < second.delivered < first.delivered
        assert rows(consumer, THEIRS) == rows(url, OURS)
        told = {name for name, state in rows(url, _TELLS)}
        assert {name for name, _ in receiver.changes} == told
        parcel_changes = [each["data"]["facet"] == "parcel" for each in receiver.accepted]
        assert parcel_changes == sorted(parcel_changes, reverse=True)
        history_rollback.roll_back(url, pipeline.objects, county, to=moment, actor="ann", reason="wrong", dry_run=False)
        deliver(url)
        assert rows(consumer, THEIRS) == rows(url, OURS)
        retracted = [name for name, action in receiver.changes if action == "retracted"]
        assert sorted(retracted) == sorted(told)
        assert len({each["id"] for each in receiver.accepted}) == 2 * len(told)
        hold_records.resume(url, jurisdiction=ID, host=None, reason="over", actor="ann")


def test_a_lot_that_is_split_is_followed_to_its_children(
    pipeline: Pipeline, consumer: str, published: tuple[str, str, Path], tmp_path: Path
) -> None:
    """By the pipeline's own split: changes of the children arrive, and the consumer's table has them."""
    portal, *_ = published
    switch_release(portal, 1)
    county, url = read_toml(tmp_path / "toml", county_toml(portal), ID), pipeline.database
    truth = County.build(400).after_changes().truth
    assert truth is not None
    parent, children = next(iter(truth.split.items()))
    with receiving() as receiver:
        subscribe(url, "webhook", receiver.url, "hook", jurisdiction=ID, parcels=[parent])
        subscribe(url, "postgis", consumer, "mirror", consumer_table="gis.lots", jurisdiction=ID, parcels=[parent])
        deliver(url)
        assert [key for (key,) in rows(consumer, "SELECT parcel_id FROM gis.lots")] == [parent]
        switch_release(portal, 2)
        publish(pipeline, county)
        deliver(url)
        (split,) = [each["data"] for each in receiver.accepted if each["data"]["kind"] == "split"]
        assert split["parcel_ids"] == sorted([parent, *children])
        assert sorted(key for (key,) in rows(consumer, "SELECT parcel_id FROM gis.lots")) == sorted(children)
        tell(url, change("later", children[0], jurisdiction=ID), change("stranger", "no such lot", jurisdiction=ID))
        deliver(url)
        assert receiver.changes[-1] == ("later", "changed")


def test_a_split_that_is_published_meanwhile_is_followed(
    pipeline: Pipeline, consumer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another subscription gives it a position after the lineage was followed, and before the rows are copied."""
    url = pipeline.database
    (parent, child), *_ = rows(url, "SELECT min(parcel_id), max(parcel_id) FROM zoning.parcel")
    subscribe(url, "postgis", consumer, "mirror", consumer_table="gis.lots", jurisdiction=ID, parcels=[parent])
    lineage = {"parents": [parent], "children": [child]}
    split = change("s", parent, child, jurisdiction=ID, kind="split", facet="parcel", evidence=lineage)
    update = postgis_copy.update

    def later(*given: object) -> int | None:
        monkeypatch.setattr(postgis_copy, "update", update)
        tell(url, split)
        with psycopg.connect(url) as connection:
            subscription_records.sequence(connection)
        return update(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(postgis_copy, "update", later)
    deliver(url)
    deliver(url)
    assert [key for (key,) in rows(consumer, "SELECT parcel_id FROM gis.lots ORDER BY 1")] == [parent, child]


def test_a_consumer_that_fails_gets_everything_once_it_answers(pipeline: Pipeline, consumer: str, server: str) -> None:
    url = pipeline.database
    subscribe(url, "postgis", f"{consumer}_gone", "mirror", consumer_table="gis.lots")
    (result,) = deliver(url)
    assert "no database of this name" in (result.error or "")
    assert consumer.rpartition("@")[0].rpartition(":")[2] not in (result.error or ""), "the password"
    rows(url, "UPDATE zoning.subscription_secret SET target = %s RETURNING 1", consumer)
    with psycopg.connect(consumer) as connection:
        connection.execute("CREATE TABLE gis.lots (LIKE zoning.zoned_parcel)")
        connection.execute("INSERT INTO gis.lots (parcel_id) VALUES ('mine')")
    (result,) = deliver(url)
    assert "the table has rows of another origin" in (result.error or "")
    with psycopg.connect(consumer) as connection:
        connection.execute("DROP TABLE gis.lots")
    (result,) = deliver(url)
    assert result.error is None
    assert rows(consumer, THEIRS) == rows(url, OURS)


def test_a_batch_is_applied_completely_or_not_at_all(pipeline: Pipeline, consumer: str) -> None:
    """A statement there fails in the middle; after that the same batch is applied, once."""
    url = pipeline.database
    subscribe(url, "postgis", consumer, "mirror", consumer_table="gis.lots")
    deliver(url)
    before = rows(consumer, THEIRS)
    (edited, removed), *_ = rows(url, "SELECT min(parcel_id), max(parcel_id) FROM zoning.parcel")
    with psycopg.connect(url) as connection:
        (batch,) = connection.execute(_BATCH, [ID]).fetchone() or (0,)
        connection.execute(
            "UPDATE zoning.parcel SET address = 'moved', batch_id = %s WHERE parcel_id = %s", [batch, edited]
        )
        connection.execute(_RETIRE, [removed, batch])
    with psycopg.connect(consumer) as connection:
        connection.execute(
            "CREATE FUNCTION gis.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$;"
            "CREATE TRIGGER fails BEFORE INSERT ON gis.lots EXECUTE FUNCTION gis.fail()"
        )
    (result,) = deliver(url)
    assert (result.error or "").startswith("consumer database ")
    assert rows(consumer, THEIRS) == before
    with psycopg.connect(consumer) as connection:
        connection.execute("DROP TRIGGER fails ON gis.lots")
    (result,) = deliver(url)
    assert (result.error, result.delivered) == (None, 2)
    after = rows(consumer, THEIRS)
    assert after == rows(url, OURS)
    assert len(after) == len(before) - 1
    assert deliver(url)[0].delivered == 0


@pytest.mark.parametrize("name", ["", "a.b.c", "x; DROP TABLE y", 'a"b', "zoning.parcel", "ä b", "1x", "a" * 64])
def test_only_a_name_is_a_table(name: str) -> None:
    with pytest.raises(SettingInvalid):
        table_name(name, "--table")
