"""A jurisdiction is taken out: it touches no other one, can be undone, and starts as new when it comes back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning, zoning
from tests.conftest import going_on, read_toml, rows
from tests.operations.test_history_rollback import CHANGES, STATE, go_on, harvest, now, undo
from tests.support.databases import copied
from zoning_assets.errors import UndoneMeanwhile
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.operations import remove_jurisdiction
from zoning_assets.operations.integrity_check import verify
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import jurisdiction_removal
from zoning_assets.storage.postgis.database import as_role, connect
from zoning_assets.storage.postgis.publish import newest_rollback
from zoning_assets.storage.postgis.records import failure_records, feed_freshness, hold_records

__all__ = ["zoning"]
OTHER = "us-xx-other"
TABLES = ("parcel", "district", "parcel_zoning", "feed", "watch", "whole", "best_lot")


def counts(url: str, jurisdiction: str) -> dict[str, int]:
    query = "SELECT count(*) FROM zoning.{} WHERE jurisdiction = %s"
    return {table: rows(url, query.format(table), jurisdiction)[0][0] for table in TABLES}


def state_of(url: str) -> dict[str, list[tuple]]:
    """The county's rows."""
    mine = f" WHERE jurisdiction = '{ID}'"
    return {name: rows(url, query.format(f"zoning.{name}{mine}")) for name, query in STATE.items()}


def remove(pipeline: Pipeline, jurisdiction: str = ID, *, dry_run: bool = False) -> remove_jurisdiction.RemovalReport:
    return remove_jurisdiction.remove(
        pipeline.database,
        pipeline.objects,
        jurisdiction,
        hosts=["gone.example"],
        actor="ann",
        reason="it left",
        dry_run=dry_run,
    )


def described(folder: Path, portal: str) -> tuple[Jurisdiction, Jurisdiction]:
    """Two counties of one portal."""
    text = county_toml(portal)
    other = text.replace(f'"{ID}"', f'"{OTHER}"')
    return read_toml(folder / "toml", text, ID), read_toml(folder / "toml", other, OTHER)


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """Both counties, published once, with all that is remembered beside rows: portal, database, store."""
    folder = tmp_path_factory.mktemp("published")
    with serving(400) as portal, copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        for each in described(folder, portal):
            harvest(pipeline, each)
            remember(url, each.id)
        yield portal, name, folder / "store"


@pytest.fixture
def pipeline(server: str, published: tuple[str, str, Path], tmp_path: Path, pool: Pool) -> Iterator[Pipeline]:
    """One that goes on from there."""
    portal, name, store = published
    switch_release(portal, 1)
    with going_on(server, name, store, tmp_path, pool) as pipeline:
        yield pipeline


@pytest.fixture
def counties(published: tuple[str, str, Path], tmp_path: Path) -> tuple[Jurisdiction, Jurisdiction, str]:
    """The counties, and their portal."""
    return *described(tmp_path, published[0]), published[0]


def remember(url: str, jurisdiction: str) -> None:
    at = now(url)
    failure_records.store_outcomes(
        url, [Outcome(Place(jurisdiction), PARCELS, error=UndoneMeanwhile("x", where="y", do="z"))], "r", at
    )
    feed_freshness.store_harvest(url, jurisdiction, PARCELS, at)
    hold_records.pause(url, jurisdiction=jurisdiction, host=None, reason="storm", actor="ann", until=None)
    body = json.dumps({"jurisdiction": jurisdiction, "case_numbers": ["Z-1"]})
    with connect(url) as connection:
        connection.execute("INSERT INTO zoning.watch VALUES (%s, 'p', now(), NULL)", [jurisdiction])
        for queue, each in (("amendments", body), ("tiles.dead", f"{jurisdiction} is no JSON")):
            connection.execute("INSERT INTO zoning.queue (queue, id, body) VALUES (%s, %s, %s)", [queue, queue, each])
        for host in ("gone.example", "stays.example"):
            connection.execute("INSERT INTO zoning.host_budget (host) VALUES (%s) ON CONFLICT DO NOTHING", [host])


def test_what_is_previewed_goes_and_nothing_else(
    pipeline: Pipeline, counties: tuple[Jurisdiction, Jurisdiction, str]
) -> None:
    """Rows, shares, changes, failures, feeds, pauses, watches, messages and budgets go; another county keeps all."""
    url = pipeline.database
    before = counts(url, OTHER)
    preview = remove(pipeline, dry_run=True)
    assert preview.removed is None
    assert counts(url, ID)["parcel"] == preview.found["parcels"] > 300
    done = remove(pipeline)
    assert done.found == preview.found
    assert {"failures": 1, "pauses": 1, "watched_parcels": 1, "messages": 1, "host_budgets": 1}.items() <= (
        done.found.items()
    )
    assert set(counts(url, ID).values()) == {0}
    assert set(remove(pipeline, dry_run=True).found.values()) == {0}
    assert counts(url, OTHER) == before
    assert [each.jurisdiction for each in failure_records.unsolved(url)] == [OTHER]
    assert [each.jurisdiction for each in hold_records.active(url)] == [OTHER]
    assert rows(url, "SELECT host FROM zoning.host_budget WHERE host LIKE '%.example'") == [("stays.example",)]
    assert len(rows(url, "SELECT FROM zoning.queue")) == 3, "its message is gone; what is no message stays"
    assert jurisdiction_removal.removed_jurisdictions(url) == {ID}
    assert rows(url, "SELECT action, reason, subject->>'jurisdiction' FROM zoning.audit ORDER BY id DESC LIMIT 1") == [
        ("remove", "it left", ID)
    ]
    assert not verify(url, pipeline.objects).faults


def test_a_removal_is_undone_row_for_row(pipeline: Pipeline, counties: tuple[Jurisdiction, Jurisdiction, str]) -> None:
    """A rollback to the time before it brings rows, shares and changes back; what changes then is told as usual."""
    county, _, portal = counties
    url = pipeline.database
    go_on(pipeline)
    switch_release(portal, 2)
    harvest(pipeline, county)
    seen, told = state_of(url), rows(url, CHANGES)
    assert len(told) > 10
    done = remove(pipeline)
    assert rows(url, "SELECT count(*) FROM zoning.change WHERE jurisdiction = %s AND state <> 'retracted'", ID) == [
        (0,)
    ]
    assert done.removed is not None
    assert done.removed.before is not None
    undo(pipeline, county, done.removed.before)
    assert state_of(url) == seen
    assert rows(url, CHANGES) == told
    assert jurisdiction_removal.removed_jurisdictions(url) == set()
    go_on(pipeline)
    assert change_detection.detect_changes(url, county) is None, "it is no news"
    switch_release(portal, 3)
    harvest(pipeline, county)
    assert len(rows(url, CHANGES)) > len(told)


def test_it_starts_as_new_when_it_comes_back(
    pipeline: Pipeline, counties: tuple[Jurisdiction, Jurisdiction, str]
) -> None:
    """The same rows again, first seen when they first were, and no event says that they came."""
    county, _, _ = counties
    url = pipeline.database
    seen = state_of(url)
    remove(pipeline)
    harvest(pipeline, county)
    assert state_of(url) == seen
    assert rows(url, "SELECT kind FROM zoning.change WHERE jurisdiction = %s AND state <> 'retracted'", ID) == []
    assert jurisdiction_removal.removed_jurisdictions(url) == set()
    assert not verify(url, pipeline.objects).faults


def test_a_rollback_to_after_a_removal_leads_to_nothing(
    pipeline: Pipeline, counties: tuple[Jurisdiction, Jurisdiction, str]
) -> None:
    """What was before the removal stays gone: the next harvest is a first one and tells no change."""
    county, _, portal = counties
    url = pipeline.database
    go_on(pipeline)
    remove(pipeline)
    moment = now(url)
    harvest(pipeline, county)
    undo(pipeline, county, moment)
    assert rows(url, "SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %s", ID) == [(0,)]
    go_on(pipeline)
    switch_release(portal, 2)
    harvest(pipeline, county)
    assert rows(url, CHANGES) == []


def test_a_run_that_was_under_way_publishes_nothing(
    pipeline: Pipeline, counties: tuple[Jurisdiction, Jurisdiction, str]
) -> None:
    """To a run that began before, a removal is a rollback: what it has judged is right no longer."""
    with connect(pipeline.database) as connection:
        before = newest_rollback(connection, {"jurisdiction": ID, "feed": PARCELS})
    remove(pipeline)
    with connect(pipeline.database) as connection:
        assert newest_rollback(connection, {"jurisdiction": ID, "feed": PARCELS}) > before
        assert newest_rollback(connection, {"jurisdiction": OTHER, "feed": PARCELS}) == 0


def test_a_county_whose_file_is_gone_is_said_once(
    zoning: Zoning,
    pipeline: Pipeline,
    counties: tuple[Jurisdiction, Jurisdiction, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """`status` says it in one line; after `remove` nothing; a second `remove` finds nothing."""
    monkeypatch.setenv("ZONING_DATABASE_URL", pipeline.database)
    monkeypatch.setenv("ZONING_STORE_URL", str(tmp_path / "store"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path / "toml"))
    assert failure_records.request_retry(pipeline.database, jurisdiction=ID)
    with connect(as_role(pipeline.database, None)) as connection:
        connection.execute("UPDATE zoning.failure SET state = 'dead'")
    (tmp_path / "toml" / f"{ID}.toml").unlink()
    needs = json.loads(zoning("status", "--json")[1])["needs"]
    assert [each for each in needs if ID in str(each)] == [
        {"where": ID, "what": "its file is gone", "do": f"restore it, or `zoning remove {ID} --reason ...`"}
    ]
    status, out, _ = zoning("remove", ID, "--reason", "gone", "--json")
    preview = json.loads(out)["preview"]
    assert (status, preview["jurisdiction"], preview["parcels"] > 300) == (0, ID, True)
    with monkeypatch.context() as groups:
        groups.setenv("ZONING_LOCATIONS", str(tmp_path / "none.toml"))
        assert "ZONING_LOCATIONS" in zoning("remove", ID, "--reason", "gone", "--yes")[2], "before anything is removed"
    result = json.loads(zoning("remove", ID, "--reason", "gone", "--yes", "--json")[1])["result"]
    assert {name: result[name] for name in preview} == preview
    assert result["undo"].startswith(f"zoning rollback {ID} --to 20")
    found = json.loads(zoning("status", "--json")[1])
    assert [each for each in found["needs"] if ID in str(each)] == []
    assert ID not in {each["id"] for each in found["jurisdictions"]}
    status, out, _ = zoning("remove", ID, "--reason", "gone", "--json")
    assert (status, json.loads(out)["exit_status"]) == (1, 1)
