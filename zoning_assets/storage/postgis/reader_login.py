"""The address with which the API reads: the reader role, read-only transactions, and a limit of time."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from zoning_assets import local_postgres
from zoning_assets.storage.postgis import connection_settings
from zoning_assets.storage.postgis.database import READER, as_role, with_option

#: Many short queries: starting parallel workers or compiling a query costs more than it saves.
_SETTINGS = {"default_transaction_read_only": "on", "max_parallel_workers_per_gather": "0", "jit": "off"}


def reader_url(home: Path, url: str, timeout_s: int) -> str:
    """The URL of the same database whose sessions can only read.

    Args:
        home: ZONING_HOME; its private cluster has a login that is nothing but a reader.
        url: of the database, as database.bring_up returns it.
        timeout_s: the longest time of a statement, in seconds.

    Returns:
        A URL with the login of the private cluster; else with the role of the reader; else, if this user is not a
        member of it, with the role of the URL. Transactions are read-only in each case.
    """
    found = _own_login(home, url) or _with_role(url) or url
    for setting, value in {**_SETTINGS, "statement_timeout": f"{timeout_s}s"}.items():
        found = with_option(found, f"-c {setting}={value}")
    return found


def _own_login(home: Path, url: str) -> str | None:
    own = local_postgres.url(home, {})
    if own is None or _place(own) != _place(url):
        return None
    return local_postgres.login(home, own, READER)


def _place(url: str) -> tuple[str | None, int | None, str]:
    parts = urlsplit(url)
    return parts.hostname, parts.port, parts.path


def _with_role(url: str) -> str | None:
    found = as_role(url, READER)
    with suppress(psycopg.Error), connection_settings.connect(found, connect_timeout=10) as connection:
        connection.execute("SELECT version_num FROM zoning.schema_version")
        return found
    return None
