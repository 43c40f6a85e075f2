"""A report: its numbers are those of the commands, and its file is one document without a foreign or active part."""

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lxml import etree, html
from psycopg.types.json import Jsonb

from tests.conftest import rows
from tests.support.changed_county import LOTS, ORDINANCE, ChangedCounty
from tests.support.databases import copied
from zoning_assets.reports.compliance_report import ComplianceReport, ReportRequest, read_report
from zoning_assets.reports.html_document import html_document
from zoning_assets.simulation.county.county import ID
from zoning_assets.storage.postgis.records import change_records, hold_records, map_queries
from zoning_assets.storage.postgis.records.report_queries import MOST_ROWS
from zoning_assets.transform.map_colors import GREY, code_colors

NOW = datetime.now(UTC)
TODAY = NOW.date()
SCRIPT, FORMULA, TURNED = "<script>alert(1)</script>", '=cmd|"/c calc"!A1', "abc\u202edcb\u0007"


def report(county: ChangedCounty, first: date = TODAY - timedelta(1), last: date = TODAY) -> ComplianceReport:
    request = ReportRequest(ID, first, last, county.jurisdiction)
    return read_report(county.url, county.objects, request, datetime.now(UTC))


@pytest.fixture(scope="module")
def made(published_county: ChangedCounty) -> ComplianceReport:
    return report(published_county)


def test_the_numbers_are_those_of_the_commands(published_county: ChangedCounty, made: ComplianceReport) -> None:
    numbers, feed = made.numbers, change_records.find(published_county.url, jurisdiction=ID, state="event")
    changes = numbers["changes"]
    assert changes["total"] == len(feed) == sum(each["changes"] for each in changes["summary"])
    listed = {each["id"]: each for each in (*changes["zoning"], *changes["parcels"])}
    assert set(listed) == {each["id"] for each in feed}
    assert all(listed[each["id"]]["confidence"] == each["confidence"] for each in feed)
    ((rejected,),) = rows(published_county.url, "SELECT count(*) FROM zoning.rejection WHERE state <> 'superseded'")
    assert sum(each["count"] for each in numbers["rejections"]) == rejected > 0


def test_completeness_and_requests(published_county: ChangedCounty, made: ComplianceReport) -> None:
    """Two harvests of each feed, each with the proof of its layer and its requests."""
    harvests = made.numbers["harvests"]
    assert sorted(each["feed"] for each in harvests) == ["parcels", "parcels", "zoning", "zoning"]
    assert {each["proof"]["rows listed after"] for each in harvests if each["feed"] == "parcels"} == {LOTS}
    costs = {each["feed"]: each for each in made.numbers["requests"]["feeds"]}
    assert {feed: each["runs"] for feed, each in costs.items()} == {"parcels": 2, "zoning": 2}
    assert all(each["requests"] > each["runs"] and each["bytes"] > 0 for each in costs.values())
    limit = published_county.jurisdiction.portal.requests_per_minute
    assert made.numbers["requests"]["limit_of_period"] > limit * 24 * 60


def test_the_lag_of_the_ordinance(made: ComplianceReport) -> None:
    found = made.numbers["ordinances"]
    (matched,) = found["matched"]
    assert matched["ordinance_numbers"] == [ORDINANCE]
    days = (TODAY - date(2023, 12, 15)).days
    assert matched["lag_days"] in (days, days - 1)  # midnight may have passed
    assert found["by_ordinance"]["median"] == matched["lag_days"]
    assert found["unexplained"] > 0


def test_a_period_without_anything_is_a_report(published_county: ChangedCounty) -> None:
    empty = report(published_county, date(1999, 1, 1), date(1999, 12, 31))
    assert (empty.numbers["changes"]["total"], empty.numbers["harvests"], empty.maps) == (0, [], [])
    assert "No change was noticed" in html_document(empty, "test")


def test_the_file_is_one_document_without_foreign_or_active_parts(made: ComplianceReport) -> None:
    text = html_document(made, "zoning-assets test")
    document = html.fromstring(text)
    assert not document.xpath("//script | //link | //img | //iframe | //object | //form | //*[@style]")
    addresses = set(document.xpath("//@href | //@src | //@xlink:href", namespaces=XLINK))
    assert {each[0] for each in addresses} == {"#"}
    assert not re.search(r"url\((?!#)|@import", text)
    assert not [name for name in document.xpath("//@*") if str(name.attrname).startswith("on")]
    ids = document.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {each[1:] for each in addresses} <= set(ids)


def test_a_proof_may_have_tables(made: ComplianceReport) -> None:
    """Of a strategy that failed before another one, and of each layer of a map with overlays."""
    proof = {"tried before": {"ranges": "it fails"}, "overlay flood": {"rows in the layer": 2, "way": ["a", "b"]}}
    harvests = [{**made.numbers["harvests"][0], "proof": proof}]
    text = html_document(replace(made, numbers={**made.numbers, "harvests": harvests}), "test")
    values = [each.text for each in html.fromstring(text).xpath("//section[@id='completeness']//dd")]
    assert values == ["ranges: it fails", "rows in the layer: 2; way: a, b"]


def test_a_list_that_is_cut_says_so(made: ComplianceReport) -> None:
    action = {"id": 1, "at": NOW, "actor": "ann", "action": "pause", "reason": "wait"}
    for number, says in ((MOST_ROWS - 1, False), (MOST_ROWS, True)):
        numbers = {**made.numbers, "actions": [action] * number}
        shown = html_document(replace(made, numbers=numbers), "test")
        assert (f"What people did: only {MOST_ROWS} rows are listed" in shown) is says


XLINK = {"xlink": "http://www.w3.org/1999/xlink"}


def test_it_can_be_read_without_eyes_and_colours(made: ComplianceReport) -> None:
    """A language, one first heading, no skipped level, tables with caption and scope, named images, labelled codes."""
    document = html.fromstring(html_document(made, "test"))
    assert document.get("lang") == "en"
    levels = [int(each.tag[1]) for each in document.iter("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(each.findtext("caption") for each in document.iter("table"))
    assert not document.xpath("//th[not(@scope)]")
    images = document.xpath("//*[local-name() = 'svg'][@role = 'img']")
    assert len(images) == 2 * len(made.maps) > 4
    names = {each.get("aria-labelledby") for each in images}
    assert names <= set(document.xpath("//*[local-name() = 'title']/@id"))
    assert all(pair.after.labels for pair in made.maps)


def test_a_code_has_its_colour_of_the_map(published_county: ChangedCounty, made: ComplianceReport) -> None:
    known = code_colors(each["code"] for each in map_queries.codes(published_county.url, ID))
    assert len(known) > 3
    for pair in made.maps:
        assert {each.label: each.colour for each in pair.legend}.items() <= known.items()
        assert {area.colour for side in (pair.before, pair.after) for area in side.areas} <= {*known.values(), GREY}


def test_maps_show_the_two_states(published_county: ChangedCounty, made: ComplianceReport) -> None:
    """The new code is on the map after, not on the one before, and every zoning change is in a window."""
    truth = published_county.truth.truth
    assert truth is not None
    titles = {pair.title: pair for pair in made.maps[1:]}
    parcel, (old, new) = next(iter(truth.rezoned.items()))
    pair = titles[f"rezoned: {parcel}, from {old} to {new}"]
    colour = next(each.colour for each in pair.legend if each.label == new)
    before, after = ({each.colour: each.path for each in side.areas} for side in (pair.before, pair.after))
    assert before.get(colour) != after[colour]
    assert pair.before.changed == pair.after.changed != ""


@pytest.fixture
def hostile(server: str, published_county: ChangedCounty) -> Iterator[ChangedCounty]:
    """A copy of the county whose texts are markup, formulas and marks of direction."""
    rows(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", published_county.name)
    with copied(server, published_county.name) as (name, url):
        bad = f"{SCRIPT} {FORMULA} {TURNED}"
        for table, column in (("district", "code"), ("district_version", "code"), ("change", "old"), ("change", "new")):
            done = rows(url.partition("?")[0], f"UPDATE zoning.{table} SET {column} = %s RETURNING 1", bad)
            assert done
        owner = url.partition("?")[0]
        assert rows(owner, "UPDATE zoning.change SET parcel_ids = ARRAY[%s, %s] RETURNING 1", SCRIPT, TURNED)
        assert rows(owner, "UPDATE zoning.rejection SET reason = %s RETURNING 1", bad)
        assert rows(
            owner, "UPDATE zoning.amendment SET ordinance_numbers = ARRAY[%s], source = %s RETURNING 1", bad, bad
        )
        more = Jsonb({"parcel_layer_says": bad})
        assert rows(owner, "UPDATE zoning.change SET evidence = evidence || %s RETURNING 1", more)
        hold_records.pause(url, jurisdiction=ID, host=None, reason=bad, actor=SCRIPT, until=None)
        hold_records.resume(url, jurisdiction=ID, host=None, reason=bad, actor=SCRIPT)
        yield ChangedCounty(name, url, published_county.store, published_county.file, published_county.jurisdiction,
                            published_county.truth)  # fmt: skip


def test_hostile_texts_have_no_effect(hostile: ChangedCounty) -> None:
    """They are shown as text: no element, no mark of direction, no control character."""
    made = report(hostile)
    text = html_document(made, "test")
    document = html.fromstring(text)
    assert not document.xpath("//script")
    shown = document.text_content()
    assert SCRIPT in shown
    assert not [each for each in text if not each.isprintable() and each != "\n"]
    assert {each["actor"] for each in made.numbers["actions"]} == {SCRIPT}
    assert made.numbers["audit"]["rows"] == 2
    assert len(made.numbers["audit"]["hash"]) == 64
    assert [each["lifted_by"] for each in made.numbers["holds"]] == [SCRIPT]


def test_it_is_well_formed_for_strict_parsers(made: ComplianceReport) -> None:
    """Each SVG is XML."""
    found = re.findall(r"<svg.*?</svg>", html_document(made, "test"), re.DOTALL)
    assert found
    for each in found:
        etree.fromstring(each)


@pytest.mark.slow
def test_pdf(made: ComplianceReport, tmp_path: Path) -> None:
    """It opens with another library, is A4, and has the text."""
    pytest.importorskip("weasyprint", reason="needs Pango from the system", exc_type=OSError)
    from pypdf import PdfReader  # noqa: PLC0415

    from zoning_assets.reports.pdf_document import pdf_document  # noqa: PLC0415

    file = tmp_path / "report.pdf"
    file.write_bytes(pdf_document(html_document(made, "test")))
    read = PdfReader(file)
    width, height = (float(each) / 72 * 25.4 for each in read.pages[0].mediabox[2:])
    assert (round(width), round(height)) == (210, 297)
    assert "Simulated County" in read.pages[0].extract_text()
    assert "Digest" in "".join(page.extract_text() for page in read.pages)


def test_a_pdf_fetches_nothing() -> None:
    pytest.importorskip("weasyprint", reason="needs Pango from the system", exc_type=OSError)
    from zoning_assets.reports.pdf_document import pdf_document  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        page = f'<p>text <img alt="x" src="http://127.0.0.1:{listener.getsockname()[1]}/x.png">'
        assert pdf_document(f'<html lang="en"><title>t</title>{page}</html>').startswith(b"%PDF")
        with pytest.raises(BlockingIOError):
            listener.accept()
