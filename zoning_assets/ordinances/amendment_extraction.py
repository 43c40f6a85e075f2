"""Find the amendments in a text: first all mentions, then one amendment per item of the document."""

from dataclasses import replace

from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances import amendment_status, dates, district_changes, district_codes, identifiers
from zoning_assets.ordinances.amendment_builder import build_amendment
from zoning_assets.ordinances.district_changes import Statement
from zoning_assets.ordinances.findings import FoundAmendment, Mention
from zoning_assets.ordinances.items import assign_to_items, split_items
from zoning_assets.ordinances.reading.document import Document
from zoning_assets.ordinances.spans import without_overlaps

MAX_CHARACTERS = 10_000_000


def extract(document: Document) -> tuple[FoundAmendment, ...]:
    """Return the amendments of the zoning in a document, at most one per item, in the order of the text.

    Variances, special uses, plats and mere discussions are not amendments.

    Raises:
        DocumentRefused: the text is longer than 10 million characters.
    """
    text = document.text
    mentioned, stated = scan(document)
    parts = split_items(text, mentioned)
    own, statements = assign_to_items(parts, mentioned), assign_to_items(parts, stated)
    head = [] if parts[0].number else [each for each in own[0] if each.role == "meeting"]
    found = []
    for at, part in enumerate(parts):
        piece = "\n\n".join(text[start:end] for start, end in part.pieces)
        found.append(build_amendment(text, piece, own[at], statements[at], head if at else ()))
    return tuple(each for each in found if each)


def mentions(document: Document) -> tuple[Mention, ...]:
    """Return all mentions in the order of the text; of codes only those in a statement of change.

    Raises:
        DocumentRefused: the text is longer than 10 million characters.
    """
    return tuple(scan(document)[0])


def scan(document: Document) -> tuple[list[Mention], list[Statement]]:
    """Return the mentions in the order of the text, and the statements of change.

    Raises:
        DocumentRefused: the text is longer than 10 million characters.
    """
    text = document.text
    if len(text) > MAX_CHARACTERS:
        raise DocumentRefused(f"has more than {MAX_CHARACTERS:,} characters", where="document", do="split it")
    dated = without_overlaps(dates.find_dates(text))
    ordinances, parcels = identifiers.find_ordinances(text), identifiers.find_parcels(text)
    numbers = without_overlaps([*dated, *ordinances, *parcels, *identifiers.find_cases(text)])
    stated = district_changes.find_statements(text)
    coded = [mention for each in stated for mention in district_codes.code_mentions(text, each.old, each.new)]
    every = sorted([*numbers, *coded, *amendment_status.find_statuses(text)], key=lambda each: each.start)
    return [replace(each, page=document.page(each.start)) for each in every], stated
