"""Real cities, published and compared with what is known of them (../shared/data/MANIFEST.md)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import read_toml, rows, sync, with_feed
from tests.shared_data import cambridge, need
from zoning_assets.model import ZONING, Counts, Jurisdiction, Outcome
from zoning_assets.pipeline import Pipeline
from zoning_assets.simulation.layer import Layer
from zoning_assets.simulation.portal import Portal
from zoning_assets.simulation.serving import serving_file

CAMBRIDGE = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "{type}"
url = "{url}"
key = "ML"
on_repeated_key = "{policy}"
[portal]
requests_per_minute = 60000
connections = 8
"""
EVERY_HASH = "SELECT parcel_id, content_hash FROM zoning.parcel ORDER BY 1"


@pytest.fixture(scope="module")
def arcgis_url() -> Iterator[str]:
    """The FY2014 shapefile, served page by page over the ArcGIS protocol by a process of its own."""
    with serving_file(cambridge() / "parcels_FY2014_2249_shp.zip") as address:
        yield address


def by_way(way: str, folder: Path, policy: str, arcgis_url: str) -> Jurisdiction:
    """Cambridge's parcels by one of three ways."""
    kind, url = {
        "shapefile": ("download", str(cambridge() / "parcels_FY2014_2249_shp.zip")),
        "geojson": ("download", str(cambridge() / "parcels_FY2014_4326.geojson")),
        "arcgis": ("arcgis", arcgis_url),
    }[way]
    return read_toml(folder / way, CAMBRIDGE.format(type=kind, url=url, policy=policy))


def total(outcomes: list[Outcome]) -> Counts:
    """The sum over all tiles, none of which failed."""
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    return sum((outcome.counts for outcome in outcomes), Counts())


def reasons(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(reason for outcome in outcomes for reason in outcome.rejections["reason"])
