"""A map as PNG: parcels or districts coloured by zoning code, what was repaired and rejected marked, with a legend."""

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
#: A map of more outlines is not easier to read, and takes longer to draw.
_MOST_SHAPES = 2_000
#: Letters of a label in the legend.
_MOST_LETTERS = 24
#: Okabe and Ito's colours, which colour-blind people can tell apart; more codes than these share one grey.
_OF_CODES: Sequence[Colour] = (
    (86, 180, 233), (240, 228, 66), (0, 158, 115), (204, 121, 167), (0, 114, 178), (230, 159, 0),
    (178, 223, 138), (153, 112, 171),
)  # fmt: skip
_GREY, _PALE, _INK, _AMBER, _RED = (189, 195, 203), (226, 230, 235), (87, 96, 106), (217, 119, 0), (209, 36, 47)


@dataclass(frozen=True)
class Sketch:
    """Outlines as WKB, by what became of them. Target CRS, axis order x, y. `codes`: the zoning code of each accepted
    outline; empty: it has none."""

    accepted: tuple[bytes, ...] = ()
    codes: tuple[str, ...] = ()
    repaired: tuple[bytes, ...] = ()
    rejected: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Layer:
    """Shapes of one colour and one line of the legend. `marked`: drawn as thick outlines, each with a circle."""

    label: str
    colour: Colour
    shapes: Geometries = field(default_factory=lambda: np.array([], dtype=object))
    marked: bool = False


def sketch(table: pd.DataFrame, before: pd.DataFrame, rejections: pd.DataFrame) -> Sketch:
    """The outlines worth drawing of one part: a sample of the accepted, all repaired, all rejected that have a shape.

    Args:
        table: validated rows: `geometry`, `repair`, and `zoning_code` or `code`.
        before: the same rows before validation: `page`, `row`, `geometry`.
        rejections: `page`, `row`.
    """
    mended = table["repair"].notna().to_numpy()
    shapes, codes = table["geometry"].to_numpy(), _codes(table)
    step = max(1, int((~mended).sum()) * 4 // _MOST_SHAPES)
    sample = np.flatnonzero(~mended)[::step]
    sample = sample[_drawable(shapes[sample])][:_MOST_SHAPES]
    names = set(zip(rejections["page"], rejections["row"], strict=True))
    pages, drawn = before["page"].to_numpy(), before["geometry"].to_numpy()
    likely = np.flatnonzero(before["row"].isin(rejections["row"])).tolist() if names else []
    held = [at for at in likely if (pages[at], before["row"].iat[at]) in names]
    labels = tuple(codes[sample].tolist())
    return Sketch(packed(shapes[sample]), labels, packed(shapes[mended]), packed(drawn[held]))


def packed(shapes: Geometries) -> tuple[bytes, ...]:
    """Outlines as WKB, as many as a map shows."""
    return tuple(shapely.to_wkb(shapes[_drawable(shapes)][:_MOST_SHAPES]).tolist())


def of_sketches(sketches: Iterable[Sketch]) -> bytes:
    """One PNG of all parts of a tile or jurisdiction."""
    parts = list(sketches)
    accepted = _shapes(wkb for each in parts for wkb in each.accepted)
    codes = np.array([code for each in parts for code in each.codes], dtype=object)[:_MOST_SHAPES]
    marks = {"repaired": (_AMBER, "repaired"), "rejected": (_RED, "rejected")}
    found = {name: _shapes(wkb for each in parts for wkb in getattr(each, name)) for name in marks}
    marked = [
        Layer(label, colour, found[name], marked=True) for name, (colour, label) in marks.items() if len(found[name])
    ]
    return draw([*by_code(accepted, codes), *marked])


def by_code(shapes: Geometries, codes: Geometries) -> list[Layer]:
    """One layer for each of the most frequent codes, one for all other codes, one for shapes without a code."""
    often = [code for code, _ in Counter(code for code in codes.tolist() if code).most_common(len(_OF_CODES))]
    layers = [
        Layer(code, colour, shapes[codes == code]) for code, colour in zip(sorted(often), _OF_CODES, strict=False)
    ]
    other, none = ~np.isin(codes, [*often, ""]), codes == ""
    others = len(set(codes[other].tolist()))
    layers += [Layer(f"{others} other codes", _GREY, shapes[other])] if others else []
    without = "accepted" if not often else "without a code"
    return layers + ([Layer(without, _PALE, shapes[none])] if none.any() else [])


def draw(layers: Sequence[Layer]) -> bytes:
    """One PNG: the layers on white, the first at the bottom, north up; below them the legend."""
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


def _draw_ring(pen: ImageDraw.ImageDraw, ring: list[float], layer: Layer) -> None:
    if not layer.marked:
        pen.polygon(ring, fill=layer.colour, outline=_INK)
        return
    pen.line(ring, fill=layer.colour, width=2)
    x, y = ring[:2]
    pen.ellipse((x - 5, y - 5, x + 5, y + 5), outline=layer.colour, width=2)


def _draw_legend(pen: ImageDraw.ImageDraw, layers: Sequence[Layer], top: int) -> None:
    font = ImageFont.load_default(_FONT_SIZE)
    for number, layer in enumerate(layers):
        x, y = _MARGIN + (number % 3) * (_SIZE // 3), top + (number // 3) * _LINE
        frame = (x, y, x + 14, y + 14)
        pen.rectangle(
            frame, fill=None if layer.marked else layer.colour, outline=layer.colour if layer.marked else _INK
        )
        label = "".join(letter if letter.isprintable() else " " for letter in layer.label)[:_MOST_LETTERS]
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
    return np.asarray(shapely.from_wkb(np.array(list(wkbs)[:_MOST_SHAPES], dtype=object)), dtype=object)


class Frame(NamedTuple):
    """Where the ground lies in the picture: its north-west corner, pixels a unit in x and y, height in pixels."""

    west: float
    north: float
    across: float
    down: float
    height: int


def _frame(layers: Sequence[Layer]) -> Frame:
    """The smallest frame of all shapes; one scale in both directions as seen on the ground."""
    shapes = np.concatenate([layer.shapes for layer in layers]) if layers else np.array([])
    west, south, east, north = shapely.total_bounds(shapes) if len(shapes) else (0.0, 0.0, 1.0, 1.0)
    squeeze = float(np.cos(np.radians((south + north) / 2))) if abs(north) <= 90 else 1.0
    wide, high = max(east - west, 1e-9) * squeeze, max(north - south, 1e-9)
    scale = (_SIZE - 2 * _MARGIN) / max(wide, high)
    return Frame(float(west), float(north), squeeze * scale, scale, round(high * scale) + 2 * _MARGIN)


def _rings(shapes: Geometries, frame: Frame) -> Iterator[list[float]]:
    """Outer rings in pixels (x, y, x, y, ...), north up."""
    polygons = shapely.get_parts(shapes)
    rings = shapely.get_exterior_ring(polygons[shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON])
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    pixels = (xy - (frame.west, frame.north)) * (frame.across, -frame.down) + _MARGIN
    for each in np.split(np.clip(pixels, -9999, 9999), np.flatnonzero(np.diff(ring)) + 1) if len(ring) else ():
        yield each.ravel().tolist()
