"""A read replica of the database: its address, and how far it is behind."""

from dataclasses import dataclass

import psycopg

from zoning_assets.errors import SchemaMismatch
from zoning_assets.local_postgres import remote
from zoning_assets.storage.postgis import connection_settings, schema_version
from zoning_assets.storage.postgis.database import HEAD, address, where
from zoning_assets.storage.postgis.database_errors import reason

SETTING = "ZONING_READ_DATABASE_URL"
_CONNECT_S = 3
_STANDBY = """
    SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text,
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
"""
_BEHIND = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint"


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
        SchemaMismatch: its schema is not that of this program.
    """
    found = remote.answering(url, SETTING)
    with connection_settings.connect(found, connect_timeout=_CONNECT_S) as connection:
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
    place = address(replica)
    try:
        with connection_settings.connect(replica, connect_timeout=_CONNECT_S) as connection:
            is_standby, replayed, age_s = connection.execute(_STANDBY).fetchone() or (False, None, None)
    except psycopg.Error as error:
        return ReplicaState(place, fault=reason(error).what)
    if not is_standby:
        return ReplicaState(place)
    behind = _behind_bytes(primary, replayed)
    return ReplicaState(place, True, behind, 0.0 if behind == 0 else age_s)


def _behind_bytes(primary: str, replayed: str) -> int | None:
    try:
        with connection_settings.connect(primary, connect_timeout=_CONNECT_S) as connection:
            row = connection.execute(_BEHIND, [replayed]).fetchone()
    except psycopg.Error:
        return None
    return max(int(row[0]), 0) if row else None
