"""A portal's columns to ours, a portal's CRS to the target."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.model import OWN_AXES, PARCELS, ZONING, Feed, Jurisdiction
from zoning_assets.transform.decode import value_names
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import content_hash, crs
from zoning_assets.transform.row_corrections import Fix, fixed, with_shapes

#: feed -> our columns that its jurisdiction file may fill, in the order in which they are hashed.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    PARCELS: ("zoning_code", "land_use", "address"),
    ZONING: ("code", "zone_type", "effective"),
}
#: Columns that servers keep for themselves and renumber, regenerate or recompute at will (docs/explanation/portals.md,
#: row 47). They stay in the raw pages; in `attributes` they would make every row of a republished layer look changed.
_MANAGED = re.compile(
    r"(.*\.)?(objectid(_\d+)?|fid|ogc_fid|globalid(_\d+)?|(st_)?(area|length|perimeter)\(shape\)"
    r"|shape([._ ]*(st)?_*(area|length|leng|len|ar|le|perimeter)(_+\d*|\(\))?)?)",
    re.IGNORECASE,
)


_DAY_MS = 86_400_000


def normalize(  # noqa: PLR0913 - a page, and everything that decides what becomes of it
    rows: Rows,
    *,
    jurisdiction: Jurisdiction,
    feed: Feed,
    layer: Mapping[str, Any],
    fixes: Mapping[int, Fix] = MappingProxyType({}),
    enough: int = 0,
) -> pd.DataFrame:
    """Rows in our columns and the target CRS; nothing is judged yet.

    Args:
        rows: a page as it was read; shapes in the layer's CRS.
        jurisdiction: gives bounds and target CRS.
        feed: gives key and field map.
        layer: what the feed type found out: `crs`, `dates` (columns of epoch milliseconds), `managed` (columns).
        fixes: what a person changed, by row.
        enough: fewer rows with a place do not tell that the CRS is wrong.

    Returns:
        Columns `key`, COLUMNS of the feed, `attributes` (JSON text), `row` (index in the page), `flaw`,
        `lon`, `lat` (representative point, degrees; NaN where there is none), `geometry` (target CRS; may be None).

    Raises:
        CrsRefused: the rows do not lie where the jurisdiction is.
    """
    source = crs.declared(layer.get("crs"), feed.crs)
    rows = fixed(rows, fixes) if fixes else rows
    shapes = crs.reproject(crs.straight(rows.geometry, feed.axes), source, jurisdiction.target_crs)
    shapes = with_shapes(shapes, fixes, jurisdiction.target_crs)
    points = representative_points(shapes, jurisdiction.target_crs)
    read_as = crs.spoken(layer.get("crs"), feed.crs)
    if np.count_nonzero(~np.isnan(points).any(axis=1)) >= enough:
        where, may_turn = f"{jurisdiction.id} {feed.name}", feed.type not in OWN_AXES
        crs.gate(points, jurisdiction.bounds, crs=read_as, where=where, may_turn=may_turn)
    texts = {
        "key": _keys(rows.attributes, feed),
        **_columns(rows.attributes, feed, layer),
        "flaw": [rows.flaws.get(row) for row in range(len(rows))],
    }
    places = {"row": np.arange(len(rows)), "lon": points[:, 0], "lat": points[:, 1]}
    return framed({**texts, "geometry": shapes}, places)


def framed(
    objects: Mapping[str, Sequence[Any] | npt.NDArray[Any]], numbers: Mapping[str, npt.NDArray[Any]]
) -> pd.DataFrame:
    """A table of columns of Python objects (text or None, shapes), whatever pandas would make of them, and of numbers.

    No GeoDataFrame: it asks for its CRS at each step, which for a page takes longer than the step.
    """
    return pd.DataFrame({**{name: pd.Series(values, dtype=object) for name, values in objects.items()}, **numbers})


def representative_points(shapes: npt.NDArray[np.object_], source: str) -> npt.NDArray[np.float64]:
    """The point that stands for each shape, (n, 2) longitude, latitude; NaN where a shape has none.

    Always found on the shape in degrees, so that every feed type and every target CRS finds the same one.
    """
    in_degrees = crs.reproject(shapes, source, crs.DEGREES)
    finite = np.isfinite(shapely.bounds(in_degrees)).all(axis=1)
    if not finite.all():
        in_degrees = in_degrees.copy()
        in_degrees[~finite] = None
    points = shapely.point_on_surface(in_degrees)
    points[shapely.is_empty(points)] = None
    return np.column_stack([shapely.get_x(points), shapely.get_y(points)])


def key_of(raw: Any) -> str | None:
    """A natural key as text with all its digits, see canonical.key; None where it says nothing."""
    return content_hash.key(raw)


def _columns(rows: Sequence[Mapping[str, Any]], feed: Feed, layer: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """Rows in our columns but for the key; what is not named and not managed by the server stays in `attributes`.

    Column by column, which is three times as fast as row by row.
    """
    ours, managed = set(feed.fields.values()), set(layer.get("managed", ()))
    theirs = sorted(set[str]().union(*rows) - ({feed.key} - ours))
    theirs = [name for name in theirs if name in ours or not (name in managed or is_managed(name))]
    cleaned = {
        name: _cleaned([row.get(name) for row in rows], is_date=name in layer.get("dates", ())) for name in theirs
    }
    nothing: list[Any] = [None] * len(rows)
    called, beside = _called(rows, cleaned, ours, layer)
    result = {name: _texts(called.get(feed.fields.get(name, ""), nothing)) for name in COLUMNS[feed.name]}
    rest = [name for name in theirs if name not in ours] + sorted(beside)
    cleaned |= beside
    values = zip(*(cleaned[name] for name in rest), strict=True) if rest else ((),) * len(rows)
    result["attributes"] = [
        content_hash.dumps({name: value for name, value in zip(rest, row, strict=True) if value is not None})
        for row in values
    ]
    return result


def _called(
    rows: Sequence[Mapping[str, Any]], cleaned: Mapping[str, list[Any]], ours: Collection[str], layer: Mapping[str, Any]
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The columns with what the portal calls their values, and what stands in `attributes` for that: the number that a
    name took the place of, or the name of a code."""
    called, beside = dict(cleaned), dict[str, list[Any]]()
    for name in sorted(set(ours) & set(cleaned)) if layer.get("names") else ():
        found = value_names.of_column(name, rows, layer["names"])
        if found is None:
            continue
        if value_names.has_numbers(name, layer["names"]):
            called[name] = [value if said is None else said for said, value in zip(found, cleaned[name], strict=True)]
            beside[name] = cleaned[name]
        else:
            beside[name + value_names.BESIDE] = found
    return called, beside


def _keys(rows: Sequence[Mapping[str, Any]], feed: Feed) -> list[str | None]:
    if not feed.key:
        return [None] * len(rows)
    return [content_hash.key(row.get(feed.key)) for row in rows]


def _cleaned(values: list[Any], *, is_date: bool) -> list[Any]:
    """A column's canonical values. Dates repeat themselves, and equal ones are looked at once."""
    form = _date if is_date else content_hash.value
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return content_hash.texts(values)
    if is_date and kinds <= {int}:
        once = {value: form(value) for value in set(values)}
        return [once[value] for value in values]
    if kinds == {float} and not is_date:
        return [None if value is None else content_hash.number(value) for value in values]
    if kinds <= {int, bool} and max(map(abs, filter(None, values)), default=0) < 2**63:
        return values
    return [form(value) for value in values]


def _date(raw: Any) -> Any:
    return (
        _day(raw // _DAY_MS)
        if type(raw) is int and raw % _DAY_MS == 0
        else content_hash.value(content_hash.epoch_ms(raw))
    )


@lru_cache(maxsize=1 << 16)
def _day(number: int) -> Any:
    """The form of a day's midnight; pages name the same days again and again."""
    return content_hash.value(content_hash.epoch_ms(number * _DAY_MS))


def _texts(values: list[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


@lru_cache(maxsize=4096)
def is_managed(name: str) -> bool:
    """Whether servers keep a column of this name for themselves."""
    return bool(_MANAGED.fullmatch(name))
