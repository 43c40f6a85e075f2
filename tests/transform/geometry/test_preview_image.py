"""The map of a tile: large enough to read, coloured by zoning code, with a legend."""

import io

import numpy as np
import pandas as pd
import shapely
from PIL import Image

from zoning_assets.transform.geometry import preview_image


def lots(codes: list[str | None]) -> pd.DataFrame:
    """A row of square lots, validated; the last one was repaired."""
    shapes = [shapely.box(at, 0, at + 1, 1) for at in range(len(codes))]
    repair = [None] * (len(codes) - 1) + ["self_intersection"]
    return pd.DataFrame({"geometry": shapes, "zoning_code": codes, "repair": repair}, dtype=object)


def drawn(codes: list[str | None]) -> tuple[preview_image.Sketch, Image.Image]:
    table = lots(codes)
    before = pd.DataFrame({"page": "p", "row": range(len(codes)), "geometry": table["geometry"]})
    rejections = pd.DataFrame({"page": ["p"], "row": [0]})
    sketch = preview_image.sketch(table, before, rejections)
    return sketch, Image.open(io.BytesIO(preview_image.draw_sketches([sketch]))).convert("RGB")


def at(image: Image.Image, codes: int, lot: int) -> tuple[int, ...]:
    """The colour in the middle of a lot; lots fill the width."""
    width = (640 - 16) / codes
    return image.getpixel((int(8 + (lot + 0.5) * width), int(8 + width / 2)))


def near(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return bool(np.abs(np.subtract(a, b)).max() < 12)


def test_lots_of_one_code_have_one_colour_and_of_two_codes_two() -> None:
    """What is seen is the zoning."""
    _, image = drawn(["R-1", "R-1", "B", "B", None, "R-1"])
    colours = [at(image, 6, lot) for lot in range(5)]
    assert near(colours[0], colours[1])
    assert near(colours[2], colours[3])
    assert not near(colours[0], colours[2])
    assert not near(colours[4], colours[0])
    assert image.width >= 600


def test_the_legend_names_codes_and_marks() -> None:
    """Each code, what has none, and what was repaired and rejected have a line below the map."""
    sketch, image = drawn(["R-1", "B", None, "R-1"])
    layers = preview_image.layers_by_code(
        np.array(shapely.from_wkb(list(sketch.accepted))), np.array(sketch.codes, dtype=object)
    )
    assert [(layer.label, len(layer.shapes)) for layer in layers] == [("B", 1), ("R-1", 1), ("without a code", 1)]
    legend = np.asarray(image)[-50:]
    assert (legend != 255).any()
    marks = [preview_image.MapLayer("repaired", (217, 119, 0)), preview_image.MapLayer("rejected", (209, 36, 47))]
    assert any(near(tuple(pixel), mark.colour) for mark in marks for pixel in legend.reshape(-1, 3).tolist())


def test_many_codes_share_a_colour_and_the_legend_says_how_many() -> None:
    """A city of a thousand codes does not get a thousand lines."""
    codes = np.array([f"PD-{number}" for number in range(100)] + ["R-1"] * 50, dtype=object)
    layers = preview_image.layers_by_code(np.array([shapely.box(0, 0, 1, 1)] * 150), codes)
    assert len(layers) == 9
    assert layers[-1].label == "93 other codes"
    assert sum(len(layer.shapes) for layer in layers) == 150


def test_nothing_known_is_a_plain_map_and_hostile_labels_are_drawn() -> None:
    """Without codes there is one line; control characters and endless names do no harm."""
    none = preview_image.layers_by_code(np.array([shapely.box(0, 0, 1, 1)]), np.array([""], dtype=object))
    assert [layer.label for layer in none] == ["accepted"]
    hostile = preview_image.MapLayer("\x00\n\u202e" + "x" * 10_000, (0, 0, 0), np.array([shapely.Point(0, 0)]))
    assert Image.open(io.BytesIO(preview_image.draw([hostile]))).width >= 600
    assert Image.open(io.BytesIO(preview_image.draw([]))).width >= 600
