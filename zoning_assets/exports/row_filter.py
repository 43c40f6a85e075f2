"""A filter of rows in CQL2 text (OGC 21-065r2), converted to SQL.

The library cql2 parses the text. Its own SQL contains literals, so the SQL is built here from the parsed tree: names of
columns are those of the layer, values are parameters, and other operators are refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import count
from typing import Any

import cql2
import pyarrow as pa
import shapely
from psycopg import sql

from zoning_assets.errors import SettingInvalid
from zoning_assets.exports.layers import GEOMETRY, ExportLayer
from zoning_assets.transform.cql2_limits import DEEPEST, MOST_NESTING, is_too_deep

#: Characters of a filter.
_MOST_TEXT = 2000
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_DO = "compare columns with values, like \"zoning_code = 'R-1' AND area_m2 > 500\""


@dataclass(frozen=True)
class RowFilter:
    """A condition in SQL, with the values of its parameters. `text`: as it was given; "": all rows."""

    text: str = ""
    condition: sql.Composable = field(default_factory=lambda: sql.SQL("true"))
    values: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str, layer: ExportLayer, where: str = "--where") -> RowFilter:
    """Parse a filter.

    Args:
        text: CQL2 text: comparisons of a column with a value, AND, OR, NOT, BETWEEN, IN, LIKE, IS NULL, and
            S_INTERSECTS(geometry, ...) with a shape in longitude, latitude (degrees, EPSG:4326).
        layer: the layer that is filtered.
        where: the option, for messages.

    Raises:
        SettingInvalid: the text is not CQL2, or has an unknown column, an operator that is not allowed, or a value that
            does not fit the column.
    """
    if len(text) > _MOST_TEXT or is_too_deep(text) or "\x00" in text:
        what = (
            f"it has a NUL, a quote without an end, more than {_MOST_TEXT:,} characters, more than {MOST_NESTING}"
            f" parentheses, signs or NOT, or {DEEPEST + 1} nested parentheses"
        )
        raise SettingInvalid(what, where=where, do="give a shorter filter")
    try:
        tree = cql2.parse_text(text).to_json()
    except (cql2.ParseError, cql2.ValidationError, ValueError) as error:
        what = f"it is not CQL2: {str(error).splitlines()[0]}"
        raise SettingInvalid(what, where=where, do=_DO) from None
    builder = _ConditionBuilder(layer, {}, count())
    try:
        condition = builder.condition(tree)
    except ValueError as error:
        raise SettingInvalid(str(error), where=where, do=_DO) from None
    return RowFilter(text, condition, builder.values)


@dataclass(frozen=True)
class _ConditionBuilder:
    """Converts the tree of one filter. `values`: the parameters so far."""

    layer: ExportLayer
    values: dict[str, Any]
    numbers: Iterator[int]

    def condition(self, node: Any) -> sql.Composable:
        """Convert a node that is true or false.

        Raises:
            ValueError: it is not allowed; the message is the reason.
        """
        op: str | None = node.get("op") if isinstance(node, dict) else None
        args: Sequence[Any] = node.get("args", ()) if isinstance(node, dict) else ()
        if op in ("and", "or"):
            joined = sql.SQL(f" {op.upper()} ").join(map(self.condition, args))
            return sql.SQL("({})").format(joined)
        if op == "not":
            return sql.SQL("(NOT {})").format(self.condition(args[0]))
        if op == "s_intersects":
            return self._intersects(args)
        return self._comparison(op, args)

    def _comparison(self, op: str | None, args: Sequence[Any]) -> sql.Composable:
        name = self._column(args[0] if args else None)
        column = self._operand(name)
        if op == "isNull":
            return sql.SQL("({} IS NULL)").format(column)
        if op in _COMPARISONS:
            return sql.SQL(f"({{}} {op} {{}})").format(column, self._value(name, args[1]))
        if op == "between":
            lowest, highest = (self._value(name, each) for each in args[1:])
            return sql.SQL("({} BETWEEN {} AND {})").format(column, lowest, highest)
        if op == "in":
            return sql.SQL("({} IN ({}))").format(column, sql.SQL(", ").join(self._value(name, v) for v in args[1]))
        if op == "like" and self._is_text(name):
            return sql.SQL("({} LIKE {})").format(column, self._value(name, args[1]))
        message = f"the operator {op!r} is not allowed" + (f" for {name}" if op == "like" else "")
        raise ValueError(message)

    def _column(self, node: Any) -> str:
        name = node.get("property") if isinstance(node, dict) else None
        if name not in self.layer.columns:
            message = f"the left side {name or 'of a comparison'!r} is not one of: {', '.join(self.layer.columns)}"
            raise ValueError(message)
        return str(name)

    def _operand(self, name: str) -> sql.Composable:
        is_json = self.layer.columns[name] == pa.large_string()
        return sql.SQL("{}::text" if is_json else "{}").format(sql.Identifier(name))

    def _is_text(self, name: str) -> bool:
        return self.layer.columns[name] in (pa.string(), pa.large_string())

    def _value(self, name: str, node: Any) -> sql.Composable:
        kind = self.layer.columns[name]
        try:
            value = _converted(node, kind)
        except (TypeError, ValueError):
            message = f"{name} cannot be compared with {str(node)[:100]!r}: it is a {_NAMES[kind]}"
            raise ValueError(message) from None
        return self._parameter(value, _CASTS[kind])

    def _parameter(self, value: Any, cast: str) -> sql.Composable:
        name = f"filter_{next(self.numbers)}"
        self.values[name] = value
        return sql.SQL("{}" + cast).format(sql.Placeholder(name))

    def _intersects(self, args: Sequence[Any]) -> sql.Composable:
        name = args[0].get("property") if isinstance(args[0], dict) else None
        if name not in (GEOMETRY, "geom"):
            message = f"S_INTERSECTS needs the column {GEOMETRY} first, then a shape"
            raise ValueError(message)
        shape = self._parameter(shapely.to_wkb(_shape(args[1])), "::bytea")
        template = "ST_Intersects(geom, ST_Transform(ST_GeomFromWKB({}, 4326), {}))"
        return sql.SQL(template).format(shape, sql.Placeholder("srid"))


def _converted(node: Any, kind: pa.DataType) -> Any:
    """The value of a literal, in the type of a column.

    Raises:
        TypeError, ValueError: it does not fit.
    """
    if kind == pa.date32():
        return date.fromisoformat(node["date"] if isinstance(node, dict) else node)
    if kind == pa.timestamp("us", "UTC"):
        text = (node.get("timestamp") or node["date"]) if isinstance(node, dict) else node
        return datetime.fromisoformat(text)
    expected: tuple[type, ...] = {pa.float64(): (int, float), pa.bool_(): (bool,)}.get(kind, (str,))
    if type(node) not in expected:
        raise TypeError
    return node


def _shape(node: Any) -> shapely.Geometry:
    is_box = isinstance(node, dict) and len(node.get("bbox", ())) == 4
    try:
        found = shapely.box(*node["bbox"]) if is_box else shapely.geometry.shape(node)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError):
        message = "S_INTERSECTS needs a shape, like BBOX(-71.2, 42.3, -71.0, 42.4)"
        raise ValueError(message) from None
    west, south, east, north = found.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        message = "the shape is empty, or not in degrees with the longitude first"
        raise ValueError(message)
    return found


_NAMES = {
    pa.string(): "text",
    pa.large_string(): "text",
    pa.float64(): "number",
    pa.bool_(): "yes or no (true, false)",
    pa.date32(): "day, like DATE('2026-11-24')",
    pa.timestamp("us", "UTC"): "time, like TIMESTAMP('2026-11-24T18:00:00Z')",
}
_CASTS = {
    pa.string(): "::text",
    pa.large_string(): "::text",
    pa.float64(): "::float8",
    pa.bool_(): "::boolean",
    pa.date32(): "::date",
    pa.timestamp("us", "UTC"): "::timestamptz",
}
