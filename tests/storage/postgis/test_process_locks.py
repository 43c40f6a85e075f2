"""The locks that show which processes are alive."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.waiting import until
from zoning_assets.storage.postgis import kept_lock, process_locks
from zoning_assets.storage.postgis.database import Connection, open_connection
from zoning_assets.storage.postgis.process_locks import holding, living

_CHILD = """
import sys, time
from zoning_assets.storage.postgis.process_locks import holding
with holding(sys.argv[1], "child"):
    print("locked", flush=True)
    time.sleep(60)
"""
_END = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"


def test_a_name_is_alive_while_its_block_runs(database: str) -> None:
    """Another session cannot have it, nested blocks share it, and a name nobody holds is not alive."""
    with holding(database, "a run") as ours, holding(database, "a run") as inner, holding(database, "another"):
        assert (ours, inner) == (True, True)
        assert living(database, ["a run", "another", "nobody"]) == {"a run", "another"}
        assert living(database, []) == set()
        process_locks._held.discard("a run")  # as another process
        with holding(database, "a run") as theirs:
            assert not theirs
        process_locks._held.add("a run")
    assert living(database, ["a run", "another"]) == set()


def test_an_error_of_the_block_is_raised_if_another_process_holds_the_lock(database: str) -> None:
    with holding(database, "a run"):
        process_locks._held.discard("a run")  # as another process
        with pytest.raises(psycopg.DataError), holding(database, "a run"):
            raise psycopg.DataError


def test_a_lock_whose_statement_fails_is_taken_later(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session still answers, so that only a new attempt shows that the process is alive."""
    monkeypatch.setattr(kept_lock, "_RETRY_S", 0.05)
    take, errors = kept_lock.take, [psycopg.errors.OutOfMemory()]

    def fails_once(connection: Connection, key: str) -> bool:
        if errors:
            raise errors.pop()
        return take(connection, key)

    monkeypatch.setattr(kept_lock, "take", fails_once)
    with holding(database, "a run") as ours:
        assert ours
        until(lambda: living(database, ["a run"]), "the lock", most_s=3)


def test_a_server_that_vanishes_is_given_up_in_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the process is considered dead."""
    opened = list[Connection]()

    def recorded(url: str, **options: int) -> Connection:
        opened.append(open_connection(url, **options))
        return opened[-1]

    monkeypatch.setattr(kept_lock, "open_connection", recorded)
    with holding(database, "a run"):
        most_ms = int(opened[0].info.get_parameters()["tcp_user_timeout"])
        assert 0 < most_ms < process_locks.LOCKED_AGAIN_WITHIN_S * 1000


def test_a_killed_process_is_not_alive(database: str) -> None:
    """The server ends its session at once."""
    command = [sys.executable, "-c", _CHILD, database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        assert living(database, ["child"]) == {"child"}
        os.killpg(child.pid, signal.SIGKILL)
    until(lambda: not living(database, ["child"]), "the end of its session", most_s=5)


def test_a_living_process_locks_again(database: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the server ended its session, as a restart of the database does; also if it could not lock at first."""
    monkeypatch.setattr(kept_lock, "_RETRY_S", 0.05)
    with holding(database, "a run"):
        with psycopg.connect(server, autocommit=True) as connection:
            assert connection.execute(_END).rowcount == 1
        until(lambda: living(database, ["a run"]), "the new lock", most_s=5)
    with monkeypatch.context() as away:
        away.setattr(kept_lock, "open_connection", lambda _, **__: psycopg.connect("postgresql://127.0.0.1:1/none"))
        block = holding(database, "a late run")
        assert block.__enter__()
    until(lambda: living(database, ["a late run"]), "the lock", most_s=5)
    block.__exit__(None, None, None)
    assert living(database, ["a late run"]) == set()


def test_the_server_ends_the_session_of_a_lost_machine(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeats do not arrive. Then the machine is back, and the process locks again."""
    monkeypatch.setattr(kept_lock, "LOST_AFTER_S", 1)
    monkeypatch.setattr(kept_lock, "_HEARTBEAT_S", 1.5)
    monkeypatch.setattr(kept_lock, "_RETRY_S", 0.5)
    with holding(database, "a run"):
        until(lambda: not living(database, ["a run"]), "the end of its session", most_s=5, every_s=0.02)
        until(lambda: living(database, ["a run"]), "the new lock", most_s=5)


def test_heartbeats_keep_the_session(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept_lock, "LOST_AFTER_S", 1)
    monkeypatch.setattr(kept_lock, "_HEARTBEAT_S", 0.2)
    began = "SELECT backend_start FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'"
    with holding(database, "a run"), psycopg.connect(database, autocommit=True) as connection:
        first = connection.execute(began).fetchall()
        connection.execute("SELECT pg_sleep(1.5)")
        assert len(first) == 1
        assert connection.execute(began).fetchall() == first
