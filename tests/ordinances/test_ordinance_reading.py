"""Strangers' documents: refused by name, within limits, whatever they are."""

import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ordinances.papers import MADE, assembled, papers, pdf
from tests.support.sampling import examples
from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances import Limits, read_document
from zoning_assets.ordinances.reading import html_text

HOSTILE = [paper for paper in papers() if "refused" in paper.expected]
SOUND = [paper for paper in papers() if "refused" not in paper.expected and not paper.is_matter]


@pytest.mark.sampled(20)
@pytest.mark.parametrize("paper", SOUND, ids=lambda paper: paper.name)
def test_the_child_process_reads_what_is_there(paper):
    """As the same parsers do in this process."""
    assert read_document(paper.body(), name=paper.name) == paper.document()


@pytest.mark.parametrize("paper", HOSTILE, ids=lambda paper: paper.name)
def test_a_hostile_document_is_refused_by_name(paper):
    with pytest.raises(DocumentRefused, match=paper.expected["refused"]) as refused:
        read_document(paper.body(), name=paper.name)
    assert str(refused.value).startswith(f"{paper.name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(bytes=100), "larger than allowed"),
        (Limits(pages=2), "more pages"),
        (Limits(characters=20), "more text"),
        (Limits(wall_s=0.001), "too long"),
    ],
)
def test_a_limit_is_kept(limits, why):
    with pytest.raises(DocumentRefused, match=why):
        read_document(pdf(["one page of some words", "two", "three"]), limits=limits)


def test_a_pdf_that_never_ends_is_stopped():
    """Its content is a million operators of which each is slow: the processor's time is limited."""
    packed = zlib.compress(b"BT /F 9 Tf " + b"(a) Tj 1 0 0 1 0 0 Tm " * 3_000_000 + b"ET", 9)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << /Font << /F 5 0 R >> >> /Contents 4 0 R >>"
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed)
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"]
    with pytest.raises(DocumentRefused, match="too long"):
        read_document(
            assembled([*tree, page, stream, b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"]),
            limits=Limits(cpu_s=2, wall_s=20),
        )


def test_memory_is_limited():
    """The page is small and its tree is not."""
    with pytest.raises(DocumentRefused, match="memory"):
        read_document(b"<html><body>" + b"<p>a" * 900_000, limits=Limits(memory_bytes=150_000_000))


def test_pages_are_numbered():
    document = read_document(pdf(["first words here", "second words there"]))
    assert [document.page(document.text.index(word)) for word in ("first", "second")] == [1, 2]


def test_content_decides_what_it_is():
    """A page of HTML stays one whatever the name says; a workbook is no PDF."""
    assert "some words" in read_document(b"<html><body><p>some words</p></body></html>", name="minutes.pdf").text
    with pytest.raises(DocumentRefused, match="neither HTML nor PDF"):
        read_document(MADE["workbook"](), name="minutes.pdf")


def test_html_shows_what_a_person_sees():
    page = b"""<!DOCTYPE html><html><head><title>t</title><style>p{}</style></head><body><p>one
    two<b>three</b></p><script>alert(1)</script><p style="display : NONE">hidden</p><table><tr><td>a</td><td>b</td></tr>
    <tr><td>c</td><td>d</td></tr></table></body></html>"""
    assert read_document(page).text.split("\n") == ["one twothree", "a | b", "c | d"]


def test_entities_and_files_are_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("TOP SECRET")
    page = f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{secret}">]><html><body><p>words &x;</p></body></html>'
    assert "SECRET" not in read_document(page.encode()).text


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_page_nested_deep_hurts_nobody(depth):
    with suppress(DocumentRefused):
        assert "within" in read_document(b"<html><body>" + b"<div>" * depth + b"within" + b"</div>" * depth).text


def test_another_coding_is_understood():
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>Cañon § 5</p></body></html>'
    assert read_document(page.encode("latin-1")).text == read_document(page.encode()).text == "Cañon § 5"


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: f"<html><p>{text}".encode())))
def test_any_bytes_are_read_or_refused(body):
    """The parser itself, without the child that guards it."""
    with suppress(ValueError):
        assert isinstance(html_text.text_of(body), str)


@settings(max_examples=examples(10), deadline=None)
@given(st.sampled_from([b"%PDF-1.7\n", b"<html>", b""]), st.binary(max_size=300))
def test_any_document_is_read_or_refused(head, body):
    with suppress(DocumentRefused):
        read_document(head + body)
