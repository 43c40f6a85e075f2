"""Connections that are used again."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support import waiting
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


def test_sessions_of_two_addresses_do_not_close_each_other(database: str) -> None:
    """`zoning serve` asks the replica and the database in turn."""
    other_address = db.with_option(database, "-c jit=off")
    with session(database) as one, session(other_address) as other:
        pids = (pid_of(one), pid_of(other))
    with session(database) as one, session(other_address) as other:
        assert (pid_of(one), pid_of(other)) == pids


def test_a_session_that_the_server_has_ended_is_replaced(database: str) -> None:
    with session(database) as connection:
        pid = pid_of(connection)
    with db.open_connection(db.as_role(database, None)) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with session(database) as connection:
        assert pid_of(connection) != pid


def test_a_reused_session_begins_its_transaction_with_the_first_statement(database: str) -> None:
    """As a new one does: settings of the session can be changed before."""
    for _ in range(2):
        with session(database) as connection:
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            pid_of(connection)


def test_statements_are_prepared_although_a_publish_had_the_session(database: str) -> None:
    """Rows of a large release are parsed once."""
    with session(database) as connection:
        connection.prepare_threshold = None
    with session(database) as connection:
        for _ in range(7):
            connection.execute("SELECT %s::int AS again", [1])
        (prepared,) = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == 1


def test_locks_are_free_when_the_error_of_a_block_is_raised(database: str) -> None:
    """The end of a session alone frees them a moment later: 5 of 100 times they were still held."""
    lock = "SELECT pg_try_advisory_xact_lock(7)"

    def fail() -> None:
        with session(database) as connection:
            assert connection.execute(lock).fetchone() == (True,)
            raise KeyError

    with db.open_connection(database) as other:
        for _ in range(100):
            with pytest.raises(KeyError):
                fail()
            assert other.execute(lock).fetchone() == (True,)
            other.rollback()


def test_the_end_of_the_process_cancels_only_what_runs(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cancellation opens a connection, and the process has less than a second."""
    asked, cancel = [], psycopg.Connection.cancel_safe

    def noted(self: psycopg.Connection, **options: float) -> None:
        asked.append(self)
        cancel(self, **options)

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", noted)
    with session(database):
        pass
    with db.open_connection(database) as running, ThreadPoolExecutor() as thread:
        sleeping = thread.submit(running.execute, "SELECT pg_sleep(60)")
        waiting.until(
            lambda: running.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE, "the statement runs"
        )
        db._cancel_statements()
        with pytest.raises(psycopg.errors.QueryCanceled):
            sleeping.result(timeout=10)
        running.rollback()
    assert running in asked
    assert not {each for _, each, _ in sessions._idle} & set(asked)
