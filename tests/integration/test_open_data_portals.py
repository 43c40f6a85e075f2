"""One city by four ways, into PostGIS: the file, and the same rows as Socrata, CKAN and Opendatasoft give them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from tests.conftest import read_toml, rows, sync
from tests.sources.ckan.fake_ckan import TABLE, FakeCkan
from tests.sources.opendatasoft.fake_opendatasoft import ID as NAME
from tests.sources.opendatasoft.fake_opendatasoft import FakeOpendatasoft
from tests.sources.portals import served_aside
from tests.sources.socrata.fake_socrata import ID, VIEW, FakeSocrata
from tests.support.http_desk import Answers
from tests.support.shared_data import cambridge
from zoning_assets.model import PARCELS, Counts, Jurisdiction, Outcome
from zoning_assets.pipeline.pipeline import Pipeline

CAMBRIDGE = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "{type}"
url = "{url}"
key = "{key}"
on_repeated_key = "dissolve"
{more}
[portal]
requests_per_minute = 600000
connections = 8
"""
SHAPES = "SELECT parcel_id, ST_AsBinary(geom), area_m2 FROM zoning.parcel ORDER BY 1"


def as_socrata() -> FakeSocrata:
    """The rows of the GeoJSON in degrees; numbers as texts, nulls left out."""
    document = json.loads((cambridge() / "parcels_FY2014_4326.geojson").read_text())
    names = {name: name.lower() for name in document["features"][0]["properties"]}
    columns = [{"fieldName": name, "dataTypeName": "text"} for name in names.values()]
    geometry = {"fieldName": "the_geom", "dataTypeName": "multipolygon"}
    said = [_socrata_row(i, each, names) for i, each in enumerate(document["features"])]
    return FakeSocrata(said, view={**VIEW, "columns": [geometry, *columns]}, preparing=1)


def _socrata_row(number: int, feature: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    said = {names[name]: str(value) for name, value in feature["properties"].items() if value is not None}
    geometry = {"the_geom": feature["geometry"]} if feature["geometry"] else {}
    return {":id": f"row-{number * 7919 % 65536:04x}.{number}", **geometry, **said}


def as_ckan() -> FakeCkan:
    """The rows of the shapefile in feet, as WKT; CKAN gives at most 1,500 of the 2,000 asked for."""
    table = gpd.read_file(cambridge() / "parcels_FY2014_2249_shp.zip")
    texts = [shape and shapely.to_wkt(shape, rounding_precision=-1) for shape in table.geometry]
    return FakeCkan([{"ml": ml, "the_geom": text} for ml, text in zip(table["ML"], texts, strict=True)], cap=1500)


def as_opendatasoft() -> FakeOpendatasoft:
    """The rows of the GeoJSON in degrees, in one export."""
    table = gpd.read_file(cambridge() / "parcels_FY2014_4326.geojson")
    return FakeOpendatasoft([(ml, shape) for ml, shape in zip(table["ML"], table.geometry, strict=True)])


WAYS = {
    "socrata": (as_socrata, f"/Property/Parcels/{ID}", ""),
    "ckan": (as_ckan, f"/dataset/cambridge/resource/{TABLE}", 'crs = "EPSG:2249"'),
    "opendatasoft": (as_opendatasoft, f"/explore/dataset/{NAME}/", ""),
}
#: Where nothing changed.
REQUESTS_OF_A_PROBE = {"socrata": 2, "ckan": 2, "opendatasoft": 1}


def total(outcomes: list[Outcome]) -> Counts:
    """The sum over all tiles, none of which failed."""
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    return sum((outcome.counts for outcome in outcomes), Counts())


def described(folder: Path, kind: str, url: str, key: str, more: str = "") -> Jurisdiction:
    return read_toml(folder / kind, CAMBRIDGE.format(type=kind, url=url, key=key, more=more))


@pytest.mark.parametrize(
    "way", ["socrata", *(pytest.param(way, marks=pytest.mark.slow) for way in ("ckan", "opendatasoft"))]
)
def test_a_city_is_the_same_by_each_portal(pipeline: Pipeline, tmp_path: Path, way: str) -> None:
    """13,116 rows fetched, 13,034 parcels published, each with the shape that the file gives; then nothing changes,
    and a probe says so for a request or two."""
    make, path, more = WAYS[way]
    desk: Answers = make()
    with served_aside(desk) as address:
        city = described(tmp_path, way, address + path, "ml", more)
        counts = total(sync(pipeline, city))
        assert counts.fetched == 13_116 == counts.accepted + counts.rejected
        assert counts.added == 13_034
        by_portal = rows(pipeline.database, SHAPES)
        probed = asyncio.run(pipeline.probe(city, PARCELS, datetime.now(UTC)))
        assert (probed.why, probed.requests) == (None, REQUESTS_OF_A_PROBE[way])
        again = total(sync(pipeline, city))
        assert (again.added, again.changed, again.retired) == (0, 0, 0)
    file = described(tmp_path, "download", str(cambridge() / "parcels_FY2014_2249_shp.zip"), "ML")
    total(sync(pipeline, file))
    assert rows(pipeline.database, SHAPES) == by_portal
