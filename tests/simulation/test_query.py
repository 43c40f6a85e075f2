"""The simulated portal answers as ArcGIS does: adds up, refuses politely, finds by area what lies there."""

import json

import numpy as np
import orjson
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from zoning_assets.simulation.portal import layer_query
from zoning_assets.simulation.portal.portal import CountyReleases
from zoning_assets.simulation.portal.refusal import RefusalError
from zoning_assets.transform.decode.esri import esri_json

RELEASES = CountyReleases(1200, page_rows=250)
PARCELS, ZONING = RELEASES(1)
FLAWS = RELEASES.county(1).flaws
ALL = {"where": "1=1"}
SHAPES = PARCELS.shapes.to_shapely()
WHOLE = shapely.make_valid(SHAPES)


def ask(layer=PARCELS, **params):
    return orjson.loads(layer_query.answer(layer, {"f": "json", **params}))


def column(name, layer=PARCELS):
    return layer.columns[name]


# Pages


@pytest.mark.parametrize("asked", [None, 1, 100, 250, 9999])
def test_pages_add_up_to_every_row_once(asked):
    seen, size = [], {} if asked is None else {"resultRecordCount": str(asked)}
    for _ in range(2000):
        page = ask(**ALL, **size, outFields="*", resultOffset=str(len(seen)), returnGeometry="false")
        assert len(page["features"]) <= min(asked or 250, 250)
        seen += [feature["attributes"]["OBJECTID"] for feature in page["features"]]
        if not page.get("exceededTransferLimit"):
            break
    assert seen == sorted(seen)
    assert seen == ask(**ALL, returnIdsOnly="true")["objectIds"]
    assert len(set(seen)) == ask(**ALL, returnCountOnly="true")["count"] == len(PARCELS)


def test_a_page_holds_what_the_layer_holds():
    page = ask(**ALL, outFields="*")
    shapes, _ = esri_json.shapes_of([feature["geometry"] or {} for feature in page["features"]])
    wanted = SHAPES[:250]
    empty = [each is None or each.is_empty for each in wanted]
    assert [each is None for each in shapes] == empty
    there = ~np.array(empty)
    whole = [shapely.MultiPolygon(shapely.get_parts(each)) for each in wanted[there]]
    assert shapely.equals_identical(shapely.normalize(shapes[there]), shapely.normalize(whole)).all()
    assert [feature["attributes"]["PIN"] for feature in page["features"]] == column("PIN")[:250].tolist()
    edited = [feature["attributes"]["LAST_EDIT"] for feature in page["features"]]
    assert edited == column("LAST_EDIT")[:250].astype(np.int64).tolist()


def test_empty_and_null_shapes_are_sent_as_such():
    sent = [f["geometry"] for start in range(0, 1200, 250) for f in ask(**ALL, resultOffset=str(start))["features"]]
    assert sent.count(None) == FLAWS["null_geometry"]
    assert sent.count({"rings": []}) == FLAWS["empty_rings"]


def test_only_the_columns_asked_for_are_sent():
    page = ask(**ALL, outFields="pin, ZONE", resultRecordCount="2", returnGeometry="false")
    assert [list(feature) for feature in page["features"]] == [["attributes"]] * 2
    assert list(page["features"][0]["attributes"]) == ["PIN", "ZONE"]
    assert [each["name"] for each in page["fields"]] == ["PIN", "ZONE"]


def test_order_by_text_descending_then_by_id():
    page = ask(**ALL, outFields="ZONE,OBJECTID", orderByFields="ZONE DESC, OBJECTID ASC", returnGeometry="false")
    rows = [(f["attributes"]["ZONE"], f["attributes"]["OBJECTID"]) for f in page["features"]]
    wanted = zip(column("ZONE").tolist(), column("OBJECTID").tolist(), strict=True)
    assert rows == sorted(sorted(wanted, key=lambda row: row[1]), key=lambda row: row[0], reverse=True)[:250]


def test_rows_from_here_and_there_are_each_the_right_one():
    layer = CountyReleases(2500)(1)[0]
    rows = np.array([2499, 0, 1, 2, 999, 1000, 1001, 5, 5, 2498, 2499])
    sent = orjson.loads(b"[" + layer.features(rows, 2249, list(layer.columns), shapes=True) + b"]")
    assert [feature["attributes"]["OBJECTID"] - 1 for feature in sent] == rows.tolist()
    assert ask(layer, where="1=0", outFields="*")["features"] == []
    assert ask(layer, **ALL, outFields="*", resultOffset="99999")["features"] == []


def test_rows_by_id_and_degrees_on_demand():
    page = ask(objectIds="7,3,99999", outFields="*", outSR="4326")
    assert [feature["attributes"]["OBJECTID"] for feature in page["features"]] == [3, 7]
    assert page["spatialReference"] == {"wkid": 4326, "latestWkid": 4326}
    x, y = page["features"][0]["geometry"]["rings"][0][0]
    assert x == pytest.approx(-71.6, abs=0.2)
    assert y == pytest.approx(42.3, abs=0.2)


# Areas


@settings(max_examples=examples(40), deadline=None)
@given(st.floats(-71.68, -71.52), st.floats(42.25, 42.35), st.floats(0.0005, 0.08), st.integers(3, 9), st.booleans())
def test_an_area_finds_what_brute_force_finds(x, y, radius, corners, degrees):
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
    to_feet = pyproj.Transformer.from_crs(4326, 2249, always_xy=True).transform
    in_feet = np.column_stack(to_feet(*ring.T))
    sent = {"rings": [(ring if degrees else in_feet).tolist()]}
    where = {
        "geometry": json.dumps(sent),
        "geometryType": "esriGeometryPolygon",
        "inSR": "4326" if degrees else "102686",
    }
    found = ask(**where, returnIdsOnly="true")
    wanted = PARCELS.ids[shapely.intersects(shapely.Polygon(in_feet), WHOLE)].tolist()
    assert (found["objectIds"] or []) == wanted


def test_an_envelope_about_everything_finds_all_but_the_rows_without_a_shape():
    west, south, east, north = PARCELS.shapes.extent
    box = {"xmin": west, "ymin": south, "xmax": east, "ymax": north, "spatialReference": {"wkid": 102686}}
    placed = len(PARCELS) - FLAWS["null_geometry"] - FLAWS["empty_rings"]
    for sent in (json.dumps(box), f"{west},{south},{east},{north}"):
        assert ask(geometry=sent, returnCountOnly="true", geometryType="esriGeometryEnvelope") == {"count": placed}
    assert ask(geometry="0,0,1,1", inSR="4326", returnCountOnly="true") == {"count": 0}


def test_an_area_and_a_condition_both_count():
    by_code = ask(**ALL, returnCountOnly="true", geometry="-72,42,-71,43", inSR="4326")["count"]
    codes = sorted(set(column("ZONE")))
    parts = [
        ask(where=f"ZONE = '{code}'", returnCountOnly="true", geometry="-72,42,-71,43", inSR="4326")["count"]
        for code in codes
    ]
    assert sum(parts) == by_code


# Conditions


def ids_where(text, layer=PARCELS):
    return set(ask(layer, where=text, returnIdsOnly="true")["objectIds"] or ())


def test_conditions_mean_what_sql_means():
    oid, pin, acres = PARCELS.ids.tolist(), column("PIN").tolist(), column("ACRES").tolist()
    everything = set(oid)
    assert ids_where("OBJECTID BETWEEN 5 AND 8") == {5, 6, 7, 8}
    assert ids_where('objectid >= 5 and "OBJECTID" <= 8 AND NOT OBJECTID IN (6, 7.0)') == {5, 8}
    assert ids_where("PIN IS NULL") == {i for i, p in zip(oid, pin, strict=True) if p is None}
    assert ids_where("PIN IS NOT NULL") == everything - ids_where("PIN IS NULL")
    assert ids_where(f"PIN IN ('{pin[0]}', '{pin[9]}', 'O''HARA')") >= {1, 10}
    assert ids_where("ACRES > 0.2 OR 1=0") == {i for i, a in zip(oid, acres, strict=True) if a > 0.2}
    assert ids_where("(1=1) AND ((OBJECTID <> 3))") == everything - {3}
    assert ids_where("EFFECTIVE < TIMESTAMP '2000-01-01 00:00:00'", ZONING) == ids_where(
        f"EFFECTIVE < {946_684_800_000}", ZONING
    )


def test_null_is_neither_true_nor_false():
    both = ids_where("PIN = 'X'") | ids_where("NOT PIN = 'X'")
    assert both == ids_where("PIN IS NOT NULL")
    assert ids_where("NOT (PIN = 'X' AND 1=0)") == ids_where("1=1")


def answered_or_refused(params):
    """Whether the portal answers, or refuses as ArcGIS does."""
    try:
        answer = ask(**params)
    except RefusalError as refusal:
        return orjson.loads(refusal.body())["error"]["code"] == 400
    return len(answer.get("features", ())) <= 250


PARAMETERS = """objectIds geometry geometryType inSR outSR outFields orderByFields resultOffset spatialRel
resultRecordCount outStatistics groupByFieldsForStatistics returnDistinctValues returnCountOnly
returnGeometry returnExtentOnly"""
WORDS = """OBJECTID PIN nope 1 2.5 -3 'x' '' = <> <= ( ) , AND OR NOT IN IS NULL BETWEEN DATE '2020-01-01' TIMESTAMP
ACRES LAST_EDIT 1e400 ; -- '"""
TERM = st.sampled_from(WORDS.split())


@settings(max_examples=examples(400), deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(TERM, max_size=14).map(" ".join)))
def test_no_condition_does_more_than_select_or_be_refused(text):
    for name in ("where", "having"):
        statistics = [{"statisticType": "count", "onStatisticField": "OBJECTID", "outStatisticFieldName": "n"}]
        rest = {} if name == "where" else {**ALL, "outStatistics": json.dumps(statistics)}
        assert answered_or_refused({**rest, name: text})


@settings(max_examples=examples(300), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(PARAMETERS.split()),
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(["true", "-1", "0", "4326", "99999999999999999999", "*", "PIN", "ZONE DESC", "[{}]", "{}"]),
            st.sampled_from(['{"rings":[[[0,0],[1,1]]]}', '{"rings":5}', "nan,1,2,3", "1,2,3,1e999", "[1]", "null"]),
            st.sampled_from(["esriGeometryPolygon", "esriGeometryEnvelope", '{"rings":[[[0,0],[1,1],[0,1],[1,0]]]}']),
            st.sampled_from(['[{"statisticType":"max","onStatisticField":"PIN"}]', '{"wkid":1e99}', "PIN,ZONE"]),
        ),
        max_size=5,
    )
)
def test_no_parameter_crashes_a_query(params):
    assert answered_or_refused({**ALL, **params})


# Statistics


def statistics_of(layer=PARCELS, *, kinds=("count",), on="OBJECTID", **params):
    wanted = [{"statisticType": kind, "onStatisticField": on, "outStatisticFieldName": kind} for kind in kinds]
    answer = ask(layer, **ALL, outStatistics=json.dumps(wanted), **params)
    return [feature["attributes"] for feature in answer["features"]]


def test_statistics_of_the_whole():
    (found,) = statistics_of(kinds=("count", "min", "max", "sum", "avg"), on="ACRES")
    acres = column("ACRES")
    assert found == pytest.approx(
        {"count": len(acres), "min": acres.min(), "max": acres.max(), "sum": acres.sum(), "avg": acres.mean()}
    )
    (ids,) = statistics_of(kinds=("min", "max"))
    assert ids == {"min": 1, "max": 1200}


def test_grouped_statistics():
    found = statistics_of(kinds=("count", "sum"), on="Shape_Area", groupByFieldsForStatistics="ZONE")
    zone, area = column("ZONE"), column("Shape_Area")
    assert [each["ZONE"] for each in found] == sorted(set(zone))
    assert all(each["count"] == (zone == each["ZONE"]).sum() for each in found)
    assert all(each["sum"] == pytest.approx(area[zone == each["ZONE"]].sum()) for each in found)


def test_having_finds_the_repeated_keys():
    found = statistics_of(groupByFieldsForStatistics="PIN", having="COUNT(OBJECTID) > 1")
    keys = {each["PIN"]: each["count"] for each in found if each["PIN"] is not None and each["PIN"].strip()}
    assert len(keys) == FLAWS["repeated_keys"]
    assert sum(keys.values()) == FLAWS["repeated_rows"]


def test_statistics_of_nothing():
    assert ask(where="1=0", outStatistics='[{"statisticType":"count","onStatisticField":"PIN"}]')["features"] == [
        {"attributes": {"count_PIN": 0}}
    ]


def test_distinct_values():
    found = ask(**ALL, returnDistinctValues="true", outFields="ZONE_CODE", returnGeometry="false", layer=ZONING)
    assert [f["attributes"]["ZONE_CODE"] for f in found["features"]] == sorted(set(column("ZONE_CODE", ZONING)))


def test_the_extent_of_what_was_asked_for():
    found = ask(where="OBJECTID <= 3", returnExtentOnly="true", returnCountOnly="true")
    assert found["count"] == 3
    assert found["extent"]["spatialReference"] == {"wkid": 102686, "latestWkid": 2249}
    box = PARCELS.shapes.taken(np.arange(3)).extent
    assert tuple(found["extent"][side] for side in ("xmin", "ymin", "xmax", "ymax")) == box
    assert ask(where="1=0", returnExtentOnly="true")["extent"]["xmin"] == "NaN"
