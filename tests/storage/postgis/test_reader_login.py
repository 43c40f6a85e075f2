"""The address with which the API reads: nothing can be changed with it, and nothing takes long."""

from pathlib import Path

import psycopg
import pytest

from zoning_assets.storage.postgis.reader_login import reader_url


@pytest.fixture
def url(tmp_path: Path, database: str) -> str:
    return reader_url(tmp_path, database, 1)


def test_sessions_have_the_role_of_the_reader(url: str) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT current_user, current_setting('statement_timeout')").fetchone()
        assert found == ("zoning_reader", "1s")
        assert connection.execute("SELECT count(*) FROM zoning.zoned_parcel").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM zoning.parcel", "INSERT INTO zoning.audit VALUES (1, now(), 'a', 'b', '{}', 'c', 'd')",
        "UPDATE zoning.change SET state = 'event'", "CREATE TABLE zoning.mine ()", "DROP VIEW zoning.zoned_parcel",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["on", "off"])
def test_nothing_can_be_changed(url: str, statement: str, mode: str) -> None:
    """Not by the mode of the transaction, and without it not by the rights of the role."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET default_transaction_read_only = {mode}")
        kinds = (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege)
        with pytest.raises(kinds):
            connection.execute(statement)


def test_a_long_statement_is_canceled(url: str) -> None:
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(30)")
