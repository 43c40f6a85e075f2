"""Random lots for the properties of transform/: whole numbers of grid steps, so that a test knows each coordinate."""

from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

import shapely
from hypothesis import strategies as st

GRID = 1e-8  # degrees; canonical.GRID of EPSG:4326
#: Where the lots lie, in steps of the grid: Cambridge, Massachusetts.
X, Y = -7_110_000_000, 4_237_000_000

Ring = list[tuple[int, int]]  # steps of the grid, not closed


@dataclass(frozen=True)
class Lot:
    """A parcel of several parts, each a shell and its holes; valid by construction."""

    parts: list[tuple[Ring, list[Ring]]]

    def shape(self) -> shapely.MultiPolygon:
        """As it is, in degrees."""
        return _shape(self.parts)

    def rings(self) -> list[Ring]:
        """All rings, shells and holes alike."""
        return [ring for shell, holes in self.parts for ring in (shell, *holes)]

    def respelled(self, random: Random, noise: float = 0.0) -> shapely.MultiPolygon:
        """The same area, written in another way; `noise` in steps of the grid."""
        parts = [(respelled(shell, random), [respelled(hole, random) for hole in holes]) for shell, holes in self.parts]
        for _, holes in parts:
            random.shuffle(holes)
        random.shuffle(parts)
        return _shape(parts, lambda: random.uniform(-noise, noise))

    def moved(self, index: int, dx: int, dy: int) -> "Lot":
        """With one corner of the first shell moved."""
        (shell, holes), *others = self.parts
        at = index % len(shell)
        x, y = shell[at]
        return Lot([([*shell[:at], (x + dx, y + dy), *shell[at + 1 :]], holes), *others])


def respelled(ring: Ring, random: Random) -> Ring:
    """The ring from another corner, perhaps in the other direction, with some corners said twice."""
    at = random.randrange(len(ring))
    turned = ring[at:] + ring[:at]
    if random.random() < 0.5:
        turned.reverse()
    return [corner for corner in turned for _ in range(random.choice((1, 1, 1, 2, 3)))]


def _shape(parts: list[tuple[Ring, list[Ring]]], noise=lambda: 0.0) -> shapely.MultiPolygon:
    def degrees(ring: Ring) -> list[tuple[float, float]]:
        return [((x + noise()) / 1e8, (y + noise()) / 1e8) for x, y in ring]

    return shapely.MultiPolygon([(degrees(shell), [degrees(hole) for hole in holes]) for shell, holes in parts])


@st.composite
def stars(draw: st.DrawFn, x: int, y: int, least: int, most: int) -> Ring:
    """A simple ring around a point: a corner a sector, so that no two sides cross."""
    corners = draw(st.integers(5, 9))
    turns = draw(st.lists(st.floats(0, 0.5), min_size=corners, max_size=corners))
    radii = draw(st.lists(st.integers(least, most), min_size=corners, max_size=corners))
    angles = [2 * pi * (i + turn) / corners for i, turn in enumerate(turns)]
    return [(x + round(r * cos(a)), y + round(r * sin(a))) for r, a in zip(radii, angles, strict=True)]


@st.composite
def lots(draw: st.DrawFn, x: int = X, y: int = Y) -> Lot:
    """One to three parts beside each other, each with up to two holes; some 20 to 40 m across."""
    parts = []
    for i in range(draw(st.integers(1, 3))):
        at = x + i * 50_000
        shell = draw(stars(at, y, 10_000, 20_000))
        holes = [draw(stars(at + side * 2_500, y, 500, 1_500)) for side in draw(st.sampled_from([(), (1,), (1, -1)]))]
        parts.append((shell, holes))
    return Lot(parts)


#: Corners on a coarse lattice: bow-ties, spikes, rings that touch, collapse or run twice are common here.
lattice = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda c: (X / 1e8 + c[0] * 1e-5, Y / 1e8 + c[1] * 1e-5))
#: Corners anywhere, off the grid.
anywhere = st.tuples(st.floats(-71.1, -71.09), st.floats(42.37, 42.38))


@st.composite
def wild_shapes(draw: st.DrawFn) -> shapely.Geometry | None:
    """Whatever a portal may send as a shape: broken rings, collections of anything, nothing."""
    corners = draw(st.sampled_from([lattice, anywhere]))
    rings = st.lists(corners, min_size=3, max_size=12)
    polygons = st.tuples(rings, st.lists(rings, max_size=2)).map(lambda rs: shapely.Polygon(rs[0], rs[1]))
    lines = st.lists(corners, min_size=2, max_size=5).map(shapely.LineString)
    simple = st.one_of(polygons, polygons, lines, corners.map(shapely.Point))
    several = st.one_of(
        st.lists(polygons, max_size=4).map(shapely.MultiPolygon),
        st.lists(simple, max_size=4).map(shapely.GeometryCollection),
    )
    nested = st.lists(st.one_of(simple, several), max_size=3).map(shapely.GeometryCollection)
    return draw(st.one_of(polygons, polygons, several, nested, simple, st.none()))
