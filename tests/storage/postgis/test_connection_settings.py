"""What an address says of its sessions is set by statements; everything else of it stays as it is."""

import psycopg
import pytest

from zoning_assets.storage.postgis import connection_settings, pooler_check
from zoning_assets.storage.postgis import database as db


@pytest.mark.parametrize(
    ("options", "kept", "statements"),
    [
        ("", "", ""),
        ("-c role=zoning_writer", "", "SET \"role\" = 'zoning_writer'"),
        ("-c geqo=off -c jit=off", "-c geqo=off", "SET \"jit\" = 'off'"),
        ("-c search_path=a,b -c role=it''s", "", "SET \"role\" = 'it''''s'; SET \"search_path\" = 'a', 'b'"),
        ("-c statement_timeout=10s", "", "SET \"statement_timeout\" = '10s'"),
    ],
)
def test_our_settings_are_taken_out(options: str, kept: str, statements: str) -> None:
    url = db.with_option("postgresql://u:p%40@h:1/d?sslmode=require", options)
    bare, found = connection_settings.split(url)
    given = psycopg.conninfo.conninfo_to_dict(bare)
    assert (given.pop("options", ""), found) == (kept, statements)
    assert given == {"user": "u", "password": "p@", "host": "h", "port": "1", "dbname": "d", "sslmode": "require"}


def test_a_session_has_them_after_a_rollback(database: str) -> None:
    """They are no part of the first transaction."""
    with connection_settings.connect(db.with_option(database, "-c statement_timeout=7s")) as connection:
        connection.rollback()
        shown = connection.execute("SELECT current_user::text, current_setting('statement_timeout')").fetchone()
        assert shown == ("zoning_writer", "7s")
        assert connection.execute("SHOW tcp_keepalives_idle").fetchone() == ("30",), "the server detects a lost machine"
        assert not connection.autocommit
        assert not pooler_check.is_pooled(connection)


def test_one_lost_connection_is_no_proof_of_sessions(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler in transaction mode loses a connection, too, if a query meets the end of the server's session."""
    found = iter([True, False])
    monkeypatch.setattr(pooler_check, "_keeps_session", lambda *_: next(found))
    with pytest.raises(db.DatabaseUnavailable, match="transaction mode"):
        pooler_check.check_sessions.__wrapped__(database, "here")
