"""Convert the findings in a document to amendments that can be stored and matched."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from zoning_assets.model import Amendment
from zoning_assets.ordinances import legistar
from zoning_assets.ordinances.amendment_extraction import extract
from zoning_assets.ordinances.findings import DATE, FoundAmendment
from zoning_assets.ordinances.reading.document_reader import read_document


def amendments_in_document(body: bytes, jurisdiction: str, source: str) -> list[Amendment]:
    """Return the amendments in an HTML or PDF document.

    Raises:
        DocumentRefused: the document cannot be read, or exceeds a limit.
    """
    found = extract(read_document(body, name=source))
    return [_amendment(each, jurisdiction, source, hashlib.sha256(body).hexdigest()) for each in found]


def amendments_in_matter(
    matter: Mapping[str, Any], histories: Sequence[Mapping[str, Any]], jurisdiction: str, source: str
) -> list[Amendment]:
    """Return the amendments in a matter of Legistar's Web API and its histories, as decoded from JSON.

    Raises:
        DocumentRefused: the input is not a matter with its histories.
    """
    found = legistar.find_amendment(matter, histories)
    digest = hashlib.sha256(orjson.dumps([matter, histories], option=orjson.OPT_SORT_KEYS)).hexdigest()
    return [_amendment(found, jurisdiction, source, digest)] if found else []


def _amendment(found: FoundAmendment, jurisdiction: str, source: str, digest: str) -> Amendment:
    """Convert a finding: the last date of each role, all mentions as evidence, a question for each impossible date."""
    wrong = [each for each in found.mentions if each.kind == DATE and each.value is None]
    spans = [[each.kind, each.text[:200], each.value, each.start, each.end, each.page] for each in found.mentions[:200]]
    return Amendment(
        jurisdiction=jurisdiction,
        case_numbers=found.case_numbers,
        ordinance_numbers=found.ordinance_numbers,
        kind=found.kind,
        status=found.status,
        dates={role: max(days).isoformat() for role, days in found.dates.items() if days},
        parcel_ids=found.parcels,
        place=found.place,
        old_codes=found.old_codes,
        new_codes=found.new_codes,
        source=source,
        source_hash=digest,
        confidence=round(found.confidence, 3),
        questions=tuple(f"the {each.role or 'named'} date is {each.text!r:.60}: which day is meant?" for each in wrong),
        evidence={"reasons": list(found.reasons), "mentions": spans},
    )
