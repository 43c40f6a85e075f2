"""Names of coded values: domains and subtypes of a portal.

A number has no meaning of its own and may be renumbered, so its name replaces it in our column. A text ("R-1") is a
code already: it is kept, and its name gets a column of its own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from zoning_assets.transform.geometry import content_hash

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
#: Suffix of the column with the names of text codes.
NAME_SUFFIX = "_name"


def names_of_column(
    column: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, Any]
) -> list[str | None] | None:
    """Return the name of each row's value, None if the value has none; None if the column has no names at all.

    Args:
        column: the portal's column.
        rows: attributes as the portal sent them.
        names: `columns`, `subtype` and `subtypes`, see value_domains.names_of.
    """
    common: Mapping[str, str] = names.get("columns", {}).get(column, {})
    kinds = {kind: each[column] for kind, each in names.get("subtypes", {}).items() if column in each}
    if not common and not kinds:
        return None
    subtype = names.get("subtype", "")
    found = []
    for row in rows:
        own = kinds.get(content_hash.key(row.get(subtype)) or "", common) if kinds else common
        found.append(own.get(content_hash.key(row.get(column)) or ""))
    return found


def has_numeric_codes(column: str, names: Mapping[str, Any]) -> bool:
    """Whether all codes in a column's domains are numbers, so that names replace them.

    This depends on the layer only, so that all pages are treated alike. If one code in the domain of the column or of
    any subtype is not a number, the codes are kept.
    """
    domains = [names.get("columns", {}), *names.get("subtypes", {}).values()]
    return all(_NUMBER.fullmatch(value) for domain in domains for value in domain.get(column, ()))
