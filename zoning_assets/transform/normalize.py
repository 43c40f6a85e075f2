"""Map a portal's columns to ours, and reproject its shapes to the target CRS."""

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
from zoning_assets.transform.row_corrections import Fix, with_corrected_columns, with_corrected_shapes

#: Feed -> our columns that a jurisdiction file can map, in the order in which they are hashed.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    PARCELS: ("zoning_code", "land_use", "address"),
    ZONING: ("code", "zone_type", "effective"),
}
#: Columns that servers manage themselves and may renumber, regenerate or recompute, such as OBJECTID, GlobalID and
#: Shape_Area (agrc/forklift#341; a release of Cambridge, Massachusetts, regenerated every GlobalID). They stay in the
#: raw pages. In `attributes` they would make every row of a republished layer look changed.
_MANAGED = re.compile(
    r"(.*\.)?(objectid(_\d+)?|fid|ogc_fid|globalid(_\d+)?|(st_)?(area|length|perimeter)\(shape\)"
    r"|shape([._ ]*(st)?_*(area|length|leng|len|ar|le|perimeter)(_+\d*|\(\))?)?)",
    re.IGNORECASE,
)


_DAY_MS = 86_400_000


def normalize(  # noqa: PLR0913 - a page and all settings that affect it
    rows: Rows,
    *,
    jurisdiction: Jurisdiction,
    feed: Feed,
    layer: Mapping[str, Any],
    fixes: Mapping[int, Fix] = MappingProxyType({}),
    fewest_points: int = 0,
) -> pd.DataFrame:
    """Convert a page's rows to our columns and the target CRS. Nothing is validated yet.

    Args:
        rows: a decoded page; shapes in the layer's CRS.
        jurisdiction: gives bounds and target CRS.
        feed: gives key, field map and axis order.
        layer: what the source found out about the layer: `crs`, `dates` (columns of epoch milliseconds), `managed`
            (columns), `names` (coded values).
        fixes: corrections by a person, by row index.
        fewest_points: with fewer located rows, the CRS is not checked.

    Returns:
        Columns `key`, COLUMNS of the feed, `attributes` (JSON text), `row` (index in the page), `flaw`, `lon`, `lat`
            (representative point; degrees, EPSG:4326; NaN if the row has no shape), `geometry` (target CRS; may be
            None).

    Raises:
        CrsRefused: most rows lie outside the jurisdiction.
    """
    source = crs.declared(layer.get("crs"), feed.crs)
    rows = with_corrected_columns(rows, fixes) if fixes else rows
    shapes = crs.reproject(crs.x_first(rows.geometry, feed.axes), source, jurisdiction.target_crs)
    shapes = with_corrected_shapes(shapes, fixes, jurisdiction.target_crs)
    points = representative_points(shapes, jurisdiction.target_crs)
    read_as = crs.declared_for_people(layer.get("crs"), feed.crs)
    if np.count_nonzero(~np.isnan(points).any(axis=1)) >= fewest_points:
        where, may_turn = f"{jurisdiction.id} {feed.name}", feed.type not in OWN_AXES
        crs.check_bounds(points, jurisdiction.bounds, crs=read_as, where=where, has_axes_key=may_turn)
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
    """Build a table from columns of Python objects (text, shapes, None), kept as they are, and from columns of numbers.

    A GeoDataFrame is avoided: it checks its CRS at each step, which takes longer than the step for one page.
    """
    return pd.DataFrame({**{name: pd.Series(values, dtype=object) for name, values in objects.items()}, **numbers})


def text_values(column: pd.Series) -> list[str | None]:
    """Return a text column as a list of text or None, without NaN."""
    return [value if isinstance(value, str) else None for value in column.tolist()]


def representative_points(shapes: npt.NDArray[np.object_], source: str) -> npt.NDArray[np.float64]:
    """A point on the surface of each shape.

    It is computed in degrees, so that every feed type and every target CRS gives the same point.

    Args:
        shapes: in the CRS `source`; may be None.
        source: such as `EPSG:2249`.

    Returns:
        (n, 2) longitude, latitude; degrees, EPSG:4326; NaN where there is no shape.
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
    """A natural key as text with all its digits, see content_hash.key; None if it is empty."""
    return content_hash.key(raw)


def _columns(rows: Sequence[Mapping[str, Any]], feed: Feed, layer: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """Rows in our columns, without the key. Columns that are neither mapped nor managed by the server go to
    `attributes`.

    It works column by column, which is three times as fast as row by row.
    """
    ours, managed = set(feed.fields.values()), set(layer.get("managed", ()))
    theirs = sorted(set[str]().union(*rows) - ({feed.key} - ours))
    theirs = [name for name in theirs if name in ours or not (name in managed or is_managed(name))]
    cleaned = {
        name: cleaned_values([row.get(name) for row in rows], is_date=name in layer.get("dates", ())) for name in theirs
    }
    missing: list[Any] = [None] * len(rows)
    decoded, extra = decoded_values(rows, cleaned, ours, layer)
    result = {name: _texts(decoded.get(feed.fields.get(name, ""), missing)) for name in COLUMNS[feed.name]}
    rest = [name for name in theirs if name not in ours] + sorted(extra)
    cleaned |= extra
    values = zip(*(cleaned[name] for name in rest), strict=True) if rest else ((),) * len(rows)
    result["attributes"] = [
        content_hash.dumps({name: value for name, value in zip(rest, row, strict=True) if value is not None})
        for row in values
    ]
    return result


def decoded_values(
    rows: Sequence[Mapping[str, Any]], cleaned: Mapping[str, list[Any]], ours: Collection[str], layer: Mapping[str, Any]
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The columns with coded values replaced by their names; and what goes to `attributes` in addition: the number that
    a name replaced, or the name of a code that was kept.
    """
    decoded, extra = dict(cleaned), dict[str, list[Any]]()
    for name in sorted(set(ours) & set(cleaned)) if layer.get("names") else ():
        found = value_names.names_of_column(name, rows, layer["names"])
        if found is None:
            continue
        if value_names.has_numeric_codes(name, layer["names"]):
            decoded[name] = [
                value if name_ is None else name_ for name_, value in zip(found, cleaned[name], strict=True)
            ]
            extra[name] = cleaned[name]
        else:
            extra[name + value_names.NAME_SUFFIX] = found
    return decoded, extra


def _keys(rows: Sequence[Mapping[str, Any]], feed: Feed) -> list[str | None]:
    if not feed.key:
        return [None] * len(rows)
    return [content_hash.key(row.get(feed.key)) for row in rows]


def cleaned_values(values: list[Any], *, is_date: bool) -> list[Any]:
    """The canonical values of a column. Equal dates are converted once."""
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
    """The canonical form of midnight of a day; pages repeat the same days."""
    return content_hash.value(content_hash.epoch_ms(number * _DAY_MS))


def _texts(values: list[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


@lru_cache(maxsize=4096)
def is_managed(name: str) -> bool:
    """Whether servers usually manage a column of this name themselves."""
    return bool(_MANAGED.fullmatch(name))
