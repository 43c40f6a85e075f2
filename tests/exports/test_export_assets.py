"""The assets `export_*`: what they write, and that a materialization of `changes` requests them."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import geopandas as gpd
import pytest

from tests.exports.conftest import ID, LOTS, Town
from zoning_assets.defs import build, in_process_runs
from zoning_assets.settings import Settings

ASSETS = ["export_parcels", "export_districts", "export_zoned_parcels", "export_changes"]


@pytest.fixture
def instance(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(town.folder))
    monkeypatch.setenv("ZONING_DATABASE_URL", town.url)
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


@pytest.fixture
def definitions(instance: dg.DagsterInstance) -> dg.Definitions:
    return build.definitions(Settings.of(os.environ))


def test_an_asset_a_layer_writes_a_file(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The metadata tells its path and hash; a second run writes nothing."""
    for is_first in (True, False):
        done = in_process_runs.materialize(definitions, instance, ["export_zoned_parcels"], [ID])
        assert done.failed == {}
        told = done.done[ID]
        assert (told["rows"], told["written"]) == (LOTS, is_first)
        assert Path(told["path"]).parent == tmp_path / "home" / "exports" / ID
        assert len(gpd.read_parquet(told["path"])) == LOTS


def test_new_changes_request_every_export(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """Other assets request none."""
    target = dg.AssetSelection.groups("exports")
    known = dg.evaluate_automation_conditions(definitions, instance, target)
    assert known.total_requested == 0
    for asset, requested in (("districts", 0), ("changes", len(ASSETS)), ("parcel_zoning", 0)):
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=ID))
        known = dg.evaluate_automation_conditions(definitions, instance, target, cursor=known.cursor)
        assert known.total_requested == requested, asset
        assert all(known.get_requested_partitions(dg.AssetKey(each)) <= {ID} for each in ASSETS)


def test_the_sensor_of_the_exports_runs_without_a_person(definitions: dg.Definitions) -> None:
    (sensor,) = (each for each in definitions.sensors or () if each.name == "exports_follow")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
