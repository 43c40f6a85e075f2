"""Decode the documents of catalogues, detect their form, and read them. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from zoning_assets.onboarding.catalogues import arcgis_catalogues, distribution_lists, openaddresses
from zoning_assets.onboarding.catalogues.catalogue_entry import CatalogueReading, EntryProblem, with_distinct_ids
from zoning_assets.onboarding.catalogues.entry_address import CheckAddress

#: The largest document, bytes; a data.json of a large city has about 20 MiB.
MOST_BYTES = 64 << 20
_DO = "give a source file of OpenAddresses, an answer of ArcGIS Hub, ArcGIS Online or CKAN, or a data.json (DCAT-US)"


def read(body: bytes, where: str, check: CheckAddress) -> CatalogueReading:
    """Read one document. One that is not a catalogue is a problem, not an error.

    Args:
        body: the document.
        where: the file or address, for messages.
        check: refuses addresses in numbers (entry_address.py).
    """
    try:
        document = decode(body)
    except ValueError as error:
        return CatalogueReading("", problems=[EntryProblem(where, "", str(error), _DO)])
    if openaddresses.matches(document):
        return openaddresses.read(document, where, check)
    if distribution_lists.form_of(document):
        return distribution_lists.read(document, where, check)
    if arcgis_catalogues.form_of(document):
        return arcgis_catalogues.read(document, where, check)
    return CatalogueReading("", problems=[EntryProblem(where, "", "it is not a catalogue that is known", _DO)])


def decode(body: bytes) -> Any:
    """Decode JSON.

    Raises:
        ValueError: it is too large, nested too deep, or not JSON.
    """
    if len(body) > MOST_BYTES:
        message = f"it has more than {MOST_BYTES >> 20} MiB"
        raise ValueError(message)
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        message = "the JSON is nested too deep"
        raise ValueError(message) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = f"it is not JSON{_hint(body)}"
        raise ValueError(message) from None


def _hint(body: bytes) -> str:
    return " but a web page" if body.lstrip()[:1] == b"<" else ""


def merged(readings: Iterable[CatalogueReading]) -> CatalogueReading:
    """The readings of several documents as one, with distinct ids."""
    every = list(readings)
    form = ", ".join(dict.fromkeys(each.form for each in every if each.form))
    found = CatalogueReading(form, remark="; ".join(dict.fromkeys(each.remark for each in every if each.remark)))
    found.entries.extend(with_distinct_ids(entry for each in every for entry in each.entries))
    for each in every:
        found.problems.extend(each.problems)
        found.passed_over.update(each.passed_over)
    return found
