"""A run that Dagster gave up before it said what became of its partitions is asked for again: soon, later and later,
and not for ever."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import read_toml
from tests.support.asked_questions import tick
from zoning_assets.defs import build, in_process_runs, partitions, run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.run_workers import unsubmitted
from zoning_assets.defs.sensors import failed_partitions
from zoning_assets.defs.sensors.run_lost import note_given_up
from zoning_assets.model import PARCELS, Place
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.storage.postgis.records import failure_records
from zoning_assets.storage.postgis.records.failure_records import MAX_RETRIES

REFUSED = {"dagster/will_retry": "false"}
TILES = ["1", "3", "5"]


@pytest.fixture
def definitions(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """With one jurisdiction, whose portal is never asked."""
    for name, value in {"HOME": "home", "STORE_URL": "store", "JURISDICTIONS": "toml"}.items():
        monkeypatch.setenv(f"ZONING_{name}", str(tmp_path / value))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    read_toml(tmp_path / "toml", county_toml("http://127.0.0.1:1"), ID)
    return build.definitions(Settings.of(os.environ))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides={"run_retries": {"enabled": True, "max_retries": 3}}) as instance:
        partitions.register(instance, ID, TILES)
        yield instance


def asked(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, **tags: str) -> dg.DagsterRun:
    """A run that was asked for."""
    ends = [partitions.key_of(Place(ID, tile)) for tile in (TILES[0], TILES[1])]
    where = (
        dict(zip((in_process_runs.RANGE_START, in_process_runs.RANGE_END), ends, strict=True))
        if job == run_requests.PUBLISH_PARCELS
        else {"dagster/partition": ID}
    )
    return instance.create_run_for_job(definitions.resolve_job_def(job), tags={**where, **tags})


def refused(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """It fails before it starts, and Dagster cannot start it again: its code server is dead."""
    instance.report_run_failed(run, "the code server is gone")
    instance.add_run_tags(run.run_id, REFUSED)


def test_what_did_not_start_is_asked_for_again_within_minutes(
    definitions: dg.Definitions, instance: dg.DagsterInstance, database: str
) -> None:
    refused(instance, asked(definitions, instance, run_requests.PUBLISH_PARCELS))
    for _ in range(2):
        tick(definitions, instance, "run_lost")
        found = failure_records.unsolved(database)
        assert [(each.feed, each.tile, each.state, each.tries) for each in found] == [
            (PARCELS, "1", "waiting", 1),
            (PARCELS, "3", "waiting", 1),
        ], "noted once"
    (ask,), _ = failed_partitions.due({}, found, (), datetime.now(UTC) + timedelta(minutes=15))
    assert ask.tiles == ("1", "3")


def test_a_run_that_was_to_ask_again_and_died_is_not_waited_for_a_day(
    definitions: dg.Definitions, instance: dg.DagsterInstance, database: str
) -> None:
    refused(instance, asked(definitions, instance, run_requests.PUBLISH_PARCELS))
    tick(definitions, instance, "run_lost")
    again = asked(definitions, instance, run_requests.PUBLISH_PARCELS)
    later = datetime.now(UTC) + timedelta(minutes=15)
    _, cursor = failed_partitions.due({}, failure_records.unsolved(database), (), later)
    failure_records.store_retry(database, ID, PARCELS, ["1", "3"], again.run_id, later)
    refused(instance, again)
    tick(definitions, instance, "run_lost")
    assert {(each.state, each.tries) for each in failure_records.unsolved(database)} == {("waiting", 2)}
    (ask,), _ = failed_partitions.due(cursor, failure_records.unsolved(database), (), later + timedelta(hours=1))
    assert ask.tiles == ("1", "3")


def test_it_is_not_asked_for_for_ever(definitions: dg.Definitions, instance: dg.DagsterInstance, database: str) -> None:
    for _ in range(MAX_RETRIES + 1):
        refused(instance, asked(definitions, instance, run_requests.FIND_TILES))
        tick(definitions, instance, "run_lost")
    (found,) = failure_records.unsolved(database)
    assert (found.tile, found.kind, found.state) == (None, "RunGivenUp", "dead")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "tags",
    [
        {"dagster/will_retry": "true"},
        {**REFUSED, "dagster/auto_retry_run_id": "its successor"},
        {**REFUSED, "dagster/run_failure_reason": "STEP_FAILURE"},
    ],
)
def test_what_dagster_starts_again_or_a_step_has_noted_is_left_alone(
    tags: dict[str, str], definitions: dg.Definitions, instance: dg.DagsterInstance, database: str
) -> None:
    run = asked(definitions, instance, run_requests.PUBLISH_DISTRICTS)
    refused(instance, run)
    instance.add_run_tags(run.run_id, tags)
    tick(definitions, instance, "run_lost")
    assert failure_records.unsolved(database) == []


def test_a_run_of_which_dagster_decided_nothing_is_given_up_after_a_while(
    definitions: dg.Definitions, database: str
) -> None:
    """It was killed between the failure and its decision."""
    now = datetime.now(UTC)
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": False}}) as other:
        silent = asked(definitions, other, run_requests.PUBLISH_DISTRICTS)
        other.report_run_failed(silent)
        assert note_given_up(other, Zoning(), now) == []
        assert note_given_up(other, Zoning(), now + timedelta(minutes=2)) == [silent.run_id]
    assert [each.feed for each in failure_records.unsolved(database)] == ["zoning"]


def test_a_successor_that_was_made_and_not_queued_is_failed_so_that_dagster_looks_again(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    run, successor = (asked(definitions, instance, run_requests.FIND_TILES) for _ in range(2))
    refused(instance, run)
    instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": successor.run_id})
    assert [each.run_id for each, _ in unsubmitted(instance, datetime.now(UTC))] == [successor.run_id]
    tick(definitions, instance, "run_lost")
    found = instance.get_run_by_id(successor.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    assert found.tags["dagster/will_retry"] == "true"
