"""The corpus: documents, what is expected of each, and PDFs written by hand."""

import io
import json
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pypdf import PdfReader

from zoning_assets.ordinances import Document, FoundAmendment, extract, legistar
from zoning_assets.ordinances.reading import html_text
from zoning_assets.ordinances.reading.document import join_pages

CORPUS = Path(__file__).parent / "corpus"
#: Documents and findings by name, as each is asked for by several tests.
_DOCUMENTS: dict[str, Document] = {}
_FOUND: dict[str, tuple[FoundAmendment, ...]] = {}
FIELDS = ("old_code", "new_code", "case", "ordinance", "parcel", "date", "status", "kind")


@dataclass(frozen=True)
class Paper:
    """One document of the corpus and what is expected of it."""

    name: str
    expected: dict[str, Any]

    @property
    def is_held_out(self) -> bool:
        return bool(self.expected["set"] == "held-out")

    def body(self) -> bytes:
        if "make" in self.expected:
            return MADE[self.expected["make"]]()
        (path,) = (each for each in CORPUS.glob(f"{self.name}.*") if each.suffix != ".toml")
        return pdf(path.read_text().split("\f")) if path.name.endswith(".pdf.txt") else path.read_bytes()

    @property
    def is_matter(self) -> bool:
        return (CORPUS / f"{self.name}.json").exists()

    def document(self) -> Document:
        if self.is_matter:
            return legistar.matter_document(**json.loads(self.body()))
        if self.name not in _DOCUMENTS:
            _DOCUMENTS[self.name] = _read_here(self.body())
        return _DOCUMENTS[self.name]

    def found(self) -> tuple[FoundAmendment, ...]:
        if self.name not in _FOUND:
            matter = json.loads(self.body()) if self.is_matter else None
            one = legistar.find_amendment(**matter) if matter else None
            _FOUND[self.name] = extract(self.document()) if matter is None else (one,) if one else ()
        return _FOUND[self.name]


def _read_here(body: bytes) -> Document:
    """What `read_document` gives, without its child process: these documents can be trusted."""
    if html_text.is_html(body):
        return join_pages([html_text.text_of(body)])
    return join_pages([page.extract_text() for page in PdfReader(io.BytesIO(body)).pages])


def papers() -> list[Paper]:
    return [Paper(path.stem, tomllib.loads(path.read_text())) for path in sorted(CORPUS.glob("*.toml"))]


def values(found: FoundAmendment) -> dict[str, list[str]]:
    """A finding's values by field, as the TOML files write them."""
    dates = [f"{role} {day}" for role, days in found.dates.items() if role != "other" for day in days]
    return {
        "old_code": list(found.old_codes),
        "new_code": list(found.new_codes),
        "case": list(found.case_numbers),
        "ordinance": list(found.ordinance_numbers),
        "parcel": list(found.parcels),
        "date": dates,
        "status": [found.status],
        "kind": [found.kind],
    }


def expected_values(each: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [each[name]] if isinstance(each.get(name), str) else each.get(name, []) for name in FIELDS}


def paired(
    paper: Paper, found: Sequence[FoundAmendment]
) -> Iterator[tuple[dict[str, list[str]] | None, FoundAmendment | None]]:
    """What is expected beside what was found: those that share most."""
    left = list(found)
    for each in paper.expected.get("found", []):
        wanted = expected_values(each)
        best = max(left, key=lambda one: _shared(wanted, values(one)), default=None)
        if best is not None:
            left.remove(best)
        yield wanted, best
    yield from ((None, each) for each in left)


def _shared(one: dict[str, list[str]], other: dict[str, list[str]]) -> int:
    return sum(len(set(one[name]) & set(other[name])) for name in FIELDS)


def pdf(pages: Sequence[str], trailer: str = "") -> bytes:
    """A PDF with a page for each text, a line for each of its lines."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for at, page in enumerate(pages):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F 3 0 R >> >> "
            f"/Contents {5 + 2 * at} 0 R >>"
        )
        content = _drawn(page)
        objects.append(f"<< /Length {len(content.encode('cp1252'))} >>\nstream\n{content}\nendstream")
    return assembled([each.encode("cp1252") for each in objects], trailer)


def _drawn(page: str) -> str:
    lines = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in page.strip("\n").split("\n")]
    return "BT /F 9 Tf 40 750 Td 12 TL\n" + "\n".join(f"({line}) Tj T*" for line in lines) + "\nET"


def assembled(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """Objects numbered from 1, the first being the catalog, as a file with its table."""
    body, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    return body + head + f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{len(body)}\n%%EOF".encode()


def _scanned() -> bytes:
    return pdf([""])


def _encrypted() -> bytes:
    """Locked by a password that nobody knows."""
    key = "<" + "41" * 32 + ">"
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O {key} /U {key} >> /ID [<00> <00>]"
    return pdf(["Ordinance No. 1, rezoning 1 Main Street from R-1 to R-2"], lock)


def _looping() -> bytes:
    """A tree of pages that is its own child."""
    return assembled([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"])


def _exploding() -> bytes:
    """A page of 200 kB that unpacks to 200 MB of text."""
    packed = zlib.compress(b"BT /F 9 Tf (" + b"A" * 200_000_000 + b") Tj ET", 9)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << /Font << /F 4 0 R >> >> /Contents 5 0 R >>"
    return assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            page,
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed),
        ]
    )


def _workbook() -> bytes:
    return b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml" + bytes(200)


def _torn() -> bytes:
    return b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R"


MADE = {
    "scanned": _scanned,
    "encrypted": _encrypted,
    "looping": _looping,
    "exploding": _exploding,
    "workbook": _workbook,
    "torn": _torn,
}
