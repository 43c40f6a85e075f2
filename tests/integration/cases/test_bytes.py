"""Bytes that are not quite the format: one bad cell never costs a county, is never asked for again and again, and no
text changes for the worse."""

import asyncio
import zipfile
from pathlib import Path

import pytest
import shapely

from tests.integration.cases.publishing import published
from tests.integration.cases.serving import (
    CasePortal,
    Raw,
    box,
    case,
    case_layer,
    geojson,
    layer_of,
    lots,
    raw_text,
    running,
)
from tests.integration.cases.shapefiles import shapefile
from tests.support.http_client import ask
from tests.support.http_desk import Clock, Desk
from zoning_assets.errors import PortalUnreachable
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.sources.files import file_reader
from zoning_assets.transform.decode import feature_collection, json_pages, text_encoding, xml_limits
from zoning_assets.transform.decode import geojson as geojson_pages

pytestmark = pytest.mark.sampled(4)
#: Requests of a layer of twenty rows in which nothing is odd.
FEW = 30


@pytest.mark.parametrize("name", ["case01", "case22"])
def test_an_odd_cell_costs_no_row_and_no_request(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    """Cases 01 and 22: control characters in a string, and a byte that is no UTF-8: twenty rows."""
    with running(CasePortal(layers={name: case_layer(name[-2:], name)})) as portal:
        done = published(pipeline, portal, portal.layer_url(name), tmp_path, type="arcgis")
        portal.layers["plain"] = layer_of(lots())
        as_usual = published(pipeline, portal, portal.layer_url("plain"), tmp_path, type="arcgis", name="us-xx-plain")
    assert not done.errors
    assert len(done.keys) == 40
    assert done.requests == as_usual.requests


def test_a_latin_letter_is_kept_and_noted(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 22: the text is what Windows-1252 makes of it, and the row says so."""
    with running(CasePortal(layers={"case22": case_layer("22", "case22")})) as portal:
        done = published(pipeline, portal, portal.layer_url("case22"), tmp_path, type="arcgis")
    (named,) = [address for _, address, _ in done.parcels() if "ñ" in address]
    assert "\ufffd" not in named
    assert sum(each.counts.repaired for each in done.outcomes) == 1


ODD = {
    "vertical tab": (raw_text(b"11 Elm\x0bSt"), "11 Elm\x0bSt"),
    "carriage return": (raw_text(b"11 Elm\r\n\tSt"), "11 Elm\r\n\tSt"),
    "nul": (raw_text(b"11 Elm\x00 St"), "11 Elm St"),
    "nul by its number": (Raw('"11 Elm\\u0000 St"'), "11 Elm St"),
    "latin text": (raw_text(b"Ca\xf1\xf3n"), "Cañón"),
    "windows quotes": (raw_text(b"\x93Elm\x94 \x96 \x80"), "“Elm” – €"),
    "a byte of no code page": (raw_text(b"Elm \x81"), "Elm \x81"),
    "utf-8 that was cut": (raw_text("Calle Cañón de la Peña"[:-1].encode()[:-1]), "Calle Cañón de la Pe"),
    "latin that ends like utf-8": (raw_text("José".encode("cp1252")), "José"),
    "backslash": (Raw('"LOT 5\\7 C:\\Elm \\\\ \\""'), 'LOT 5\\7 C:\\Elm \\ "'),
    "half a pair": (Raw('"Elm \\ud83d St"'), "Elm ? St"),
    "a letter by its number": (Raw('"Ca\\u00f1on"'), "Cañon"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_text_in_arcgis_json(pipeline: Pipeline, tmp_path: Path, odd: str) -> None:
    """One cell of twenty rows: all rows come, with as many requests as ever, and the text is right."""
    cell, right = ODD[odd]
    layer = layer_of(lots(20, ADDR=lambda n: cell if n == 7 else f"{n} Oak Ave"))
    with running(CasePortal(layers={"odd": layer})) as portal:
        done = published(pipeline, portal, portal.layer_url("odd"), tmp_path, type="arcgis")
    assert not done.errors
    assert done.requests <= FEW
    assert [address for key, address, _ in done.parcels() if key == "12-008"] == [right]
    assert len(done.keys) == 20


@pytest.mark.parametrize("odd", sorted(set(ODD) - {"half a pair"}))
def test_an_odd_text_in_a_geojson_file(pipeline: Pipeline, tmp_path: Path, odd: str) -> None:
    """The same in a file, which GDAL reads."""
    cell, right = ODD[odd]
    body = geojson(lots(20, ADDR=lambda n: cell if n == 7 else f"{n} Oak Ave"))
    with running(CasePortal({"odd.geojson": body})) as portal:
        done = published(pipeline, portal, portal.file_url("odd.geojson"), tmp_path)
    assert not done.errors
    assert [address for key, address, _ in done.parcels() if key == "12-008"] == [right]
    assert len(done.keys) == 20


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be-sig"])
@pytest.mark.parametrize("form", ["file", "arcgis"])
def test_other_encodings_of_unicode(pipeline: Pipeline, tmp_path: Path, encoding: str, form: str) -> None:
    """A byte order mark, and UTF-16, are read."""
    rows = lots(20, ADDR="Calle Cañón")

    def encoded(body: bytes) -> bytes:
        text = body.decode()
        return b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-sig" else text.encode(encoding)

    layer = layer_of(rows)
    whole = layer.respond
    layer.respond = lambda asked: encoded(whole(asked))  # type: ignore[method-assign]
    with running(CasePortal({"odd.geojson": encoded(geojson(rows))}, {"odd": layer})) as portal:
        url = portal.file_url("odd.geojson") if form == "file" else portal.layer_url("odd")
        done = published(pipeline, portal, url, tmp_path, type="download" if form == "file" else "arcgis")
    assert not done.errors
    assert [address for _, address, _ in done.parcels()] == ["Calle Cañón"] * 20


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("layer", [None, "lots", "lots.geojson", "a/lots.geojson"])
def test_other_encodings_of_unicode_in_a_zip(
    pipeline: Pipeline, tmp_path: Path, encoding: str, layer: str | None
) -> None:
    """The layer is called by the name and the place that the file has in the zip; what lies beside it is named."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("a/lots.geojson", geojson(lots(20, ADDR="Calle Cañón")).decode().encode(encoding))
        packed.writestr("a/readme.txt", "Lots".encode(encoding))
    more = {"layer": layer} if layer else {}
    with running(CasePortal({"a.zip": (tmp_path / "a.zip").read_bytes()})) as portal:
        done = published(pipeline, portal, portal.file_url("a.zip"), tmp_path, **more)
    assert not done.errors
    assert [address for _, address, _ in done.parcels()] == ["Calle Cañón"] * 20
    assert done.outcomes[0].as_dict()["left_out"] == ["a/readme.txt"]


def test_utf_16_in_a_folder(tmp_path: Path) -> None:
    """As in a zip."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/lots.geojson").write_bytes(geojson(lots(20)).decode().encode("utf-16"))
    found = file_reader.find_layer(tmp_path / "in", where="w", layer="lots.geojson", into=tmp_path / "into")
    assert found.rows == 20


@pytest.mark.parametrize(
    ("number", "form"),
    [(n, f) for n in ("NaN", "Infinity", "-Infinity", "1e999", "-1.0E+400") for f in ("file", "arcgis")],
)
def test_numbers_that_are_none(pipeline: Pipeline, tmp_path: Path, number: str, form: str) -> None:
    """They say nothing, and cost nothing."""
    rows = lots(20, VALUE=lambda n: Raw(number) if n == 7 else 1.5)
    with running(CasePortal({"odd.geojson": geojson(rows)}, {"odd": layer_of(rows)})) as portal:
        url = portal.file_url("odd.geojson") if form == "file" else portal.layer_url("odd")
        done = published(pipeline, portal, url, tmp_path, type="download" if form == "file" else "arcgis")
    assert not done.errors
    assert [value for (value,) in done.parcels("attributes ->> 'VALUE'")].count("1.5") == 19


async def tries(answer: bytes, read: object) -> tuple[int, str]:
    """How often a portal that gives just this is asked, and what is said in the end."""
    desk, clock = Desk((200, answer, {})), Clock()
    with pytest.raises(PortalUnreachable) as refused:
        await ask(desk, clock, read=read)
    return len(desk.asked), str(refused.value)


WHOLE = b'{"features": [{"attributes": {"OBJECTID": 1}}, {"attributes": {"OBJECTID": 2}}]}'


@pytest.mark.parametrize("garbled", [b"{'features': []}", WHOLE.replace(b"}}, {", b"}} {"), WHOLE.replace(b"1", b"1x")])
def test_a_whole_answer_that_is_no_json_is_not_asked_for_again_and_again(garbled: bytes) -> None:
    """A defect of content is the same the next time; the message is in plain words."""
    asked, said = asyncio.run(tries(garbled, json_pages.decode))
    assert asked <= 2
    assert "JSONDecodeError" not in said
    assert "character" in said


@pytest.mark.parametrize("cut", [10, 30, len(WHOLE) - 1, len(WHOLE) - 2, len(WHOLE) - 12])
def test_an_answer_that_was_cut_is_asked_for_again(cut: int) -> None:
    """A body that ends too early was lost on its way."""
    asked, _ = asyncio.run(tries(WHOLE[:cut], json_pages.decode))
    assert asked == 6


def test_a_dbf_text_that_was_cut_in_a_letter(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 07: the letter that is not whole goes, and nothing else."""
    with running(CasePortal({"case07.zip": case("07/case07.zip")})) as portal:
        done = published(pipeline, portal, portal.file_url("case07.zip"), tmp_path)
    addresses = [address for _, address, _ in done.parcels()]
    assert len(addresses) == 20
    assert not [each for each in addresses if "Ã" in each or "\ufffd" in each]
    assert any(each.endswith("n de la Peña, 7 Calle Cañón de la Pe") for each in addresses)


@pytest.mark.parametrize("cpg", ["UTF-8", "ISO-8859-1", "1252", None])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_cpg_that_lies_changes_no_text(pipeline: Pipeline, tmp_path: Path, cpg: str | None, encoding: str) -> None:
    """What the bytes are is told by the bytes; the file beside them may say another encoding."""
    rows = lots(20, ADDR="7 Calle Cañón")
    body = shapefile(tmp_path, rows, encoding=encoding, cpg=cpg)
    with running(CasePortal({"lies.zip": body})) as portal:
        done = published(pipeline, portal, portal.file_url("lies.zip"), tmp_path)
    assert [address for _, address, _ in done.parcels()] == ["7 Calle Cañón"] * 20


def test_a_cyrillic_code_page_is_kept(pipeline: Pipeline, tmp_path: Path) -> None:
    """A .cpg that tells the truth is believed."""
    body = shapefile(tmp_path, lots(20, ADDR="улица Вязов"), encoding="cp1251", cpg="1251")
    with running(CasePortal({"true.zip": body})) as portal:
        done = published(pipeline, portal, portal.file_url("true.zip"), tmp_path)
    assert [address for _, address, _ in done.parcels()] == ["улица Вязов"] * 20


def test_a_table_of_two_encodings_keeps_both(pipeline: Pipeline, tmp_path: Path) -> None:
    """One cell in Windows-1252 makes no mojibake of the others."""
    addresses = ["Calle Cañón".encode(), "Peña 7".encode("cp1252"), "José".encode("cp1252"), b"Elm St"]
    rows = [b"PIN;ADDR;ZONE_CODE;WKT"]
    for number in range(20):
        wkt = shapely.Polygon(box(number)).wkt.encode()
        rows.append(b'%d;"%s";R-1;"%s"' % (number, addresses[number % 4], wkt))
    with running(CasePortal({"two.csv": b"\n".join(rows)})) as portal:
        done = published(pipeline, portal, portal.file_url("two.csv"), tmp_path)
    assert {address for _, address, _ in done.parcels()} == {"Calle Cañón", "Peña 7", "José", "Elm St"}


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_cut_in_any_byte_of_a_letter(cut: int) -> None:
    """Letters of two, three and four bytes."""
    for letter in ("ñ", "€", "😀"):
        whole = f"Peñ{letter}".encode()
        if cut < len(letter.encode()):
            assert text_encoding.decode_value(whole[:-cut]) == "Peñ"


def test_ascii_that_was_cut_follows_its_column() -> None:
    """In a column of UTF-8 a value that fills it lost a letter; elsewhere the byte is a letter of Windows-1252."""
    assert text_encoding.decode_value(b"Calle Pe\xc3", utf8=True) == "Calle Pe"
    assert text_encoding.decode_value(b"Jos\xe9") == "José"


@pytest.mark.parametrize(
    ("raw", "right"),
    [(b"Elm\x0bSt", "ElmSt"), (b"Ca\xf1on", "Cañon"), (b"Elm&#x0B;St", "ElmSt"), (b"Elm&#11;St", "ElmSt")],
)
def test_an_odd_text_in_xml(raw: bytes, right: str) -> None:
    """What XML forbids and servers write all the same costs no page."""
    body = b'<?xml version="1.0" encoding="UTF-8"?><a><b>' + raw + b"</b><b>fine &amp; \xc3\xb1</b></a>"
    first, second = xml_limits.children(xml_limits.parse(body))
    assert (xml_limits.text(first), xml_limits.text(second)) == (right, "fine & ñ")


def test_odd_texts_in_pages_of_geojson() -> None:
    """OGC API Features, WFS and f=geojson: texts are right, and the rows say what was done."""
    rows = lots(3, ADDR=lambda n: raw_text(b"Ca\xf1on") if n == 1 else f"{n} \u00f1")
    body = geojson(rows)
    for read in (feature_collection.read_geojson(body).rows, geojson_pages.read(body, {})):
        assert [row["ADDR"] for row in read.attributes] == ["0 ñ", "Cañon", "2 ñ"]
        assert read.flaws == {1: text_encoding.NOT_UTF8}
