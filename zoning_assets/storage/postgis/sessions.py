"""Transactions on connections that are reused; translation of database errors."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from zoning_assets.storage.postgis.database import Connection, open_connection, statement_error

#: Open connections without a transaction. Opening a connection takes 20 ms or more.
_idle: list[tuple[str, Connection]] = []


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
    except BaseException:
        connection.close()
        raise
    _idle.append((url, connection))


def _idle_or_new(url: str) -> Connection:
    """An idle connection that still answers, or a new one."""
    while (idle := _pop_idle()) is not None:
        address_, connection = idle
        with suppress(psycopg.Error):
            if address_ == url:
                connection.execute("")
                return connection
        connection.close()
    connection = open_connection(url)
    connection.prepare_threshold = None  # the temporary table `stage` is created anew in each transaction
    return connection


def _pop_idle() -> tuple[str, Connection] | None:
    """An idle connection, or None. Ticks of several sensors run in threads, so the list may be empty after a look."""
    try:
        return _idle.pop()
    except IndexError:
        return None


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
