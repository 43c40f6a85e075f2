"""CQL2 filters of requests: parsed by the library cql2, and checked before they become SQL.

The library passes a function that it does not know to the database by its name, and its parser is recursive: a filter
with thousands of parentheses ends the process. So a filter has a limited size and depth, and only the operators of the
standard and the columns of the collection may occur in it.
"""

from collections.abc import Collection, Sequence
from typing import Any

from cql2 import Expr
from fastapi import HTTPException

from zoning_assets.api.ogc_crs import CRS84, to_crs84
from zoning_assets.transform.cql2_limits import is_too_deep

#: Characters of a filter.
_LONGEST = 4_000
_GEOMETRIES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
)
#: The operators and functions that PostGIS evaluates as the standard defines them.
_OPERATORS = frozenset(
    {
        "and", "or", "not", "=", "<>", "<", ">", "<=", ">=", "isNull", "like", "between", "in", "casei",
        "+", "-", "*", "/", "%", "div", "^",
        "s_intersects", "s_disjoint", "s_contains", "s_within", "s_touches", "s_crosses", "s_overlaps", "s_equals",
        "t_after", "t_before", "t_equals", "t_disjoint", "t_intersects",
        "a_contains", "a_containedby", "a_overlaps", "a_equals",
    }
)  # fmt: skip


def parsed(text: str, columns: Collection[str], crs: str = CRS84) -> Expr:
    """Parse a filter, CQL2 text or JSON.

    Args:
        text: the filter.
        columns: the columns that it may name.
        crs: of its geometries, a key of ogc_crs.SUPPORTED.

    Raises:
        HTTPException: 400, it is not valid, too long, or names something else.
    """
    is_deep = not text.lstrip().startswith("{") and is_too_deep(text)
    if len(text) > _LONGEST or is_deep or "\x00" in text:
        raise HTTPException(400, f"the filter has more than {_LONGEST} characters, or nests too deeply")
    try:
        tree = Expr(text).to_json()
        return Expr(_checked(tree, columns, crs))
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - the library raises the base class
        raise HTTPException(400, "the filter is not valid CQL2") from None


def _checked(node: Any, columns: Collection[str], crs: str) -> Any:
    """The filter with its geometries in CRS84."""
    if not isinstance(node, dict):
        return [_checked(each, columns, crs) for each in node] if isinstance(node, list) else node
    if "property" in node:
        if node["property"] not in columns:
            raise HTTPException(400, "the filter names a property that the collection does not have")
        return node
    if "bbox" in node:
        return to_crs84(polygon_of(node["bbox"]), crs)
    if node.get("type") in _GEOMETRIES:
        return to_crs84(node, crs)
    if "op" in node:
        if node["op"] not in _OPERATORS:
            raise HTTPException(400, "the filter has an operator or a function that is not supported")
        return {"op": node["op"], "args": _checked(node.get("args", []), columns, crs)}
    if set(node) <= {"date", "timestamp", "interval"}:
        return {name: _checked(value, columns, crs) for name, value in node.items()}
    raise HTTPException(400, "the filter has a part that is not supported")


def polygon_of(numbers: Sequence[float]) -> dict[str, Any]:
    """The polygon of a box of 4 or 6 numbers, as GeoJSON."""
    west, south, east, north = numbers if len(numbers) == 4 else (*numbers[0:2], *numbers[3:5])
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}
