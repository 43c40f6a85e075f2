"""Answers of ArcGIS Hub, ArcGIS Online and CKAN, and data.json: parcels and zoning are found, the rest is counted.

The members are those of real answers (hub.arcgis.com, arcgis.com, data.gov); the values are of an invented county."""

import json
from typing import Any

import pytest

from tests.support.shared_data import recorded
from zoning_assets.onboarding.catalogues import catalogue_document
from zoning_assets.onboarding.catalogues.catalogue_entry import CatalogueEntry, CatalogueReading

LAYER = "https://services1.arcgis.com/abc/arcgis/rest/services/Parcels/FeatureServer/3"
RING = [[-86.9, 32.3], [-86.4, 32.3], [-86.4, 32.7], [-86.9, 32.7], [-86.9, 32.3]]
BOX = (-86.9, 32.3, -86.4, 32.7)


def read(document: Any) -> CatalogueReading:
    return catalogue_document.read(json.dumps(document).encode(), "answer.json", lambda _: None)


def item(**changes: Any) -> dict[str, Any]:
    known = {
        "title": "Tax Parcels",
        "type": "Feature Service",
        "url": f"{LAYER}/query?where=1%3D1",
        "owner": "Autauga GIS",
    }
    return {**known, "licenseInfo": "<p>Public <b>domain</b>\n</p>", "accessInformation": "Autauga County", **changes}


def hub(*items: dict[str, Any]) -> dict[str, Any]:
    """The search API of Hub: OGC API Records."""
    box = {"type": "Polygon", "coordinates": [RING]}
    features = [{"id": "1", "type": "Feature", "geometry": box, "properties": each} for each in items]
    return {"type": "FeatureCollection", "features": features, "numberMatched": 40, "numberReturned": len(items)}


def hub_v3(*items: dict[str, Any]) -> dict[str, Any]:
    extent = {"coordinates": [[-86.9, 32.3], [-86.4, 32.7]], "type": "envelope"}
    named = [{**each, "name": each["title"], "type": "Feature Layer", "extent": extent} for each in items]
    return {"data": [{"id": "1_0", "type": "dataset", "attributes": each} for each in named], "meta": {}}


def online(*items: dict[str, Any]) -> dict[str, Any]:
    extent = [[-86.9, 32.3], [-86.4, 32.7]]
    results = [{"id": "1", "extent": extent, **each} for each in items]
    return {"query": "parcels", "total": 1, "start": 1, "num": 10, "nextStart": -1, "results": results}


def only(found: CatalogueReading) -> CatalogueEntry:
    (entry,) = found.entries
    return entry


@pytest.mark.parametrize("answer", [hub, hub_v3, online])
def test_a_layer_of_arcgis_is_found(answer: Any) -> None:
    """Its address without query, its box, licence and credit; the key must be asked."""
    found = read(
        answer(item(), item(title="Bike lanes"), item(title="Parcel points", geometryType="esriGeometryPoint"))
    )
    entry = only(found)
    assert (entry.type, entry.url, entry.feed, entry.bounds) == ("arcgis", LAYER, "parcels", BOX)
    assert entry.id == "us-xx-autauga-gis-tax-parcels"
    assert entry.lacks == ("the key",)
    assert "Licence as the catalogue states it: Public domain" in entry.remarks
    assert sum(found.passed_over.values()) == 2
    assert found.remark == ("the answer has 3 of 40 entries; ask for the others too" if answer is hub else "")


def test_a_service_needs_its_layer_and_an_app_is_left_out() -> None:
    service = LAYER.removesuffix("/3")
    found = read(hub(item(url=service), item(type="Web Mapping Application"), item(title="Zoning Districts")))
    assert [(each.feed, each.lacks) for each in found.entries] == [
        ("parcels", ("the layer", "the key")),
        ("zoning", ()),
    ]
    assert found.passed_over == {"of the type web mapping application": 1}


@pytest.mark.parametrize(
    "extent",
    [
        None,
        7,
        [],
        [[1]],
        [["a", "b"], ["c", "d"]],
        [[-180, -90], [180, 90]],
        [[1, 2], [1e200, 3]],
        {"coordinates": {}},
    ],
)
def test_an_extent_that_is_none_is_not_known(extent: Any) -> None:
    document = online(item())
    document["results"][0]["extent"] = extent
    assert only(catalogue_document.read(json.dumps(document).encode(), "a", lambda _: None)).bounds is None


@pytest.mark.parametrize("value", [None, 7, [], {}, "", "x", True, [[[]]], {"a": {"b": []}}], ids=repr)
@pytest.mark.parametrize("name", ["title", "type", "url", "owner", "licenseInfo", "orgName", "structuredLicense"])
def test_any_value_may_be_of_any_type(name: str, value: Any) -> None:
    """An entry, a problem, or left out; never a fault of the program."""
    for answer in (hub, hub_v3, online):
        found = read(answer(item(**{name: value})))
        assert len(found.entries) + len(found.problems) + sum(found.passed_over.values()) == 1


def test_a_recorded_package_of_ckan() -> None:
    """The answer of CKAN 2.12: the GeoJSON file is proposed, the table beside it is not."""
    body = recorded("live_peers/ckan/package_show.json").read_bytes()
    entry = only(catalogue_document.read(body, "package_show.json", lambda _: None))
    assert (entry.type, entry.feed) == ("download", "zoning")
    assert entry.url.endswith("/download/zoning.geojson")
    assert any("PDDL" in each for each in entry.remarks)
    assert entry.lacks == ("the bounds",)


def test_a_search_of_ckan_prefers_the_layer() -> None:
    resources = [
        {"name": "Shapefile", "format": "SHP", "url": "https://a.gov/p.zip"},
        {"name": "API", "format": "ArcGIS GeoServices REST API", "url": LAYER},
        {"name": "Page", "format": "HTML", "url": "https://a.gov/p.html"},
    ]
    spatial = json.dumps({"type": "Polygon", "coordinates": [RING]})
    package = {"title": "Parcels", "resources": resources, "extras": [{"key": "spatial", "value": spatial}]}
    documents = [package, {"title": "Parcels", "resources": [resources[2]]}, {"title": "Trees"}, 7]
    found = read({"success": True, "result": {"count": 90, "results": documents}})
    entry = only(found)
    assert (entry.url, entry.bounds) == (LAYER, BOX)
    assert found.passed_over == {"no layer or file with polygons": 1, "neither parcels nor zoning by its title": 1}
    assert [each.why for each in found.problems] == ["it is not an object"]
    assert found.remark == "the answer has 4 of 90 entries; ask for the others too"


@pytest.mark.parametrize(
    ("spatial", "bounds"),
    [
        ("-86.9,32.3,-86.4,32.7", BOX),
        ("-86.9 32.3 -86.4 32.7", BOX),
        ('{"type":"envelope","coordinates":[[-86.9,32.7],[-86.4,32.3]]}', BOX),
        ({"type": "Polygon", "coordinates": [RING]}, BOX),
        ("Autauga County", None),
        ("[" * 50_000, None),
        (["a"], None),
    ],
    ids=["commas", "blanks", "envelope", "polygon", "words", "deep", "list"],
)
def test_a_data_json(spatial: Any, bounds: Any) -> None:
    distribution = {
        "format": "ZIP",
        "mediaType": "application/zip",
        "title": "Shapefile",
        "downloadURL": "https://a.gov/p.shp.zip",
    }
    geojson = {"mediaType": "application/geo+json", "downloadURL": "https://a.gov/p?f=1"}
    dataset = {"title": "Zoning", "publisher": {"name": "City of A"}, "license": "https://x.org/by", "spatial": spatial}
    entry = only(read({"dataset": [{**dataset, "distribution": [distribution, geojson, "x"]}]}))
    assert (entry.url, entry.bounds, entry.id) == ("https://a.gov/p?f=1", bounds, "us-xx-city-of-a-zoning")
    assert "Licence as the catalogue states it: https://x.org/by" in entry.remarks
