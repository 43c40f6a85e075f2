"""Tripwires in Dagster: a check of each name, failed where a release was held."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.conftest import rows
from tests.defs.test_dagster import TILE_ASSETS
from tests.support import town
from zoning_assets.defs import build, in_process_runs, partitions
from zoning_assets.model import TRIPWIRES
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, County

CODES = "SELECT count(DISTINCT zoning_code_local) FROM zoning.parcel"


@pytest.fixture
def environ(tmp_path: Path, database: str) -> dict[str, str]:
    town.town(tmp_path)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ZONING_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
        "ZONING_JURISDICTIONS": str(tmp_path / "toml"),
        "ZONING_DATABASE_URL": database,
    }


@pytest.fixture
def instance(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def checked(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """The newest evaluation of each check of an asset."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for name in TRIPWIRES]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {key.name: record.event.dagster_event.event_specific_data for key, record in found.items() if record.event}


@pytest.mark.parametrize("good", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_bad_release_fails_its_checks_by_name(
    instance: dg.DagsterInstance, tmp_path: Path, database: str, good: int
) -> None:
    """The runs fail, nothing is published, and each check says value, usual and limit, of which jurisdiction."""
    definitions, county = build.definitions(Settings.of(os.environ)), County.build(800)
    for edit in (*(None, town.edited, town.edited)[:good], town.one_code("ZONE")):
        town.release(tmp_path, county, parcels=edit or (lambda rows: rows))
        in_process_runs.materialize(definitions, instance, ["tiles"], [ID])
        found = in_process_runs.materialize(definitions, instance, TILE_ASSETS, partitions.keys_of(instance, ID))
        told = checked(instance, "parcels")
        if edit in (None, town.edited):
            assert found.failed == {}
            assert {name for name, each in told.items() if not each.passed} == set()
    assert all("mass_rezoning: " in why for why in found.failed.values())
    assert rows(database, CODES)[0][0] > 1
    failed = {name: each for name, each in told.items() if not each.passed}
    assert "mass_rezoning" in failed
    rezoned = failed["mass_rezoning"]
    assert rezoned.severity == dg.AssetCheckSeverity.ERROR
    assert rezoned.metadata["jurisdiction"].value == ID
    assert rezoned.metadata["value"].value > rezoned.metadata["limit"].value
    judged = partitions.keys_of(instance, ID)
    assert rezoned.metadata["partitions"].value.startswith(f"{judged[0]}")
    assert rezoned.description.startswith(rezoned.metadata["partitions"].value)
    assert "another zoning code" in rezoned.description
    assert "code_entropy" not in rezoned.description
    town.release(tmp_path, county, parcels=town.truncated)
    assert in_process_runs.materialize(definitions, instance, ["tiles"], [ID]).failed
    assert not checked(instance, "parcels")["count_drop"].passed
