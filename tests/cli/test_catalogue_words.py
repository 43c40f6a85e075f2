"""`zoning catalogue`: what a catalogue states becomes files; what it does not state is told."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.cli.conftest import Zoning
from zoning_assets import jurisdictions
from zoning_assets.cli import catalogue
from zoning_assets.onboarding.catalogues import catalogue_document
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.sources import FEED_TYPES
from zoning_assets.subscriptions import address_check

LAYER = "https://gis.example.gov/arcgis/rest/services/Parcels/FeatureServer/0"


def write_source(path: Path, county: str, **changes: Any) -> None:
    layer = {"name": "county", "data": LAYER, "protocol": "ESRI", "conform": {"format": "geojson", "pid": "PIN"}}
    coverage = {"country": "us", "state": "al", "county": county}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"coverage": coverage, "layers": {"addresses": [], "parcels": [{**layer, **changes}]}}))


def test_a_folder_of_sources_becomes_files(zoning: Zoning, tmp_path: Path) -> None:
    """Complete entries are saved, once; the others are listed with what to do, and nothing is asked."""
    root, folder = tmp_path / "sources" / "us" / "al", tmp_path / "jurisdictions"
    write_source(root / "autauga.json", "Autauga", data=f"{LAYER}1")
    write_source(root / "bibb.json", "Bibb", conform={"pid": ["A", "B"]})
    write_source(root / "clay.json", "Clay", data="http://10.0.0.7/arcgis/rest/services/P/MapServer/1")
    (root / "dale.json").write_text("[1")
    (root / "elmore.json").symlink_to(root / "nowhere")
    with (root / "huge.json").open("wb") as huge:
        huge.truncate(catalogue_document.MOST_BYTES + 1)
    status, out, _ = zoning("catalogue", str(tmp_path / "sources"), "--write", "--json")
    document = json.loads(out)
    assert status == document["exit_status"] == 1
    assert [(each["id"], each["result"]) for each in document["proposals"]] == [("us-al-autauga", "written")]
    assert {each["line"].rpartition("/")[2]: (each["why"], each["do"]) for each in document["failed"]} == {
        "bibb.json": ("the catalogue does not state the key", "--probe asks the portal"),
        "clay.json": ("its host 10.0.0.7 is not public", "allow its network with --allow-network"),
        "dale.json": ("it is not JSON", catalogue_document._DO),
        "huge.json": ("it has more than 67,108,864 bytes", catalogue._DO),
    }
    assert document["passed_over"] == {"a layer of addresses": 3}
    assert [each.name for each in folder.iterdir()] == ["us-al-autauga.toml"]
    described = jurisdictions.load("us-al-autauga", folder, FEED_TYPES)
    assert (described.name, described.feeds["parcels"].key) == ("Autauga, Alabama", "PIN")
    status, out, _ = zoning("catalogue", str(root / "autauga.json"), "--write", "--json")
    assert status == 0
    assert json.loads(out)["proposals"][0]["result"] == "exists"
    assert not (tmp_path / "home").exists()


def test_a_layer_that_a_catalogue_lists_twice_becomes_one_file(zoning: Zoning, tmp_path: Path) -> None:
    """Two files would harvest one layer twice."""
    for name, county, layer in (("a", "Autauga", LAYER), ("b", "Bibb", f"{LAYER}/query"), ("c", "Clay", f"{LAYER}1")):
        write_source(tmp_path / "sources" / f"{name}.json", county, data=layer)
    status, out, _ = zoning("catalogue", str(tmp_path / "sources"), "--write", "--json")
    assert status == 0
    found = [(each["line"], each["id"], each["result"]) for each in json.loads(out)["proposals"]]
    assert found == [
        ("a.json", "us-al-autauga", "written"), ("b.json", "us-al-autauga", "exists"),
        ("c.json", "us-al-clay", "written"),
    ]  # fmt: skip
    assert sorted(each.name for each in (tmp_path / "jurisdictions").iterdir()) == [
        "us-al-autauga.toml", "us-al-clay.toml",
    ]  # fmt: skip


def test_a_private_network_is_accepted_by_name(zoning: Zoning, tmp_path: Path) -> None:
    write_source(tmp_path / "clay.json", "Clay", data="http://10.0.0.7/arcgis/rest/services/P/MapServer/1")
    status, out, err = zoning("catalogue", str(tmp_path / "clay.json"), "--allow-network", "10.0.0.0/24")
    assert status == 0, err
    assert "us-al-clay" in out
    assert not list((tmp_path / "jurisdictions").iterdir())
    status, _, err = zoning("catalogue", str(tmp_path / "clay.json"), "--allow-network", "all")
    assert (status, err.count("\n")) == (2, 1)


async def test_a_name_that_resolves_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name whose owner lets it point to an address of ours; one that is not known is left to the request."""

    async def lookup(host: str, _: int) -> list[str]:
        if host == "unknown.example":
            raise OSError(host)
        return ["93.184.216.34", "169.254.169.254"] if host == "evil.example" else ["93.184.216.34"]

    monkeypatch.setattr(address_check, "system_lookup", lookup)
    hosts = ["evil.example", "good.example", "unknown.example"]
    found = await catalogue._refused_hosts(hosts, catalogue._address_check([]))
    assert found == {
        "evil.example": "the name of its host resolves to a private address: 169.254.169.254 is not a public address"
    }
    assert await catalogue._refused_hosts(hosts, catalogue._address_check(["169.254.0.0/16"])) == {}


def test_an_empty_folder_is_one_line(zoning: Zoning, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = zoning("catalogue", str(tmp_path / "empty"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the folder has no JSON file" in err


@pytest.mark.slow
def test_a_catalogue_on_the_web_is_probed(
    zoning: Zoning, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a catalogue is fetched, and the portal of its entry gives what it does not state."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    with serving(300) as portal, served_folder(tmp_path / "web") as address:
        layer = f"{portal}/arcgis/rest/services/County/FeatureServer/0"
        item = {"title": "Tax Parcels", "type": "Feature Service", "url": layer, "owner": "Autauga \x1b[31m GIS"}
        answer = {"results": [item, {**item, "url": "http://10.0.0.7/FeatureServer/0"}], "total": 2}
        (tmp_path / "web" / "answer.json").write_text(json.dumps(answer))
        words = [
            "catalogue",
            f"{address}/answer.json",
            "--allow-network",
            "127.0.0.0/8",
            "--probe",
            "--write",
            "--json",
        ]
        status, out, err = zoning(*words)
    document = json.loads(out)
    (proposal,) = document["proposals"]
    assert (status, proposal["result"], proposal["key"], proposal["rows"]) == (1, "written", "PIN", 300), err
    assert [each["why"] for each in document["failed"]] == ["its host 10.0.0.7 is not public"]
    assert 0 < document["requests"] < 15
    text = (tmp_path / "jurisdictions" / f"{proposal['id']}.toml").read_text()
    assert "# From the catalogue ArcGIS Online: Tax Parcels" in text
    assert (
        jurisdictions.load(proposal["id"], tmp_path / "jurisdictions", FEED_TYPES).name
        == "Tax Parcels (Autauga [31m GIS)"
    )


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """The address of a folder on loopback."""
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
