"""Match column names that a layer's description, a jurisdiction file and the rows spell differently."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from zoning_assets.transform.decode.rows import Rows


def find_column(name: str, names: Iterable[str]) -> str | None:
    """Find the column that `name` means.

    An equal name comes first, then one that differs in case, then one that differs in a table name before a dot
    (`parcels.PIN`).

    Returns:
        One of `names`; None if no name matches, or more than one.
    """
    known = list(names)
    if name in known:
        return name
    wanted = name.casefold()
    for same in (_is_equal, _is_qualified):
        found = [each for each in known if same(each.casefold(), wanted)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _is_equal(one: str, other: str) -> bool:
    return one == other


def _is_qualified(one: str, other: str) -> bool:
    return one.endswith(f".{other}") or other.endswith(f".{one}")


def with_column_names(rows: Rows, wanted: Collection[str]) -> Rows:
    """The rows with the wanted columns under the wanted names, where the rows only spell them differently."""
    if not rows.attributes or all(name in rows.attributes[0] for name in wanted):
        return rows
    names = dict.fromkeys(name for row in rows.attributes for name in row)
    found = {find_column(name, names): name for name in wanted if name not in names}
    found.pop(None, None)
    if not found:
        return rows
    attributes = [{found.get(name, name): value for name, value in row.items()} for row in rows.attributes]
    return replace(rows, attributes=attributes)
