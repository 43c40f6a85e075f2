"""What a command needs around it: the settings, Dagster's home, the database."""

import os
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from zoning_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

_STORAGE = """
storage:
  postgres:
    postgres_url:
      env: ZONING_DAGSTER_DATABASE_URL
"""
_SQLITE = """
event_log_storage:
  module: zoning_assets.orchestration.event_log
  class: EventLog
  config:
    base_dir:
      env: DAGSTER_HOME
"""


def settings() -> Settings:
    """The settings of this process."""
    return Settings.of(os.environ)


def prepare_dagster() -> Path:
    """DAGSTER_HOME with our dagster.yaml; its storage is PostgreSQL where ZONING_DAGSTER_DATABASE_URL says so.

    A dagster.yaml of the user's own stays as it is.
    """
    _be_importable()
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(settings().home / "dagster")))
    home.mkdir(parents=True, exist_ok=True)
    text = _dagster_yaml() + (_STORAGE if os.environ.get("ZONING_DAGSTER_DATABASE_URL") else _SQLITE)
    target = home / "dagster.yaml"
    found = target.read_text() if target.exists() else text.splitlines()[0]
    if found != text and found.startswith(text.splitlines()[0]):
        draft = target.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.replace(target)
    return home


def _be_importable() -> None:
    """Let Dagster's own programs, started from here, import what dagster.yaml names; a clone is not installed."""
    clone = Path(__file__).parents[2]
    if (clone / "pyproject.toml").is_file():
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(clone), *filter(None, known)]))


def _dagster_yaml() -> str:
    """The repository's file in a clone, its packaged twin when installed."""
    packaged = files("zoning_assets") / "dagster.yaml"
    return (packaged if packaged.is_file() else Path(__file__).parents[2] / "dagster.yaml").read_text()


def bring_up_database() -> str:
    """A database that answers and has this program's schema; its URL is handed on to every process started here."""
    from zoning_assets.stores import cluster, database  # noqa: PLC0415

    url = cluster.ensure(settings().home, os.environ)
    database.migrate(url)
    os.environ["ZONING_DATABASE_URL"] = url
    return url


@contextmanager
def dagster_instance() -> "Iterator[dg.DagsterInstance]":
    """The instance in which all runs are recorded."""
    import dagster as dg  # noqa: PLC0415

    prepare_dagster()
    with dg.DagsterInstance.get() as instance:
        yield instance
