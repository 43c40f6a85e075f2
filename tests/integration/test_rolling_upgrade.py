"""Programs of two versions on one database: real processes of two trees."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from benchmarks.processes import ROOT, environment
from tests.conftest import rows
from tests.support.databases import copied
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis import database as db

pytestmark = pytest.mark.slow

#: The release before migration 0017, in the history of this project; its schema has version 0016.
BEFORE = "eff8fb8"
NEXT = """
from alembic import op
revision = "0999"
down_revision = "{head}"
def upgrade():
    op.execute("CREATE TABLE zoning.next_version (id bigint)")
"""


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the release before."""
    folder = tmp_path_factory.mktemp("before")
    with (folder / "tree.tar").open("wb") as file:
        done = subprocess.run(
            ["git", "archive", BEFORE, "zoning_assets", "dagster.yaml", "workspace.yaml"],
            cwd=ROOT,
            stdout=file,
            check=False,
        )
    if done.returncode:
        pytest.skip("this clone does not have the history of the release before")
    with tarfile.open(folder / "tree.tar") as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with serving(300) as address:
        yield address


@pytest.fixture
def empty(server: str) -> Iterator[str]:
    """A database without a schema."""
    with copied(server, "template1") as (name, _):
        yield urlsplit(server)._replace(path=f"/{name}").geturl()


def next_version(folder: Path, compatible_from: str) -> Path:
    """The tree of a later version, whose migration adds a table."""
    shutil.copytree(ROOT / "zoning_assets", folder / "zoning_assets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dagster.yaml", folder)
    postgis = folder / "zoning_assets" / "storage" / "postgis"
    (postgis / "migrations" / "versions" / "0999_next.py").write_text(NEXT.format(head=db.HEAD))
    program = postgis / "database.py"
    oldest = 'COMPATIBLE_FROM = "{}"'
    text = program.read_text().replace(f'HEAD = "{db.HEAD}"', 'HEAD = "0999"')
    program.write_text(text.replace(oldest.format(db.COMPATIBLE_FROM), oldest.format(compatible_from)))
    return folder


def zoning(tree: Path, environ: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the program in a tree."""
    command = [sys.executable, "-m", "zoning_assets.cli", *words]
    environ = {**environ, "PYTHONPATH": str(tree)}
    return subprocess.run(command, env=environ, cwd=tree, capture_output=True, text=True, timeout=300, check=False)


def counties(folder: Path, portal: str, count: int) -> list[str]:
    """Jurisdiction files of the simulated county, under several ids."""
    folder.mkdir(exist_ok=True)
    ids = [f"{ID}-{number}" for number in range(count)]
    for each in ids:
        (folder / f"{each}.toml").write_text(county_toml(portal).replace(f'id = "{ID}"', f'id = "{each}"'))
    return ids


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The only line of a command that refused to start."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.strip() and line != "Starting ..."]
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    return lines[0]


def parcels(url: str, jurisdiction: str) -> list[tuple]:
    query = "SELECT parcel_id, content_hash FROM zoning.parcel WHERE jurisdiction = %s ORDER BY 1"
    return rows(url, query, jurisdiction)


def test_the_release_before_and_this_one(empty: str, release_before: Path, tmp_path: Path, portal: str) -> None:
    """This program migrates a database of before; where it may not, and for a program of before, there is one line."""
    first, second = counties(tmp_path / "files", portal, 2)
    environ = environment(tmp_path / "files", empty)
    before = zoning(release_before, environ, "sync", first, "--json")
    assert before.returncode == 0, before.stderr[-2000:]
    assert rows(empty, "SELECT version_num FROM zoning.schema_version") == [("0016",)]

    with login(empty) as limited:
        refused = one_line(zoning(ROOT, environment(tmp_path / "files", limited), "changes"))
        assert f"the schema has version 0016, this program needs {db.HEAD}" in refused
        assert "zoning db up" in refused

    now = zoning(ROOT, environ, "sync", second, "--json")
    assert now.returncode == 0, now.stderr[-2000:]
    assert parcels(empty, first) == parcels(empty, second) != []
    refused = one_line(zoning(release_before, environ, "sync", first))
    assert f"the schema has version {db.HEAD}, this program knows 0016" in refused
    assert json.loads(zoning(ROOT, environ, "verify", "--json").stdout)["ok"]


@contextmanager
def login(owner: str) -> Iterator[str]:
    """The address with a login that is a writer of the schema and owns nothing."""
    name, parts = f"worker_{os.getpid()}", urlsplit(owner)
    statements = "CREATE ROLE {name} LOGIN PASSWORD 'w'; GRANT zoning_writer TO {name}"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(sql.SQL(statements).format(name=sql.Identifier(name)))
        yield parts._replace(netloc=f"{name}:w@{parts.hostname}:{parts.port}").geturl()
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_two_versions_publish_at_once(empty: str, tmp_path: Path, portal: str) -> None:
    """After a migration that adds a table, workers of both versions publish into the same tables."""
    later = next_version(tmp_path / "later", db.HEAD)
    first, second, third = counties(tmp_path / "files", portal, 3)
    environ = environment(tmp_path / "files", empty)
    assert zoning(ROOT, environ, "sync", first).returncode == 0
    with ThreadPoolExecutor(2) as both:
        new = both.submit(zoning, later, environ, "sync", second, "--json")
        old = both.submit(zoning, ROOT, environ, "sync", third, "--json")
    for done in (new.result(), old.result()):
        assert done.returncode == 0, done.stderr[-2000:]
    assert rows(empty, "SELECT version_num FROM zoning.schema_version") == [("0999",)]
    assert parcels(empty, first) == parcels(empty, second) == parcels(empty, third) != []
    again = zoning(ROOT, environ, "sync", first, "--force", "--json")
    assert again.returncode == 0, again.stderr[-2000:]
    assert json.loads(zoning(ROOT, environ, "verify", "--json").stdout)["ok"]


def test_a_breaking_migration_stops_the_old_version(empty: str, tmp_path: Path, portal: str) -> None:
    """In one line, at its next command; nothing is written."""
    later = next_version(tmp_path / "later", "0999")
    (first,) = counties(tmp_path / "files", portal, 1)
    environ = environment(tmp_path / "files", empty)
    assert zoning(ROOT, environ, "sync", first).returncode == 0
    assert zoning(later, environ, "db", "up").returncode == 0
    refused = one_line(zoning(ROOT, environ, "sync", first))
    assert f"the schema has version 0999, this program knows {db.HEAD}" in refused
