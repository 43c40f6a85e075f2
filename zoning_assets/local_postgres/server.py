"""One private cluster: made, started, stopped. Called under the home's lock."""

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

PORTS = range(25432, 29432)  # below the range from which the kernel takes ports for outgoing connections
START_TRIES, START_MOST_S, STOP_MOST_S = 5, 120.0, 60.0
READY_MOST_S, READY_POLL_S = 30.0, 0.2
LOG_MOST_BYTES = 10_000_000


def major_of(site: Site) -> int | None:
    """The version the data folder is bound to; None when there is no data yet."""
    try:
        return int((site.data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def start(site: Site, state: State | None, binaries: Binaries, *, fsync: bool) -> State:
    """A running cluster with our database in it.

    Raises: DatabaseUnavailable with the server's own last words.
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
    """Stop the cluster and whatever a killed one left; whether there was any."""
    found = processes.postmaster(site.data)
    if not found and not processes.alive_in(site.data):
        return False
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGINT)  # PostgreSQL's "fast": roll back what is open, write everything, end
        if processes.gone(site.data, STOP_MOST_S):
            return True
    if left := processes.end_all(site.data):
        raise DatabaseUnavailable(
            f"processes {sorted(left)} do not end", where=str(site.data), do="end them, then try again"
        )
    return True


def set_aside(site: Site) -> None:
    """Data whose password was lost with its home belong to another life: kept under another name, never reused."""
    if not site.data.exists():
        return
    stop(site)
    kept = site.data.with_name(f"data-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    site.data.rename(kept)
    sys.stderr.write(f"The database of an earlier {site.home} was kept as {kept}; a new one begins\n")


def _create(site: Site, binaries: Binaries, password: str, *, fsync: bool) -> None:
    """Initdb into a folder that gets its name only when whole."""
    draft, secret = site.root / "data.draft", site.log.parent / "password"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    own(site, draft, mode=0o700)
    write(site, secret, password)
    # macOS knows C.UTF-8 only in its latest releases.
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
    """Start the server; on another port, and again, where the port was snatched or memory was still held."""
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
        error = _last_words(site) or _last_line(done.stderr) or _last_line(done.stdout)
        time.sleep(0.2)
    raise _failed(site, f"the server does not start: {error}")


def _pg_ctl(binaries: Binaries, command: list[str], site: Site) -> subprocess.CompletedProcess[str]:
    try:
        return binaries.run(command, site, START_MOST_S + 30)
    except subprocess.TimeoutExpired as error:
        raise _failed(site, f"the server was not up within {START_MOST_S:.0f} s") from error


def clear_remains(site: Site) -> None:
    """After a kill -9: end the orphaned backends, then drop the pid file, whose number may be anybody's by now.

    Raises: DatabaseUnavailable where a process of the old server will not go.
    """
    if left := processes.end_all(site.data):
        raise DatabaseUnavailable(
            f"processes {sorted(left)} of an earlier server do not end",
            where=str(site.data),
            do="end them, then try again",
        )
    (site.data / "postmaster.pid").unlink(missing_ok=True)


def free_ports(name: str, remembered: int = 0) -> Iterator[int]:
    """A few free ports: the remembered one, then those of this name's own sequence, so that two seldom meet."""
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
    """Our database, and PostGIS in it; nothing to do from the second start on."""
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
    """A connection to a server that may still be recovering, where an earlier start was broken off."""
    for _ in range(int(READY_MOST_S / READY_POLL_S)):
        with contextlib.suppress(psycopg.OperationalError):
            return remote.open_database(url)
        time.sleep(READY_POLL_S)
    return remote.open_database(url)


def _fresh_log(site: Site) -> None:
    """The log exists, is the server's, and does not grow without bound."""
    if not site.log.exists() or site.log.stat().st_size > LOG_MOST_BYTES:
        write(site, site.log, "")


def _last_words(site: Site) -> str:
    """The reason in the server's log; root does not follow a link that the server's user may have planted."""
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
    """Stop the cluster and delete its data. There is no way back."""
    stop(site)
    _delete(site.root)


def _delete(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
