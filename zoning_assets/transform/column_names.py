"""Column names that a description, a jurisdiction file and the rows spell differently."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from zoning_assets.transform.decode.rows import Rows


def spelled(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that means the column `name`: the same, else apart from case, else apart from a table's name
    before a dot (`parcels.PIN`). None where there is none, or more than one.
    """
    known = list(names)
    if name in known:
        return name
    wanted = name.casefold()
    for same in (_folded, _qualified):
        found = [each for each in known if same(each.casefold(), wanted)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _folded(one: str, other: str) -> bool:
    return one == other


def _qualified(one: str, other: str) -> bool:
    return one.endswith(f".{other}") or other.endswith(f".{one}")


def respelled(rows: Rows, wanted: Collection[str]) -> Rows:
    """The rows with the wanted columns under the names wanted, where no row has them and only the spelling differs."""
    if not rows.attributes or all(name in rows.attributes[0] for name in wanted):
        return rows
    names = dict.fromkeys(name for row in rows.attributes for name in row)
    found = {spelled(name, names): name for name in wanted if name not in names}
    found.pop(None, None)
    if not found:
        return rows
    attributes = [{found.get(name, name): value for name, value in row.items()} for row in rows.attributes]
    return replace(rows, attributes=attributes)
