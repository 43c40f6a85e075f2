"""The ways into a cluster of ours: its owner's, and those of who owns nothing and cannot become the owner."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from tests.support.cluster_fixture import shared_packages
from zoning_assets import local_postgres
from zoning_assets.cli import db as words
from zoning_assets.storage.postgis import database as db


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose cluster runs."""
    home = tmp_path_factory.mktemp("logins")
    local_postgres.ensure(home, {}, fsync=False, shared=shared_packages())
    yield home
    local_postgres.remove(home)


def who(url: str) -> tuple[str, str]:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT session_user::text, current_user::text").fetchone()
    assert row
    return row


def test_programs_come_by_a_login_that_cannot_be_the_owner(home: Path) -> None:
    """Also when the address is handed on to a process that is started later."""
    url = db.bring_up(home, {})
    assert who(url) == (db.WRITER, db.WRITER)
    assert who(db.bring_up(home, {"ZONING_DATABASE_URL": url})) == (db.WRITER, db.WRITER)
    assert db.bring_up(home, {}) == url
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SET ROLE zoning_owner")


def test_an_address_for_readers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`zoning db url --role reader`: its password is not the owner's, and opens nothing else."""
    monkeypatch.setenv("ZONING_HOME", str(home))
    monkeypatch.delenv("ZONING_DATABASE_URL", raising=False)
    db.bring_up(home, {})
    said = {
        role: CliRunner().invoke(words.app, ["url", "--role", role]).stdout.strip()
        for role in ("owner", "writer", "reader")
    }
    assert [who(said[role])[0] for role in said] == ["zoning_owner", db.WRITER, db.READER]
    with psycopg.connect(said["reader"]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SET ROLE zoning_writer")
    assert len({url.split("@")[0].split(":")[-1] for url in said.values()}) == 3
    log = next(path for path in home.rglob("*.log")).read_text() if list(home.rglob("*.log")) else ""
    assert all(url.split("@")[0].split(":")[-1] not in log for url in said.values())
