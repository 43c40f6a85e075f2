"""Source files of OpenAddresses become jurisdiction files, or say why not. No portal is asked."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from tests.support.shared_data import need
from tests.transform.accidents import mangled
from zoning_assets import jurisdictions
from zoning_assets.jurisdictions.keys import ID
from zoning_assets.onboarding.catalogues import catalogue_document, entry_file
from zoning_assets.onboarding.catalogues.catalogue_entry import CatalogueReading
from zoning_assets.sources import FEED_TYPES
from zoning_assets.subscriptions import address_check

LAYER = "https://gis.example.gov/arcgis/rest/services/Parcels/FeatureServer/0"


def public(numbers: str) -> None:
    """The check that `zoning catalogue` makes without --allow-network."""
    address_check.check_address(numbers, ())


def read(document: Any) -> CatalogueReading:
    return catalogue_document.read(json.dumps(document).encode(), "a.json", public)


def source(coverage: Any = None, **changes: Any) -> dict[str, Any]:
    """A source file with one layer of parcels."""
    layer = {"name": "county", "data": LAYER, "protocol": "ESRI", "conform": {"format": "geojson", "pid": "PIN"}}
    known = {"country": "us", "state": "al", "county": "Autauga"} if coverage is None else coverage
    return {"schema": 2, "coverage": known, "layers": {"parcels": [{**layer, **changes}]}}


def test_every_published_source_becomes_a_valid_file(tmp_path: Path) -> None:
    """Of 200 source files of the US, drawn at random: what becomes a file that `zoning sync` reads, and why not."""
    files = sorted(need("openaddresses_us").glob("*.json"))
    found = catalogue_document.merged(catalogue_document.read(each.read_bytes(), each.name, public) for each in files)
    for entry in found.entries:
        (tmp_path / f"{entry.id}.toml").write_text(entry_file.toml(entry), encoding="utf-8")
    described = [jurisdictions.load(each.id, tmp_path, FEED_TYPES) for each in found.entries]
    assert len(files) == 200
    assert Counter(problem.why for problem in found.problems) == {}
    assert Counter(lack for entry in found.entries for lack in entry.lacks) == {}
    assert found.passed_over == {}
    assert len({each.id for each in described}) == 200
    assert Counter(each.feeds["parcels"].type for each in described) == {"arcgis": 178, "download": 22}
    assert all(each.feeds["parcels"].key for each in described)


@pytest.mark.parametrize(
    ("coverage", "id_", "name"),
    [
        ({"country": "us", "state": "la", "county": "Caddo Parish"}, "us-la-caddo", "Caddo Parish, Louisiana"),
        ({"country": "us", "state": "md", "county": "Baltimore"}, "us-md-baltimore", "Baltimore, Maryland"),
        ({"country": "us", "state": "md", "city": "baltimore"}, "us-md-baltimore-city", "baltimore, Maryland"),
        ({"country": "us", "state": "nm", "county": "Doña Ana"}, "us-nm-dona-ana", "Doña Ana, New Mexico"),
        ({"country": "us", "state": "wa", "county": ["Benton", "Franklin"]}, "us-wa-benton-and-franklin", None),
        ({"country": "us", "state": "ut"}, "us-ut-statewide", None),
        (
            {"US Census": {"geoid": "08035", "name": "Douglas County"}, "country": "us", "state": "co"},
            "us-co-douglas",
            None,
        ),
    ],
)
def test_a_place_has_one_id(coverage: dict[str, Any], id_: str, name: str | None) -> None:
    """A city is not its county of the same name, and a state is not a county."""
    (entry,) = read(source(coverage)).entries
    assert entry.id == id_
    assert name in (None, entry.name)


@pytest.mark.parametrize(
    ("pid", "key", "remark"),
    [
        ("PIN", "PIN", None),
        (["PIN"], "PIN", None),
        (["BOOK", "PAGE"], None, "composes the id from several columns (BOOK, PAGE)"),
        ({"function": "join", "fields": ["BOOK", "PAGE"], "separator": "-"}, None, "several columns (BOOK, PAGE)"),
        ({"function": "regexp", "field": "PIN", "pattern": "x"}, "PIN", "computes the id from PIN by regexp"),
        ({"function": "prefixed_number", "field": "ADDR"}, "ADDR", "computes the id from ADDR by prefixed-number"),
        ({"function": "chain", "variable": "a", "functions": [{}]}, None, None),
        ([["PIN"], {}], None, "several columns ()"),
        (7, None, None),
        (None, None, None),
        ("A\nB", None, None),
    ],
)
def test_the_key_is_one_column(pid: Any, key: str | None, remark: str | None) -> None:
    """An id that the catalogue computes has a remark; without a column the portal must be asked."""
    (entry,) = read(source(conform={"format": "geojson", "pid": pid})).entries
    assert entry.key == key
    assert entry.lacks == (() if key else ("the key",))
    assert remark is None or any(remark in each for each in entry.remarks)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": [LAYER]}, "its address is a list, not a text"),
        ({"data": None}, "its address is missing, not a text"),
        ({"data": "file:///etc/passwd"}, "it is not an address that begins with http://, https:// or ftp://"),
        ({"data": "https://me:word@example.gov/FeatureServer/0"}, "its address has a user or a password"),
        ({"data": "https://example.gov/${ZONING_API_TOKENS}/FeatureServer/0"}, "its address has ${, which a"),
        ({"data": "http://127.0.0.1/FeatureServer/0"}, "its host 127.0.0.1 is not public"),
        ({"data": "http://2130706433/FeatureServer/0"}, "its host 2130706433 is not public"),
        ({"data": "http://0x7f.1/FeatureServer/0"}, "its host 0x7f.1 is not public"),
        ({"data": "http://127.0.0.0x1/FeatureServer/0"}, "its host 127.0.0.0x1 is not public"),
        ({"data": "http://169.254.169.254/FeatureServer/0"}, "its host 169.254.169.254 is not public"),
        ({"data": "http://[::ffff:10.0.0.1]/FeatureServer/0"}, "its host ::ffff:10.0.0.1 is not public"),
        ({"data": "http://localhost/FeatureServer/0"}, "its host localhost is not public"),
        ({"data": "http://postgres/FeatureServer/0"}, "its host postgres is not public"),
        ({"data": "http://metadata.internal./FeatureServer/0"}, "its host metadata.internal. is not public"),
        ({"data": "https://example.gov/a b/FeatureServer/0"}, "an address has at most 2,000 printable characters"),
        ({"data": "https://example.gov/" + "a" * 3000}, "an address has at most 2,000 printable characters"),
        ({"data": "https://example.gov/ImageServer"}, "its address is not of a FeatureServer or MapServer"),
        ({"protocol": "gopher"}, "the protocol 'gopher' is not known"),
        ({"protocol": "http", "compression": "rar"}, "files packed as 'rar' are not read"),
        ({"protocol": "http", "conform": {"format": "csv", "pid": "PIN"}}, "the format 'csv' has no polygons"),
        ({"protocol": "http", "conform": 7}, "the format '' has no polygons"),
    ],
)
def test_what_cannot_be_a_file_says_why(changes: dict[str, Any], why: str) -> None:
    found = read(source(**changes))
    assert not found.entries
    assert found.problems[0].why.startswith(why)
    assert found.problems[0].do


HOSTILE = {
    "country": "us",
    "state": "al",
    "county": '../../etc"\nid = "evil"\n[portal]\nrequests_per_minute = 600000 \u202e\x00',
    "US Census": {"name": '"""\n[feeds.zoning]\nurl = "x"', "geoid": ["01001"]},
}


def test_a_name_of_a_catalogue_is_only_a_name(tmp_path: Path) -> None:
    """No name leaves its quotes, its comment, or the folder of files."""
    licence = {"text": "free\nid = 'x'", "url": ["x"], "attribution name": "A\rB\u2028C\x7f"}
    document = source(HOSTILE, license=licence, year={"a": 1}, website="https://x\n[codes]")
    document["layers"]["parcels"][0]["conform"]["pid"] = 'P"I\\N'
    (entry,) = read(document).entries
    assert ID.fullmatch(entry.id)
    assert entry.key == 'P"I\\N'
    file = tmp_path / f"{entry.id}.toml"
    file.write_text(entry_file.toml(entry), encoding="utf-8")
    described = jurisdictions.read(file, FEED_TYPES)
    assert (described.id, list(described.feeds)) == (entry.id, ["parcels"])
    assert described.portal.requests_per_minute == 30
    assert described.feeds["parcels"].key == 'P"I\\N'


@pytest.mark.parametrize(
    ("document", "passed_over"),
    [
        (
            {"coverage": {"country": "us"}, "data": LAYER, "type": "ESRI", "conform": {}},
            "a source of schema 1 (addresses, no parcels)",
        ),
        ({"coverage": {}, "layers": {"addresses": [], "buildings": 7}}, "a layer of buildings"),
        (source(skip=True), "a source that OpenAddresses skips"),
    ],
)
def test_what_is_about_something_else_is_counted(document: dict[str, Any], passed_over: str) -> None:
    found = read(document)
    assert passed_over in found.passed_over
    assert not found.entries
    assert not found.problems


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[" * 100_000, "the JSON is nested too deep"),
        (b"<html>", "it is not JSON but a web page"),
        (b'{"coverage": {}, "layers": ', "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b'"\\ud800"', "it is not JSON"),
        (b"[]", "it is not a catalogue that is known"),
        (b'{"coverage": {}, "layers": {"parcels": [7, {"data": 1}]}}', "it is not an object"),
    ],
    ids=["deep", "html", "cut", "bytes", "half a pair", "list", "wrong types"],
)
def test_a_document_that_is_no_catalogue_is_one_problem(body: bytes, why: str) -> None:
    assert catalogue_document.read(body, "a.json", public).problems[0].why == why


def test_two_layers_of_one_place_have_two_ids() -> None:
    """The ids of several documents are distinct, too."""
    document = source()
    document["layers"]["parcels"] *= 2
    one = catalogue_document.read(json.dumps(document).encode(), "a.json", public)
    found = catalogue_document.merged([one, read(source())])
    assert [each.id for each in found.entries] == ["us-al-autauga", "us-al-autauga-county", "us-al-autauga-2"]


def test_a_box_of_the_coverage_is_better_than_the_state() -> None:
    ring = [[-86.9, 32.3], [-86.4, 32.3], [-86.4, 32.7], [-86.9, 32.3]]
    coverage = {"country": "us", "state": "al", "county": "Autauga"}
    (whole,) = read(source(coverage)).entries
    (exact,) = read(source({**coverage, "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]}})).entries
    (unknown,) = read(source({"country": "xx", "county": "Nowhere"})).entries
    assert exact.bounds == (-86.9, 32.3, -86.4, 32.7)
    assert whole.bounds is not None
    assert whole.bounds[0] < exact.bounds[0]
    assert "not of the place itself" in whole.bounds_of
    assert unknown.lacks == ("the bounds",)


@settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_mangled_catalogue_is_a_valid_file_or_a_problem(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever stands in a source, no exception; an entry that lacks nothing is a file that is read."""
    bodies = [json.dumps(source(HOSTILE)).encode(), json.dumps(source(license={"text": "a"}, year=2020)).encode()]
    body = data.draw(mangled(data.draw(st.sampled_from(bodies))))
    for entry in catalogue_document.read(body, "a.json", public).entries:
        file = tmp_path / f"{entry.id}.toml"
        assert file.parent == tmp_path
        file.write_text(entry_file.toml(entry), encoding="utf-8")
        if not entry.lacks:
            assert list(jurisdictions.read(file, FEED_TYPES).feeds) == ["parcels"]
