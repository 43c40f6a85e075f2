"""Shared by the commands of `zoning bench`: import a module of `benchmarks/`, and find a database server."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from zoning_assets.cli import bootstrap
from zoning_assets.errors import SettingInvalid

_ROOT = Path(__file__).parents[2]
_MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"


def load(name: str) -> Any:
    """Import a module of `benchmarks/`.

    Raises:
        SettingInvalid: there is no `benchmarks/`, because the package is installed without a clone.
    """
    if not (_ROOT / "benchmarks" / f"{name}.py").is_file():
        raise SettingInvalid(
            "benchmarks need a clone of the repository",
            where="zoning bench",
            do="clone it and run `./zoning bench` there",
        )
    sys.path.insert(0, str(_ROOT))
    return importlib.import_module(f"benchmarks.{name}")


def server() -> str:
    """Return the address of the database as its owner, who can create further databases.

    Raises:
        SettingInvalid: the owner has no right to create databases.
    """
    from zoning_assets import local_postgres  # noqa: PLC0415
    from zoning_assets.storage.postgis import database  # noqa: PLC0415

    url = database.as_role(local_postgres.ensure(bootstrap.settings().home, os.environ), None)
    with database.connect(url) as connection:
        if connection.execute(_MAY_CREATE).fetchone() != (True,):
            raise SettingInvalid(
                "its user may not create databases, and each contestant needs one",
                where=database.address(url),
                do="unset ZONING_DATABASE_URL, or grant CREATEDB",
            )
    return url
