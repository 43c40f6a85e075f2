"""Descriptions that disagree with the rows: the rows win where they prove themselves, and only there."""

import json
from typing import Any

import pytest
import shapely

from tests.cases.serving_files import ArcgisLayer, asked, case, cell, expected, keys, lot, taken
from tests.conftest import rows
from zoning_assets.errors import HarvestIncomplete, NotALayer, ZoningError
from zoning_assets.pipeline import Pipeline


@pytest.mark.parametrize(
    ("folder", "name", "number"),
    [("03", "case03", 20), ("05", "case05a", 20), ("05", "case05b", 18), ("06", "case06", 20), ("29", "case29", 20)],
)
def test_the_shared_cases_give_all_of_their_rows(pipeline: Pipeline, folder: str, name: str, number: int) -> None:
    """Each with its own jurisdiction file, through to PostGIS, where its bounds say."""
    assert len(keys(pipeline, taken(folder, pipeline, name))) == number
    [(west, east)] = rows(pipeline.database, "SELECT min(ST_XMin(geom)), max(ST_XMax(geom)) FROM zoning.parcel")
    assert -71.1001 < west < east < -71.09


# ArcGIS.

DESCRIPTION = {
    "currentVersion": 10.81,
    "id": 0,
    "name": "Parcels",
    "type": "Feature Layer",
    "geometryType": "esriGeometryPolygon",
    "objectIdField": "OBJECTID",
    "maxRecordCount": 1000,
    "advancedQueryCapabilities": {"supportsPagination": True},
    "extent": {"xmin": -71.1, "ymin": 42.38, "xmax": -71.09, "ymax": 42.39, "spatialReference": {"wkid": 4326}},
    "fields": [{"name": name, "type": "esriFieldTypeString"} for name in ("OBJECTID", "PIN", "ADDR", "ZONE_CODE")],
}


def portal(changes: dict[str, Any], *, spelled: dict[str, str] | None = None, **more: Any) -> ArcgisLayer:
    """Twenty rows; `changes` to the description (None: the member is missing), and other names of columns."""
    names = spelled or {}
    layer = {name: value for name, value in (DESCRIPTION | changes).items() if value is not None}
    features = [
        {
            "attributes": {names.get(name, name): value for name, value in {"OBJECTID": i + 1, **lot(i)}.items()},
            "geometry": {"rings": [shapely.get_coordinates(cell(i)).tolist()]},
        }
        for i in range(20)
    ]
    page = {"spatialReference": {"wkid": 4326}, "features": features, **more.pop("page", {})}
    return ArcgisLayer(layer, page, id=names.get("OBJECTID", "OBJECTID"), **more)


def plain(*names: str) -> dict[str, Any]:
    """A description with these columns, of which none is said to be the object id."""
    return {"objectIdField": None, "fields": [{"name": name, "type": "esriFieldTypeInteger"} for name in names]}


@pytest.mark.parametrize(
    ("changes", "spelled", "more"),
    [
        (plain("OBJECTID", "PIN", "ADDR", "ZONE_CODE"), {}, {}),  # named by the list of ids
        (plain("OBJECTID", "PIN", "ADDR", "ZONE_CODE"), {}, {"listed_as": None}),  # a column that is called so
        (plain("PIN", "ADDR", "ZONE_CODE"), {"OBJECTID": "FID"}, {"listed_as": None}),  # only the rows have it
        (plain("ROWNO", "PIN"), {"OBJECTID": "ROWNO"}, {"listed_as": "rowno"}),  # spelled otherwise
        (plain("PIN"), {"OBJECTID": "town.Parcels.OBJECTID"}, {"listed_as": "OBJECTID"}),  # of a join
        ({"objectIdField": "objectid"}, {}, {}),
        ({"fields": []}, {}, {}),
        ({"fields": None, "objectIdField": None}, {}, {"page": {"objectIdFieldName": "OBJECTID"}}),
    ],
)
def test_an_object_id_is_found_however_it_is_named(
    pipeline: Pipeline, changes: dict[str, Any], spelled: dict[str, str], more: dict[str, Any]
) -> None:
    """By the description, the list of ids, a page or its usual name: twenty rows, proven by the list."""
    outcomes = asked(pipeline, portal(changes, spelled=spelled, **more))
    assert keys(pipeline, outcomes) == expected()
    assert outcomes[0].harvest.proof["rows by the server's list"] == 20


def test_no_object_id_at_all_is_refused_in_a_line(pipeline: Pipeline) -> None:
    """Nothing names one: there is nothing to prove a harvest by."""
    layer = portal(plain("PIN", "ADDR", "ZONE_CODE"), spelled={"OBJECTID": "NUMBER"}, listed_as=None)
    with pytest.raises(NotALayer, match="neither the layer nor its rows name an object id"):
        asked(pipeline, layer)


@pytest.mark.parametrize("name", ["pin", "Pin", "parcels.PIN", "TOWN.Parcels.pin"])
@pytest.mark.parametrize("described", [True, False])
def test_a_column_is_found_however_the_rows_spell_it(pipeline: Pipeline, name: str, described: bool) -> None:
    """`key = "PIN"`: in the description or not, the rows have the column under another spelling."""
    changes = {} if described else {"fields": []}
    layer = portal(changes, spelled={"PIN": name, "ADDR": "addr"})
    assert keys(pipeline, asked(pipeline, layer)) == expected()
    [(address,)] = rows(pipeline.database, "SELECT address FROM zoning.parcel WHERE parcel_id = '12-003'")
    assert address == "13 Elm St"


def test_a_column_that_two_spellings_could_mean_is_not_guessed(pipeline: Pipeline) -> None:
    """A join of two tables, each with a PIN."""
    fields = [{"name": name, "type": "esriFieldTypeString"} for name in ("OBJECTID", "a.PIN", "b.PIN", "ADDR")]
    with pytest.raises(ZoningError, match="no column 'PIN'"):
        asked(pipeline, portal({"fields": fields}, spelled={"PIN": "a.PIN"}))


@pytest.mark.parametrize(
    "extent",
    [
        None,
        {},
        {"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN", "spatialReference": {"wkid": 4326}},
        {"xmin": None, "ymin": None, "xmax": None, "ymax": None},
        {"xmin": 20.0, "ymin": -30.0, "xmax": 21.0, "ymax": -29.0, "spatialReference": {"wkid": 4326}},  # stale
        {"xmin": -180, "ymin": -90, "xmax": 180, "ymax": 90, "spatialReference": {"wkid": 4326}},
    ],
)
def test_an_extent_need_not_be_right(pipeline: Pipeline, extent: Any) -> None:
    """Missing, empty, of no numbers, elsewhere or the whole globe: the rows say where they are."""
    assert keys(pipeline, asked(pipeline, portal({"extent": extent}))) == expected()


def test_rows_in_another_reference_than_the_layer_is_described_in_are_refused(pipeline: Pipeline) -> None:
    """The description says State Plane feet, each page degrees: one of them is wrong, and nobody knows which."""
    layer = portal({"extent": DESCRIPTION["extent"] | {"spatialReference": {"wkid": 2249}}})
    [outcome] = asked(pipeline, layer)
    assert isinstance(outcome.error, HarvestIncomplete)
    assert "rows are in EPSG:4326, and the layer is described as in EPSG:2249" in str(outcome.error)
    assert keys(pipeline, asked(pipeline, layer, more='crs = "EPSG:4326"')) == expected()  # a person knows


@pytest.mark.parametrize(("one", "other"), [(102100, 3857), (102686, 2249)])
def test_two_numbers_of_one_reference_are_no_contradiction(pipeline: Pipeline, one: int, other: int) -> None:
    """Esri's own number in the description, EPSG's in the pages."""
    page = json.loads(case("29/case29-query.json").read_text())
    if other == 3857:
        page = portal({}).page
        reference = {"spatialReference": {"wkid": other}}
        for each in page["features"]:
            each["geometry"]["rings"] = [
                shapely.get_coordinates(mercator(shapely.Polygon(ring))).tolist() for ring in each["geometry"]["rings"]
            ]
        page = {**page, **reference}
    extent = {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1, "spatialReference": {"wkid": one}}
    page = {**page, "spatialReference": {"wkid": other}}
    layer = ArcgisLayer(DESCRIPTION | {"extent": extent}, page)
    assert len(keys(pipeline, asked(pipeline, layer))) == 20


def mercator(shape: shapely.Polygon) -> shapely.Polygon:
    import pyproj  # noqa: PLC0415

    to_mercator = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)
    return shapely.transform(shape, to_mercator.transform, interleaved=False)


def test_fewer_rows_than_the_server_lists_are_still_refused(pipeline: Pipeline) -> None:
    """It lists twenty and gives eighteen, whatever its description lacks."""
    layer = portal(plain("OBJECTID", "PIN", "ADDR", "ZONE_CODE"), without=frozenset({"7", "19"}))
    with pytest.raises(HarvestIncomplete, match="received 18, the portal says 20"):
        asked(pipeline, layer)
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == [(0,)]
