"""What is found in documents: figures over the corpus, and that no text is slow or breaks anything."""

import re
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ordinances.papers import FIELDS, Paper, expected_values, paired, papers, values
from tests.support.effort import assert_cost
from tests.support.sampling import examples
from zoning_assets.errors import DocumentRefused
from zoning_assets.ordinances import Document, extract
from zoning_assets.ordinances.amendment_extraction import mentions
from zoning_assets.ordinances.reading.document import join_pages

READABLE = [paper for paper in papers() if "refused" not in paper.expected]
HELD_OUT = [paper for paper in READABLE if paper.is_held_out]
SURE = ("old_code", "new_code", "status")


def figures(chosen: list[Paper], *, only_sure: bool = False) -> dict[str, tuple[int, int, int]]:
    """Right, wrong and missed values by field."""
    counts = {name: [0, 0, 0] for name in FIELDS}
    for paper in chosen:
        for wanted, found in paired(paper, paper.found()):
            if only_sure and (found is None or found.needs_review):
                continue
            for name in FIELDS:
                want = Counter((wanted or {}).get(name, ()))
                got = Counter(values(found)[name] if found else ())
                for at, count in enumerate(((want & got), (got - want), (want - got))):
                    counts[name][at] += count.total()
    return {name: (right, wrong, missed) for name, (right, wrong, missed) in counts.items()}


@pytest.mark.parametrize("held_out", [False, True])
def test_what_needs_no_review_is_right(held_out):
    """Codes and status of a finding that no person looks at are never wrong in the corpus."""
    counts = figures([paper for paper in READABLE if paper.is_held_out is held_out], only_sure=True)
    assert {name: counts[name][1] for name in SURE} == dict.fromkeys(SURE, 0)
    assert all(counts[name][0] for name in SURE)


def test_most_is_found():
    """Nine values of ten are found, field by field."""
    recalls = {name: right / (right + missed) for name, (right, _, missed) in figures(READABLE).items()}
    assert min(recalls.values()) >= 0.9, recalls


def test_held_out_figures():
    """Of documents written after the rules: less is found, and what is wrong goes to a person."""
    assert len(HELD_OUT) >= 10
    recalls = {name: right / (right + missed) for name, (right, _, missed) in figures(HELD_OUT).items()}
    assert min(recalls[name] for name in (*SURE, "ordinance", "date")) >= 0.8, recalls


@pytest.mark.parametrize("paper", READABLE, ids=lambda paper: paper.name)
def test_a_span_reproduces_its_text(paper):
    document = paper.document()
    for found in paper.found():
        for each in found.mentions:
            assert document.text[each.start : each.end] == each.text
            assert each.page == document.page(each.start) or paper.is_matter


@pytest.mark.parametrize("paper", [each for each in READABLE if "invalid_dates" in each.expected], ids=lambda p: p.name)
def test_a_date_that_cannot_be_is_a_question(paper):
    found = paper.found()
    invalid = [each.text for one in found for each in one.mentions if each.kind == "date" and each.value is None]
    assert invalid == paper.expected["invalid_dates"]
    assert all(one.needs_review for one in found)


def test_expectations_name_known_fields():
    """A misspelled field would be an expectation that nothing checks."""
    for paper in READABLE:
        for each in paper.expected.get("found", []):
            assert set(each) <= {*FIELDS, "review"}
            assert expected_values(each)["status"]


REQUEST = "CITY COUNCIL\nCase Z-2021-014. Rezone 1 Main Street from R-1 to C-2. "


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Motion to deny carried 5-2.", "denied"),
        ("A motion to approve was made; it failed 2-5.", "denied"),
        ("The ordinance failed of adoption.", "denied"),
        ("The request was withdrawn by the applicant.", "withdrawn"),
        ("Motion to table passed unanimously.", "tabled"),
        ("Motion to approve the continuance carried.", "tabled"),
        ("The ordinance was not adopted.", "denied"),
        ("The ordinance may be adopted in May.", "unknown"),
        ("Motion to deny failed 3-4.", "unknown"),
        ("Motion to approve on first reading carried.", "filed"),
        ("PASSED AND ADOPTED this ___ day of ____, 2021.", "unknown"),
        ("All ordinances in conflict herewith are repealed.", "unknown"),
        ("Motion to approve.\n2. Case Z-2021-015. The motion carried.", "unknown"),
        ("Motion to approve carried 7-0.", "adopted"),
    ],
)
def test_what_the_vote_means(said, status):
    """A lost vote, a delay, a draft and a neighbour's vote adopt nothing."""
    assert extract(Document(REQUEST + said))[0].status == status


@pytest.mark.parametrize(
    "text",
    [
        "The zoning of the street from M-10 to I-94 is to be changed.",
        "Rezoning fees change from section R-1 to section R-2 of the schedule.",
        "The district meets from 9 AM to 5 PM; call 313-555-0142.",
        "Staff said that the zoning could be changed from R-1 to C-2.",
        "The property was previously rezoned from R-1 to C-2.",
    ],
)
def test_what_only_looks_like_a_change_is_none(text):
    assert not [each for each in mentions(Document(text)) if each.kind in {"old_code", "new_code", "parcel", "case"}]


def test_a_head_and_a_foot_do_not_break_a_sentence():
    pages = [
        f"Town of Ash, minutes\n{text}\nPage {at} of 3"
        for at, text in enumerate(("rezone A from R-", "1 to", "C-2."), 1)
    ]
    assert join_pages(pages).text == "Town of Ash, minutes\nrezone A from R-\n1 to\nC-2."


SEEDS = [
    "from ",
    "from R-1 to ",
    "rezone from R-1 to C-1 ",
    "Case No. Z-2021-014\n",
    "Case Z-21-1 case Z-21-1\n",
    "A-1/",
    "1-",
    " ",
    "\n",
    "show where ",
    "motion to approve ",
    "Block 12, Lots 1, 2, ",
    "APN 123-45-678, ",
    "January 1, 2021 ",
    "adopted ",
    "not adopted ",
    "existing zoning: R-1 proposed zoning: ",
    "R-1 to C-2 ",
    "((O2017-4840",
    "court annulled ",
    "Ward 2, Item 001234 ",
    "C 210453 ZMM ",
]


def repeated(seed: str, characters: int) -> Document:
    return Document((seed * (characters // len(seed) + 1))[:characters])


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_text_is_slow(seed):
    """Text of what the rules look for is refused, or takes a few times what a blank one of its length takes."""

    def read(document: Document) -> None:
        with suppress(DocumentRefused):
            extract(document)

    hostile, blank = repeated(seed, 300_000), repeated(" ", 300_000)
    assert_cost(lambda: read(hostile), lambda: read(blank), at_most=5)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "seed", ["((O2017-4840", "SO2021-1 ", "Ordinance No. 2021-45, ", "Z-2021-014\n", "C 210453 ZMM "]
)
def test_a_text_of_numbers_is_no_prose(seed):
    """Each number is looked at closely: ten thousand of them in a million characters are refused."""
    with pytest.raises(DocumentRefused, match=r"repeats words like .* more than 10,000 times"):
        extract(repeated(seed, 1_000_000))


WORDS = st.sampled_from(
    [*SEEDS, "R-1", " to ", "C-2", ".", "\n1. ", "Ordinance No. 2021-45", "the", " | ", "‑", "2021", "(", "§ 4"]
)


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=60).map("".join)))
def test_any_text_is_read(text):
    """Nothing but a refusal is ever raised, and every span reproduces its text."""
    for document in (Document(text), join_pages(text.split("\n1."))):
        with suppress(DocumentRefused):
            for each in [
                *mentions(document),
                *(each for one in extract(document) for each in one.mentions),
            ]:
                assert document.text[each.start : each.end] == each.text
                assert re.search(r"\S", each.text)
