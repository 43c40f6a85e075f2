"""Several jurisdictions published at the same time by processes of their own: tables, locks, deadlocks."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from benchmarks.processes import ROOT, environment
from tests.conftest import rows
from tests.support.databases import copied
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis import database as db

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_TABLES = (
    "SELECT parcel_id, tile, zoning_code, attributes::text, area_m2, content_hash FROM zoning.parcel"
    " WHERE jurisdiction = %s ORDER BY 1",
    "SELECT district_id, code, content_hash FROM zoning.district WHERE jurisdiction = %s ORDER BY 1",
    "SELECT parcel_id, facet, code, fraction::text FROM zoning.parcel_zoning WHERE jurisdiction = %s ORDER BY 1, 2, 3",
    # `zoning` and `parcels` of shares are numbers of batches.
    "SELECT tile, feed, counts - '{layer,zoning,parcels}'::text[] FROM zoning.batch WHERE jurisdiction = %s"
    " ORDER BY feed, tile",
)
#: Sessions that wait for an advisory lock or for a table: nothing that is of one jurisdiction may do so.
_WAITING = """
    SELECT locktype, left(query, 80) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database() AND locktype IN ('advisory', 'relation')
"""


#: Waits without harm: tiles of one county publish one after the other; a hold is checked; Dagster creates its tables.
_ALLOWED = ("Only one publish at a time for a feed of a jurisdiction", "zoning/holds", "SELECT pg_advisory_lock($1)")


@contextmanager
def watched(url: str) -> Iterator[set[tuple[str, str]]]:
    """The waits for locks that were seen while the block ran."""
    seen: set[tuple[str, str]] = set()
    ended = threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not ended.wait(0.02):
                seen.update(connection.execute(_WAITING).fetchall())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def tables(url: str, jurisdiction: str) -> list[list[tuple]]:
    return [rows(url, query, jurisdiction) for query in _TABLES]


@pytest.mark.parametrize("together", [4, 8])
def test_counties_at_once_give_the_tables_of_one_alone(
    server: str, template: str, tmp_path: Path, together: int
) -> None:
    """No process fails or waits for another jurisdiction, and each county's tables are those of a county alone."""
    with serving(1500) as portal, copied(server, template) as (_, url):
        folders = [_folder(tmp_path, portal, number) for number in range(together + 1)]
        assert _sync(folders[0], url).wait(600) == 0
        alone = tables(url, f"{ID}-0")
        assert all(alone)
        before = rows(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        with watched(db.as_role(url, None)) as waits:  # only the owner sees the statements of others
            running = [_sync(folder, url) for folder in folders[1:]]
            assert [each.wait(900) for each in running] == [0] * together
        for number in range(1, together + 1):
            assert tables(url, f"{ID}-{number}") == alone
        assert rows(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == before
        ours = {(kind, query) for kind, query in waits if "dagster" not in query}
        waited = {query for kind, query in ours if kind == "advisory"}
        assert not {query for query in waited if not any(word in query for word in _ALLOWED)}, waits


def _folder(top: Path, portal: str, number: int) -> Path:
    """A folder with the file of one county; its home is in it."""
    folder = top / str(number)
    folder.mkdir()
    text = county_toml(portal).replace(f'id = "{ID}"', f'id = "{ID}-{number}"')
    (folder / f"{ID}-{number}.toml").write_text(text)
    return folder


def _sync(folder: Path, url: str) -> "subprocess.Popen[bytes]":
    (file,) = folder.glob("*.toml")
    command = [sys.executable, "-m", "zoning_assets.cli", "sync", file.stem]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment(folder, url), cwd=ROOT, stdout=log, stderr=log)
