"""A real streaming replica: a primary of its own, and a hot standby made by pg_basebackup."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.support.cluster_fixture import shared_packages
from tests.support.pgbouncer import free_port
from tests.support.waiting import until
from zoning_assets import local_postgres
from zoning_assets.local_postgres.binaries import Binaries
from zoning_assets.local_postgres.cluster_settings import ACCESS
from zoning_assets.local_postgres.cluster_state import load
from zoning_assets.local_postgres.data_folder import Site, own, site_of, write


@dataclass
class Pair:
    """A primary and its standby, each of which can be stopped and started. The addresses are of the owner."""

    site: Site
    binaries: Binaries
    primary: str
    standby: str

    @property
    def folder(self) -> Path:
        """The data of the standby."""
        return self.site.root / "standby"

    def start(self) -> None:
        """Start the standby, and wait until it answers."""
        self._run("pg_ctl", "start", "--wait", f"--pgdata={self.folder}", f"--log={self.folder}/server.log")
        until(self.answers, "the standby", most_s=60, every_s=0.1)

    def stop(self) -> None:
        """Stop the standby."""
        self._run("pg_ctl", "stop", "--mode=immediate", f"--pgdata={self.folder}")

    def answers(self) -> bool:
        """Whether the standby accepts connections."""
        with suppress(psycopg.Error), psycopg.connect(self.standby, connect_timeout=2):
            return True
        return False

    def copy(self) -> None:
        """Make the standby from a base backup."""
        write(self.site, self.site.data / "pg_hba.conf", ACCESS + "host replication all 127.0.0.1/32 scram-sha-256\n")
        with psycopg.connect(self.primary, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        parts = urlsplit(self.primary)
        self.folder.mkdir(mode=0o700)
        own(self.site, self.folder, mode=0o700)
        self._run("pg_basebackup", f"--dbname={self.primary}", f"--pgdata={self.folder}", "-R", "--checkpoint=fast")
        port = urlsplit(self.standby).port
        text = (self.folder / "postgresql.conf").read_text().replace(f"port = '{parts.port}'", f"port = '{port}'")
        more = "max_standby_streaming_delay = 2s\nhot_standby_feedback = off\n"
        write(self.site, self.folder / "postgresql.conf", text + more)

    def _run(self, *command: str) -> None:
        done = self.binaries.run(list(command), self.site, 120)
        assert done.returncode == 0, done.stderr[-500:]


@contextmanager
def streaming_pair(home: Path) -> Iterator[Pair]:
    """A primary and a standby while the block runs."""
    primary = local_postgres.ensure(home, {}, fsync=False, shared=shared_packages())
    state, site = load(home), site_of(home, shared_packages())
    assert state is not None
    second = urlsplit(primary)._replace(netloc=urlsplit(primary).netloc.rpartition(":")[0] + f":{free_port()}").geturl()
    pair = Pair(site, Binaries(Path(state.binaries), state.environ), primary, second)
    try:
        pair.copy()
        pair.start()
        yield pair
    finally:
        with suppress(AssertionError):
            pair.stop()
        shutil.rmtree(pair.folder, ignore_errors=True)
        local_postgres.remove(home)
