"""What the portal calls a value is kept: coded-value domains and subtypes."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from tests.integration.cases.publishing import published
from tests.integration.cases.serving import CasePortal, box, case_layer, layer_of, lots, running
from tests.integration.cases.test_geometry import proposed_at
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.sources.arcgis.value_domains import names_of
from zoning_assets.transform.decode import value_names

DOMAINS = "gpkg_data_column_constraints"
ONE, TWO, SHOPS = "R1 - One-Family", "R2 - Two-Family", "B1 - Business Neighborhood"


def coded(**values: str) -> dict[str, Any]:
    """A coded-value domain; names of keywords without their `c`."""
    return {
        "type": "codedValue",
        "name": "Z",
        "codedValues": [{"name": n, "code": int(c[1:])} for c, n in values.items()],
    }


def codes(number: int) -> int:
    return number % 3 + 1


def test_a_domains_names_are_the_codes(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 13: the names stand in zoning_code, the portal's numbers in attributes."""
    layer = case_layer("13", "case13")
    with running(CasePortal(layers={"case13": layer})) as portal:
        done = published(pipeline, portal, portal.layer_url("case13"), tmp_path, type="arcgis")
    by_number = {1: ONE, 2: TWO, 3: SHOPS}
    wanted = {row["attributes"]["PIN"]: row["attributes"]["ZONE_CODE"] for row in json.loads(layer.answer)["features"]}
    found = done.parcels("parcel_id, zoning_code_local, attributes -> 'ZONE_CODE'")
    assert {key: (code, raw) for key, code, raw in found} == {
        key: (by_number[number], number) for key, number in wanted.items()
    }


def test_a_renumbered_domain_is_no_rezoning(pipeline: Pipeline, tmp_path: Path) -> None:
    """The numbers changed, the names did not: zoning_code is what it was."""
    first = layer_of(lots(20, ZONE_CODE=codes), domains={"ZONE_CODE": coded(c1=ONE, c2=TWO, c3=SHOPS)})
    second = layer_of(
        lots(20, ZONE_CODE=lambda n: 10 * codes(n)), domains={"ZONE_CODE": coded(c10=ONE, c20=TWO, c30=SHOPS)}
    )
    with running(CasePortal(layers={"a": first})) as portal:
        before = published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis").parcels()
        portal.layers["a"] = second
        done = published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis")
    assert not done.errors
    assert done.parcels() == before


def test_a_renamed_domain_is_seen_though_no_row_changed(pipeline: Pipeline, tmp_path: Path) -> None:
    """Only the description changed: the next sync has the new names."""
    rows = lots(20, ZONE_CODE=codes)
    with running(
        CasePortal(layers={"a": layer_of(rows, domains={"ZONE_CODE": coded(c1=ONE, c2=TWO, c3=SHOPS)})})
    ) as portal:
        published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis")
        portal.layers["a"] = layer_of(rows, domains={"ZONE_CODE": coded(c1=ONE, c2="R2 - Duplex", c3=SHOPS)})
        done = published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis")
    assert {code for _, _, code in done.parcels("1, 2, zoning_code_local")} == {ONE, "R2 - Duplex", SHOPS}


def test_what_a_domain_lacks_stays_as_it_is(pipeline: Pipeline, tmp_path: Path) -> None:
    """A value that the domain does not name, a null, and a range domain."""
    rows = lots(20, ZONE_CODE=lambda n: (1, 9, None)[n % 3], USE=lambda n: n % 4)
    domains = {"ZONE_CODE": coded(c1=ONE), "USE": {"type": "range", "name": "U", "range": [0, 9]}}
    fields = '  zoning_code = "ZONE_CODE"\n  land_use = "USE"'
    with running(CasePortal(layers={"a": layer_of(rows, domains=domains)})) as portal:
        done = published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis", fields=fields)
    assert {code for (code,) in done.parcels("zoning_code_local")} == {ONE, "9", None}
    assert {use for (use,) in done.parcels("land_use")} == {"0", "1", "2", "3"}


def test_a_subtypes_own_domain_goes_first(pipeline: Pipeline, tmp_path: Path) -> None:
    """The same number means another thing in another subtype; the subtype's own column has its names too."""
    rows = lots(20, KIND=lambda n: n % 2, ZONE_CODE=1)
    types = [
        {"id": 0, "name": "City", "domains": {"ZONE_CODE": coded(c1=ONE)}},
        {"id": 1, "name": "County", "domains": {"ZONE_CODE": {"type": "inherited"}}},
    ]
    layer = layer_of(rows, domains={"ZONE_CODE": coded(c1="A-1 Farm")}, typeIdField="KIND", types=types)
    fields = '  zoning_code = "ZONE_CODE"\n  land_use = "KIND"'
    with running(CasePortal(layers={"a": layer})) as portal:
        done = published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis", fields=fields)
    assert set(done.parcels("land_use, zoning_code_local")) == {("City", ONE), ("County", "A-1 Farm")}


def test_a_code_that_is_text_stays_with_its_name_beside(pipeline: Pipeline, tmp_path: Path) -> None:
    """ "R-2" is what ordinances and maps call it; its description stands in attributes."""
    domain = {
        "type": "codedValue",
        "codedValues": [{"code": "R-2", "name": "Two-Family"}, {"code": "C-1", "name": "Shops"}],
    }
    with running(CasePortal(layers={"a": layer_of(lots(), domains={"ZONE_CODE": domain})})) as portal:
        done = published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis")
    assert set(done.parcels("zoning_code_local, attributes ->> 'ZONE_CODE_name'")) == {
        ("R-2", "Two-Family"),
        ("C-1", "Shops"),
    }


def test_a_domain_in_which_codes_are_their_names_changes_nothing() -> None:
    """Such a layer's rows keep their content hashes."""
    values = [{"code": "R-2", "name": "R-2"}]
    document = {"fields": [{"name": "Z", "domain": {"type": "codedValue", "codedValues": values}}]}
    assert names_of(document, ["Z"]) == {}


@pytest.mark.parametrize(
    "domain", [None, [], "x", {"codedValues": "x"}, {"codedValues": [None, {"code": 1}, {"name": 2}]}]
)
def test_a_damaged_domain_is_none(domain: Any) -> None:
    """A stranger may send anything."""
    document = {"fields": [{"name": "Z", "domain": domain}], "typeIdField": "Z", "types": [domain, {"domains": domain}]}
    assert names_of(document, ["Z"]) == {}
    assert names_of({**document, "types": 1, "subtypeField": "Z", "subtypes": domain}, ["Z"]) == {}


def test_values_are_found_however_they_are_written() -> None:
    """1, 1.0 and "1" are one value of a domain."""
    found = value_names.names_of_column(
        "Z", [{"Z": 1}, {"Z": 1.0}, {"Z": "1"}, {"Z": 2}, {}], {"columns": {"Z": {"1": "One"}}}
    )
    assert found == ["One", "One", "One", None, None]


def test_a_geopackages_domain_is_kept(pipeline: Pipeline, tmp_path: Path) -> None:
    """The enumeration of a column, as QGIS and ArcGIS write it."""
    rows = lots(20, ZONE_CODE=codes)
    frame = gpd.GeoDataFrame(rows, geometry=[shapely.Polygon(box(n)) for n in range(20)], crs="EPSG:4326")
    frame.to_file(tmp_path / "a.gpkg", layer="lots", engine="pyogrio")
    with sqlite3.connect(tmp_path / "a.gpkg") as base:
        base.execute("CREATE TABLE gpkg_data_columns (table_name, column_name, constraint_name)")
        base.execute(f"CREATE TABLE {DOMAINS} (constraint_name, constraint_type, value, description)")
        base.execute("INSERT INTO gpkg_data_columns VALUES ('lots', 'ZONE_CODE', 'z')")
        for number, name in enumerate((ONE, TWO, SHOPS), 1):
            base.execute(f"INSERT INTO {DOMAINS} VALUES ('z', 'enum', ?, ?)", (str(number), name))
    with running(CasePortal({"a.gpkg": (tmp_path / "a.gpkg").read_bytes()})) as portal:
        done = published(pipeline, portal, portal.file_url("a.gpkg"), tmp_path)
    assert {code for (code,) in done.parcels("zoning_code_local")} == {ONE, TWO, SHOPS}


def test_onboarding_says_what_the_portal_calls_its_values(tmp_path: Path) -> None:
    """Case 13: the proposal shows the names."""
    with running(CasePortal(layers={"case13": case_layer("13", "case13")})) as portal:
        found = proposed_at(portal.layer_url("case13"), tmp_path)
    assert ONE in found.toml() or TWO in found.toml()
