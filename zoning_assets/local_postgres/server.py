"""Create, start and stop one private cluster. The caller holds the lock of the home."""

import contextlib
import itertools
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.local_postgres import processes, remote
from zoning_assets.local_postgres.binaries import Binaries
from zoning_assets.local_postgres.cluster_settings import ACCESS, conf
from zoning_assets.local_postgres.cluster_state import DATABASE, HOST, USER, State, save
from zoning_assets.local_postgres.data_folder import Site, own, write
from zoning_assets.storage.postgis.database_errors import reason

PORTS = range(25432, 29432)  # below the ports that the kernel uses for outgoing connections
START_TRIES, START_MOST_S, STOP_MOST_S = 5, 120.0, 60.0
READY_MOST_S, READY_POLL_S = 30.0, 0.2
LOG_MOST_BYTES = 10_000_000


def major_of(site: Site) -> int | None:
    """The PostgreSQL version of the data folder; None: there are no data yet."""
    try:
        return int((site.data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def start(site: Site, state: State | None, binaries: Binaries, *, fsync: bool) -> State:
    """Start the cluster and create our database in it if it is missing.

    Args:
        site: the folders of the cluster.
        state: the stored state; None: a new cluster is created.
        binaries: the PostgreSQL programs.
        fsync: False is for tests only.

    Raises:
        DatabaseUnavailable: the server does not start; the message contains its last log line.
    """
    if state is None:
        set_aside(site)
        state = State("server", secrets.token_urlsafe(24), 0)
    if major_of(site) is None:
        _create(site, binaries, state.password, fsync=fsync)
    state = State("server", state.password, state.port, str(binaries.folder), dict(binaries.environ))
    if found := processes.postmaster(site.data):
        state = state.at_port(found.port)
    else:
        state = _bring_up(site, state, binaries, fsync=fsync)
    save(site.home, state)
    _fill(state)
    return state


def stop(site: Site) -> bool:
    """Stop the cluster and all processes that a killed server left behind; return whether there were any.

    Raises:
        DatabaseUnavailable: a process does not end.
    """
    found = processes.postmaster(site.data)
    if not found and not processes.alive_in(site.data):
        return False
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGINT)  # "fast shutdown": roll back open transactions, write everything, end
        if processes.gone(site.data, STOP_MOST_S):
            return True
    if left := processes.end_all(site.data):
        raise DatabaseUnavailable(
            f"processes {sorted(left)} do not end", where=str(site.data), do="stop them, then try again"
        )
    return True


def set_aside(site: Site) -> None:
    """Rename data whose password was lost together with its home; they are kept but never used again.

    Raises:
        DatabaseUnavailable: a server that uses the data does not stop.
    """
    if not site.data.exists():
        return
    stop(site)
    kept = site.data.with_name(f"data-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    site.data.rename(kept)
    sys.stderr.write(f"The database of an earlier {site.home} was kept as {kept}; a new one is created\n")


def _create(site: Site, binaries: Binaries, password: str, *, fsync: bool) -> None:
    """Run initdb in a draft folder, which is renamed when it is complete."""
    draft, secret = site.root / "data.draft", site.log.parent / "password"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    own(site, draft, mode=0o700)
    write(site, secret, password)
    # Only the latest releases of macOS have C.UTF-8.
    locale = "C.UTF-8" if sys.platform.startswith("linux") else "C"
    command = [
        "initdb",
        f"--pgdata={draft}",
        f"--username={USER}",
        f"--pwfile={secret}",
        f"--locale={locale}",
        "--encoding=UTF8",
    ]
    command += ["--auth=scram-sha-256", *([] if fsync else ["--no-sync"])]
    try:
        done = binaries.run(command, site, START_MOST_S)
    except subprocess.TimeoutExpired as error:
        raise _failed(site, f"initdb did not end within {START_MOST_S:.0f} s") from error
    finally:
        secret.unlink()
    if done.returncode != 0:
        raise _failed(site, f"initdb failed: {_last_line(done.stderr)}")
    draft.rename(site.data)


def _bring_up(site: Site, state: State, binaries: Binaries, *, fsync: bool) -> State:
    """Start the server. It is retried on another port if the port was taken, or if memory was still in use."""
    clear_remains(site)
    error = "no port is free"
    for port in free_ports(str(site.root), state.port):
        write(site, site.data / "postgresql.conf", conf(port, fsync=fsync))
        write(site, site.data / "pg_hba.conf", ACCESS)
        _fresh_log(site)
        command = [
            "pg_ctl",
            "start",
            "--wait",
            f"--timeout={START_MOST_S:.0f}",
            f"--pgdata={site.data}",
            f"--log={site.log}",
        ]
        done = _pg_ctl(binaries, command, site)
        if done.returncode == 0:
            return state.at_port(port)
        error = _last_log_error(site) or _last_line(done.stderr) or _last_line(done.stdout)
        time.sleep(0.2)
    raise _failed(site, f"the server does not start: {error}")


def _pg_ctl(binaries: Binaries, command: list[str], site: Site) -> subprocess.CompletedProcess[str]:
    try:
        return binaries.run(command, site, START_MOST_S + 30)
    except subprocess.TimeoutExpired as error:
        raise _failed(site, f"the server was not up within {START_MOST_S:.0f} s") from error


def clear_remains(site: Site) -> None:
    """After a kill -9: end the orphaned backends, then delete the pid file, whose number may belong to another process.

    Raises:
        DatabaseUnavailable: a process of the old server does not end.
    """
    if left := processes.end_all(site.data):
        raise DatabaseUnavailable(
            f"processes {sorted(left)} of an earlier server do not end",
            where=str(site.data),
            do="stop them, then try again",
        )
    (site.data / "postmaster.pid").unlink(missing_ok=True)


def free_ports(name: str, remembered: int = 0) -> Iterator[int]:
    """A few free ports: the stored one, then a sequence that depends on `name`, so that clusters rarely collide."""
    offered = [remembered] if remembered else []
    offered += random.Random(name).sample(PORTS, 200)  # noqa: S311 -- spreads clusters over ports; nothing secret
    yield from itertools.islice(filter(_is_free, offered), START_TRIES)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _fill(state: State) -> None:
    """Create our database with PostGIS if it is missing."""
    try:
        with _connected(state.url.removesuffix(DATABASE) + "postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        do = "run `zoning db down`, then `zoning db up`"
        what = f"the server started, but {reason(error).what}"
        raise DatabaseUnavailable(what, where=f"{HOST}:{state.port}", do=do) from error
    remote.check(state.url)


def _connected(url: str) -> psycopg.Connection:
    """Connect to a server that may still be recovering from an interrupted start."""
    for _ in range(int(READY_MOST_S / READY_POLL_S)):
        with contextlib.suppress(psycopg.OperationalError):
            return remote.open_database(url)
        time.sleep(READY_POLL_S)
    return remote.open_database(url)


def _fresh_log(site: Site) -> None:
    """Make sure that the log exists, belongs to the server's user, and does not grow without limit."""
    if not site.log.exists() or site.log.stat().st_size > LOG_MOST_BYTES:
        write(site, site.log, "")


def _last_log_error(site: Site) -> str:
    """The last fatal error in the server's log. Root does not follow a link, which the server's user may have made."""
    with (
        contextlib.suppress(OSError),
        os.fdopen(os.open(site.log, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="replace") as log,
    ):
        lines = log.read()[-20_000:].splitlines()
        return next((line for line in reversed(lines) if "FATAL:" in line or "PANIC:" in line), "")
    return ""


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")


def _failed(site: Site, what: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(what, where=str(site.data), do=f"see {site.log}, or set ZONING_DATABASE_URL")


def remove(site: Site) -> None:
    """Stop the cluster and delete its data permanently.

    Raises:
        DatabaseUnavailable: it does not stop.
    """
    stop(site)
    _delete(site.root)


def _delete(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
