"""A database comes up on whatever machine this is, comes back after anything, and its password is never said aloud."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from zoning_assets import local_postgres
from zoning_assets.cli import db
from zoning_assets.errors import DatabaseUnavailable, SettingInvalid
from zoning_assets.local_postgres import (
    binaries,
    cluster_state,
    container,
    data_folder,
    packages,
    processes,
    provider,
    remote,
    server,
)

REPO = Path(__file__).parents[2]
SHARED = None if os.geteuid() == 0 else REPO / ".zoning" / "postgres" / "packages"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def up(home: Path) -> str:
    return local_postgres.ensure(home, {}, fsync=False, shared=SHARED)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, connect_timeout=100) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def port_of(home: Path) -> int:
    found = processes.postmaster(data_of(home))
    assert found
    return found.port


def data_of(home: Path) -> Path:
    return data_folder.site_of(home).data


def kill_postmaster(home: Path) -> None:
    found = processes.postmaster(data_of(home))
    assert found
    os.kill(found.pid, signal.SIGKILL)


@contextlib.contextmanager
def removed_after(home: Path) -> Iterator[Path]:
    try:
        yield home
    finally:
        local_postgres.remove(home)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with removed_after(tmp_path_factory.mktemp("cluster") / "a home with spaces") as home:
        up(home)
        yield home


@pytest.fixture
def home(shared_home: Path) -> Path:
    """A home whose cluster runs, whatever the test before did to it."""
    up(shared_home)
    return shared_home


def test_a_cold_start_gives_a_database_with_postgis(tmp_path: Path) -> None:
    """Where nothing runs and nothing was made, one call gives a database in which PostGIS answers."""
    with removed_after(tmp_path / "home") as home:
        assert local_postgres.url(home, {}) is None
        found = up(home)
        assert found.startswith("postgresql://")
        assert found.endswith("/zoning")
        assert ask(found, "SELECT ST_AsText(ST_Transform('SRID=4326;POINT(0 0)'::geometry, 3857))") is not None
        assert local_postgres.url(home, {}) == found


def test_a_warm_start_starts_nothing(home: Path) -> None:
    """A second call finds the server that runs: the same process, the same address."""
    before = processes.postmaster(data_of(home))
    assert up(home) == up(home)
    assert processes.postmaster(data_of(home)) == before


def test_stop_stops_and_keeps_the_data(home: Path) -> None:
    """After a stop no process is left, and the next start has every row."""
    url = up(home)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert local_postgres.stop(home)
    assert processes.alive_in(data_of(home)) == set()
    assert local_postgres.url(home, {}) is None
    assert not local_postgres.stop(home)
    assert ask(up(home), "SELECT n FROM kept") == 7


def test_it_comes_back_after_kill_9_with_a_backend_still_at_work(home: Path) -> None:
    """A killed server with an orphan that holds its memory is cleared away, and no committed row is lost."""
    url = up(home)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE survived AS SELECT g FROM generate_series(1, 1000) g")
    busy = psycopg.connect(url)
    busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
    orphan = busy.info.backend_pid
    kill_postmaster(home)
    assert orphan in processes.alive_in(data_of(home))
    assert ask(up(home), "SELECT count(*) FROM survived") == 1000
    assert orphan not in processes.alive_in(data_of(home))
    busy.close()


def test_a_stale_pid_file_that_names_somebody_else_is_no_obstacle(home: Path) -> None:
    """The number in a dead server's pid file may be another process of the same user; that one is spared."""
    account = data_folder.site_of(home).account
    bystander = subprocess.Popen(["sleep", "300"], user=account.uid if account else None)
    try:
        pid_file = data_of(home) / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        kill_postmaster(home)
        assert processes.gone(data_of(home), 200)
        pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        assert ask(up(home), "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_taken_port_is_left_to_its_owner_and_the_new_one_remembered(home: Path) -> None:
    """Another program on our port means another port, now and at the next start."""
    old = cluster_state.load(home)
    assert old
    local_postgres.stop(home)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((cluster_state.HOST, old.port))
        taken.listen()
        moved = up(home)
    assert f":{old.port}/" not in moved
    local_postgres.stop(home)
    assert up(home) == moved


def test_three_starts_at_once_give_one_cluster(tmp_path: Path) -> None:
    """Three that start at the same moment, under a locale that does not exist, get one address and one server."""
    script = "import sys; from pathlib import Path; import zoning_assets.local_postgres as cluster; "
    script += "home, shared = sys.argv[1:]; "
    script += "print(cluster.ensure(Path(home), {}, fsync=False, shared=Path(shared) if shared else None))"
    environ = {**os.environ, "PYTHONPATH": str(REPO), "LANG": "xx_YY.UTF-8", "LC_ALL": "xx_YY.UTF-8"}
    with removed_after(tmp_path / "home") as home:
        command = [sys.executable, "-c", script, str(home), str(SHARED or "")]
        starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) for _ in range(3)]
        answers = [start.communicate(timeout=500)[0].strip() for start in starts]
        assert len(set(answers)) == 1
        assert ask(answers[0], "SELECT datcollate FROM pg_database WHERE datname = 'zoning'") in ("C.UTF-8", "C")
        assert ask(answers[0], "SHOW fsync") == "off"


def test_fsync_is_on_unless_a_test_says_otherwise(home: Path) -> None:
    """Whoever does not ask for speed gets a database that survives a power cut."""
    local_postgres.stop(home)
    durable = local_postgres.ensure(home, {}, shared=SHARED)
    assert ask(durable, "SHOW fsync") == "on"
    local_postgres.stop(home)


def test_the_password_is_for_its_owner_only(home: Path) -> None:
    """The file with the password is readable by its owner alone, and no program is given it on a command line."""
    file = cluster_state.file_of(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    known = cluster_state.load(home)
    assert known
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(known.password.encode() in line for line in lines)


@AS_ROOT
def test_as_root_the_server_runs_as_somebody_else(home: Path) -> None:
    """Started by root, the server is not root's, its data are not under home, and home keeps its mode."""
    home.chmod(0o700)
    local_postgres.stop(home)
    up(home)
    found = processes.postmaster(data_of(home))
    assert found
    assert Path(f"/proc/{found.pid}").stat().st_uid != 0
    assert home not in data_of(home).parents
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@AS_ROOT
def test_a_plain_user_has_it_all_under_home() -> None:
    """A user without rights gets the same database, wholly inside home."""
    folder = Path(tempfile.mkdtemp(prefix="zoning-plain-"))
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    home = folder / "home"

    def work() -> None:
        shared = ladder_packages()
        found = local_postgres.ensure(home, {}, fsync=False, shared=shared)
        assert ask(found, "SELECT postgis_version() IS NOT NULL") is True
        assert data_of(home).stat().st_uid == nobody.pw_uid
        assert home in data_of(home).parents
        local_postgres.remove(home)

    ladder_packages()  # what a root's start unpacked, a plain user can read
    try:
        assert as_user(nobody.pw_uid, nobody.pw_gid, work) == ""
    finally:
        shutil.rmtree(folder)


def ladder_packages() -> Path:
    return data_folder.ROOTS_FOLDER / "packages"


def as_user(uid: int, gid: int, work: object) -> str:
    """Do the work in a child that gave up root for good; returns what went wrong.

    A fork, for this user may not be able to read the interpreter that root runs.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            work()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the parent tells
            said = f"{type(error).__name__}: {error}"
        os.write(write_end, said.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def test_data_without_their_home_are_kept_aside(home: Path) -> None:
    """When home was deleted, its successor begins with a fresh database; the old data are kept by another name."""
    if os.geteuid() != 0:
        pytest.skip("a plain user's data go with home")
    with psycopg.connect(up(home)) as connection:
        connection.execute("CREATE TABLE of_another_life ()")
    cluster_state.file_of(home).unlink()
    assert ask(up(home), "SELECT to_regclass('of_another_life')") is None
    assert list(data_of(home).parent.glob("data-*"))


def test_a_configured_database_wins(home: Path) -> None:
    """ZONING_DATABASE_URL is used as it is, and no cluster of ours is started."""
    configured = up(home).replace("postgresql://", "postgres://")
    elsewhere = home / "elsewhere"
    assert local_postgres.ensure(elsewhere, {"ZONING_DATABASE_URL": configured}) == up(home)
    assert not elsewhere.exists()


def test_a_database_without_postgis_gets_it(home: Path) -> None:
    """An empty database at ZONING_DATABASE_URL has PostGIS afterwards."""
    with psycopg.connect(up(home), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS bare")
        connection.execute("CREATE DATABASE bare")
    bare = up(home).removesuffix("zoning") + "bare"
    local_postgres.ensure(home, {"ZONING_DATABASE_URL": bare})
    assert ask(bare, "SELECT postgis_version() IS NOT NULL") is True


@pytest.mark.parametrize("password", ["s3cr3t", "pe%25r/ce%40nt", "zo%3Aning%20"])
def test_a_wrong_password_is_one_line_that_does_not_say_it(home: Path, password: str) -> None:
    """A refused log-in names server and reason in one line, and not the password, however it is spelled."""
    wrong = f"postgresql://zoning:{password.replace('/', '%2F')}@127.0.0.1:{port_of(home)}/zoning"
    with pytest.raises(DatabaseUnavailable) as caught:
        local_postgres.ensure(home, {"ZONING_DATABASE_URL": wrong})
    text = str(caught.value)
    assert "\n" not in text
    assert "127.0.0.1" in text
    for spelled in (password, password.replace("/", "%2F"), "s3cr3t", "pe%r/ce@nt", "zo:ning "):
        assert spelled not in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cr/3t@host/db",
        "postgresql://u:s3cr3t@host:port/db",
        "mysql://u:s3cr3t@host/db",
        "s3cr3t",
        "://s3cr3t",
    ],
)
def test_an_address_that_is_none_is_a_setting_to_mend(tmp_path: Path, url: str) -> None:
    """What cannot be read as an address is said to be so without quoting it; the exit status says: your setting."""
    with pytest.raises(SettingInvalid) as caught:
        local_postgres.ensure(tmp_path, {"ZONING_DATABASE_URL": url})
    assert "s3cr" not in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("said", ["s3 c/r", "s3%20c%2Fr", "s3%20c%2fr"])
def test_a_message_that_quotes_the_password_is_masked(said: str) -> None:
    """Should a server or a library repeat the password, as it is or as an address spells it, nobody reads it."""
    assert remote.masked(f"no: {said}!", "postgresql://u:s3%20c%2fr@host/db") == "no: ***!"
    assert said not in remote.masked(f"no: {said}!", f"postgresql://host/db?password={said}")


def test_a_server_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A port behind which nobody speaks costs a bounded time."""
    monkeypatch.setattr(remote, "ANSWER_MOST_S", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:s3cr3t@127.0.0.1:{silent.getsockname()[1]}/db"
        with pytest.raises(DatabaseUnavailable, match="does not answer") as caught:
            local_postgres.ensure(tmp_path, {"ZONING_DATABASE_URL": url})
    assert "s3cr3t" not in str(caught.value)


def test_without_any_server_the_error_names_the_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where every rung is missing, the one line holds a command to run and the setting to make."""
    monkeypatch.setattr(binaries, "installed", lambda: iter(()))
    monkeypatch.setattr(packages, "unpacked", lambda *_: None)
    monkeypatch.setattr(packages, "possible", lambda: False)
    monkeypatch.setattr(container, "is_available", lambda: False)
    with (
        removed_after(tmp_path / "home") as home,
        pytest.raises(DatabaseUnavailable, match=r"install.*ZONING_DATABASE_URL="),
    ):
        local_postgres.ensure(home, {})


def test_only_installations_with_postgis_count_and_the_newest_first(tmp_path: Path) -> None:
    """Of four installed PostgreSQLs, one without PostGIS and one too old, the other two are offered, newest first."""
    for major, with_postgis in ((9, True), (15, True), (16, True), (17, False)):
        folder = tmp_path / f"usr/lib/postgresql/{major}/bin"
        folder.mkdir(parents=True)
        for name in binaries.PROGRAMS:
            (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {major}.1'\n")
            (folder / name).chmod(0o755)
        if with_postgis:
            control = tmp_path / f"usr/share/postgresql/{major}/extension/postgis.control"
            control.parent.mkdir(parents=True)
            control.touch()
    found = [one.major() for one in binaries.installed(tmp_path) if tmp_path in one.folder.parents]
    assert found == [16, 15]


def test_a_container_gets_its_password_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker compose is told the password in its environment, never among its arguments."""
    fake, told = tmp_path / "docker", tmp_path / "told"
    fake.write_text(f'#!/bin/sh\necho "$@ / $ZONING_DATABASE_PASSWORD" >> "{told}"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(remote, "check", lambda url: url)
    assert container.is_available()
    started = container.start(tmp_path, None)
    arguments, _, password = told.read_text().splitlines()[-1].partition(" / ")
    assert "up --detach --wait" in arguments
    assert password == started.password
    assert started.password not in arguments
    assert container.start(tmp_path, started) == started


def test_data_are_started_by_their_own_version_only(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A newer PostgreSQL on the machine is not let loose on data of an older one."""
    known = cluster_state.load(home)
    assert known
    asked: list[int | None] = []
    monkeypatch.setattr(packages, "unpacked", lambda _folder, major=None: asked.append(major))
    monkeypatch.setattr(binaries, "installed", lambda: iter(()))
    where = data_folder.site_of(home)
    assert provider._remembered(known, (server.major_of(where) or 0) + 1) is None
    assert provider._local(where, server.major_of(where)) is None
    assert asked == [server.major_of(where)]


def test_the_commands_say_what_they_did(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`db up --json`, `db url --json`, `db psql` and `db down` are about the same database."""
    monkeypatch.setenv("ZONING_HOME", str(home))
    monkeypatch.delenv("ZONING_DATABASE_URL", raising=False)
    url = up(home)
    for word in ("up", "url"):
        done = CliRunner().invoke(db.app, [word, "--json"], catch_exceptions=False)
        assert json.loads(done.stdout) == {"url": url}
    script = "from zoning_assets.cli.db import app; app()"
    command = [sys.executable, "-c", script, "psql", "-Atc", "SELECT current_database()"]
    environ = {**os.environ, "PYTHONPATH": str(REPO)}
    assert subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout == "zoning\n"
    CliRunner().invoke(db.app, ["down"], catch_exceptions=False)
    assert isinstance(CliRunner().invoke(db.app, ["url"]).exception, DatabaseUnavailable)


@pytest.mark.slow
@pytest.mark.skipif(not packages.possible(), reason="needs apt")
def test_the_distributions_packages_are_enough(tmp_path: Path) -> None:
    """With nothing installed, signed packages unpacked into a folder give a server, and dpkg's state is as before."""
    before = packages.STATUS.read_bytes()
    with tempfile.TemporaryDirectory(prefix="zoning packages ") as folder:
        Path(folder).chmod(0o755)
        found = packages.fetch(Path(folder))
        assert found.major() >= binaries.LEAST_MAJOR
        assert packages.unpacked(Path(folder)) == found
    assert packages.STATUS.read_bytes() == before
