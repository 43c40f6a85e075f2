"""A county behind a gate, and a database in which it is published or not."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.signals.gated_portal import Gate, gated
from tests.support.databases import copied
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving


@dataclass(frozen=True)
class Place:
    """Where commands run: the gate before the portal, the environment, the database, a folder for output."""

    gate: Gate
    environ: dict[str, str]
    database: str
    folder: Path


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with serving(1500) as address:
        yield address


@pytest.fixture
def place(portal: str, tmp_path: Path, server: str, template: str) -> Iterator[Place]:
    """A fresh home and database; the portal behind a gate that is open."""
    folder = tmp_path / "jurisdictions"
    folder.mkdir()
    with gated(portal) as gate, copied(server, template) as (_, url):
        gate.close_after(None)
        (folder / f"{ID}.toml").write_text(county_toml(gate.address))
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ZONING_HOME": str(tmp_path / "home"),
            "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
            "ZONING_JURISDICTIONS": str(folder),
            "ZONING_DATABASE_URL": url,
        }
        yield Place(gate, environ, url, tmp_path / "run")
