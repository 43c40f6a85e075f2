"""Text to amendments: mentions of the whole text first, then each item with its own."""

from dataclasses import replace

from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances import amendment_status, dates, district_changes, district_codes, identifiers
from zoning_assets.ordinances.amendment_builder import amendment
from zoning_assets.ordinances.district_changes import Statement
from zoning_assets.ordinances.findings import Found, Mention
from zoning_assets.ordinances.items import assigned, items
from zoning_assets.ordinances.reading.document import Document
from zoning_assets.ordinances.spans import disjoint

MOST_CHARACTERS = 10_000_000


def extract(document: Document) -> tuple[Found, ...]:
    """The amendments of the zoning that a document tells of, one an item, in its order.

    Variances, special uses, plats and what is only talked about are no amendments.

    Raises:
        DocumentRefused: the text is longer than 10 million characters.
    """
    text = document.text
    mentioned, stated = scanned(document)
    parts = items(text, mentioned)
    own, statements = assigned(parts, mentioned), assigned(parts, stated)
    head = [] if parts[0].number else [each for each in own[0] if each.role == "meeting"]
    found = []
    for at, part in enumerate(parts):
        piece = "\n\n".join(text[start:end] for start, end in part.pieces)
        found.append(amendment(text, piece, own[at], statements[at], head if at else ()))
    return tuple(each for each in found if each)


def mentions(document: Document) -> tuple[Mention, ...]:
    """All that the text mentions, in its order; of codes only those in a statement of change.

    Raises:
        DocumentRefused: the text is longer than 10 million characters.
    """
    return tuple(scanned(document)[0])


def scanned(document: Document) -> tuple[list[Mention], list[Statement]]:
    """The mentions in the text's order, and the statements of change.

    Raises:
        DocumentRefused: the text is longer than 10 million characters.
    """
    text = document.text
    if len(text) > MOST_CHARACTERS:
        raise DocumentRefused(f"holds more than {MOST_CHARACTERS:,} characters", where="document", do="split it")
    dated = disjoint(dates.dates(text))
    numbers = disjoint([*dated, *identifiers.ordinances(text), *identifiers.parcels(text), *identifiers.cases(text)])
    stated = district_changes.statements(text)
    coded = [mention for each in stated for mention in district_codes.mentions(text, each.old, each.new)]
    every = sorted([*numbers, *coded, *amendment_status.statuses(text)], key=lambda each: each.start)
    return [replace(each, page=document.page(each.start)) for each in every], stated
