"""Access for programs that only read: sessions have the reader role where the server permits it, and write nothing."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg

from zoning_assets import local_postgres
from zoning_assets.storage.postgis.database import READER, as_role, migrate, with_option

_READ_ONLY = "-c default_transaction_read_only=on"
_CONNECT_S = 10


def bring_up_reader(home: Path, environ: Mapping[str, str]) -> str:
    """Return the URL of a database that answers, for sessions that only read.

    In a private cluster the URL has a login that is a reader and nothing else. Elsewhere the sessions take the reader
    role if the login is a member of it; if not, they keep the login's rights, and their transactions are read-only.

    Raises:
        SettingInvalid, DatabaseUnavailable, SchemaMismatch: see database.bring_up.
    """
    url = migrate(local_postgres.ensure(home, environ))
    found = local_postgres.login(home, url, READER)
    if found is None:
        as_reader = as_role(as_role(url, None), READER)
        found = as_reader if _opens(as_reader) else url
    return with_option(found, _READ_ONLY)


def _opens(url: str) -> bool:
    with suppress(psycopg.Error), psycopg.connect(url, connect_timeout=_CONNECT_S, application_name="zoning_assets"):
        return True
    return False
