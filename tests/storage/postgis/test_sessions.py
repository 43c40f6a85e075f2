"""Connections that are used again."""

import psycopg
import pytest

from tests.conftest import rows
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis import sessions
from zoning_assets.storage.postgis.sessions import session

_PID = "SELECT pg_backend_pid()"


def pid_of(connection: psycopg.Connection) -> int:
    return connection.execute(_PID).fetchone()[0]


def test_a_session_is_used_again(database: str) -> None:
    with session(database) as connection:
        first = pid_of(connection)
    with session(database) as connection:
        assert pid_of(connection) == first


def test_a_session_that_was_idle_for_long_is_closed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may be lost, and the next statement would wait for a minute. Also those that nobody takes any more."""
    with session(database) as one, session(database) as other:
        pids = {pid_of(one), pid_of(other)}
    monkeypatch.setattr(sessions, "_IDLE_S", -1.0)
    with session(database) as connection:
        assert pid_of(connection) not in pids
        assert not sessions._idle


def test_statements_are_prepared_although_a_publish_had_the_session(database: str) -> None:
    """Rows of a large release are parsed once."""
    with session(database) as connection:
        connection.prepare_threshold = None
    with session(database) as connection:
        for _ in range(7):
            connection.execute("SELECT %s::int AS again", [1])
        (prepared,) = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == 1


def test_the_end_of_the_process_cancels_only_statements_that_run(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cancellation opens a connection, and the process has less than a second."""
    asked = []
    monkeypatch.setattr(psycopg.Connection, "cancel_safe", lambda self, **_: asked.append(self))
    with session(database):
        pass
    with db.connect(database) as running:
        running.execute(_PID)
        db._cancel_statements()
        idle = [each for _, each, _ in sessions._idle]
        assert running in asked
        assert not set(idle) & set(asked)
    assert rows(database, "SELECT 1") == [(1,)]
