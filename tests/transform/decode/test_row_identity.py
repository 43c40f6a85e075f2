"""What tells rows apart, and whether numbered ids leave out any."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.transform.decode import row_identity
from zoning_assets.transform.decode.rows import Rows


def rows(*attributes: dict[str, object]) -> Rows:
    shapes = np.array([shapely.box(i, 0, i + 1, 1) for i in range(len(attributes))], dtype=object)
    return Rows(list(attributes), shapes, {})


def test_a_rows_own_id_comes_first_then_its_number_then_all_it_says() -> None:
    """One row without an id, and none is taken."""
    both = rows({"OBJECTID": 7}, {"OBJECTID": 8})
    assert row_identity.row_ids(["a.1", "a.2"], both, "OBJECTID") == ["a.1", "a.2"]
    assert row_identity.row_ids(["a.1", None], both, "OBJECTID") == ["7", "8"]
    one, other = row_identity.row_ids([None, None], both, None)
    assert one != other
    assert row_identity.row_ids([True, 1.5], both, None) == [one, other]


def test_equal_rows_are_one() -> None:
    """What is said is the id: the order of columns is not said."""
    twice = Rows([{"a": 1, "b": 2}, {"b": 2, "a": 1}], np.array([None, None], dtype=object), {})
    one, other = row_identity.row_ids([], twice, None)
    assert one == other


@pytest.mark.parametrize(
    ("texts", "left_out"),
    [
        (["parcels.1", "parcels.2", "parcels.3"], 0),
        (["0", "1", "2"], 0),
        (["1", "2", "4"], 1),
        (["3"], 2),
        (["1", "2", "2"], None),
        (["a.1", "b.2"], None),
        (["1", "x"], None),
        (["x", "x"], None),
        ([], None),
        (["9" * 18], 10**18 - 2),
        (["1" * 500], None),
    ],
)
def test_numbers_left_out_are_counted(texts: list[str], left_out: int | None) -> None:
    """Only where all ids are of one form, and none comes twice."""
    numbers = row_identity.IdNumbers()
    for text in texts:
        numbers.add([text])
    assert numbers.missing() == left_out


@given(st.lists(st.text(max_size=30), max_size=20))
def test_ids_of_any_form_are_looked_at(texts: list[str]) -> None:
    """Any text is an id."""
    numbers = row_identity.IdNumbers()
    numbers.add(texts)
    assert numbers.missing() is None or numbers.missing() >= 0  # type: ignore[operator]
