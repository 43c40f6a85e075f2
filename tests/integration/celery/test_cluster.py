"""Runs on several machines by Celery, with what is not ours: Redis, RabbitMQ, an S3 server, users, networks."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.integration.celery import machines, networks
from tests.integration.celery.clusters import (
    COUNTIES,
    PASSWORD,
    Cluster,
    all_done,
    cluster,
    executing,
    explained,
    up,
    zoning,
)
from tests.integration.celery.machines import Worker
from tests.support.databases import copied
from tests.support.waiting import until
from zoning_assets.simulation.portal.portal_process import switch_release

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_LOST_MOST_S = 200.0  # two minutes, and a busy machine
_TABLES = (
    "SELECT jurisdiction, tile, parcel_id, zoning_code, content_hash FROM zoning.parcel ORDER BY 1, 3",
    "SELECT jurisdiction, district_id, code, content_hash FROM zoning.district ORDER BY 1, 2",
    "SELECT jurisdiction, parcel_id, code, facet, rank, fraction::text, area_m2::text FROM zoning.parcel_zoning"
    " ORDER BY 1, 2, 3, 4",
    "SELECT jurisdiction, kind, state, parcel_ids, old::text, new::text, share::text FROM zoning.change"
    " ORDER BY 1, 2, 3, 4, 5, 6",
)


def _assert_equal_to_one_process(place: Cluster, server: str, template: str) -> None:
    """All tables equal those of `zoning sync` in one process, of the same two releases."""
    switch_release(place.portal, 1)
    home = place.folder / "alone"
    (home / "toml").mkdir(parents=True)
    place.write_files(home / "toml")
    with copied(server, template) as (_, url):
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ZONING_HOME": str(home / "home"),
            "ZONING_JURISDICTIONS": str(home / "toml"),
            "ZONING_DATABASE_URL": url,
        }
        for release in (1, 2):
            switch_release(place.portal, release)
            zoning(environ, "sync", *COUNTIES)
        for table in _TABLES:
            expected = rows(url, table)
            assert len(expected) > 10, table
            assert rows(place.database, table) == expected, table


def _assert_no_password(place: Cluster, workers: list[Worker]) -> None:
    """The broker's password is in no file, no log, no event and no tag."""
    for folder in (place.folder / "up", *(each.home for each in workers)):
        for file in folder.rglob("*"):
            if file.is_file() and file.stat().st_size < 50_000_000:
                assert PASSWORD.encode() not in file.read_bytes(), file
    for query in (
        "SELECT count(*) FROM zoning_dagster.event_logs WHERE event LIKE %s",
        "SELECT count(*) FROM zoning_dagster.runs WHERE run_body LIKE %s",
        "SELECT count(*) FROM zoning_dagster.run_tags WHERE value LIKE %s",
    ):
        assert rows(place.database, query, f"%{PASSWORD}%") == [(0,)], query


def _through_a_loss(place: Cluster, workers: list[Worker], lose: Callable[[Worker], None]) -> dict[str, str]:
    """Both counties are harvested by two workers. One is lost in the middle of a run, which is executed again."""
    for each in workers:
        place.write_files(each.home / "toml")
        assert PASSWORD not in str(each.start())
    with up(place) as environ, explained(place, workers):
        place.gate.close_after(12)
        found = until(lambda: executing(place, workers), "a run in the middle", every_s=0.2)
        assert found
        run_id, lost = found
        began = time.monotonic()
        lose(lost)
        place.gate.close_after(None)
        until(lambda: (run_id, "FAILURE") in [run[:2] for run in place.runs()], "the lost run", _LOST_MOST_S, 0.5)
        print(f"the run was found lost after {time.monotonic() - began:.0f} s")  # noqa: T201 - measured
        until(lambda: all_done(place), "the end of all runs", every_s=1.0)
        switch_release(place.portal, 2)
        document, lines = zoning(environ, "sync", *COUNTIES)
        assert "The daemon of `zoning up` executes the runs" in lines
        assert all(report["complete"] for report in document["harvests"])
        executed = {run[0]: int(run[3].split()[1]) for run in place.runs() if run[1] == "SUCCESS"}
        assert executed, "workers execute the runs"
        (left,) = [each for each in workers if each is not lost]
        assert left.executes(left.pid)
        return environ


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_one_of_two_workers_is_killed(broker: str, tmp_path: Path, server: str, template: str) -> None:
    """Separate folders, users and environments. The tables equal those of one process."""
    machines.check_possible()
    with cluster(broker, "127.0.0.1", server, template, tmp_path) as place, ExitStack() as stack:
        workers = [stack.enter_context(machines.worker(number, place.environ)) for number in (1, 2)]
        _through_a_loss(place, workers, Worker.kill)
        _assert_no_password(place, workers)
        _assert_equal_to_one_process(place, server, template)


def test_the_link_of_one_of_two_workers_is_cut(tmp_path: Path, server: str, template: str) -> None:
    """Each worker has a network of its own, and reaches database, broker, store and portal through a bridge. The run of
    the lost machine is found although its process lives."""
    machines.check_possible()
    with (
        networks.bridged() as bridge,
        cluster("redis", bridge.hub, server, template, tmp_path) as place,
        ExitStack() as stack,
    ):
        workers = [stack.enter_context(machines.worker(number, place.environ, bridge.join())) for number in (1, 2)]
        _through_a_loss(place, workers, lambda lost: bridge.cut(lost.network or ""))
        _assert_no_password(place, workers)
        _assert_equal_to_one_process(place, server, template)
