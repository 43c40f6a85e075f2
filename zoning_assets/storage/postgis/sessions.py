"""A transaction on a connection that is kept for the next one; the database's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from zoning_assets.storage.postgis.database import Connection, failed, open_

#: Connections to one database that are between two transactions: opening one costs both sides 20 ms and more.
_idle: list[tuple[str, Connection]] = []


def close_idle() -> None:
    """Close the connections that wait for the next publish; call it when there will be none."""
    while _idle:
        _idle.pop()[1].close()


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """A transaction on a connection that is kept for the next one, unless it fails."""
    connection = _awake(url)
    try:
        yield connection
        connection.commit()
    except BaseException:
        connection.close()
        raise
    _idle.append((url, connection))


def _awake(url: str) -> Connection:
    """An idle connection that still answers, or a new one."""
    while _idle:
        address_, connection = _idle.pop()
        with suppress(psycopg.Error):
            if address_ == url:
                connection.execute("")
                return connection
        connection.close()
    connection = open_(url)
    connection.prepare_threshold = None  # `stage` is another table each time
    return connection


@contextmanager
def said(url: str) -> Iterator[None]:
    """The database's errors as ours."""
    try:
        yield
    except psycopg.Error as error:
        raise failed(error, url) from error
