"""A real PostGIS for the session, a fresh database for each test that asks, and a pipeline over both."""

import asyncio
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.sources import judged
from tests.support import sampling
from tests.support.changed_county import ChangedCounty, changed_county
from tests.support.cluster_fixture import session_cluster
from tests.support.databases import Databases, continued, copied, named
from tests.support.scheduling import ByModule
from zoning_assets import jurisdictions
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage import dagster_storage
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import database as db


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`, for `zoning test --all`."""
    parser.addoption("--full", action="store_true", help="try all cases of sampled tests and all examples")


def pytest_configure(config: pytest.Config) -> None:
    """What this run tries, before test modules are imported."""
    sampling.configure(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before `-m "not slow"` is obeyed."""
    if not config.getoption("full"):
        sampling.leave_for_other_days(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule | None:
    """The scheduler of pytest-xdist, unless `--dist` names another."""
    return ByModule(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a test unpacks files, pytest clears them away."""
    judged.SCRATCH = tmp_path_factory.mktemp("scratch")


@pytest.fixture(autouse=True)
def own_dagster_storage() -> Iterator[None]:
    """What a test prepares for Dagster in this process is forgotten after it."""
    before = {name: os.environ.get(name, "") for name in ("DAGSTER_HOME", dagster_storage.SETTING)}
    yield
    os.environ.update(before)


@pytest.fixture(scope="session")
def cluster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this process's own PostGIS."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="session")
def server(cluster_home: Path) -> Iterator[str]:
    """The PostGIS of this process. With pytest-xdist each worker starts its own."""
    with session_cluster(cluster_home) as url:
        yield url


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """A migrated database to copy, which takes less than a migration."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    db.migrate(named(server, name))
    return name


@pytest.fixture(scope="session")
def databases(server: str, template: str) -> Iterator[Databases]:
    """Empty databases for the tests of this process."""
    made = Databases(server, template)
    yield made
    made.close()


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """An empty database with the schema, as programs work with it: without the owner's rights."""
    with databases.lent() as url:
        yield url


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    with Pool() as started:
        yield started


@pytest.fixture
def pipeline(tmp_path: Path, database: str, pool: Pool) -> Pipeline:
    """A pipeline with an empty store and an empty database."""
    return Pipeline(Objects(str(tmp_path / "store")), database, tmp_path / "scratch", pool)


@contextmanager
def going_on(server: str, kept: str, store: Path, folder: Path, pool: Pool) -> Iterator[Pipeline]:
    """A pipeline on copies of a database and of a store, so that many tests go on from what was published once.

    Args:
        server: the cluster's address.
        kept: the name of the database; who is connected to it is thrown out.
        store: the folder of its store; not changed.
        folder: of the copy.
        pool: the session's.
    """
    shutil.copytree(store, folder / "store")
    with continued(server, kept) as url:
        yield Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)


def read_toml(folder: Path, text: str, name: str = "us-ma-cambridge") -> Jurisdiction:
    """A jurisdiction from the text of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return jurisdictions.read(path, FEED_TYPES)


def sync(
    pipeline: Pipeline,
    jurisdiction: Jurisdiction,
    feed: str = PARCELS,
    *,
    stages: Sequence[str] = STAGES,
    choose: Callable[[list[str]], list[str]] = list,
) -> list[Outcome]:
    """All (or the chosen) tiles of a jurisdiction through the pipeline; an outcome each."""
    places = [Place(jurisdiction.id)]
    if feed == PARCELS:
        tiles = choose(sorted(asyncio.run(pipeline.harvest(jurisdiction)).tiles))
        places = [Place(jurisdiction.id, tile) for tile in tiles]
    outcomes: list[Outcome] = []
    asyncio.run(pipeline.run({jurisdiction.id: jurisdiction}, places, feed, stages, outcomes.append))
    return outcomes


def rows(url: str, query: str, *values: object) -> list[tuple]:
    """A query's rows."""
    with psycopg.connect(url) as connection:
        return connection.execute(query, values or None).fetchall()


def with_feed(jurisdiction: Jurisdiction, **changes: object) -> Jurisdiction:
    """The jurisdiction with its parcels feed changed."""
    feed = replace(jurisdiction.feeds[PARCELS], **changes)
    return replace(jurisdiction, feeds={**jurisdiction.feeds, PARCELS: feed})


@pytest.fixture(scope="session")
def published_county(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChangedCounty]:
    """The simulated county: harvested, changed, harvested again, and compared; with an ordinance. It is only read."""
    with changed_county(tmp_path_factory.mktemp("published_county"), pool, partial(copied, server, template)) as county:
        yield county
