"""The cost of a publish: as many rows are read beside large counties as in an empty database."""

from collections.abc import Iterator
from itertools import pairwise

import psycopg
import pytest

from tests.storage.postgis.filled import STATES, prepare
from tests.storage.postgis.synthetic import COVERS, NORTH, SOUTH, Fact, edition, in_parts, table
from tests.support.databases import copied
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis.publish import publish
from zoning_assets.storage.postgis.rollback_batches import opened
from zoning_assets.storage.postgis.sessions import close_idle

_COVER = COVERS[0]
_WORLD = {f"P{n}": Fact(n % 3, "a") for n in range(600)}
_LATER = {
    key: Fact(fact.spot, "b") if key.endswith("7") else fact for key, fact in _WORLD.items() if not key.endswith("5")
}
#: A step publishes two batches. The second version of a batch may lie on another page than the first; then its key is
#: found twice, in the index and in the table.
_FEW = 4
#: Counts of a session that has ended are complete; so they are ended, and their end is awaited.
_END = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_READ = """
    SELECT (
        SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE schemaname = 'zoning'
    ) + (
        SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'zoning'
    )
"""


def _read(owner: str) -> int:
    """The number of rows that tables and indexes returned so far."""
    close_idle()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(_END)
        (rows,) = connection.execute(_READ).fetchone() or (0,)
    return int(rows)


def _work(url: str, owner: str) -> list[int]:
    """The number of rows read by each step: two counties are published, one changes, and that is rolled back."""
    found = [_read(owner)]
    for county in ("us-second", "us-third"):
        publish(url, edition(county, NORTH, _WORLD, _COVER), in_parts(table(_WORLD), 200), [])
        publish(url, edition(county, SOUTH, {}, _COVER), [], [])
        found.append(_read(owner))
    done = publish(url, edition("us-third", NORTH, _LATER, _COVER), in_parts(table(_LATER), 200), [])
    found.append(_read(owner))
    with opened(url, "us-third", dry_run=False) as undo:
        undo.without(done.batch or 0, None)
        undo.finish()
    found.append(_read(owner))
    return [after - before for before, after in pairwise(found)]


@pytest.fixture
def alone(database: str) -> list[int]:
    """The number of rows that the steps read in an empty database."""
    return _work(database, db.as_role(database, None))


@pytest.fixture(params=STATES)
def filled(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[str]:
    """A database with other counties, and statistics of an earlier state."""
    with copied(server, template) as (_, url):
        with psycopg.connect(db.as_role(url, None), autocommit=True) as connection:
            prepare(connection, request.param, of_jurisdictions=False)
        yield url


@pytest.mark.sampled(3)
def test_the_cost_does_not_depend_on_other_counties(alone: list[int], filled: str) -> None:
    """A second and a third county, a release and its rollback read as many rows beside 23,000 other rows as alone."""
    beside = _work(filled, db.as_role(filled, None))
    assert all(alone)
    most = [1.3 * each + _FEW for each in alone]
    assert [step for step, (mine, limit) in enumerate(zip(beside, most, strict=True)) if mine > limit] == []
