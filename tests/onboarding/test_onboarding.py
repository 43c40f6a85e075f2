"""A portal's address becomes a file that works; a file that broke gets a patch. Against the simulated county."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.conftest import read_toml
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock
from tests.support.shared_data import cambridge
from zoning_assets import jurisdictions
from zoning_assets.cli import onboard as words
from zoning_assets.errors import NotALayer
from zoning_assets.http import Client
from zoning_assets.model import PARCELS, ZONING
from zoning_assets.onboarding import column_roles, doctor, portal_detection
from zoning_assets.onboarding.proposal import propose
from zoning_assets.pipeline.extract import Harvester
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases, SimulatedPortal, county_portal
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects

RELEASES = CountyReleases(600, page_rows=200)


@asynccontextmanager
async def portal_and_client(
    layers: list[ServedLayer] | None = None,
) -> AsyncIterator[tuple[SimulatedPortal, str, Client]]:
    portal = county_portal(RELEASES)
    portal.layers = layers or portal.layers
    clock = Clock()
    async with portal.running() as address, plain_client(sleep=clock.sleep, clock=clock) as http:
        yield portal, address, http


def renamed(layer: ServedLayer, **names: str) -> ServedLayer:
    """The layer with other names for its columns."""
    return ServedLayer(
        layer.name, {names.get(each, each): v for each, v in layer.columns.items()}, layer.shapes, layer.about
    )


@pytest.mark.parametrize("path", ["", "/County/FeatureServer", "/County/FeatureServer/0"])
async def test_a_county_is_proposed_from_any_of_its_addresses(tmp_path: Path, path: str) -> None:
    """A server, a service or a layer: the natural key is chosen and never the object id, and the file is valid.

    Its rows that share a key have other addresses and uses: they are not proposed to become one parcel.
    """
    async with portal_and_client() as (_, address, http):
        found = await propose(http, f"{address}/arcgis/rest/services{path}", tmp_path, "us-xx-simulated")
    (tmp_path / "j").mkdir()
    file = tmp_path / "j" / "us-xx-simulated.toml"
    file.write_text(found.toml())
    read = jurisdictions.read(file, FEED_TYPES)
    parcels = read.feeds[PARCELS]
    assert (parcels.type, parcels.key, parcels.on_repeated_key) == ("arcgis", "PIN", "suffix")
    assert parcels.fields == {"address": "SITE_ADDR", "land_use": "USE_CODE", "zoning_code": "ZONE"}
    west, south, east, north = read.bounds
    assert west < -71.6 < east
    assert south < 42.3 < north
    if not path.endswith("/0"):
        assert read.feeds[ZONING].fields == {"code": "ZONE_CODE", "effective": "EFFECTIVE"}


async def test_the_proposal_tells_what_else_there_was(tmp_path: Path) -> None:
    """Each role has its candidates with samples, nulls and repeats, so that a person can decide otherwise."""
    async with portal_and_client() as (_, address, http):
        found = await propose(http, f"{address}/arcgis/rest/services/County/FeatureServer/0", tmp_path, None)
    key = found.as_dict()["feeds"][PARCELS]["columns"]["key"][0]
    flaws = RELEASES.county(1).flaws
    assert key["column"] == "PIN"
    assert key["samples"]
    assert key["nulls"] <= flaws["null_keys"]
    assert all(
        each["column"] not in ("OBJECTID", "GlobalID", "Shape_Area")
        for each in found.as_dict()["feeds"][PARCELS]["columns"]["key"]
    )


async def test_a_file_is_proposed_too(tmp_path: Path) -> None:
    """A plain GeoJSON on a web server is a portal as well."""
    async with portal_and_client() as (_, address, http):
        found = await propose(http, f"{address}/files/Parcels.geojson", tmp_path, "us-xx-file")
    assert 'type = "download"' in found.toml()
    assert 'key = "PIN"' in found.toml()


async def test_an_address_without_polygons_is_refused(tmp_path: Path) -> None:
    """Nothing is written for a layer that cannot be parcels."""
    nameless = renamed(RELEASES(1)[0], PIN="X1", SITE_ADDR="X2")
    rows = len(nameless)
    columns = {
        **nameless.columns,
        "X1": np.array(["same"] * rows, dtype=object),
        "X2": np.array(["1 a"] * rows, dtype=object),
    }
    poor = ServedLayer(
        "Parcels",
        {k: columns[k] for k in ("OBJECTID", "X1", "X2")},
        nameless.shapes,
        replace(nameless.about, global_id=None),
    )
    async with portal_and_client([poor]) as (_, address, http):
        with pytest.raises(NotALayer, match="no column can be a key"):
            await propose(http, f"{address}/arcgis/rest/services/County/FeatureServer", tmp_path, None)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://gis.example.org/arcgis/rest/services/A/MapServer/3", "arcgis"),
        ("https://data.example.org/resource/abcd-1234.json", "socrata"),
        ("https://data.example.org/Property/Parcels/abcd-1234", "socrata"),
        ("https://data.example.org/explore/dataset/parcels/", "opendatasoft"),
        ("https://data.example.org/dataset/parcels/resource/4b1", "ckan"),
        ("https://ogc.example.org/collections/parcels", "ogc-features"),
        ("https://ows.example.org/geoserver/wfs?service=WFS&version=2.0.0", "wfs"),
        ("https://example.org/files/parcels.zip", "download"),
    ],
)
def test_an_address_tells_its_kind(url: str, kind: str) -> None:
    """What people paste is recognised without a request."""
    assert portal_detection.kind_of(url) == kind


def test_a_portal_cannot_ask_for_a_variable_of_the_environment() -> None:
    """`${NAME}` in the address of a jurisdiction file is replaced from the environment, and sent with each request."""
    names = ["Parcels", "County/Zoning", "${AWS_SECRET_ACCESS_KEY}/Parcels", "../Parcels"]
    about = {"services": [{"name": name, "type": "MapServer"} for name in names]}
    assert [name for name, _ in portal_detection._services(about)] == ["Parcels", "County/Zoning"]


def test_names_alone_do_not_make_a_key() -> None:
    """A column called APN that repeats in every other row is no key; one that is unique is."""
    rows = [{"APN": str(i // 2), "LOT": str(i), "ZONING": "R1" if i % 2 else "C1"} for i in range(100)]
    found = column_roles.candidates(PARCELS, column_roles.describe_columns(rows), ["OBJECTID"])
    assert [each.column.name for each in found["key"]] == ["LOT"]
    assert found["zoning_code"][0].column.name == "ZONING"


async def test_the_doctor_finds_renamed_columns_by_their_values(tmp_path: Path, pool: Pool) -> None:
    """A key that is called otherwise now is found by its values; the patch mends the file and nothing else."""
    objects = Objects(str(tmp_path / "store"))
    async with portal_and_client() as (portal, address, http):
        county = read_toml(tmp_path, county_toml(address), ID)
        await Harvester(objects, tmp_path, pool).harvest(county, PARCELS, http, datetime.now(UTC))
        well = await doctor.examine(http, county, county.feeds[PARCELS], objects, tmp_path)
        portal.layers[0] = renamed(portal.layers[0], PIN="PARCEL_KEY_2026", ZONE="DISTRICT")
        found = await doctor.examine(http, county, county.feeds[PARCELS], objects, tmp_path)
    assert well.problem is None
    assert found.replacements == {"PIN": "PARCEL_KEY_2026", "ZONE": "DISTRICT"}
    patch = doctor.patch(Path(county.file), [found])
    assert '-key = "PIN"' in patch
    assert '+key = "PARCEL_KEY_2026"' in patch
    assert '+  zoning_code = "DISTRICT"' in patch
    assert "address" not in "".join(line for line in patch.splitlines() if line[0] in "+-")


async def test_the_doctor_finds_a_layer_that_moved(tmp_path: Path) -> None:
    """Another layer came first in the service: the one with our columns is proposed."""
    objects = Objects(str(tmp_path / "store"))
    async with portal_and_client() as (portal, address, http):
        county = read_toml(tmp_path, county_toml(address), ID)
        moved = replace(county.feeds[PARCELS], url=county.feeds[PARCELS].url.replace("/0", "/7"))
        found = await doctor.examine(http, county, moved, objects, tmp_path)
        assert list(found.replacements.values()) == [county.feeds[PARCELS].url]
        gone = replace(county.feeds[PARCELS], url=county.feeds[PARCELS].url.replace("/County/", "/Country/"))
        found = await doctor.examine(http, county, gone, objects, tmp_path)
        assert [each.replace("MapServer", "FeatureServer") for each in found.replacements.values()] == [
            county.feeds[PARCELS].url
        ]
        assert portal.requests


def test_a_trial_takes_one_page_and_publishes_nothing(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `zoning onboard` reports of its trial adds up. It asks no database, also where one would answer."""
    parts = urlsplit(server)
    for name, value in (("HOST", parts.hostname), ("PORT", parts.port), ("USER", parts.username)):
        monkeypatch.setenv(f"PG{name}", str(value))
    monkeypatch.setenv("PGPASSWORD", parts.password or "")
    monkeypatch.setenv("PGDATABASE", "postgres")
    url = cambridge() / "parcels_FY2014_4326.geojson"

    async def proposed() -> str:
        async with plain_client() as http:
            return (await propose(http, str(url), tmp_path, "us-ma-try")).toml()

    text = asyncio.run(proposed())
    assert 'key = "ML"' in text
    file = tmp_path / "us-ma-try.toml"
    file.write_text(text)
    trial = words._trial(file, tmp_path)
    assert trial["fetched"] == trial["accepted"] + trial["rejected"] > 0
