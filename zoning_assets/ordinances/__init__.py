"""Find amendments of the zoning in ordinances, minutes and Legistar matters.

What belongs here: the extraction of text from untrusted HTML and PDF documents (`reading`), and the rules that find
amendments in a text (amendment_extraction) or in a Legistar matter (legistar). What does not: fetching documents,
deciding what is published, OCR. No language model and no external service is used: each finding consists of spans of
the text and rules that a person can check.
"""

from zoning_assets.ordinances.amendment_conversion import amendments_in_document, amendments_in_matter
from zoning_assets.ordinances.amendment_extraction import extract
from zoning_assets.ordinances.findings import CodeChange, FoundAmendment, Mention
from zoning_assets.ordinances.reading.document import Document
from zoning_assets.ordinances.reading.document_reader import Limits, read_document

__all__ = [
    "CodeChange",
    "Document",
    "FoundAmendment",
    "Limits",
    "Mention",
    "amendments_in_document",
    "amendments_in_matter",
    "extract",
    "read_document",
]
