"""A read replica of the database: its address, and how far it is behind."""

import time
from dataclasses import dataclass
from typing import Any

import psycopg

from zoning_assets.errors import SchemaMismatch
from zoning_assets.local_postgres import remote
from zoning_assets.storage.postgis import connection_settings, schema_version
from zoning_assets.storage.postgis.database import HEAD, address, connect, where
from zoning_assets.storage.postgis.database_errors import reason

SETTING = "ZONING_READ_DATABASE_URL"
_CONNECT_S = 3
_AGAIN_S = 0.3
#: NULL where the database is no standby, or the primary did not answer.
_STANDBY = """
    SELECT pg_is_in_recovery(), pg_wal_lsn_diff(%(written)s::text::pg_lsn, pg_last_wal_replay_lsn())::bigint,
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
"""


@dataclass(frozen=True)
class ReplicaState:
    """How far a replica is behind its primary.

    Attributes:
        address: host, port and name.
        is_standby: whether it is a streaming replica; the next two are known of these only.
        behind_bytes: of the primary's log that it has not replayed; None: the primary does not answer.
        behind_s: the age of the last transaction that it replayed, 0 if it has replayed everything; seconds.
        fault: why it cannot be asked; None: it answers.
    """

    address: str
    is_standby: bool = False
    behind_bytes: int | None = None
    behind_s: float | None = None
    fault: str | None = None


def answering(url: str) -> str:
    """The address of a replica, after it has answered.

    Raises:
        SettingInvalid: it is not the URL of a PostgreSQL database.
        DatabaseUnavailable: it does not answer.
        StoreError: this user may not read the schema.
        SchemaMismatch: its schema is not that of this program.
    """
    found = remote.answering(url, SETTING)
    with connect(found) as connection:
        version = schema_version.revision(connection)
        if not schema_version.fits(connection, HEAD):
            raise SchemaMismatch(
                f"the replica has the schema {version or 'of nothing'}, this program needs {HEAD}",
                where=where(found),
                do=f"wait until it has replayed the migration of the primary, or check {SETTING}",
            )
    return found


def read_state(replica: str, primary: str) -> ReplicaState:
    """The state of a replica; both addresses may be of readers. It never fails: a fault is part of the result."""
    place, written = address(replica), _written(primary)  # first the primary: what it writes meanwhile does not count
    try:
        with connection_settings.connect(replica, autocommit=True, connect_timeout=_CONNECT_S) as connection:
            is_standby, behind, age_s = _behind(connection, written)
            if behind:  # the primary may have written it a moment ago
                time.sleep(_AGAIN_S)
                is_standby, behind, age_s = _behind(connection, written)
    except psycopg.Error as error:
        return ReplicaState(place, fault=reason(error).what)
    return ReplicaState(place, is_standby, behind, 0.0 if behind == 0 else age_s)


def _written(primary: str) -> str | None:
    try:
        with connection_settings.connect(primary, connect_timeout=_CONNECT_S) as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    except psycopg.Error:
        return None
    return str(row[0]) if row else None


def _behind(connection: psycopg.Connection[Any], written: str | None) -> tuple[bool, int | None, float | None]:
    row = connection.execute(_STANDBY, {"written": written}).fetchone()
    is_standby, behind, age_s = row or (False, None, None)
    return is_standby, None if behind is None else max(behind, 0), age_s
