"""Dagster as a coat: real runs, recorded in a real instance."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.conftest import rows
from tests.support.waiting import until
from zoning_assets.defs import build, in_process_runs, partitions
from zoning_assets.model import Place
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving

_PARCELS = 1200
TILE_ASSETS = ["raw_feed", "normalized", "validated", "parcels"]


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with serving(_PARCELS) as address:
        yield address


@pytest.fixture
def environ(tmp_path: Path, portal: str, database: str) -> dict[str, str]:
    """The environment of a fresh installation with one jurisdiction."""
    folder = tmp_path / "jurisdictions"
    folder.mkdir()
    (folder / f"{ID}.toml").write_text(county_toml(portal))
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ZONING_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
        "ZONING_JURISDICTIONS": str(folder),
        "ZONING_DATABASE_URL": database,
    }


def zoning(environ: dict[str, str], *words: str, expect: int = 0) -> Any:
    """`zoning WORDS --json` as a process; its document."""
    command = [sys.executable, "-m", "zoning_assets.cli", *words, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout)


def test_sync_is_a_real_run(environ: dict[str, str], database: str) -> None:
    """`zoning sync` publishes the county and leaves its runs in Dagster's own storage, a schema beside our tables."""
    reports = zoning(environ, "sync", ID)["harvests"]
    recorded = rows(database, "SELECT status, count(*) FROM zoning_dagster.runs GROUP BY 1")
    parcels = [report for report in reports if report["feed"] == "parcels"]
    assert len(parcels) > 1
    assert all(report["complete"] for report in reports)
    assert sum(report["fetched"] for report in parcels) == _PARCELS
    assert all(report["fetched"] == report["accepted"] + report["rejected"] for report in reports)
    assert sum(report["added"] for report in parcels) == County.build(_PARCELS).parcels_by_policy()["dissolve"]
    assert recorded == [("SUCCESS", 3)], "tiles; parcels; districts, shares and changes"
    assert not list(Path(environ["DAGSTER_HOME"]).rglob("*.db"))


@pytest.fixture
def instance(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def test_bad_partitions_fail_alone(instance: dg.DagsterInstance, database: str) -> None:
    """A run over many tiles publishes the good ones, and says of each bad one why, in one line: of a tile that is none
    any more, and of a jurisdiction whose file is gone."""
    definitions = build.definitions(Settings.of(os.environ))
    in_process_runs.materialize(definitions, instance, ["tiles"], [ID])
    good = partitions.keys_of(instance, ID)
    bad, gone = (
        partitions.key_of(Place(ID, "872a30664ffffff")),
        partitions.key_of(Place("us-zz-gone", "872a33d01ffffff")),
    )
    instance.add_dynamic_partitions("tiles", [bad, gone])
    keys = list(instance.get_dynamic_partitions("tiles"))
    assert keys == [*good, bad, gone], "one unbroken range, so one run"
    result = in_process_runs.materialize(definitions, instance, TILE_ASSETS, keys)
    assert sorted(result.done) == good, result.failed
    assert set(result.failed) == {bad, gone}
    assert "split, merged or emptied" in result.failed[bad]
    assert "no file describes this jurisdiction" in result.failed[gone]
    assert len(rows(database, "SELECT DISTINCT tile FROM zoning.parcel")) == len(good)
    materialized = instance.get_materialized_partitions(dg.AssetKey("parcels"))
    assert materialized == set(good)


def test_a_materialization_says_what_a_person_wants_to_know(instance: dg.DagsterInstance) -> None:
    """Counts, costs, the content hash, a map and the rejections, on each partition."""
    definitions = build.definitions(Settings.of(os.environ))
    in_process_runs.materialize(definitions, instance, ["tiles"], [ID])
    keys = partitions.keys_of(instance, ID)
    in_process_runs.materialize(definitions, instance, TILE_ASSETS, keys)
    event = instance.get_latest_materialization_event(dg.AssetKey("validated"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert {"fetched", "accepted", "repaired", "rejected", "content_hash", "map", "rejections"} <= set(metadata)
    assert str(metadata["map"].value).startswith("![")
    events = instance.fetch_materializations(dg.AssetKey("validated"), limit=100).records
    tables = [e.asset_materialization.metadata.get("rejections") for e in events if e.asset_materialization]
    shown = [record.data for table in tables if isinstance(table, dg.TableMetadataValue) for record in table.records]
    assert {record["reason"] for record in shown} == {"no_geometry", "null_key"}
    assert all(isinstance(value, str) for record in shown for value in record.values())
    assert not event.asset_materialization.tags, "each tag takes a connection of its own (see metadata.events)"
    published = instance.get_latest_materialization_event(dg.AssetKey("parcels"))
    assert published is not None
    assert published.asset_materialization is not None
    wanted = {"added", "changed", "unchanged", "retired", "bytes", "requests", "seconds"}
    assert wanted <= set(published.asset_materialization.metadata)


def test_what_follows_districts_is_made_in_the_same_run(instance: dg.DagsterInstance) -> None:
    """A person who selects `districts`, `parcel_zoning` and `changes` of one jurisdiction gets all three from one run.
    A materialization that is no result of its step would let Dagster skip the two that follow."""
    definitions, assets = build.definitions(Settings.of(os.environ)), ["districts", "parcel_zoning", "changes"]
    for _ in range(2):  # the second time the districts are published already
        result = in_process_runs.materialize(definitions, instance, assets, [ID])
        assert (set(result.first), set(result.done), result.failed) == ({ID}, {ID}, {})
        assert result.first[ID]["accepted"] > 0
    runs = [run.run_id for run in instance.get_runs()]
    for name in assets:
        made = instance.fetch_materializations(dg.AssetKey(name), limit=10).records
        assert [each.run_id for each in made] == runs, f"{name}: one materialization a run"
    assert instance.get_latest_asset_check_evaluation_record(
        dg.AssetCheckKey(dg.AssetKey("districts"), "completeness")
    ), "checks are recorded"


def test_tiles_come_and_go_and_no_other_key_moves(instance: dg.DagsterInstance) -> None:
    """New keys stand behind all others, in order; those that stay keep their place, and runs find them."""
    for jurisdiction, tiles in (("us-b", "135"), ("us-a", "24"), ("us-c", "6"), ("us-a", "247"), ("us-b", "13")):
        partitions.register(instance, jurisdiction, list(tiles))
    keys = instance.get_dynamic_partitions("tiles")
    assert list(keys) == ["us-b:1", "us-b:3", "us-a:2", "us-a:4", "us-c:6", "us-a:7"]
    assert partitions.register(instance, "us-b", list("13")) == (0, 0)
    assert partitions.unregister(instance, "us-b") == 2
    assert list(instance.get_dynamic_partitions("tiles")) == list(keys[2:])


def test_keys_that_do_not_stand_together_are_a_run_each_range(instance: dg.DagsterInstance) -> None:
    """A run takes an unbroken range of keys. Where another county's stand between, there are two."""
    definitions = build.definitions(Settings.of(os.environ))
    in_process_runs.materialize(definitions, instance, ["tiles"], [ID])
    first, *others = partitions.keys_of(instance, ID)
    for key in others:
        instance.delete_dynamic_partition("tiles", key)
    instance.add_dynamic_partitions("tiles", ["us-zz-other:872a33d01ffffff", *others])
    result = in_process_runs.materialize(definitions, instance, TILE_ASSETS, [first, *others])
    assert sorted(result.done) == sorted([first, *others]), result.failed
    assert instance.get_runs_count() == 1 + 2
    assert instance.get_materialized_partitions(dg.AssetKey("parcels")) == {first, *others}


_BACKFILL = """
mutation($p: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $p) { __typename ... on LaunchBackfillSuccess { backfillId } }
}
"""
_STATUS = "query($b: String!) { partitionBackfillOrError(backfillId: $b) { ... on PartitionBackfill { status } } }"


def _ask(ui: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{ui}/graphql", body, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=500) as answer:  # noqa: S310
        return json.load(answer)["data"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_backfill_of_all_tiles_through_the_daemon(environ: dict[str, str], database: str) -> None:
    """`zoning up`, then a backfill started through Dagster's API, run by the daemon; SIGTERM stops all of it."""
    zoning(environ, "sync", ID, "--feed", "zoning")
    command = [sys.executable, "-m", "zoning_assets.cli", "up", "--json", "--port", "3971"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as up:
        try:
            ui = json.loads("".join(iter(up.stdout.readline, "}\n")) + "}")["ui"]
            one = {"assetSelection": [{"path": ["tiles"]}], "partitionNames": [ID]}
            assert _finished(ui, one) == "COMPLETED_SUCCESS"
            nodes = _ask(ui, "{ assetNodes { assetKey { path } partitionKeys } }")["assetNodes"]
            keys = next(node["partitionKeys"] for node in nodes if node["assetKey"]["path"] == ["parcels"])
            wanted = {"assetSelection": [{"path": [name]} for name in TILE_ASSETS], "partitionNames": keys}
            assert _finished(ui, wanted) == "COMPLETED_SUCCESS"
        finally:
            up.terminate()
            assert up.wait(60) == 128 + signal.SIGTERM
    count = rows(database, "SELECT count(*) FROM zoning.parcel")
    assert count == [(County.build(_PARCELS).parcels_by_policy()["dissolve"],)]


def _finished(ui: str, params: dict[str, Any]) -> str:
    backfill = _ask(ui, _BACKFILL, p=params)["launchPartitionBackfill"]["backfillId"]

    def status() -> str:
        found = _ask(ui, _STATUS, b=backfill)["partitionBackfillOrError"]["status"]
        return "" if found == "REQUESTED" else str(found)

    return until(status, "the end of a backfill", 150, every_s=1)
