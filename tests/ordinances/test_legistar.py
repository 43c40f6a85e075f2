"""Legistar's matters: the fields before the title, and hostile JSON refused."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances.legistar import find_amendment, matter_document

MATTER = {
    "MatterFile": "Z-22-044",
    "MatterTitle": "Rezone property at 55 Spring Street from RS-2 to NC-1",
    "MatterStatusName": "In Committee",
}


def action(name: str, flag: str | None = None, body: str = "City Council") -> dict[str, str | None]:
    return {
        "MatterHistoryActionName": name,
        "MatterHistoryPassedFlagName": flag,
        "MatterHistoryActionBodyName": body,
        "MatterHistoryActionDate": "2022-03-15T00:00:00",
    }


@pytest.mark.parametrize(
    ("histories", "status"),
    [
        ([action("approved", "Pass")], "adopted"),
        ([action("approved", "Pass", "Planning Commission")], "recommended"),
        ([action("approved", "Fail")], "denied"),
        ([action("denied", "Fail"), action("adopted", "Pass")], "adopted"),
        ([action("adopted", "Pass"), action("withdrawn")], "withdrawn"),
        ([action("continued")], "tabled"),
        ([action("Public Hearing Held")], "hearing"),
        ([], "unknown"),
    ],
)
def test_an_action_means_what_its_vote_says(histories, status):
    assert find_amendment(MATTER, histories).status == status


def test_spans_are_of_the_matters_document():
    matter = {**MATTER, "MatterEnactmentNumber": "2022-31", "MatterEnactmentDate": "2022-13-01T00:00:00"}
    found = find_amendment(matter, [action("adopted", "Pass")])
    text = matter_document(matter, [action("adopted", "Pass")]).text
    assert [text[each.start : each.end] for each in found.mentions] == [each.text for each in found.mentions]
    assert found.ordinance_numbers == ("2022-31",)
    assert found.needs_review  # its day of enactment cannot be


@pytest.mark.parametrize(
    ("matter", "histories"),
    [
        ([], []),
        ({}, []),
        ({"MatterTitle": 5}, []),
        ({"MatterTitle": {"deep": {}}}, []),
        ({"MatterTitle": "x" * 2_000_000}, []),
        (MATTER, {"a": 1}),
        (MATTER, ["approved"]),
        (MATTER, [{}] * 2_000),
        (MATTER, [{"MatterHistoryActionName": ["adopted"]}]),
    ],
)
def test_hostile_json_is_refused(matter, histories):
    with pytest.raises(DocumentRefused):
        find_amendment(matter, histories)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*MATTER, "MatterPassedDate"]), inner),
    max_leaves=12,
)


@settings(max_examples=examples(200), deadline=None)
@given(JSON, JSON)
def test_any_json_is_read_or_refused(matter, histories):
    with suppress(DocumentRefused):
        find_amendment(matter, histories)
