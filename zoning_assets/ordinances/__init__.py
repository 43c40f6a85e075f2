"""Ordinances and minutes: what a document says was, or was not, done to the zoning.

What belongs here: reading HTML and text PDFs of strangers (`reading`), and rules that find amendments in the text
(`extract`) or in a Legistar matter (`legistar`). What does not: fetching documents, deciding what is published, OCR.
A model or a service is never asked: each finding is a span of the text and a rule that a person can read.
"""

from zoning_assets.ordinances.amendment_conversion import amendments_of, amendments_of_matter
from zoning_assets.ordinances.amendment_extraction import extract
from zoning_assets.ordinances.findings import Change, Found, Mention
from zoning_assets.ordinances.reading.document import Document
from zoning_assets.ordinances.reading.document_reader import Limits, read

__all__ = [
    "Change",
    "Document",
    "Found",
    "Limits",
    "Mention",
    "amendments_of",
    "amendments_of_matter",
    "extract",
    "read",
]
