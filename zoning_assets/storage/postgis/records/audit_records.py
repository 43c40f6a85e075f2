"""The audit of what people did: an append-only chain of rows, which `zoning verify` checks.

Each row has the hash of itself and of the row before, so that a changed or deleted row is found (`broken_audit_rows`).
operations/integrity_check.py calls the check. Actions are appended in the transaction of what they record.
"""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named


def append(connection: Connection, actor: str, action: str, subject: Mapping[str, Any], reason: str) -> None:
    """Append an action to the audit. The caller holds the lock of holds.sql, so that the chain has one end."""
    values = {"actor": actor, "action": action, "subject": Jsonb(dict(subject)), "reason": reason}
    connection.execute(named("audit")["append"], values)


def record_action(url: str, actor: str, action: str, subject: Mapping[str, Any], reason: str) -> None:
    """Append an action that was done elsewhere to the audit."""
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        append(connection, actor, action, subject, reason)


def broken_audit_rows(url: str) -> list[int]:
    """The numbers of audit rows that were changed, or whose row before is missing."""
    with session(url) as connection:
        return [number for (number,) in connection.execute(named("audit")["broken_audit_rows"])]
