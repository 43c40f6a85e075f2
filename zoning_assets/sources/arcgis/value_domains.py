"""The names that an ArcGIS layer gives to coded values: domains and subtypes, in the form of value_names.

Source: ArcGIS REST API, "Layer (Feature Service)": `fields[].domain`, `typeIdField`, `types[].domains`; newer servers
have the same as `subtypeField`, `subtypes`.
"""

from collections.abc import Collection, Mapping
from typing import Any

from zoning_assets.transform.geometry import content_hash

#: The most entries of one domain.
_MOST_VALUES = 20_000


def names_of(document: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return the names of coded values, from a layer's metadata; {} if it has none.

    Args:
        document: the layer's metadata.
        columns: the columns to return.

    Returns:
        `columns`: column -> value as text -> name. `subtype`: the column of the subtype, and `subtypes`: its value as
        text -> column -> value -> name; these take precedence over `columns`.
    """
    fields = [each for each in document.get("fields") or () if isinstance(each, dict)]
    found = {str(each.get("name")): _coded(each.get("domain")) for each in fields}
    subtype, kinds = _subtypes(document)
    found |= {subtype: {key: str(kind.get("name")) for key, kind in kinds.items()}} if subtype else {}
    wanted = {name: values for name, values in found.items() if name in columns and values}
    by_kind = {key: _of_kind(kind, columns) for key, kind in kinds.items()}
    by_kind = {key: each for key, each in by_kind.items() if each}
    result: dict[str, Any] = {"columns": wanted} if wanted else {}
    return result | ({"subtype": subtype, "subtypes": by_kind} if by_kind else {})


def _subtypes(document: Mapping[str, Any]) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """The column of the subtype, and the subtypes by its value."""
    for column, listed, value in (("subtypeField", "subtypes", "code"), ("typeIdField", "types", "id")):
        found = document.get(listed)
        kinds = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        name = document.get(column)
        if isinstance(name, str) and name and kinds:
            keys = [content_hash.key(each.get(value)) for each in kinds]
            return name, {key: kind for key, kind in zip(keys, kinds, strict=True) if key is not None}
    return "", {}


def _of_kind(kind: Mapping[str, Any], columns: Collection[str]) -> dict[str, dict[str, str]]:
    """The domains of a subtype; an inherited domain is that of the column."""
    domains = kind.get("domains")
    found = {name: _coded(domain) for name, domain in domains.items()} if isinstance(domains, dict) else {}
    return {str(name): values for name, values in found.items() if values and name in columns}


def _coded(domain: Any) -> dict[str, str]:
    """A coded-value domain as value -> name; {} for a range, or if every value is its own name."""
    listed = domain.get("codedValues") if isinstance(domain, dict) else None
    found: dict[str, str] = {}
    for each in listed[:_MOST_VALUES] if isinstance(listed, list) else ():
        key = content_hash.key(each.get("code")) if isinstance(each, dict) else None
        if key is not None and isinstance(each.get("name"), str) and each["name"].strip():
            found[key] = each["name"].strip()
    return found if any(key != name for key, name in found.items()) else {}
