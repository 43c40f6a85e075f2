"""What a portal calls a value: domains and subtypes. Pure.

A number says nothing by itself, and is renumbered at will: its name takes its place in our column. A text is a code
already ("R-1") and stays; its name stands beside it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from zoning_assets.transform.geometry import content_hash

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
#: Behind a column's name, for the name of a value that is a code already.
BESIDE = "_name"


def of_column(column: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, Any]) -> list[str | None] | None:
    """Each row's value of a column by its name, None where it has none; None where the column has no names.

    Args:
        column: theirs.
        rows: as the portal gave them.
        names: `columns`, `subtype` and `subtypes`, as value_domains.names_of has them.
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


def has_numbers(column: str, names: Mapping[str, Any]) -> bool:
    """Whether all values that a column's domains name are numbers, which their names replace.

    A property of the layer: the same code has the same form on every page. One value that is no number, in the domain
    of the column or of any subtype, and the codes of the column stay.
    """
    domains = [names.get("columns", {}), *names.get("subtypes", {}).values()]
    return all(_NUMBER.fullmatch(value) for domain in domains for value in domain.get(column, ()))
