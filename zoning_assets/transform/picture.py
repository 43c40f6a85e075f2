"""A small map of a tile, with what was repaired and what was rejected marked."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from PIL import Image, ImageDraw

_SIZE, _MARGIN = 360, 6
#: More outlines than this make a picture of ink only, and take time.
_MOST_SHAPES = 600
#: Ink 1, 2, 3 of the palette, on white: grey, amber, red.
_MARKS = ("accepted", "repaired", "rejected")
_PALETTE = (255, 255, 255, 138, 151, 166, 217, 138, 0, 209, 36, 47)


@dataclass(frozen=True)
class Sketch:
    """Outlines as WKB, by what became of them. Target CRS, x and y."""

    accepted: tuple[bytes, ...] = ()
    repaired: tuple[bytes, ...] = ()
    rejected: tuple[bytes, ...] = ()


def sketch(table: pd.DataFrame, before: pd.DataFrame, rejections: pd.DataFrame) -> Sketch:
    """The outlines worth drawing of one part: a sample of the accepted, all repaired, all rejected that have one."""
    mended = table["repair"].notna().to_numpy()
    shapes = table["geometry"].to_numpy()
    fine = shapes[~mended]
    step = max(1, len(fine) * 4 // _MOST_SHAPES)
    names = set(zip(rejections["page"], rejections["row"], strict=True))
    pages, drawn = before["page"].to_numpy(), before["geometry"].to_numpy()
    likely = np.flatnonzero(before["row"].isin(rejections["row"])).tolist() if names else []
    held = [at for at in likely if (pages[at], before["row"].iat[at]) in names]
    return Sketch(packed(fine[::step]), packed(shapes[mended]), packed(drawn[held]))


def packed(shapes: npt.NDArray[np.object_]) -> tuple[bytes, ...]:
    """Outlines as WKB, as many as a picture bears."""
    there = shapes[~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)]
    return tuple(shapely.to_wkb(there[:_MOST_SHAPES]).tolist())


def draw(sketches: Iterable[Sketch]) -> bytes:
    """One PNG of all parts: accepted grey, repaired amber, rejected red."""
    parts = list(sketches)
    layers = {name: [wkb for each in parts for wkb in getattr(each, name)][:_MOST_SHAPES] for name in _MARKS}
    shapes = {name: shapely.from_wkb(np.array(wkbs, dtype=object)) for name, wkbs in layers.items()}
    image = Image.new("P", (_SIZE, _SIZE), 0)
    image.putpalette(_PALETTE)
    pen = ImageDraw.Draw(image)
    box = _box([each for name in ("accepted", "repaired") for each in shapes[name]] or list(shapes["rejected"]))
    for colour, name in enumerate(_MARKS, start=1):
        for ring in _rings(shapes[name], box):
            if name == "accepted":
                pen.line(ring, fill=colour)
            else:
                pen.line(ring, fill=colour, width=2)
                x, y = ring[0]
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), outline=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)  # `optimize` takes 120 ms to save a kilobyte
    return buffer.getvalue()


def _box(shapes: list[shapely.Geometry]) -> tuple[float, float, float, float]:
    if not shapes:
        return 0.0, 0.0, 1.0, 1.0
    west, south, east, north = shapely.total_bounds(shapes)
    return float(west), float(south), float(max(east, west + 1e-9)), float(max(north, south + 1e-9))


def _rings(shapes: np.ndarray, box: tuple[float, float, float, float]) -> Iterable[list[tuple[float, float]]]:
    """Rings in pixels, north up, at one scale in both directions as seen on the ground."""
    west, south, east, north = box
    squeeze = np.cos(np.radians((south + north) / 2)) if abs(north) <= 90 else 1.0
    scale = (_SIZE - 2 * _MARGIN) / max((east - west) * squeeze, north - south)
    for polygon in shapely.get_parts(shapes):
        if polygon.geom_type != "Polygon":
            continue
        xy = shapely.get_coordinates(polygon.exterior)
        pixels = np.column_stack([(xy[:, 0] - west) * squeeze * scale, (north - xy[:, 1]) * scale]) + _MARGIN
        yield [tuple(point) for point in np.clip(pixels, -9999, 9999).tolist()]
