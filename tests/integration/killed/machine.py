"""A machine on which zoning_assets runs for good: PostgreSQL, a broker, Dagster's webserver and daemon, and a service
manager that starts again what ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg

from tests.integration.killed.processes import in_session
from tests.queues.brokers import Broker, free_port
from tests.support.cluster_fixture import shared_packages
from zoning_assets import local_postgres
from zoning_assets.cli import bootstrap
from zoning_assets.local_postgres import processes
from zoning_assets.local_postgres.data_folder import site_of
from zoning_assets.storage.postgis import database as db

_REPO = Path(__file__).parents[3]
_MODULE = ["-m", "zoning_assets.definitions"]
#: What a user may set: a dead run is looked for more often, and is started again more often than three times.
_SETTINGS = {
    "poll_interval_seconds: 30": "poll_interval_seconds: 3\n  start_timeout_seconds: 100",
    "max_retries: 3": "max_retries: 100",
}
UNFINISHED = [
    dg.DagsterRunStatus(name) for name in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING", "MANAGED")
]


_RELOAD = "mutation { reloadWorkspace { __typename } }"


class Machine:
    """All of it. `broker` None: the queues are tables of the database."""

    def __init__(self, home: Path, broker: Broker | None) -> None:
        self.home, self.broker, self.port = home, broker, free_port()
        self.logs = home / "dagster"
        self.url = ""
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self.sessions: set[int] = set()
        self.restarts = self.reloads = 0

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return site_of(self.home).data

    def prepare_dagster(self) -> None:
        """Its home, with our settings but for those that a user would set on such a machine, and its storage."""
        self.logs.mkdir(parents=True)
        text = (_REPO / "dagster.yaml").read_text()
        for ours, theirs in _SETTINGS.items():
            assert text.count(ours) == 1
            text = text.replace(ours, theirs)
        (self.logs / "dagster.yaml").write_text(f"# a user's own\n{text}")
        bootstrap.prepare_storage()

    def start_postgresql(self) -> None:
        """As its service does, until it answers."""
        owner = local_postgres.ensure(self.home, {}, shared=shared_packages())
        self.url = self.url or local_postgres.login(self.home, db.migrate(owner), db.WRITER) or owner

    def tend(self, *names: str) -> None:
        """What a service manager does: start what is not running; by their names, or all."""
        if processes.postmaster(self.data) is None:
            self.start_postgresql()
        commands = {
            "dagster-webserver": [*_MODULE, "-h", "127.0.0.1", "-p", str(self.port)],
            "dagster-daemon": ["run", *_MODULE],
        }
        for name, words in commands.items():
            if name in names or not names:
                self._keep(name, words)

    def _keep(self, name: str, words: list[str]) -> None:
        if name not in self.programs or self.programs[name].poll() is not None:
            self.restarts += name in self.programs
            self._start(name, words)

    def _start(self, name: str, words: list[str]) -> None:
        program = str(Path(sys.executable).with_name(name))
        with (self.logs / f"{name}.log").open("ab") as log:
            self.programs[name] = subprocess.Popen(
                [program, *words],
                env=bootstrap.dagster_environ(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=_REPO,
            )
        self.sessions.add(self.programs[name].pid)

    def stop(self) -> None:
        """Everything, at once, and the database's data too."""
        for session in self.sessions:
            for pid in in_session(session):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for program in self.programs.values():
            program.wait()
        local_postgres.remove(self.home)
        shutil.rmtree(self.home)

    def ask(self, query: str, **variables: Any) -> Any:
        """The webserver, as the UI asks it; again while it is away."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.port}/graphql"
        until = time.monotonic() + 120
        while True:
            request = urllib.request.Request(address, body, {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
                    said = json.load(answer)
                    assert "errors" not in said, said
                    return said["data"]
            except (OSError, ValueError) as error:
                if time.monotonic() > until:
                    raise
                if isinstance(error, urllib.error.HTTPError) and query != _RELOAD:
                    self.reload()
                self.tend("dagster-webserver")
                time.sleep(0.5)

    def reload(self) -> None:
        """The button "Reload": the webserver starts no code server again that was killed."""
        self.ask(_RELOAD)
        self.reloads += 1

    def zoning(self, *words: str) -> Any:
        """A word of the command line; the document that it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "zoning_assets.cli", *words, "--json"],
            capture_output=True, text=True, timeout=300, check=False, cwd=_REPO,
        )  # fmt: skip
        return json.loads(done.stdout)
