"""`zoning demo` through S3: killed with -9 in both harvests, each time with a new home: the tables are those of a demo
with a local folder that nobody killed."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.integration.killed import content
from tests.support import object_stores
from tests.support.databases import Databases
from tests.support.object_stores import TestStore
from tests.support.worker_site import WorkerSite

_SEED = int(os.environ.get("ZONING_TEST_SEED", "5"))
_KILLS = int(os.environ.get("ZONING_TEST_KILLS", "3"))  # in the second harvest
_MOST_S = 300
_TILES = """
SELECT count(*) FROM (
    SELECT FROM zoning.batch WHERE feed = 'parcels' GROUP BY tile HAVING count(*) >= %s
) published
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_demo_through_s3(databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both harvests, kills included. A demo that is started again after the first harvest has the second release."""
    chance = random.Random(_SEED)
    with object_stores.nanio(tmp_path) as store, databases.lent() as url, databases.lent() as plain:
        alone = WorkerSite(tmp_path / "alone", plain, str(tmp_path / "alone/store"), is_wiped=False)
        alone.done("demo", "--json")
        demo = WorkerSite(tmp_path / "workers", url, store.url, store.environ)
        _kill(demo, _requests(store, 6))
        assert not _batches(demo), "the first kill is meant for a harvest that has published nothing"
        _kill(demo, lambda: _batches(demo, release=2) > 0)
        for _ in range(_KILLS - 1):
            _kill(demo, _requests(store, chance.randint(1, 60)))
        demo.done("demo", "--json")
        found, wanted = content.of(demo.database), content.of(alone.database)
        assert not content.differences(found, wanted)
        assert found["changes"]
        assert '"ok": true' in demo.done("verify", "--json")
    with capsys.disabled():
        print(f"\n  {demo.kills} kills, {store.proxy.counts()}")  # noqa: T201 - a measurement
    assert demo.kills >= _KILLS


def _kill(site: WorkerSite, when: Callable[[], bool]) -> None:
    """Start the demo, and kill it and its processes when a condition holds; it may end before."""
    process, until = site.start("demo"), time.monotonic() + _MOST_S
    while process.poll() is None and not when():
        assert time.monotonic() < until, "the demo reached neither the kill nor its end"
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        site.kills += 1
    process.wait(30)


def _requests(store: TestStore, more: int) -> Callable[[], bool]:
    """Whether the store got so many more requests."""
    log = store.proxy.log
    end = len(log) + more
    return lambda: len(log) >= end


def _batches(site: WorkerSite, release: int = 1) -> int:
    """Published batches of parcels. `release`: 2 counts tiles that were published again."""
    return int(rows(site.database, _TILES, release)[0][0])
