"""A person materializes one asset after another in the UI: real runs, one of each asset."""

import os
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import read_toml, rows
from tests.defs.test_dagster import TILE_ASSETS
from zoning_assets.defs import build, in_process_runs, partitions
from zoning_assets.model import PARCELS
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import feed_freshness

_PARCELS = 1200


@pytest.fixture
def portal(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A county with several tiles, and a portal of its own; yields the portal's address."""
    folders = {"ZONING_HOME": "home", "ZONING_STORE_URL": "store", "ZONING_JURISDICTIONS": "toml"}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    monkeypatch.delenv("ZONING_QUEUE_URL", raising=False)
    with serving(_PARCELS) as address:
        read_toml(tmp_path / "toml", county_toml(address), ID)
        yield address


@pytest.mark.slow
def test_one_asset_after_another_finds_the_changes(portal: str, database: str, tmp_path: Path) -> None:
    """With the last run of the last asset the feed is complete and its changes are found; not before, and only once."""
    harvested = partial(feed_freshness.find_harvested, database, ID, PARCELS)
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        definitions = build.definitions(Settings.of(os.environ))

        def materialize(asset: str, keys: list[str]) -> None:
            assert in_process_runs.materialize(definitions, instance, [asset], keys).failed == {}

        def compare() -> list[tuple]:
            for asset in ("parcel_zoning", "changes"):
                materialize(asset, [ID])
            return rows(database, "SELECT id, kind FROM zoning.change ORDER BY 1")

        for release in (1, 2):
            switch_release(portal, release)
            before = harvested()
            for asset in ("tiles", "districts"):
                materialize(asset, [ID])
            keys = partitions.keys_of(instance, ID)
            for asset in TILE_ASSETS[:-1]:
                materialize(asset, keys)
            materialize("parcels", keys[1:])
            assert len(keys) > 1
            assert not [kind for _, kind in compare() if kind in ("split", "merged", "added")]
            assert harvested() == before
            materialize("parcels", keys[:1])
            cover = raw_harvests.find_cover(Objects(os.environ["ZONING_STORE_URL"]), ID, PARCELS)
            assert cover
            assert harvested() == datetime.fromisoformat(cover.seen)
        truth = County.build(_PARCELS).after_changes().truth
        assert truth
        found = compare()
        kinds = [kind for _, kind in found]
        assert kinds.count("split") == len(truth.split) > 0
        assert kinds.count("merged") == len(truth.merged) > 0
        for asset in TILE_ASSETS:
            materialize(asset, keys)
        assert compare() == found
