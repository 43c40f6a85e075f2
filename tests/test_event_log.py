"""What Dagster says of a run before it begins: written at once, and the same as when it is written one by one."""

import sqlite3

import dagster as dg
import pytest
import sqlalchemy as sa

from zoning_assets.cli import environment
from zoning_assets.orchestration import event_log

TILES = [f"us-xx-simulated/{number}" for number in range(7)]
NAMES = ("raw", "fine", "there")


@dg.multi_asset(
    specs=[dg.AssetSpec(name, skippable=True) for name in NAMES],
    check_specs=[dg.AssetCheckSpec("right", asset="there")],
    partitions_def=dg.StaticPartitionsDefinition(TILES),
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
)
def by_tile(context: dg.AssetExecutionContext):
    context.log_event(dg.AssetMaterialization("raw", partition=TILES[2]))
    yield from ()


def run(home):
    """A run over five tiles, recorded at home; what both of its files say, and Dagster's entry of each asset."""
    definitions = dg.Definitions(assets=[by_tile])
    ends = {"dagster/asset_partition_range_start": TILES[1], "dagster/asset_partition_range_end": TILES[5]}
    with dg.DagsterInstance.get() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(instance=instance, tags=ends, raise_on_error=False)
        keys = [dg.AssetKey(name) for name in NAMES]
        entries = [record.asset_entry.last_run_id == done.run_id for record in instance.get_asset_records(keys)]
        storage = type(instance.event_log_storage).__name__
        plan = instance.event_log_storage.get_latest_planned_materialization_info(keys[1], TILES[3])
        said = [_said(home / "history" / "runs" / f"{shard}.db") for shard in (done.run_id, "index")]
    return storage, plan.run_id == done.run_id, entries, said


def _said(file):
    """Event by event: kind, asset, tile, step."""
    with sqlite3.connect(file) as connection:
        query = "SELECT dagster_event_type, asset_key, partition, step_key FROM event_logs"
        return sorted(map(repr, connection.execute(query)))


@pytest.fixture
def homes(tmp_path, monkeypatch):
    monkeypatch.delenv("ZONING_DAGSTER_DATABASE_URL", raising=False)

    def home(name):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / name))
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
        return tmp_path / name

    return home


def test_a_plan_written_at_once_is_the_plan(homes, monkeypatch, capfd):
    """Both files and the assets' entries are what Dagster's own event log makes of the same run; no batch failed."""
    one = run(homes("dagster"))
    ours = homes("zoning")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    environment.prepare_dagster()
    capfd.readouterr()
    other = run(ours)
    assert "batch" not in capfd.readouterr().err
    assert (one[0], other[0]) == ("SqliteEventLogStorage", "ThriftyEventLog")
    assert one[1:] == other[1:]
    assert sum("PLANNED" in event for event in other[3][0]) == 5 * len(NAMES) + 1


def test_a_plan_is_two_transactions(homes, monkeypatch):
    """However many events it has: one in the run's file, one in the index; and one more an asset."""
    home = homes("zoning")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    environment.prepare_dagster()
    with dg.DagsterInstance.get() as instance:
        opened = []
        log = instance.event_log_storage
        for name in ("run_connection", "index_connection"):
            real = getattr(log, name)
            monkeypatch.setattr(log, name, lambda *a, _real=real, _name=name: opened.append(_name) or _real(*a))
        job = dg.Definitions(assets=[by_tile]).resolve_implicit_global_asset_job_def()
        ends = {"dagster/asset_partition_range_start": TILES[0], "dagster/asset_partition_range_end": TILES[6]}
        instance.create_run_for_job(job, tags=ends)
    assert home.is_dir()
    assert opened.count("run_connection") <= 3
    assert opened.count("index_connection") <= 3 * len(NAMES)


def told(home, *, fails=False):
    """What both files hold after four events were told together, the fourth of which may fail; and the exception."""
    by_asset = [dg.AssetMaterialization(name, partition=TILES[3], metadata={"rows": 3}) for name in NAMES]
    check = dg.AssetCheckEvaluation(asset_key=dg.AssetKey("there"), check_name="right", passed=True)

    @dg.multi_asset(
        specs=[dg.AssetSpec(name, skippable=True) for name in NAMES],
        check_specs=[dg.AssetCheckSpec("right", asset="there")],
        partitions_def=dg.StaticPartitionsDefinition(TILES),
        can_subset=True,
    )
    def by_tile(context: dg.AssetExecutionContext):
        with event_log.together(context.instance):
            for event in (*by_asset, check):
                context.log_event(event)
            if fails:
                raise OSError("killed")
        yield from ()

    with dg.DagsterInstance.get() as instance:
        job = dg.Definitions(assets=[by_tile]).resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(instance=instance, partition_key=TILES[3], raise_on_error=False)
        found = instance.fetch_materializations(dg.AssetKey("there"), limit=9).records
        last = instance.get_latest_materialization_event(dg.AssetKey("raw"))
        said = [_said(home / "history" / "runs" / f"{shard}.db") for shard in (done.run_id, "index")]
    return done.success, [record.partition_key for record in found], last is not None, said


def test_what_is_told_together_is_what_is_told_one_by_one(homes, monkeypatch):
    one = told(homes("dagster"))
    ours = homes("zoning")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    environment.prepare_dagster()
    other = told(ours)
    assert one == other
    assert other[:3] == (True, [TILES[3]], True)


def test_told_together_is_all_or_nothing(homes, monkeypatch):
    """A step that dies in the midst leaves none of them in either file, and the run's end is told as ever."""
    home = homes("zoning")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    environment.prepare_dagster()
    success, found, last, said = told(home, fails=True)
    assert (success, found, last) == (False, [], False)
    assert not any("'ASSET_MATERIALIZATION'" in event for shard in said for event in shard)
    assert any("STEP_FAILURE" in event for event in said[0])


def test_told_together_is_one_transaction_a_file(homes, monkeypatch):
    home = homes("zoning")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    environment.prepare_dagster()
    begun = []
    with dg.DagsterInstance.get() as instance:
        log = instance.event_log_storage
        with log.run_connection("a"), log.index_connection():
            pass
        note = begun.append
        sa.event.listen(sa.Engine, "begin", note)
        try:
            with log.together():
                for _ in range(4):
                    with log.run_connection("a") as run, log.index_connection() as index:
                        assert run is not index
            assert len(begun) == 2
            with log.run_connection("a"):
                pass
            assert len(begun) == 3
        finally:
            sa.event.remove(sa.Engine, "begin", note)
    assert home.is_dir()


def test_told_together_where_all_files_are_new(homes):
    """Dagster's own lock lets one file be opened at a time."""
    log = event_log.ThriftyEventLog(str(homes("zoning")))
    with (
        log.together(),
        log.run_connection("a") as one,
        log.run_connection("b") as two,
        log.index_connection() as index,
    ):
        for each in (one, two, index):
            assert each.execute(sa.text("SELECT count(*) FROM event_logs")).scalar() == 0


def test_a_failure_is_left_until_its_run_has_the_status(homes, monkeypatch):
    """Dagster's daemon reads it once; a young one, and what came after it, is for its next look."""
    homes("zoning")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    environment.prepare_dagster()
    failures = {dg.DagsterEventType.RUN_FAILURE}
    monkeypatch.setattr(event_log, "_SETTLED_S", 3600.0)
    with dg.DagsterInstance.get() as instance:
        job = dg.Definitions(assets=[by_tile]).resolve_implicit_global_asset_job_def()
        log = instance.event_log_storage
        for _ in range(2):
            instance.report_run_failed(instance.create_run_for_job(job))
        assert log.get_logs_for_all_runs_by_log_id(-1, failures) == {}
        monkeypatch.setattr(event_log, "_SETTLED_S", 0.0)
        assert len(log.get_logs_for_all_runs_by_log_id(-1, failures)) == 2
