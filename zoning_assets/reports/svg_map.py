"""Draw a map as the parts of an SVG: paths, labels and a scale bar. The template writes the elements.

Paths consist of numbers only. A code is drawn as text, so that a map can be read without its colours.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.transform.map_colors import GREY

Shapes = npt.NDArray[np.object_]

#: Size of a map, in user units of the SVG ("pixels" below).
WIDTH, HEIGHT = 340, 250
#: The smallest window, in metres, so that the neighbours of a small lot are visible.
_LEAST_M = 120.0
_M_PER_DEGREE = 111_320.0  # of latitude; of longitude at the equator
_RADIUS_M = 6_378_137.0  # of the sphere of EPSG:3857
#: Areas are drawn so that letters on every colour of transform/map_colors.py can be read.
FILL_OPACITY = 0.5
#: The most codes of a legend.
_MOST_LISTED = 24
#: Width of a letter of a label, and height of a line, in pixels.
_LETTER, _LINE = 6.0, 11.0
_MOST_LABELS, _MOST_LETTERS = 40, 14
#: A changed area that is smaller than this gets a circle, in pixels.
_SMALL = 8.0


@dataclass(frozen=True)
class Window:
    """A rectangle in the target CRS (x, y), with the proportions of a map on the ground."""

    west: float
    south: float
    east: float
    north: float
    srid: int

    @property
    def values(self) -> Mapping[str, float]:
        """The parameters of a query."""
        return {name: getattr(self, name) for name in ("west", "south", "east", "north", "srid")}

    @property
    def pixel(self) -> float:
        """Units of y of one pixel."""
        return (self.north - self.south) / HEIGHT

    @property
    def metres_per_pixel(self) -> float:
        """Metres of one pixel on the ground, at the middle of the window."""
        return self.pixel * _metres_per_unit((self.south + self.north) / 2, self.srid)

    @property
    def height_m(self) -> float:
        """Metres from north to south."""
        return HEIGHT * self.metres_per_pixel

    def contains(self, bounds: Sequence[float]) -> bool:
        """Whether the window contains a bounding box."""
        west, south, east, north = bounds
        return self.west <= west and self.south <= south and self.east >= east and self.north >= north

    def pixels(self, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Convert coordinates to pixels, y down, to a tenth; far points are moved near the map."""
        across, down = WIDTH / (self.east - self.west), HEIGHT / (self.north - self.south)
        moved = (xy - np.array([self.west, self.north])) * np.array([across, -down])
        found: npt.NDArray[np.float64] = np.round(np.clip(moved, -WIDTH, 2 * WIDTH), 1).astype(np.float64)
        return found


def window_around(bounds: Sequence[float], srid: int, margin: float = 0.6, least_m: float = _LEAST_M) -> Window:
    """The window with the proportions of a map around a bounding box (target CRS, x, y).

    `margin`: added on each side, as a share of the larger side. `least_m`: the smallest width and height, metres.
    """
    west, south, east, north = bounds
    middle = (west + east) / 2, (south + north) / 2
    aspect = math.cos(math.radians(min(abs(middle[1]), 85.0))) if srid == 4326 else 1.0
    unit = _metres_per_unit(middle[1], srid)
    wide, high = (east - west) * aspect, north - south
    wide, high = (max(each + 2 * margin * max(wide, high), least_m / unit) for each in (wide, high))
    high = max(high, wide * HEIGHT / WIDTH)
    wide = high * WIDTH / HEIGHT / aspect
    return Window(
        middle[0] - wide / 2, middle[1] - high / 2, middle[0] + wide / 2, middle[1] + high / 2, srid
    )  # fmt: skip


def _metres_per_unit(y: float, srid: int) -> float:
    """Metres on the ground of one unit of y: of a degree, or of a metre of Web Mercator at this northing."""
    return _M_PER_DEGREE if srid == 4326 else 1 / math.cosh(y / _RADIUS_M)


def legend(
    colours: Mapping[str, str], used: Collection[str], preferred: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield label and colour of each entry of the legend of a map with these codes, at most _MOST_LISTED codes.

    `preferred`: codes that are listed before the others.
    """
    listed = sorted(filter(None, used), key=lambda code: (code not in preferred, code))
    yield from ((code, colours[code]) for code in sorted(listed[:_MOST_LISTED]))
    if others := len(listed[_MOST_LISTED:]):
        yield f"{others:,} other codes, by their letters", "none"


@dataclass(frozen=True)
class Area:
    """All areas of one colour."""

    colour: str
    path: str


@dataclass(frozen=True)
class Label:
    """A code inside its area, at its middle."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class SvgMap:
    """A map. `lots` and `changed` are outlines; `circles` mark changes that are too small to see."""

    areas: Sequence[Area]
    labels: Sequence[Label]
    lots: str
    changed: str
    circles: Sequence[tuple[float, float]]
    scale_px: float
    scale_text: str
    width: int = WIDTH
    height: int = HEIGHT
    fill_opacity: float = FILL_OPACITY


def draw(
    window: Window,
    areas: tuple[Sequence[str], Shapes],
    colours: Mapping[str, str],
    *,
    lots: Shapes | None = None,
    changed: Shapes,
) -> SvgMap:
    """Draw a map.

    Args:
        window: what it shows; all shapes are in its CRS (x, y).
        areas: codes and polygons, of the same number.
        colours: of the codes; what has no code is grey.
        lots: outlines without a fill; None: not drawn.
        changed: areas that are outlined; small ones get a circle.
    """
    codes, shapes = areas
    clipped = _clipped(shapes, window)
    fills = [colours.get(code, GREY) for code in codes]
    drawn = [
        Area(colour, _path(clipped[[fill == colour for fill in fills]], window)) for colour in dict.fromkeys(fills)
    ]
    scale_m = _round_length(60 * window.metres_per_pixel)
    return SvgMap(
        [each for each in drawn if each.path],
        list(_labels(codes, clipped, window)),
        "" if lots is None else _path(_clipped(lots, window), window),
        _path(_clipped(changed, window), window),
        list(_circles(changed, window)),
        round(scale_m / window.metres_per_pixel, 1),
        f"{scale_m:,g} m" if scale_m < 1000 else f"{scale_m / 1000:,g} km",
    )


def _clipped(shapes: Shapes, window: Window) -> Shapes:
    """Clip shapes to a little more than the window, so that outlines along its edge are not visible."""
    if not len(shapes):
        return shapes
    x, y = (window.east - window.west) * 0.02, (window.north - window.south) * 0.02
    box = (window.west - x, window.south - y, window.east + x, window.north + y)
    return np.asarray(shapely.clip_by_rect(shapes, *box), dtype=object)


def _path(shapes: Shapes, window: Window) -> str:
    """The rings of polygons as one SVG path (fill-rule evenodd)."""
    polygons = shapely.get_parts(shapes) if len(shapes) else shapes
    polygons = polygons[shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON] if len(polygons) else polygons
    if not len(polygons):
        return ""
    xy, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    parts = np.split(window.pixels(xy), np.flatnonzero(np.diff(ring)) + 1)
    return "".join(_ring(part) for part in parts)


def _ring(pixels: npt.NDArray[np.float64]) -> str:
    """One ring as a path; points that fall on the pixel before are left out."""
    differs = np.any(np.diff(pixels, axis=0) != 0, axis=1)
    kept = pixels[np.concatenate([[True], differs])].tolist()
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept) + "Z" if len(kept) > 2 else ""


def _labels(codes: Sequence[str], clipped: Shapes, window: Window) -> Iterator[Label]:
    """Yield labels for the largest areas that have room for one; no label covers another."""
    order: list[int] = np.argsort(-shapely.area(clipped)).tolist() if len(clipped) else []
    taken: list[Label] = []
    for number in [each for each in order if codes[each]][:_MOST_LABELS]:
        text = codes[number][:_MOST_LETTERS]
        parts = shapely.get_parts(clipped[number])
        if not len(parts):
            continue
        largest = parts[int(np.argmax(shapely.area(parts)))]
        west, south, east, north = window.pixels(np.reshape(shapely.bounds(largest), (2, 2))).ravel().tolist()
        if east - west > len(text) * _LETTER and south - north > _LINE:
            ((x, y),) = window.pixels(shapely.get_coordinates(shapely.point_on_surface(largest))).tolist()
            label = Label(x, y, text)
            if not any(_overlap(label, other) for other in taken):
                taken.append(label)
                yield label


def _overlap(one: Label, other: Label) -> bool:
    width = (len(one.text) + len(other.text)) / 2 * _LETTER
    return abs(one.x - other.x) < width and abs(one.y - other.y) < _LINE


def _circles(changed: Shapes, window: Window) -> Iterator[tuple[float, float]]:
    """Yield the middles of changed areas that are too small to see, once for each spot."""
    seen = set[tuple[int, int]]()
    for shape in changed:
        west, south, east, north = window.pixels(np.reshape(shapely.bounds(shape), (2, 2))).ravel().tolist()
        x, y = round((west + east) / 2, 1), round((south + north) / 2, 1)
        spot = (int(x // _SMALL), int(y // _SMALL))
        if max(east - west, south - north) < _SMALL and spot not in seen:
            seen.add(spot)
            yield x, y


def _round_length(most_m: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above `most_m`, metres."""
    power = 10.0 ** math.floor(math.log10(most_m))
    return max(step * power for step in (1, 2, 5) if step * power <= most_m)
