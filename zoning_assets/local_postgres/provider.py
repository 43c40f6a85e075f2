"""The ways to a database, in order: configured, running, installed, a container, the distribution's packages."""

import os
from collections.abc import Mapping
from pathlib import Path

import psycopg

from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.local_postgres import binaries, container, packages, processes, remote, server
from zoning_assets.local_postgres.binaries import Binaries
from zoning_assets.local_postgres.cluster_state import State, file_of, load
from zoning_assets.local_postgres.data_folder import Site, locked, not_writable, prepare, site_of
from zoning_assets.local_postgres.remote import SETTING


def ensure(home: Path, environ: Mapping[str, str], *, fsync: bool = True, shared: Path | None = None) -> str:
    """Return the URL of a database with PostGIS; start one if necessary.

    Args:
        home: ZONING_HOME.
        environ: the environment; ZONING_DATABASE_URL names a configured database.
        fsync: False is for tests only: a crash of the machine may lose the data.
        shared: a folder of unpacked packages that several homes use.

    Raises:
        SettingInvalid: ZONING_DATABASE_URL is invalid.
        DatabaseUnavailable: the configured database does not answer, or no server can be started.
    """
    if configured := environ.get(SETTING):
        return remote.check(configured)
    site = site_of(home, shared)
    if running := _running(site):
        return running
    prepare(site)
    try:
        with locked(site.home / "database.lock"):
            return _running(site) or _start(site, fsync=fsync).url
    except OSError as error:
        raise not_writable(site, error) from error


def url(home: Path, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the database in use; None: the private one does not run. A configured one must answer.

    Raises:
        SettingInvalid: ZONING_DATABASE_URL is invalid.
        DatabaseUnavailable: the configured database does not answer.
    """
    if configured := environ.get(SETTING):
        return remote.check(configured)
    return _running(site_of(home))


def stop(home: Path) -> bool:
    """Stop the private cluster of this home; return whether it ran. A configured database is never stopped.

    Raises:
        DatabaseUnavailable: it does not stop.
    """
    site, state = site_of(home), load(home)
    if state is None and not site.data.exists():
        return False
    site.home.mkdir(parents=True, exist_ok=True)
    with locked(site.home / "database.lock"):
        if state and state.kind == "engine":
            running = _running(site) is not None
            container.stop(home)
            return running
        return server.stop(site)


def remove(home: Path) -> None:
    """Stop the private cluster of this home and delete its data permanently.

    Raises:
        DatabaseUnavailable: it does not stop.
    """
    stop(home)
    server.remove(site_of(home))
    file_of(home).unlink(missing_ok=True)


def psql(home: Path) -> tuple[Path, Mapping[str, str]]:
    """Return the path of psql, and the environment it needs.

    Raises:
        DatabaseUnavailable: psql is not installed.
    """
    state, site = load(home), site_of(home)
    known = (
        Binaries(Path(state.binaries), state.environ) if state and state.binaries else packages.unpacked(site.packages)
    )
    found = binaries.psql(known)
    if found is None:
        raise DatabaseUnavailable(
            "no psql is installed",
            where="this machine",
            do="install it (Debian, Ubuntu: apt-get install postgresql-client)",
        )
    return found


def _running(site: Site) -> str | None:
    """The URL of the private cluster; None: it does not run, does not answer, or has no PostGIS yet."""
    state = load(site.home)
    if state is None:
        return None
    if state.kind == "server":
        found = processes.postmaster(site.data)
        if found is None:
            return None
        state = state.at_port(found.port)
    try:
        with remote.open_database(state.url) as connection:
            return state.url if remote.has_postgis(connection) else None
    except psycopg.OperationalError:
        return None


def _start(site: Site, *, fsync: bool) -> State:
    """Start a cluster in the first way that works on this machine."""
    state, major = load(site.home), server.major_of(site)
    if state is None:
        major = None  # data without their password are set aside, whatever their version
    kind = state.kind if state else None
    if kind != "engine" and (chosen := _remembered(state, major) or _local(site, major)):
        return server.start(site, state, chosen, fsync=fsync)
    if kind != "server" and container.is_available():
        return container.start(site.home, state)
    if kind != "engine" and packages.possible():
        return server.start(site, state, packages.fetch(site.packages, major), fsync=fsync)
    raise _no_server_error(major)


def _remembered(state: State | None, major: int | None) -> Binaries | None:
    """The programs that started this cluster before, if they still exist and have the version of the data."""
    if state is None or not state.binaries:
        return None
    before = Binaries(Path(state.binaries), state.environ)
    return before if before.usable() and major in (None, before.major()) else None


def _local(site: Site, major: int | None) -> Binaries | None:
    """Installed programs, or programs that an earlier start unpacked."""
    for found in binaries.installed():
        if major in (None, found.major()) and _reachable(site, found):
            return found
    return packages.unpacked(site.packages, major)


def _reachable(site: Site, found: Binaries) -> bool:
    """Whether the server's user may run these programs; an installation of root may be unreadable for others."""
    try:
        return found.run(["postgres", "--version"], site).returncode == 0
    except OSError:
        return False


def _no_server_error(major: int | None) -> DatabaseUnavailable:
    version = f" (PostgreSQL {major}, which created the existing data)" if major else ""
    if os.uname().sysname == "Darwin":
        do = "run `brew install postgis`, or start Postgres.app's or Docker's engine"
    else:
        do = "install PostGIS (Debian, Ubuntu: `apt-get install postgresql-postgis`; Fedora: `dnf install postgis`)"
    return DatabaseUnavailable(
        f"there is no PostgreSQL with PostGIS{version}, and it cannot be installed automatically",
        where="this machine",
        do=f"{do}; or set {SETTING}=postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    )
