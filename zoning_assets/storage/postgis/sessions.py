"""Transactions on connections that are reused; translation of database errors."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from zoning_assets.storage.postgis.database import Connection, open_connection, statement_error

#: Seconds after which an idle connection is closed and not used again. If its server was lost meanwhile, the next
#: statement would wait for a minute.
_IDLE_S = 30.0
#: psycopg's default: a statement is prepared when it was executed so often in a session.
_PREPARED_AFTER = 5
#: Open connections without a transaction: address, connection, and since when it is idle; the oldest first. Opening one
#: takes 20 ms or more.
_idle: deque[tuple[str, Connection, float]] = deque()


def close_idle() -> None:
    """Close all idle connections; call it after the last publish."""
    while (idle := _pop_idle()) is not None:
        idle[1].close()


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """A transaction on a reused connection; it is committed when the block ends without an error. After an error the
    connection is closed.

    Raises:
        DatabaseUnavailable: the database does not answer.
        StoreError: a statement in the block failed.
    """
    connection = _idle_or_new(url)
    try:
        with translated_errors(url):
            yield connection
            connection.commit()
    except BaseException as error:
        if isinstance(error, Exception):  # the server releases the locks before the error is raised
            with suppress(psycopg.Error):
                connection.rollback()
        connection.close()
        raise
    _idle.append((url, connection, time.monotonic()))
    _close_old()


def _idle_or_new(url: str) -> Connection:
    """An idle connection that still answers, or a new one."""
    _close_old()
    while (idle := _pop_idle()) is not None:
        address_, connection, _ = idle
        with suppress(psycopg.Error):
            if address_ == url:
                connection.execute("")
                connection.prepare_threshold = _PREPARED_AFTER
                return connection
        connection.close()
    return open_connection(url)


def _pop_idle() -> tuple[str, Connection, float] | None:
    """An idle connection, or None. Ticks of several sensors run in threads, so the list may be empty after a look."""
    try:
        return _idle.pop()
    except IndexError:
        return None


def _close_old() -> None:
    """Close the connections that were idle for too long."""
    with suppress(IndexError):  # another thread has taken the last one
        while time.monotonic() - _idle[0][2] > _IDLE_S:
            _idle.popleft()[1].close()


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Translate psycopg errors of the block.

    Raises:
        StoreError: a statement failed.
    """
    try:
        yield
    except psycopg.Error as error:
        raise statement_error(error, url) from error
