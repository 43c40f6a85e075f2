"""What tests of Dagster's definitions share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import read_toml
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving


@pytest.fixture
def county(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A county with a jurisdiction file of the user and a portal of its own; yields the portal's address."""
    homes = {"ZONING_HOME": "home", "ZONING_STORE_URL": "store", "ZONING_JURISDICTIONS": "toml"}
    for name, folder in homes.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    monkeypatch.delenv("ZONING_QUEUE_URL", raising=False)
    with serving(400) as portal:
        read_toml(tmp_path / "toml", county_toml(portal), ID)
        yield portal
