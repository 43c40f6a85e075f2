"""Draw a map as PNG: rows coloured by zoning code, repaired and rejected rows marked, with a legend."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from PIL import Image, ImageDraw, ImageFont

Geometries = npt.NDArray[np.object_]
Colour = tuple[int, int, int]

_SIZE, _MARGIN, _LINE, _FONT_SIZE = 640, 8, 22, 14  # pixels
#: The most outlines of one map: more make it slower to draw and no easier to read.
_MAX_SHAPES = 2_000
#: The most characters of a label in the legend.
_MAX_LABEL = 24
#: Colours for the most frequent codes, the first six from the palette of Okabe and Ito; all other codes share one grey.
_CODE_COLOURS: Sequence[Colour] = (
    (86, 180, 233), (240, 228, 66), (0, 158, 115), (204, 121, 167), (0, 114, 178), (230, 159, 0),
    (178, 223, 138), (153, 112, 171),
)  # fmt: skip
_GREY, _PALE, _INK, _AMBER, _RED = (189, 195, 203), (226, 230, 235), (87, 96, 106), (217, 119, 0), (209, 36, 47)


@dataclass(frozen=True)
class Sketch:
    """Outlines for a map, as WKB in the target CRS (x, y). `codes`: the zoning code of each accepted outline, or ""."""

    accepted: tuple[bytes, ...] = ()
    codes: tuple[str, ...] = ()
    repaired: tuple[bytes, ...] = ()
    rejected: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class MapLayer:
    """Shapes of one colour and one line of the legend. `marked`: drawn as thick outlines, each with a circle."""

    label: str
    colour: Colour
    shapes: Geometries = field(default_factory=lambda: np.array([], dtype=object))
    marked: bool = False


def sketch(table: pd.DataFrame, before: pd.DataFrame, rejections: pd.DataFrame) -> Sketch:
    """Select the outlines of one part: a sample of the accepted rows, and the repaired and rejected rows with a shape.

    Args:
        table: validated rows: `geometry`, `repair`, and `zoning_code` or `code`.
        before: the same rows before validation: `page`, `row`, `geometry`.
        rejections: `page`, `row`.
    """
    is_repaired = table["repair"].notna().to_numpy()
    shapes, codes = table["geometry"].to_numpy(), _codes(table)
    step = max(1, int((~is_repaired).sum()) * 4 // _MAX_SHAPES)
    sample = np.flatnonzero(~is_repaired)[::step]
    sample = sample[_drawable(shapes[sample])][:_MAX_SHAPES]
    names = set(zip(rejections["page"], rejections["row"], strict=True))
    pages, drawn = before["page"].to_numpy(), before["geometry"].to_numpy()
    likely = np.flatnonzero(before["row"].isin(rejections["row"])).tolist() if names else []
    held = [at for at in likely if (pages[at], before["row"].iat[at]) in names]
    labels = tuple(codes[sample].tolist())
    return Sketch(outlines(shapes[sample]), labels, outlines(shapes[is_repaired]), outlines(drawn[held]))


def outlines(shapes: Geometries) -> tuple[bytes, ...]:
    """Return shapes as WKB, at most _MAX_SHAPES."""
    return tuple(shapely.to_wkb(shapes[_drawable(shapes)][:_MAX_SHAPES]).tolist())


def draw_sketches(sketches: Iterable[Sketch]) -> bytes:
    """Draw all parts of a tile or jurisdiction as one PNG."""
    parts = list(sketches)
    accepted = _shapes(wkb for each in parts for wkb in each.accepted)
    codes = np.array([code for each in parts for code in each.codes], dtype=object)[:_MAX_SHAPES]
    marks = {"repaired": (_AMBER, "repaired"), "rejected": (_RED, "rejected")}
    found = {name: _shapes(wkb for each in parts for wkb in getattr(each, name)) for name in marks}
    marked = [
        MapLayer(label, colour, found[name], marked=True) for name, (colour, label) in marks.items() if len(found[name])
    ]
    return draw([*layers_by_code(accepted, codes), *marked])


def layers_by_code(shapes: Geometries, codes: Geometries) -> list[MapLayer]:
    """Return one layer for each of the most frequent codes, one for other codes, and one for shapes without a code."""
    often = [code for code, _ in Counter(code for code in codes.tolist() if code).most_common(len(_CODE_COLOURS))]
    layers = [
        MapLayer(code, colour, shapes[codes == code])
        for code, colour in zip(sorted(often), _CODE_COLOURS, strict=False)
    ]
    other, none = ~np.isin(codes, [*often, ""]), codes == ""
    others = len(set(codes[other].tolist()))
    layers += [MapLayer(f"{others} other codes", _GREY, shapes[other])] if others else []
    without = "accepted" if not often else "without a code"
    return layers + ([MapLayer(without, _PALE, shapes[none])] if none.any() else [])


def draw(layers: Sequence[MapLayer]) -> bytes:
    """Draw a PNG: the layers on white, the first at the bottom, north up; the legend is below the map."""
    frame = _frame([layer for layer in layers if not layer.marked] or layers)
    image = Image.new("RGB", (_SIZE, frame.height + _MARGIN + -(-len(layers) // 3) * _LINE), "white")
    pen = ImageDraw.Draw(image)
    for layer in layers:
        for ring in _rings(layer.shapes, frame):
            _draw_ring(pen, ring, layer)
    _draw_legend(pen, layers, frame.height)
    buffer = io.BytesIO()
    image.quantize(32, Image.Quantize.FASTOCTREE).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _draw_ring(pen: ImageDraw.ImageDraw, ring: list[float], layer: MapLayer) -> None:
    if not layer.marked:
        pen.polygon(ring, fill=layer.colour, outline=_INK)
        return
    pen.line(ring, fill=layer.colour, width=2)
    x, y = ring[:2]
    pen.ellipse((x - 5, y - 5, x + 5, y + 5), outline=layer.colour, width=2)


def _draw_legend(pen: ImageDraw.ImageDraw, layers: Sequence[MapLayer], top: int) -> None:
    font = ImageFont.load_default(_FONT_SIZE)
    for number, layer in enumerate(layers):
        x, y = _MARGIN + (number % 3) * (_SIZE // 3), top + (number // 3) * _LINE
        frame = (x, y, x + 14, y + 14)
        pen.rectangle(
            frame, fill=None if layer.marked else layer.colour, outline=layer.colour if layer.marked else _INK
        )
        label = "".join(letter if letter.isprintable() else " " for letter in layer.label)[:_MAX_LABEL]
        pen.text((x + 20, y - 1), f"{label} ({len(layer.shapes):,})", fill=_INK, font=font)


def _codes(table: pd.DataFrame) -> Geometries:
    names = [name for name in ("zoning_code", "code") if name in table]
    return (
        table[names[0]].fillna("").astype(str).to_numpy(dtype=object)
        if names
        else np.full(len(table), "", dtype=object)
    )


def _drawable(shapes: Geometries) -> npt.NDArray[np.bool_]:
    return np.asarray(~shapely.is_missing(shapes) & ~shapely.is_empty(shapes), dtype=bool)


def _shapes(wkbs: Iterator[bytes]) -> Geometries:
    return np.asarray(shapely.from_wkb(np.array(list(wkbs)[:_MAX_SHAPES], dtype=object)), dtype=object)


class MapFrame(NamedTuple):
    """The map's place in the image: its north-west corner in the CRS, pixels per unit in x and y, height in pixels."""

    west: float
    north: float
    across: float
    down: float
    height: int


def _frame(layers: Sequence[MapLayer]) -> MapFrame:
    """Return the smallest frame that contains all shapes, with the same scale in both directions."""
    shapes = np.concatenate([layer.shapes for layer in layers]) if layers else np.array([])
    west, south, east, north = shapely.total_bounds(shapes) if len(shapes) else (0.0, 0.0, 1.0, 1.0)
    squeeze = float(np.cos(np.radians((south + north) / 2))) if abs(north) <= 90 else 1.0
    wide, high = max(east - west, 1e-9) * squeeze, max(north - south, 1e-9)
    scale = (_SIZE - 2 * _MARGIN) / max(wide, high)
    return MapFrame(float(west), float(north), squeeze * scale, scale, round(high * scale) + 2 * _MARGIN)


def _rings(shapes: Geometries, frame: MapFrame) -> Iterator[list[float]]:
    """Yield the outer rings in pixels (x, y, x, y, ...), north up."""
    polygons = shapely.get_parts(shapes)
    rings = shapely.get_exterior_ring(polygons[shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON])
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    pixels = (xy - (frame.west, frame.north)) * (frame.across, -frame.down) + _MARGIN
    for each in np.split(np.clip(pixels, -9999, 9999), np.flatnonzero(np.diff(ring)) + 1) if len(ring) else ():
        yield each.ravel().tolist()
