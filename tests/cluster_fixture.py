"""The tests' own database: TEST_DATABASE_URL, else a private cluster that ends with the process.

Never ZONING_DATABASE_URL: tests drop databases.
"""

import atexit
import os
from pathlib import Path

from zoning_assets.stores import cluster
from zoning_assets.stores.cluster import remote

REPO = Path(__file__).parents[1]


def session_cluster(tmp_home: Path) -> str:
    """The URL of a database with PostGIS whose user may create and drop databases; call it once a session."""
    if configured := os.environ.get("TEST_DATABASE_URL"):
        return remote.check(configured)
    atexit.register(cluster.remove, tmp_home)
    return cluster.ensure(tmp_home, {}, fsync=False, shared=shared_packages())


def shared_packages() -> Path | None:
    """Where packages once fetched are kept between sessions; root's cluster shares them anyway."""
    return None if os.geteuid() == 0 else REPO / ".zoning" / "postgres" / "packages"
