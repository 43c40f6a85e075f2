"""The tests' own database: TEST_DATABASE_URL, else a private cluster that ends with the test session.

Never ZONING_DATABASE_URL: tests drop databases.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoning_assets import local_postgres
from zoning_assets.local_postgres import remote

REPO = Path(__file__).parents[2]


@contextmanager
def session_cluster(tmp_home: Path) -> Iterator[str]:
    """The URL of a database with PostGIS whose user may create and drop databases."""
    if configured := os.environ.get("TEST_DATABASE_URL"):
        yield remote.check(configured)
        return
    try:
        yield local_postgres.ensure(tmp_home, {}, fsync=False, shared=shared_packages())
    finally:
        local_postgres.remove(tmp_home)


def shared_packages() -> Path | None:
    """Where packages once fetched are kept between sessions; root's cluster shares them anyway."""
    return None if os.geteuid() == 0 else REPO / ".zoning" / "postgres" / "packages"
