"""Columns that a jurisdiction file names and a layer does not have."""

from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import read_toml
from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.model import PARCELS
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.sources import Request
from zoning_assets.sources.source import check_columns


def test_each_column_is_listed_once(tmp_path: Path) -> None:
    """A layer may describe a column twice, as field and as a field of its types."""
    county = read_toml(tmp_path, county_toml("http://127.0.0.1:1"), ID)
    unused = cast("Any", None)
    request = Request(county, county.feeds[PARCELS], unused, tmp_path, unused)
    with pytest.raises(JurisdictionInvalid, match="no column 'PIN'; it has: ZONE, ACRES; fix"):
        check_columns(request, ["ZONE", "ACRES", "ZONE"])
