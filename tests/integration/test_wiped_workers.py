"""A county through S3: each run is a process on a disk of its own, which is wiped after it; most are killed first."""

import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import obstore
import pytest

from tests.integration.killed import content
from tests.support import object_stores
from tests.support.databases import Databases
from tests.support.object_stores import TestStore
from tests.support.worker_site import WorkerSite
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

_PARCELS = 3000
_SEED = int(os.environ.get("ZONING_TEST_SEED", "17"))
#: Of each step of the second release.
_KILLS = int(os.environ.get("ZONING_TEST_KILLS", "3"))
_TILE_ASSETS = ("raw_feed", "normalized", "validated", "parcels")
_WHOLE = (("districts", "whole"), ("parcel_zoning", "whole"), ("changes", "whole"))
_RUNS = (("tiles", "whole"), (",".join(_TILE_ASSETS), "tiles"), *_WHOLE)


@dataclass
class _Killer:
    """Kills a step when the store has got a random number of its requests."""

    store: TestStore
    chance: random.Random

    def run(self, site: WorkerSite, assets: str, which: str) -> None:
        """Run a step until it ends well, after so many kills as were asked for; a step that is too short has fewer."""
        most = 40
        log = self.store.proxy.log
        for _ in range(_KILLS):
            end = len(log) + self.chance.randint(1, most)
            if site.step(assets, which, ID, kill_when=partial(_has, log, end)):
                most = max(most // 2, 2)
        assert site.step(assets, which, ID)


def _has(log: list[tuple[str, str]], requests: int) -> bool:
    return len(log) >= requests


@contextmanager
def _restarted(store: TestStore, after_s: float) -> Iterator[None]:
    """While the block runs, the store is killed once, and started again two seconds later."""

    def restart() -> None:
        time.sleep(after_s)
        store.process.kill()
        time.sleep(2)
        store.process.start()

    thread = threading.Thread(target=restart)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def site(databases: Databases, tmp_path: Path) -> Iterator[tuple[WorkerSite, TestStore]]:
    """An installation on nanio."""
    with object_stores.nanio(tmp_path) as store, databases.lent() as url:
        yield WorkerSite(tmp_path / "workers", url, store.url, store.environ), store


def _names(store: TestStore, site: WorkerSite) -> list[str]:
    """All objects of a store."""
    options = {"endpoint": store.environ["AWS_ENDPOINT_URL"], "region": "us-east-1"}
    keys = {"access_key_id": store.environ["AWS_ACCESS_KEY_ID"]} | {
        "secret_access_key": store.environ["AWS_SECRET_ACCESS_KEY"]
    }
    opened = obstore.store.from_url(site.store, **options, **keys, client_options={"allow_http": True})
    return [str(each["path"]) for batch in obstore.list(opened) for each in batch]


def _page_names(store: TestStore, site: WorkerSite) -> set[str]:
    """The pages that the manifests of harvests name."""
    root = Path(store.folder) / site.store.removeprefix("s3://")
    manifests = [json.loads(path.read_bytes()) for path in root.glob("raw/**/harvests/*.json")]
    return {page["name"] for each in manifests for page in each["pages"]}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_each_run_on_another_disk(
    site: tuple[WorkerSite, TestStore], databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two releases, a replay, an export and a rollback: the tables are those of one process with a local folder. The
    store holds no draft, and no page that no harvest names."""
    workers, store = site
    chance, since = random.Random(_SEED), time.monotonic()
    with serving(_PARCELS) as portal, databases.lent() as url:
        alone = WorkerSite(tmp_path / "alone", url, str(tmp_path / "alone/store"), is_wiped=False)
        for each in (alone, workers):
            each.add_county(ID, county_toml(portal))
        alone.done("sync", ID)
        for assets, which in _RUNS:
            assert workers.step(assets, which, ID)
        first = content.of(alone.database)
        assert not content.differences(content.of(workers.database), first)
        switch_release(portal, 2)
        alone.done("sync", ID)
        killer = _Killer(store, chance)
        for number, (assets, which) in enumerate(_RUNS):
            if number == 1:
                with _restarted(store, 6.0):
                    killer.run(workers, assets, which)
            else:
                killer.run(workers, assets, which)
        second = content.of(alone.database)
        assert not content.differences(content.of(workers.database), second)
        workers.done("replay", ID)
        assert not content.differences(content.of(workers.database), second)
        assert second["changes"]
        assert json.loads(workers.done("verify", "--json"))["ok"]
        _check_objects(store, workers)
        _check_exports(workers, store)
        for each in (alone, workers):
            each.done("rollback", ID, "--batch", _last_batch(each), "--reason", "a test", "--yes")
            each.done("resume", ID)
            each.done("sync", ID)
        assert not content.differences(content.of(workers.database), content.of(alone.database))
        assert json.loads(workers.done("verify", "--json"))["ok"]
    with capsys.disabled():
        counts, seconds = store.proxy.counts(), time.monotonic() - since
        print(f"\n  {workers.kills} kills, {workers.processes} processes, {counts}, {seconds:.0f} s")  # noqa: T201
    assert workers.kills >= _KILLS


def _last_batch(site: WorkerSite) -> str:
    from tests.conftest import rows  # noqa: PLC0415

    return str(rows(site.database, "SELECT max(id) FROM zoning.batch WHERE feed = 'zoning'")[0][0])


def _check_objects(store: TestStore, workers: WorkerSite) -> None:
    """What is left in the store."""
    names = _names(store, workers)
    assert not [name for name in names if "/draft/" in name]
    pages = {match[1] for name in names if (match := re.fullmatch(r"raw/.*/pages/([0-9a-f]{64})\.zst", name))}
    assert pages == _page_names(store, workers)


def _check_exports(workers: WorkerSite, store: TestStore) -> None:
    """The export that follows a run is in the store, not on the disk of the worker."""
    assert workers.step("export_parcels", "whole", ID)
    assert [name for name in _names(store, workers) if name.startswith(f"exports/{ID}/")]
    told = json.loads(workers.done("export", ID, "--layer", "parcels", "--format", "geoparquet", "--json"))
    assert told["rows"] > _PARCELS * 0.9
