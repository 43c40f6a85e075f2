"""The cluster of these tests: a broker, an S3 server, a portal behind a gate, a database, and `zoning up`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.conftest import rows
from tests.integration.celery import networks
from tests.integration.celery.machines import Worker, document_of
from tests.integration.peers import install
from tests.integration.signals.gated_portal import Gate, gated
from tests.queues import brokers
from tests.queues.brokers import Broker, Process, free_port, running
from tests.support.databases import copied
from zoning_assets.defs.run_workers import WORKER
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

COUNTIES = ("us-xx-east", "us-xx-west")
PASSWORD = "broker-5ecret"  # noqa: S105 - it must not be found anywhere
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
    broker: Broker

    def runs(self) -> list[tuple[str, str, str, str]]:
        """The id, the status, the job and the process of each run; the oldest first."""
        return [tuple(row) for row in rows(self.database, _RUNS, WORKER)]

    def seen(self, workers: Sequence[Worker]) -> str:
        """What is known of the runs, for the message of a test that fails."""
        lines = [" ".join(row) for row in self.runs()]
        lines += [f"the gate: limit {self.gate.limit}, {self.gate.seen} requests, held: {self.gate.held.is_set()}"]
        return "\n".join([*lines, *(f"{each.name}, pid {each.pid}:\n{each.log()}" for each in workers)])

    def write_files(self, *folders: Path) -> None:
        """The files of the counties, on each machine."""
        for folder in folders:
            for name in COUNTIES:
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
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--requirepass", PASSWORD, "--save", ""]
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    with running(Process(url, port, command, debian.environ, folder)) as broker:
        yield broker


BROKERS = {"redis": redis, "rabbitmq": brokers.rabbitmq}


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
    with ExitStack() as stack:
        (folder / "broker").mkdir()
        (folder / "store").mkdir()
        started = stack.enter_context(BROKERS[broker](folder / "broker"))
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
        yield Cluster(gate, portal, database, environ, host, folder, started)


def objects(place: Cluster) -> list[str]:
    """The names of all harvests in the S3 server, and of what is being harvested."""
    address = f"{place.environ['AWS_ENDPOINT_URL']}/zoning"
    text = requests.get(address, params={"list-type": "2", "prefix": "store/raw/"}, timeout=60).text
    assert "<IsTruncated>false" in text
    return re.findall("<Key>(.*?)</Key>", text)


def zoning(environ: dict[str, str], *words: str) -> tuple[dict, str]:
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
            document = document_of(process)
            assert PASSWORD not in str(document)
            yield environ
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def explained(place: Cluster, workers: Sequence[Worker]) -> Iterator[None]:
    """A test that fails in the block shows what is known of the runs."""
    try:
        yield
    except AssertionError as error:
        error.add_note(place.seen(workers))
        raise


def executing(place: Cluster, workers: list[Worker]) -> tuple[str, Worker] | None:
    """A run in progress, and the worker that executes it, as soon as the gate holds a request."""
    if not place.gate.held.is_set():
        return None
    for run_id, status, _, process in place.runs():
        words = process.split()
        if status == "STARTED" and words and words[2] == run_id:
            for each in workers:
                if each.executes(int(words[1])):
                    return run_id, each
    return None


def all_done(place: Cluster) -> bool:
    """Whether all counties are published and compared, and no run is in progress."""
    found = place.runs()
    finished = {"SUCCESS", "FAILURE", "CANCELED"}
    feeds = "SELECT count(*) FROM zoning.feed WHERE harvested IS NOT NULL"
    shares = "SELECT count(DISTINCT jurisdiction) FROM zoning.parcel_zoning"
    return (
        all(status in finished for _, status, _, _ in found)
        and rows(place.database, feeds) == [(2 * len(COUNTIES),)]
        and rows(place.database, shares) == [(len(COUNTIES),)]
    )
