"""A backup that is taken in the middle of a backfill is restored elsewhere: `zoning verify` finds nothing, and the next
sync goes on. The commands are those of docs/how-to/back-up.md."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import rows
from tests.integration.killed import content
from tests.integration.peers import install
from tests.queues.brokers import free_port
from tests.support import object_stores
from tests.support.cluster_fixture import shared_packages
from tests.support.object_stores import BUCKET, TestStore
from tests.support.waiting import until
from tests.support.worker_site import WorkerSite
from zoning_assets import local_postgres
from zoning_assets.local_postgres import cluster_state, processes
from zoning_assets.local_postgres.binaries import Binaries
from zoning_assets.local_postgres.data_folder import Site, site_of
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

_PARCELS, _RESOLUTION = 3000, 9
_BATCHES = "SELECT count(*) FROM zoning.batch"
#: Published tiles of the second release at which the backup begins.
_BEGUN = 3


@dataclass
class Server:
    """A private cluster with its programs."""

    site: Site
    programs: Binaries
    url: str

    @classmethod
    def of(cls, home: Path) -> "Server":
        url = local_postgres.ensure(home, {}, shared=shared_packages())
        state = cluster_state.load(home)
        assert state
        return cls(site_of(home, shared_packages()), Binaries(Path(state.binaries), state.environ), url)

    def run(self, *command: str) -> None:
        """One of PostgreSQL's programs, as the user of the server. It prints no error and no warning."""
        done = self.programs.run([*command], self.site, timeout_s=300)
        assert (done.returncode, done.stderr) == (0, ""), (command[0], done.stderr[-3000:])

    def folder(self, name: str) -> Path:
        """An empty folder beside the data, which belongs to the user of the server."""
        made = self.site.root / name
        made.mkdir(mode=0o700)
        if self.site.account:
            os.chown(made, self.site.account.uid, self.site.account.gid)
        return made

    def write(self, path: Path, text: str) -> None:
        path.write_text(text)
        if self.site.account:
            os.chown(path, self.site.account.uid, self.site.account.gid)


@dataclass
class Backup:
    """What was saved, and the end of the backfill that went on meanwhile."""

    dump: Path
    base: Path
    archive: Path
    moment: str
    store: str
    truth: content.Content
    batches: tuple[int, int]  # when the backup began, and at the end


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestStore]:
    with object_stores.nanio(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with serving(_PARCELS) as address:
        yield address


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The cluster that is lost. It archives its log."""
    home = tmp_path_factory.mktemp("source")
    server = Server.of(home)
    try:
        archive = server.folder("archive")
        for name, value in (("archive_mode", "on"), ("archive_command", f"cp %p {archive}/%f")):
            _superuser(server.url, f"ALTER SYSTEM SET {name} = '{value}'")
        local_postgres.stop(home)
        server = Server.of(home)
        server.write(server.site.data / "pg_hba.conf", "host all,replication all 127.0.0.1/32 scram-sha-256\n")
        _superuser(server.url, "SELECT pg_reload_conf()")
        yield server
    finally:
        local_postgres.remove(home)


def _superuser(url: str, statement: str) -> None:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture(scope="module")
def backup(source: Server, store: TestStore, portal: str, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """The first release is published; a base backup is taken. In the middle of the second one the database is dumped,
    and after that the store is copied. Both go on meanwhile."""
    site = WorkerSite(tmp_path_factory.mktemp("site"), source.url, store.url, store.environ)
    site.add_county(ID, county_toml(portal, tile_resolution=_RESOLUTION))
    site.done("sync", ID)
    base, dump = source.folder("base"), source.folder("dump") / "zoning.dump"
    source.run("pg_basebackup", "--dbname", source.url, "--pgdata", str(base), "--checkpoint=fast")
    first = rows(source.url, _BATCHES)[0][0]
    switch_release(portal, 2)
    with site.start("sync", ID) as syncing:
        try:
            moment, copied = _save(source, store, dump, syncing, first + _BEGUN)
            assert syncing.wait(500) == 0
        finally:
            syncing.kill()
    last = rows(source.url, "SELECT pg_walfile_name(pg_switch_wal())")[0][0]
    until((source.site.root / "archive" / last).exists, "the archived log")
    batches = (first + _BEGUN, rows(source.url, _BATCHES)[0][0])
    return Backup(dump, base, source.site.root / "archive", moment, copied, content.of(source.url), batches)


def _save(
    source: Server, store: TestStore, dump: Path, syncing: "subprocess.Popen[bytes]", least: int
) -> tuple[str, str]:
    """Dump the database, then copy the store, once so many batches are published; return the moment and the copy."""

    def begun() -> int:
        now = int(rows(source.url, _BATCHES)[0][0])
        assert syncing.poll() is None
        return now if now >= least else 0

    until(begun, "the first tiles of the second release", every_s=0.005)
    moment = rows(source.url, "SELECT clock_timestamp()::text")[0][0]
    source.run("pg_dump", "--format=custom", "--schema=zoning", f"--file={dump}", source.url)
    return moment, _copy_store(store)


def _copy_store(store: TestStore) -> str:
    """Copy the store while it changes; return the address of the copy."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENDPOINT": store.environ["AWS_ENDPOINT_URL"],
        "RCLONE_CONFIG_STORE_REGION": store.environ["AWS_REGION"],
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": store.environ["AWS_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": store.environ["AWS_SECRET_ACCESS_KEY"],
    }
    folder = urlsplit(store.url).path.strip("/")
    words = [str(install.rclone()), "copy", f"store:{BUCKET}/{folder}", f"store:{BUCKET}/copy"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return f"s3://{BUCKET}/copy"


def _goes_on(backup: Backup, url: str, store: TestStore, portal: str, folder: Path) -> dict[str, Any]:
    """A restored installation: it is in the middle, whole, and its next sync ends as the backfill that went on."""
    restored = rows(url, _BATCHES)[0][0]
    assert backup.batches[0] <= restored < backup.batches[1]
    mine = f"s3://{BUCKET}/{folder.name}"
    shutil.copytree(store.folder / BUCKET / "copy", store.folder / BUCKET / folder.name)
    site = WorkerSite(folder, url, mine, store.environ)
    site.add_county(ID, county_toml(portal, tile_resolution=_RESOLUTION))
    assert json.loads(site.done("verify", "--json"))["faults"] == []
    probed = json.loads(site.done("probe", ID, "--json"))["feeds"]
    assert all(each["changed"] for each in probed), probed
    assert all(each["complete"] for each in json.loads(site.done("sync", ID, "--json"))["harvests"])
    assert not content.differences(content.of(url), backup.truth)
    assert json.loads(site.done("verify", "--json"))["ok"]
    return {"batches": (backup.batches[0], restored, backup.batches[1])}


def test_a_dump_restored_in_another_cluster(
    backup: Backup, store: TestStore, portal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """pg_restore into a new private cluster, without an error or a warning."""
    home = tmp_path / "home"
    since = time.monotonic()
    try:
        server = Server.of(home)
        site = WorkerSite(tmp_path / "prepared", server.url, str(tmp_path / "prepared/store"))
        site.done("db", "up")
        _superuser(server.url, "SET client_min_messages = error; DROP SCHEMA zoning CASCADE")
        dump = server.folder("dump") / backup.dump.name
        shutil.copy(backup.dump, dump)
        server.write(dump.with_suffix(".marker"), "")
        if server.site.account:
            os.chown(dump, server.site.account.uid, server.site.account.gid)
        server.run("pg_restore", "--exit-on-error", f"--dbname={server.url}", str(dump))
        site.done("db", "up")
        found = _goes_on(backup, server.url, store, portal, tmp_path / "dumped")
    finally:
        local_postgres.remove(home)
    with capsys.disabled():
        print(f"\n  pg_restore: {found}, {time.monotonic() - since:.0f} s")  # noqa: T201


def test_a_point_in_time(
    backup: Backup, source: Server, store: TestStore, portal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base backup and the archived log, up to the moment in the middle of the backfill."""
    since = time.monotonic()
    with _recovered(backup, source) as url:
        found = _goes_on(backup, url, store, portal, tmp_path / "recovered")
    with capsys.disabled():
        print(f"\n  point in time: {found}, {time.monotonic() - since:.0f} s")  # noqa: T201


@contextmanager
def _recovered(backup: Backup, source: Server) -> Iterator[str]:
    port = free_port()
    settings = {
        "port": str(port),
        "restore_command": f"cp {backup.archive}/%f %p",
        "recovery_target_time": backup.moment,
        "recovery_target_action": "promote",
        "archive_mode": "off",
    }
    with (backup.base / "postgresql.auto.conf").open("a") as opened:
        opened.write("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
    source.write(backup.base / "recovery.signal", "")
    log = backup.base / "recovered.log"
    done = source.programs.run(
        ["pg_ctl", "start", "-w", "-t", "200", "-D", str(backup.base), "-l", str(log)], source.site
    )
    try:
        said = log.read_text()[-2000:] if log.exists() else ""
        assert done.returncode == 0, (done.stdout, done.stderr, said)
        url = urlsplit(source.url)
        address = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}").geturl()
        until(lambda: not rows(address, "SELECT pg_is_in_recovery()")[0][0], "the end of the recovery", most_s=120)
        _superuser(address, "SET client_min_messages = error; DROP SCHEMA IF EXISTS zoning_dagster CASCADE")
        yield address
    finally:
        processes.end_all(backup.base)
