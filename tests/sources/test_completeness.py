"""The comparisons that prove a page and a layer complete."""

import re

import numpy as np
import pytest

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.sources.completeness import check_page_rows, ids_not_received, prove


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_equal_values_are_stored_as_the_proof() -> None:
    proof = {"strategy": "ranges"}
    prove("us-xx-one parcels", {"rows": (3, 3), "last edit after": (None, None)}, proof)
    assert proof == {"strategy": "ranges", "rows": 3, "last edit after": None}


def test_a_difference_raises_an_error_with_both_values() -> None:
    with pytest.raises(HarvestIncomplete, match="rows: received 2, the portal states 3"):
        prove("us-xx-one parcels", {"count": (1, 1), "rows": (2, 3)}, {})


@pytest.mark.parametrize("stated", [None, 2])
def test_a_page_with_the_stated_rows_is_accepted(stated: int | None) -> None:
    check_page_rows(stated, 2, "us-xx-one parcels")


def test_a_page_with_other_rows_than_stated_raises_an_error() -> None:
    with pytest.raises(HarvestIncomplete, match=re.escape("a page has 1,000 rows, but states 2,000")):
        check_page_rows(2000, 1000, "us-xx-one parcels")


def test_ids_that_a_page_lacks_are_requested_again() -> None:
    assert ids_not_received(ids(1, 2, 3, 4), ids(3, 1), "us-xx-one parcels", "OBJECTID").tolist() == [2, 4]
    assert ids_not_received(ids(1, 2), ids(2, 1), "us-xx-one parcels", "OBJECTID").tolist() == []


@pytest.mark.parametrize(
    ("received", "message"),
    [((), "no row came for ids 1 to 2"), ((9,), "no row came"), ((1, 9), "not requested, such as OBJECTID 9")],
)
def test_a_page_without_requested_rows_or_with_other_rows_raises_an_error(
    received: tuple[int, ...], message: str
) -> None:
    with pytest.raises(HarvestIncomplete, match=message):
        ids_not_received(ids(1, 2), ids(*received), "us-xx-one parcels", "OBJECTID")
