"""The audit: an append-only chain of rows."""

from typing import Any

import psycopg
import pytest

from tests.conftest import rows
from zoning_assets.storage.postgis.database import as_role
from zoning_assets.storage.postgis.records import audit_records, hold_records


def test_the_audit_only_grows_and_shows_where_it_was_changed(database: str) -> None:
    """Rows cannot be deleted; a row that was changed without the triggers no longer has the hash of its content."""
    one: dict[str, Any] = {"jurisdiction": "us-xx-one", "host": None}
    for _ in range(3):
        hold_records.pause(database, **one, reason="the portal lies", actor="ann", until=None)
        hold_records.resume(database, **one, reason="mended", actor="bob")
    stored = rows(database, "SELECT actor, action, reason FROM zoning.audit ORDER BY id")
    assert stored == [("ann", "pause", "the portal lies"), ("bob", "resume", "mended")] * 3
    assert audit_records.broken_audit_rows(database) == []
    owner = as_role(database, None)
    with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
        rows(owner, "DELETE FROM zoning.audit RETURNING 1")
    around = "ALTER TABLE zoning.audit DISABLE TRIGGER ALL; UPDATE zoning.audit SET actor = 'eve' WHERE id = 3"
    with psycopg.connect(owner) as connection:
        connection.execute(around)
    assert audit_records.broken_audit_rows(database) == [3]
