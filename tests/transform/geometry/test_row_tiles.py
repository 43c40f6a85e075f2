"""Each row of a layer is owned once; rows of one key are owned together."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from zoning_assets.transform.geometry import h3_cells, row_tiles
from zoning_assets.transform.geometry.row_tiles import LayerRows

BOUNDS = (-71.17, 42.35, -71.06, 42.41)

places = st.one_of(st.none(), st.tuples(st.floats(BOUNDS[0], BOUNDS[2]), st.floats(BOUNDS[1], BOUNDS[3])))
keyed = st.tuples(places, st.one_of(st.none(), st.integers(0, 30).map(str)))


def layer_of(rows: list[tuple[tuple[float, float] | None, str | None]]) -> LayerRows:
    """A layer of one page; a row is its point (degrees; None: it has none) and its key."""
    points = np.array([place or (h3_cells.OFF_GLOBE, h3_cells.OFF_GLOBE) for place, _ in rows]).reshape(-1, 2)
    numbers = np.arange(len(rows), dtype=np.uint64)
    keys = row_tiles.key_hashes([key for _, key in rows])
    return LayerRows(numbers * np.uint64(0), numbers, h3_cells.finest_cells(points), keys, numbers, numbers)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(keyed, max_size=40), st.sampled_from([None, 5, 8]))
def test_each_row_is_owned_by_one_tile(rows: list[tuple[tuple[float, float] | None, str | None]], fixed: int | None):
    """By the tile that contains its place, or that owns its key, or by the first where it has no place."""
    found = row_tiles.by_tile(layer_of(rows), BOUNDS, fixed)
    names = [h3_cells.to_str(int(owner)) for owner in found.owner]
    assert set(names) <= set(found.tiles)
    assert found.tiles == {tile: Counter(names)[tile] for tile in found.tiles}
    counts = Counter(key for _, key in rows if key is not None)
    for (place, key), name, together in zip(rows, names, found.has_shared_key, strict=True):
        assert together == (counts[key] > 1 if key is not None else False)
        if not together:
            cell = h3_cells.finest_cells(np.array([place or (h3_cells.OFF_GLOBE,) * 2]))
            inside = [tile for tile in found.tiles if place and h3_cells.contains(tile, h3_cells.to_str(int(cell[0])))]
            assert name == (inside[0] if inside else row_tiles.default_owner(found.tiles))


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(keyed, max_size=40), st.randoms(use_true_random=False))
def test_rows_of_one_key_are_owned_together_in_any_order(rows, random):
    """The owner of a key does not depend on the order in which its rows came."""
    shuffled = random.sample(rows, len(rows))
    owners = []
    for each in (rows, shuffled):
        found = row_tiles.by_tile(layer_of(each), BOUNDS, 8)
        by_key: dict[str, set[int]] = {}
        for (_, key), owner, together in zip(each, found.owner.tolist(), found.has_shared_key, strict=True):
            if together:
                by_key.setdefault(str(key), set()).add(owner)
        assert all(len(owned) == 1 for owned in by_key.values())
        owners.append(by_key)
    assert owners[0] == owners[1]


def test_a_layer_without_rows_has_one_empty_tile():
    assert sum(row_tiles.by_tile(layer_of([]), BOUNDS, None).tiles.values()) == 0
    assert len(row_tiles.by_tile(layer_of([]), BOUNDS, None).tiles) == 1
