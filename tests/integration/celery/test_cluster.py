"""Runs on several machines by Celery, with what is not ours: Redis, RabbitMQ, an S3 server, users, networks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import rows
from tests.integration.celery import machines, networks
from tests.integration.celery.machines import Worker
from tests.integration.peers import install
from tests.integration.signals.gated_portal import Gate, gated
from tests.queues import brokers
from tests.queues.brokers import Broker, Process, free_port, running
from tests.support.databases import copied
from tests.support.waiting import until
from zoning_assets.defs.run_workers import WORKER
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_COUNTIES = ("us-xx-east", "us-xx-west")
_PASSWORD = "broker-5ecret"  # noqa: S105 - it must not be found anywhere
_LOST_MOST_S = 200.0  # two minutes, and a busy machine
_TABLES = (
    "SELECT jurisdiction, tile, parcel_id, zoning_code, content_hash FROM zoning.parcel ORDER BY 1, 3",
    "SELECT jurisdiction, district_id, code, content_hash FROM zoning.district ORDER BY 1, 2",
    "SELECT jurisdiction, parcel_id, code, facet, rank, fraction::text, area_m2::text FROM zoning.parcel_zoning"
    " ORDER BY 1, 2, 3, 4",
    "SELECT jurisdiction, kind, state, parcel_ids, old::text, new::text, share::text FROM zoning.change"
    " ORDER BY 1, 2, 3, 4, 5, 6",
)
_RUNS = """
    SELECT run_id, status, pipeline_name, coalesce((
        SELECT value FROM zoning_dagster.run_tags WHERE run_tags.run_id = runs.run_id AND key = %s), '')
    FROM zoning_dagster.runs ORDER BY id
"""


@dataclass
class Cluster:
    """Where the runs of a cluster go, and what they read and write. `host`: the address of all servers."""

    gate: Gate
    portal: str
    database: str
    environ: dict[str, str]
    host: str
    folder: Path

    def runs(self) -> list[tuple[str, str, str, str]]:
        """The id, the status, the job and the process of each run; the oldest first."""
        return [tuple(row) for row in rows(self.database, _RUNS, WORKER)]

    def write_files(self, *folders: Path) -> None:
        """The files of the counties, on each machine."""
        for folder in folders:
            for name in _COUNTIES:
                text = county_toml(_at(self.gate.address, self.host)).replace(ID, name)
                (folder / f"{name}.toml").write_text(text)
                (folder / f"{name}.toml").chmod(0o644)


def _at(url: str, host: str) -> str:
    """The URL with another host."""
    return url.replace("127.0.0.1", host).replace("localhost", host)


@contextmanager
def redis(folder: Path) -> Iterator[Broker]:
    """Redis with a password."""
    debian, port = install.brokers(), free_port()
    program = str(debian.tree / "usr/bin/redis-server")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--requirepass", _PASSWORD, "--save", ""]
    url = f"redis://:{_PASSWORD}@127.0.0.1:{port}/0"
    with running(Process(url, port, command, debian.environ, folder)) as broker:
        yield broker


@contextmanager
def store(folder: Path, host: str) -> Iterator[dict[str, str]]:
    """An S3 server with a bucket: the settings for it."""
    port = free_port()
    command = [str(install.moto().parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(Process("s3://zoning", port, command, os.environ, folder)):
        requests.put(f"http://127.0.0.1:{port}/zoning", timeout=60).raise_for_status()
        with _reached(host, port):
            yield {
                "ZONING_STORE_URL": "s3://zoning/store",
                "AWS_ENDPOINT_URL": f"http://{host}:{port}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }


@contextmanager
def _reached(host: str, port: int) -> Iterator[None]:
    """A server of loopback at another address, too."""
    with ExitStack() as stack:
        if host != "127.0.0.1":
            stack.enter_context(networks.forwarded(host, port))
        yield


@contextmanager
def cluster(broker: str, host: str, server: str, template: str, folder: Path) -> Iterator[Cluster]:
    """Everything but `zoning up` and the workers."""
    starts = {"redis": redis, "rabbitmq": brokers.rabbitmq}
    with ExitStack() as stack:
        (folder / "broker").mkdir()
        (folder / "store").mkdir()
        started = stack.enter_context(starts[broker](folder / "broker"))
        portal = stack.enter_context(serving(400))
        gate = stack.enter_context(gated(portal))
        gate.close_after(None)
        _, database = stack.enter_context(copied(server, template))
        settings = stack.enter_context(store(folder / "store", host))
        for url in (started.url, gate.address, database):
            stack.enter_context(_reached(host, urlsplit(url).port or 0))
        environ = {
            "PATH": os.environ["PATH"],
            "ZONING_RUNS_ON": _at(started.url, host),
            "ZONING_DATABASE_URL": _at(database, host),
            "ZONING_MAX_RUNS_PER_HOST": "4",
            **settings,
        }
        yield Cluster(gate, portal, database, environ, host, folder)


def _zoning(environ: dict[str, str], *words: str) -> tuple[dict, str]:
    command = [sys.executable, "-m", "zoning_assets.cli", *words, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout), done.stderr


@contextmanager
def up(place: Cluster) -> Iterator[dict[str, str]]:
    """`zoning up` of the cluster: its environment."""
    home = place.folder / "up"
    (home / "toml").mkdir(parents=True)
    place.write_files(home / "toml")
    environ = {
        **place.environ,
        "HOME": str(home),
        "ZONING_HOME": str(home / "home"),
        "ZONING_JURISDICTIONS": str(home / "toml"),
    }
    command = [sys.executable, "-m", "zoning_assets.cli", "up", "--json", "--port", str(free_port())]
    with (home / "up.log").open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        try:
            assert process.stdout is not None
            document = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            assert _PASSWORD not in str(document)
            yield environ
        finally:
            process.terminate()
            process.wait(60)


def _executing(place: Cluster, workers: list[Worker]) -> tuple[str, Worker] | None:
    """A run in progress whose request is held by the gate, and the worker that executes it."""
    for run_id, status, _, process in place.runs():
        words = process.split()
        if status == "STARTED" and words and words[2] == run_id:
            for each in workers:
                if each.executes(int(words[1])):
                    return run_id, each
    return None


def _all_done(place: Cluster) -> bool:
    """Whether all counties are published and compared, and no run is in progress."""
    found = place.runs()
    finished = {"SUCCESS", "FAILURE", "CANCELED"}
    feeds = "SELECT count(*) FROM zoning.feed WHERE harvested IS NOT NULL"
    shares = "SELECT count(DISTINCT jurisdiction) FROM zoning.parcel_zoning"
    return (
        all(status in finished for _, status, _, _ in found)
        and rows(place.database, feeds) == [(2 * len(_COUNTIES),)]
        and rows(place.database, shares) == [(len(_COUNTIES),)]
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
            _zoning(environ, "sync", *_COUNTIES)
        for table in _TABLES:
            expected = rows(url, table)
            assert len(expected) > 10, table
            assert rows(place.database, table) == expected, table


def _assert_no_password(place: Cluster, workers: list[Worker]) -> None:
    """The broker's password is in no file, no log, no event and no tag."""
    for folder in (place.folder / "up", *(each.home for each in workers)):
        for file in folder.rglob("*"):
            if file.is_file() and file.stat().st_size < 50_000_000:
                assert _PASSWORD.encode() not in file.read_bytes(), file
    for query in (
        "SELECT count(*) FROM zoning_dagster.event_logs WHERE event LIKE %s",
        "SELECT count(*) FROM zoning_dagster.runs WHERE run_body LIKE %s",
        "SELECT count(*) FROM zoning_dagster.run_tags WHERE value LIKE %s",
    ):
        assert rows(place.database, query, f"%{_PASSWORD}%") == [(0,)], query


def _through_a_loss(place: Cluster, workers: list[Worker], lose: Callable[[Worker], None]) -> dict[str, str]:
    """Both counties are harvested by two workers. One is lost in the middle of a run, which is executed again."""
    for each in workers:
        place.write_files(each.home / "toml")
        assert _PASSWORD not in str(each.start())
    with up(place) as environ:
        place.gate.close_after(12)
        until(lambda: place.gate.held.is_set() and _executing(place, workers), "a run in the middle", every_s=0.2)
        run_id, lost = _executing(place, workers) or ("", workers[0])
        began = time.monotonic()
        lose(lost)
        place.gate.close_after(None)
        until(lambda: (run_id, "FAILURE") in [run[:2] for run in place.runs()], "the lost run", _LOST_MOST_S, 0.5)
        print(f"the run was found lost after {time.monotonic() - began:.0f} s")  # noqa: T201 - measured
        until(lambda: _all_done(place), "the end of all runs", every_s=1.0)
        switch_release(place.portal, 2)
        document, lines = _zoning(environ, "sync", *_COUNTIES)
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
