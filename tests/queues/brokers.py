"""Real brokers on loopback, which can be killed and started again: Redis, RabbitMQ, moto for SQS, PostgreSQL."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tests.integration.peers import install
from tests.support.cluster_fixture import shared_packages
from zoning_assets import local_postgres
from zoning_assets.local_postgres import processes
from zoning_assets.local_postgres.data_folder import site_of
from zoning_assets.storage.postgis import database as db

#: Debian's own `erl` believes to lie in /usr.
ERL = '#!/bin/sh\nexport ROOTDIR={erlang} BINDIR={erts} EMU=beam PROGNAME=erl\nexec {erts}/erlexec "$@"\n'
RABBITMQ = """
listeners.tcp.1 = 127.0.0.1:{port}
log.console = true
log.console.level = error
log.file = false
"""
_START_MOST_S = 400.0


class Broker(Protocol):
    """A broker that can die."""

    url: str

    def start(self) -> None:
        """Start it, and wait until it answers."""

    def kill(self) -> None:
        """kill -9."""


class Process:
    """A broker that is one command, in a group of its own."""

    def __init__(self, url: str, port: int, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self.url, self._port, self._folder = url, port, folder
        self._command, self._environ = command, dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        until = time.monotonic() + _START_MOST_S
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.05)
        message = f"{self._command[0]} did not start: {(self._folder / 'log').read_text(errors='replace')[-500:]}"
        raise AssertionError(message)

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def redis(folder: Path) -> Iterator[Broker]:
    """Redis that writes everything to disk before it answers."""
    debian, port = install.brokers(), free_port()
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command = [str(debian.tree / "usr/bin/redis-server"), "--bind", "127.0.0.1", "--port", str(port), *durable]
    with running(Process(f"redis://127.0.0.1:{port}", port, command, debian.environ, folder)) as broker:
        yield broker


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Broker]:
    """RabbitMQ with an epmd of its own, everything on loopback."""
    debian, (port, names, peers) = install.brokers(), (free_port(), free_port(), free_port())
    erlang = debian.tree / "usr/lib/erlang"
    erts = next(erlang.glob("erts-*/bin"))
    program = next(debian.tree.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    for name, text in {
        "erl": ERL.format(erlang=erlang, erts=erts),
        "rabbitmq.conf": RABBITMQ.format(port=port),
        "plugins": "[].",
        "start": f"#!/bin/sh\n{erts}/epmd -port {names} -address 127.0.0.1 &\nexec {program}\n",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environ = {
        **debian.environ,
        "PATH": f"{folder}:{erts}:{debian.environ['PATH']}",
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_NODENAME": "zoning@localhost",
        "RABBITMQ_DIST_PORT": str(peers),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        "RUNNING_UNDER_SYSTEMD": "1",  # it then is one process, and no shell around it
    }
    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    with running(Process(url, port, [str(folder / "start")], environ, folder)) as broker:
        yield broker


@contextmanager
def sqs(folder: Path) -> Iterator[Broker]:
    """moto, which forgets all when it dies."""
    port = free_port()
    command = [str(install.moto().parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    settings = {
        "AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    os.environ |= settings
    with running(Process("sqs://us-east-1", port, command, os.environ, folder)) as broker:
        yield broker


class Cluster:
    """A PostgreSQL of its own, that is durable."""

    def __init__(self, home: Path) -> None:
        self._home, self.url = home, ""

    def start(self) -> None:
        self.url = local_postgres.ensure(self._home, {}, shared=shared_packages())
        db.migrate(self.url)

    def kill(self) -> None:
        if found := processes.postmaster(site_of(self._home).data):
            os.kill(found.pid, signal.SIGKILL)


@contextmanager
def postgresql(folder: Path) -> Iterator[Broker]:
    """PostgreSQL in a cluster of its own."""
    broker = Cluster(folder)
    broker.start()
    try:
        yield broker
    finally:
        local_postgres.remove(folder)


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


STARTS = {"postgresql": postgresql, "redis": redis, "rabbitmq": rabbitmq, "sqs": sqs}
