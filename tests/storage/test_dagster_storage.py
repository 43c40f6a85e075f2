"""Where Dagster's own storage is, and that it needs few rights and gives none."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import rows
from tests.support.cluster_fixture import shared_packages
from zoning_assets import local_postgres
from zoning_assets.cli import bootstrap
from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.storage import dagster_storage
from zoning_assets.storage.postgis import database as db


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Path:
    """A home on a database of the user's own."""
    monkeypatch.setenv("ZONING_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    return tmp_path


def test_beside_our_tables_it_is_a_schema_of_its_own(home: Path, database: str) -> None:
    """Dagster's sessions see no other schema, are no owner of ours, and find the same storage each time."""
    address = dagster_storage.bring_up(home, {}, database)
    with psycopg.connect(address) as connection:
        found = connection.execute("SELECT current_schemas(false)::text[], current_user::text").fetchone()
        assert found == ([dagster_storage.SCHEMA], db.WRITER)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE zoning.parcel ADD COLUMN x int")
    assert dagster_storage.bring_up(home, {}, database) == address


def test_what_the_user_names_is_taken_as_it_is(home: Path, database: str) -> None:
    named = db.as_role(database, None)
    assert dagster_storage.bring_up(home, {dagster_storage.SETTING: named}, database) == named


def test_who_may_make_no_schema_is_told_what_to_do(home: Path, server: str, database: str) -> None:
    """One line with the statement, and nothing is made."""
    role, given = f"poor_{uuid.uuid4().hex[:8]}", db.as_role(database, None)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(sql.Identifier(role)))
    address = given.partition("//")[0] + f"//{role}:p@" + given.partition("@")[2]
    try:
        with pytest.raises(DatabaseUnavailable, match=f"CREATE SCHEMA zoning_dagster AUTHORIZATION {role}, or set"):
            dagster_storage.bring_up(home, {}, address)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_home_with_an_older_storage_begins_anew_and_says_so_once(
    home: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs that were recorded in SQLite are kept as files; what was published is not Dagster's."""
    (home / "dagster" / "history").mkdir(parents=True)
    (home / "dagster" / "history" / "runs.db").write_text("old")
    (home / "dagster" / "dagster.yaml").write_text("# `zoning` copies this file to DAGSTER_HOME. SQLite\n")
    for _ in range(2):
        bootstrap.prepare_dagster()
    said = capsys.readouterr().err
    assert said.count("\n") == said.count("its list of runs is empty") == 1, said
    assert (home / "dagster" / "history-sqlite" / "runs.db").read_text() == "old"
    assert "postgres_url" in (home / "dagster" / "dagster.yaml").read_text()


def test_a_dagster_yaml_of_the_users_own_stays(home: Path) -> None:
    """Its storage is the user's: nothing is made, nothing is set."""
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    bootstrap.prepare_dagster()
    assert (home / "dagster" / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    assert not os.environ.get(dagster_storage.SETTING)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a private cluster."""
    home = tmp_path_factory.mktemp("private")
    local_postgres.ensure(home, {}, fsync=False, shared=shared_packages())
    yield home
    local_postgres.remove(home)


def test_in_a_private_cluster_it_is_a_database_of_its_own(private: Path) -> None:
    """Its login owns it and nothing else; the address is the same whoever of ours asks."""
    working, owner = db.bring_up(private, {}), local_postgres.url(private, {})
    address = dagster_storage.bring_up(private, {}, working)
    assert address == dagster_storage.bring_up(private, {}, str(owner))
    assert rows(address, "SELECT current_database()::text, session_user::text") == [("dagster", "zoning_dagster")]
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE runs (id int)")
    assert rows(address, "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user") == [
        (False, False, False)
    ]
    beside = address.removesuffix("dagster") + "zoning"
    with psycopg.connect(beside) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM zoning.parcel")
