"""A county through Azure and Google's storage by commands, and what a command says when the store is wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.support import object_stores
from tests.support.object_stores import TestStore
from tests.support.store_proxy import SKEWED
from tests.support.worker_site import WorkerSite
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PARCELS = 1500


@pytest.mark.parametrize("name", ["azurite", "fake-gcs"])
def test_sync_and_verify(name: str, database: str, tmp_path: Path) -> None:
    """Harvested, published and verified, each by a process with an empty home."""
    with object_stores.STORES[name](tmp_path) as store, serving(_PARCELS) as portal:
        site = WorkerSite(tmp_path / "site", database, store.url, store.environ)
        site.add_county(ID, county_toml(portal))
        assert all(each["complete"] for each in json.loads(site.done("sync", ID, "--json"))["harvests"])
        found = json.loads(site.done("verify", "--json"))
        assert found["ok"]
        assert found["rows"] > _PARCELS * 0.9
        assert json.loads(site.done("sync", ID, "--json"))["harvests"]


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[tuple[WorkerSite, TestStore]]:
    """An installation on a server that verifies signatures."""
    with object_stores.nanio(tmp_path) as store:
        yield WorkerSite(tmp_path / "site", database, store.url, dict(store.environ)), store


def _bucket_is_missing(site: WorkerSite, _: TestStore) -> None:
    site.store = "s3://none-such/folder"


def _secret_is_wrong(site: WorkerSite, _: TestStore) -> None:
    site.environ = {**site.environ, "AWS_SECRET_ACCESS_KEY": "another-secret"}


def _clock_is_wrong(_: WorkerSite, store: TestStore) -> None:
    store.proxy.fault = lambda _method, _path: SKEWED


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (_bucket_is_missing, "its bucket does not exist"),
        (_secret_is_wrong, "the server refuses the credentials"),
        (_clock_is_wrong, "the clock of this machine is wrong"),
    ],
)
def test_one_line_and_nothing_published(
    spoil: Callable[[WorkerSite, TestStore], None], wanted: str, site: tuple[WorkerSite, TestStore], database: str
) -> None:
    """No traceback, no secret, exit status 1, and the same command ends well when the fault is gone."""
    workers, store = site
    before = workers.store, workers.environ
    with serving(_PARCELS) as portal:
        workers.add_county(ID, county_toml(portal))
        spoil(workers, store)
        ended = workers.zoning("sync", ID)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 1
        assert wanted in " ".join(said.split())
        assert not [each for each in ("Traceback", "<?xml", "another-secret", store.secret) if each in said]
        assert rows(database, "SELECT count(*) FROM zoning.batch") == [(0,)]
        workers.store, workers.environ = before
        store.proxy.fault = lambda _method, _path: None
        store.proxy.delay_s = 0.2  # a store that is far away is slow, and nothing else
        workers.done("sync", ID)
    assert rows(database, "SELECT count(*) > 1000 FROM zoning.parcel") == [(True,)]
