"""Transactions on connections that are reused; translation of database errors."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from zoning_assets.storage.postgis.connection_settings import has_ended
from zoning_assets.storage.postgis.database import Connection, open_connection, statement_error

#: Seconds after which an idle connection is not used again; the next use of any closes it. If its server was lost
#: meanwhile, the next statement would wait for a minute.
_IDLE_S = 30.0
#: psycopg's default: a statement is prepared when it was executed so often in a session.
_PREPARED_AFTER = 5
#: Open connections without a transaction: address, connection, and since when it is idle; the oldest first. Opening one
#: takes 20 ms or more.
_idle: list[tuple[str, Connection, float]] = []
#: Ticks of several sensors run in threads.
_idle_lock = threading.Lock()


def close_idle() -> None:
    """Close all idle connections; call it after the last publish."""
    _close_old(0.0)


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
    with _idle_lock:
        _idle.append((url, connection, time.monotonic()))
    _close_old(_IDLE_S)


def _idle_or_new(url: str) -> Connection:
    """An idle connection whose server has not ended it, or a new one."""
    _close_old(_IDLE_S)
    while (connection := _pop_idle(url)) is not None:
        if not connection.closed and not has_ended(connection.fileno()):
            connection.prepare_threshold = _PREPARED_AFTER
            return connection
        connection.close()
    return open_connection(url)


def _pop_idle(url: str) -> Connection | None:
    """The idle connection of this address that was used last, or None."""
    with _idle_lock:
        found = next((each for each in reversed(_idle) if each[0] == url), None)
        if found is None:
            return None
        _idle.remove(found)
        return found[1]


def _close_old(seconds: float) -> None:
    """Close the connections that were idle for so long."""
    with _idle_lock:
        while _idle and time.monotonic() - _idle[0][2] >= seconds:
            _idle.pop(0)[1].close()


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
