"""Amendments: named once, dates judged, tellings put together, and matched with reasons."""

from datetime import UTC, datetime
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.model import STATUSES, Amendment
from zoning_assets.transform.changes import amendment_matching

TOLD = Amendment(
    "us-xx-town",
    case_numbers=("Z-2024-07",),
    status="effective",
    dates={"filed": "2024-01-05", "effective": "2024-06-01"},
    parcel_ids=("12-34",),
    old_codes=("R-1",),
    new_codes=("MU-1",),
)
CHANGE: dict[str, Any] = {
    "id": "abc",
    "parcel_ids": ["12-34"],
    "old": "R1",
    "new": "MU-1",
    "detected": datetime(2024, 6, 21, tzinfo=UTC),
    "geom": None,
    "evidence": {},
}


def test_a_case_has_one_name_however_it_is_spelled() -> None:
    again = Amendment("us-xx-town", case_numbers=("z 2024-07",), ordinance_numbers=("2024-100",))
    assert amendment_matching.name_of(again) == amendment_matching.name_of(TOLD)
    assert amendment_matching.name_of(
        Amendment("us-yy-city", case_numbers=("Z-2024-07",))
    ) != amendment_matching.name_of(TOLD)


@pytest.mark.parametrize("day", ["2024-02-30", "13/45/2023", "soon", "", "2024-6-1"])
def test_a_date_that_is_none_is_a_question_and_never_a_date(day: str) -> None:
    judged = amendment_matching.checked(Amendment("us-xx-town", status="effective", dates={"effective": day}))
    assert judged.dates == {}
    assert judged.status == "effective"
    (question,) = judged.questions
    assert question.startswith("the effective date is ")


def test_days_out_of_order_are_a_question() -> None:
    dates = {"filed": "2024-06-01", "effective": "2024-01-01"}
    assert len(amendment_matching.checked(Amendment("us-xx-town", dates=dates)).questions) == 1


def test_a_later_telling_adds_and_answers() -> None:
    """What was known stays, the status moves on, and a day that is now said answers the question for it."""
    asked = amendment_matching.checked(
        Amendment("us-xx-town", case_numbers=("7",), status="filed", dates={"effective": "soon"})
    )
    later = Amendment("us-xx-town", case_numbers=("7",), status="effective", dates={"effective": "2024-06-01"})
    both = amendment_matching.checked(amendment_matching.merged(asked, later))
    assert (both.status, both.dates, both.questions) == ("effective", {"effective": "2024-06-01"}, ())
    assert amendment_matching.merged(both, Amendment("us-xx-town", case_numbers=("7",))).status == "effective"


@given(st.sampled_from(STATUSES))
def test_only_what_was_adopted_or_undone_explains_a_change(status: str) -> None:
    swapped = {"old_codes": ("MU-1",), "new_codes": ("R-1",)} if status in ("annulled", "repealed") else {}
    told = Amendment(**{**TOLD.__dict__, "status": status, **swapped})
    found = amendment_matching.match({"a": told}, [CHANGE])
    done = ("adopted", "enacted", "effective", "reinstated", "annulled", "repealed")
    assert bool(found) == (status in done)


def test_a_match_says_why_and_how_long_the_map_took() -> None:
    (found,) = amendment_matching.match({"a": TOLD}, [CHANGE])
    assert found.lag_days == 20
    assert found.score == pytest.approx(0.9)
    assert found.reasons == ("parcel 12-34", "from R1", "to MU-1", "20 days after")


def test_another_code_is_no_match_whatever_else_agrees() -> None:
    assert amendment_matching.match({"a": TOLD}, [{**CHANGE, "new": "C-2"}]) == []


def test_codes_alone_are_not_enough() -> None:
    assert amendment_matching.match({"a": TOLD}, [{**CHANGE, "parcel_ids": ["9"]}]) == []


def test_ground_is_as_good_as_a_parcel() -> None:
    told = Amendment(**{**TOLD.__dict__, "parcel_ids": (), "geometry": shapely.to_wkb(shapely.box(0, 0, 2, 2))})
    on, off = (shapely.to_wkb(shapely.box(x, 0, x + 1, 1)) for x in (0, 5))
    found = amendment_matching.match({"a": told}, [{**CHANGE, "geom": on}, {**CHANGE, "id": "d", "geom": off}])
    assert [each.change for each in found] == ["abc"]


def test_what_is_not_sure_waits() -> None:
    told = Amendment(**{**TOLD.__dict__, "confidence": 0.5})
    assert amendment_matching.match({"a": told}, [CHANGE]) == []
