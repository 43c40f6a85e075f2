"""Everything can be undone: a rollback is a batch, gives exactly the rows of its moment, and can be rolled back."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.conftest import going_on, read_toml, rows, sync
from tests.support.databases import copied
from zoning_assets.defs import build
from zoning_assets.errors import NothingFound, RollbackRefused
from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.operations import history_rollback
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import audit_records, hold_records

#: Everything that a reader sees, but for batches and times.
STATE = {
    "parcel": "SELECT parcel_id, zoning_code, content_hash, ST_AsEWKB(geom), first_seen FROM {} ORDER BY 1",
    "district": "SELECT district_id, code, effective, content_hash, ST_AsEWKB(geom), first_seen FROM {} ORDER BY 1",
    "parcel_zoning": "SELECT parcel_id, facet, code, area_m2, fraction, rank, listed FROM {} ORDER BY 1, 2, 3",
}
CHANGES = "SELECT id, kind FROM zoning.change WHERE state <> 'retracted' ORDER BY 1"


def state(url: str) -> dict[str, list[tuple]]:
    return {name: rows(url, query.format(f"zoning.{name}")) for name, query in STATE.items()}


def now(url: str) -> datetime:
    return rows(url, "SELECT clock_timestamp()")[0][0]


def harvest(pipeline: Pipeline, county: Jurisdiction) -> None:
    for feed in (None, ZONING):
        outcomes = sync(pipeline, county, feed) if feed else sync(pipeline, county)
        assert [each.error for each in outcomes if each.error] == []
    change_detection.update_parcel_zoning(pipeline.database, county)
    change_detection.detect_changes(pipeline.database, county)


def undo(
    pipeline: Pipeline, county: Jurisdiction, to: datetime | int, *, dry_run: bool = False
) -> history_rollback.RollbackResult:
    return history_rollback.roll_back(
        pipeline.database, pipeline.objects, county, to=to, actor="ann", reason="wrong", dry_run=dry_run
    )


def go_on(pipeline: Pipeline) -> None:
    hold_records.resume(pipeline.database, jurisdiction=ID, host=None, reason="mended", actor="bob")


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """The county's first release, published once: portal, database, store."""
    folder = tmp_path_factory.mktemp("published")
    with serving(400) as portal, copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        harvest(pipeline, read_toml(folder / "toml", county_toml(portal), ID))
        yield portal, name, folder / "store"


@pytest.fixture
def pipeline(server: str, published: tuple[str, str, Path], tmp_path: Path, pool: Pool) -> Iterator[Pipeline]:
    """One that goes on from there."""
    _, name, store = published
    with going_on(server, name, store, tmp_path, pool) as pipeline:
        yield pipeline


@pytest.fixture
def county(published: tuple[str, str, Path], tmp_path: Path) -> tuple[Jurisdiction, str]:
    """The county, and its portal, which serves what is published."""
    portal, *_ = published
    switch_release(portal, 1)
    return read_toml(tmp_path / "toml", county_toml(portal), ID), portal


@pytest.mark.parametrize("steps", [(0, 2, 1), pytest.param((0, 2, 1, 0, 1, 2), marks=pytest.mark.slow)], ids=len)
def test_any_past_moment_comes_back_row_for_row(
    pipeline: Pipeline, county: tuple[Jurisdiction, str], steps: tuple[int, ...]
) -> None:
    """Three releases, then back to each moment in between, and forth again; changes are retracted and restored."""
    described, portal = county
    moments = []
    for number in (1, 2, 3):
        if number > 1:
            switch_release(portal, number)
            harvest(pipeline, described)
        moments.append((now(pipeline.database), state(pipeline.database), rows(pipeline.database, CHANGES)))
    assert len({str(seen) for _, seen, _ in moments}) == 3
    for which in steps:
        moment, seen, told = moments[which]
        preview = undo(pipeline, described, moment, dry_run=True)
        done = undo(pipeline, described, moment)
        assert (preview.ended, preview.begun, preview.retracted) == (done.ended, done.begun, done.retracted)
        assert state(pipeline.database) == seen
        assert rows(pipeline.database, CHANGES) == told
        go_on(pipeline)
        assert change_detection.detect_changes(pipeline.database, described) is None, "a rollback is no news"
    undone = rows(pipeline.database, "SELECT count(*) FROM zoning.batch WHERE undoes IS NOT NULL")
    assert undone[0][0] >= len(steps)
    assert audit_records.broken_audit_rows(pipeline.database) == []


def test_after_a_rollback_the_next_harvest_brings_the_release_again(
    pipeline: Pipeline, county: tuple[Jurisdiction, str]
) -> None:
    """But not unasked: the county is paused. Lifted, every tile is published anew, and the changes are told again."""
    described, portal = county
    before = now(pipeline.database)
    switch_release(portal, 2)
    harvest(pipeline, described)
    released, told = state(pipeline.database), rows(pipeline.database, CHANGES)
    undo(pipeline, described, before)
    assert [hold.what for hold in hold_records.active(pipeline.database)] == [ID]
    go_on(pipeline)
    harvest(pipeline, described)
    assert {k: [r[:-1] for r in v] for k, v in state(pipeline.database).items()} == {
        k: [r[:-1] for r in v] for k, v in released.items()
    }
    again = rows(pipeline.database, CHANGES)
    assert sorted(kind for _, kind in again) == sorted(kind for _, kind in told)


def test_one_batch_can_be_taken_back_while_nothing_builds_on_it(
    pipeline: Pipeline, county: tuple[Jurisdiction, str]
) -> None:
    described, portal = county
    seen = state(pipeline.database)
    switch_release(portal, 2)
    sync(pipeline, described, ZONING)
    ((batch,),) = rows(pipeline.database, "SELECT max(id) FROM zoning.batch WHERE feed = 'zoning'")
    undo(pipeline, described, batch)
    assert state(pipeline.database) == seen
    with pytest.raises(RollbackRefused, match="has changed"):
        undo(pipeline, described, batch)
    with pytest.raises(NothingFound):
        undo(pipeline, described, 10**9)
    with pytest.raises(NothingFound, match="nothing was published after"):
        undo(pipeline, described, now(pipeline.database))


def test_the_ui_can_do_it_too(
    pipeline: Pipeline, county: tuple[Jurisdiction, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pause, resume and rollback as Dagster jobs with config, in the same tables and the same audit."""
    described, portal = county
    for name, value in {
        "ZONING_DATABASE_URL": pipeline.database,
        "ZONING_STORE_URL": str(tmp_path / "store"),
        "ZONING_JURISDICTIONS": str(tmp_path / "toml"),
    }.items():
        monkeypatch.setenv(name, value)
    seen, moment = state(pipeline.database), now(pipeline.database)
    switch_release(portal, 2)
    harvest(pipeline, described)

    def run(job: str, op: str, **config: object) -> bool:
        definitions = build.definitions(Settings.of(os.environ))
        done = definitions.resolve_job_def(job).execute_in_process(
            run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )
        return done.success

    assert run("pause", "place_hold", jurisdiction=ID, reason="odd")
    assert not run("pause", "place_hold", jurisdiction=ID, everything=True, reason="odd")
    assert run("resume", "lift_hold", jurisdiction=ID)
    assert not run("resume", "lift_hold", jurisdiction=ID)
    assert run("rollback", "undo", jurisdiction=ID, reason="wrong", to=moment.isoformat())
    assert run("rollback", "undo", jurisdiction=ID, reason="wrong", to=moment.isoformat(), in_earnest=False)
    assert state(pipeline.database) != seen
    assert run("rollback", "undo", jurisdiction=ID, reason="wrong", to=moment.isoformat(), dry_run=False)
    assert state(pipeline.database) == seen
    actions = [action for (action,) in rows(pipeline.database, "SELECT action FROM zoning.audit ORDER BY id")]
    assert actions == ["pause", "resume", "pause", "rollback"]
