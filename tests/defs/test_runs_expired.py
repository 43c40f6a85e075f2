"""Old runs of Dagster are deleted, but none that made what is newest of a partition."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from tests.support.asked_questions import tick
from zoning_assets.defs.sensors import runs_expired
from zoning_assets.defs.sensors.runs_expired import delete_replaced, is_replaced
from zoning_assets.errors import SettingInvalid
from zoning_assets.settings import Settings
from zoning_assets.storage import dagster_storage

DAYS = [f"day-{number}" for number in range(4)]


@dg.multi_asset(
    specs=[dg.AssetSpec("raw", skippable=True)],
    partitions_def=dg.StaticPartitionsDefinition(DAYS),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def raw(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
    """An asset of several partitions a run."""
    for key in context.partition_keys:
        yield dg.AssetMaterialization("raw", partition=key)


@dg.asset
def whole() -> None:
    """An asset without partitions."""


@dg.asset
def broken() -> None:
    """An asset whose runs fail."""
    raise dg.Failure


@pytest.fixture
def instance(database: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in PostgreSQL: in SQLite an event has two ids."""
    address = dagster_storage.bring_up(tmp_path, {}, database)
    with dg.instance_for_test(overrides={"storage": {"postgres": {"postgres_url": address}}}) as instance:
        yield instance


def made(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, *keys: str) -> str:
    """A run of an asset, for a range of partitions; its id."""
    ends = {"start": keys[0], "end": keys[-1]} if keys else {}
    tags = {f"dagster/asset_partition_range_{name}": key for name, key in ends.items()}
    return dg.materialize([asset], instance=instance, tags=tags, raise_on_error=False).run_id


def kept(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_a_run_is_deleted_when_all_of_its_partitions_were_made_again(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A young run is kept, and one that has not ended. A tick is bounded, and the next one goes on."""
    first, whole_first, failed = made(instance, raw, *DAYS), made(instance, whole), made(instance, broken)
    job = dg.Definitions([whole]).resolve_implicit_global_asset_job_def()
    going = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id
    later = datetime.now(UTC) + timedelta(hours=1)
    second = made(instance, raw, *DAYS[:3])
    assert not is_replaced(instance, first), "its last partition is the newest"
    assert delete_replaced(instance, datetime.now(UTC) - timedelta(minutes=1)) == (0, None)
    assert delete_replaced(instance, later) == (1, None)
    assert kept(instance) == {first, whole_first, going, second}, "only the failed one made nothing that is shown"
    assert instance.all_logs(failed) == []
    third = made(instance, raw, DAYS[3])
    monkeypatch.setattr(runs_expired, "_MOST_RUNS", 2)
    deleted, last = delete_replaced(instance, later)
    assert (deleted, kept(instance)) == (1, {whole_first, going, second, third})
    assert last is not None, "two runs were looked at, and there may be more"
    assert delete_replaced(instance, later, last)[0] == 0
    assert instance.get_materialized_partitions(dg.AssetKey("raw")) == set(DAYS)


def test_runs_of_a_backfill_in_progress_are_kept(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster counts the failed partitions of a backfill in its runs, and without them waits for ever."""
    tags, later = {"dagster/backfill": "abc"}, datetime.now(UTC) + timedelta(hours=1)
    dg.materialize([broken], instance=instance, tags=tags, raise_on_error=False)
    backfill = SimpleNamespace(status=SimpleNamespace(value="REQUESTED"))
    monkeypatch.setattr(type(instance), "get_backfill", lambda *_: backfill)
    assert delete_replaced(instance, later) == (0, None)
    backfill.status.value = "COMPLETED_FAILED"
    assert delete_replaced(instance, later) == (1, None)


def test_it_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero: nothing is deleted. A value that is none: one line."""
    definitions = dg.Definitions(sensors=[runs_expired.runs_expired])
    with dg.instance_for_test() as instance:
        monkeypatch.setenv("ZONING_KEEP_RUNS_DAYS", "0")
        assert "no run is deleted" in str(tick(definitions, instance, "runs_expired").skip_message)
        monkeypatch.delenv("ZONING_KEEP_RUNS_DAYS")
        found = tick(definitions, instance, "runs_expired", "not a time")
        assert str(found.skip_message).startswith("0 runs that ended before")
    for text in ("-1", "soon", "1e3", "9" * 50):
        with pytest.raises(SettingInvalid, match="is not a number of days"):
            Settings.of({"ZONING_KEEP_RUNS_DAYS": text})
