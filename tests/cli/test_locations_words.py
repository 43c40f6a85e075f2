"""`zoning locations`: the groups, and the number of their tiles."""

import json
import re

import pytest

from tests.cli.conftest import Zoning
from zoning_assets.cli import bootstrap
from zoning_assets.defs import partitions
from zoning_assets.jurisdictions.locations import WHOLE


def test_only_tiles_of_the_groups_jurisdictions_are_counted(
    zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder of jurisdictions may share Dagster's storage, as that of `zoning demo` does."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    status, out, err = zoning("locations", "--json")  # it creates Dagster's storage
    assert status == 0, err
    (before,) = json.loads(out)["locations"]
    with bootstrap.dagster_instance() as instance:
        partitions.register(instance, before["ids"][0], ["8928308280fffff", "8928308280bffff"], WHOLE)
        partitions.register(instance, "us-xx-elsewhere", ["8928308280fffff"], WHOLE)
    (row,) = json.loads(zoning("locations", "--json")[1])["locations"]
    assert (before["tiles"], row["tiles"]) == (0, 2)
    assert re.search(r"^all +\d+ +2$", zoning("locations")[1], re.MULTILINE)
