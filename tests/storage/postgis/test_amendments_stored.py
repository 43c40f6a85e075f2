"""Amendments in the database: repeated messages are stored once; lists for review."""

from tests.conftest import rows
from zoning_assets.model import Amendment
from zoning_assets.storage.postgis.records import amendment_records

HERE = "us-xx-town"
TOLD = Amendment(HERE, case_numbers=("Z-7",), status="adopted", new_codes=("MU-1",), dates={"effective": "2024-06-01"})
RELEASE = """
    INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
        tolerance_m, alarms, counts, judged)
    VALUES ('us-xx-town', 0, 0, 0, 0, '', 0, 0, 1, '{}', '{}', now()) RETURNING id
"""
CHANGE = """
    INSERT INTO zoning.change (id, jurisdiction, kind, state, facet, parcel_ids, old, new, confidence, detected,
        evidence, release_id)
    VALUES (%s, 'us-xx-town', 'rezoned', 'event', 'base', ARRAY[%s], 'R-1', 'MU-1', 0.8, '2024-06-21', '{}', %s)
    RETURNING id
"""


def test_storing_the_same_amendment_again_changes_nothing(database: str) -> None:
    (first,) = amendment_records.store(database, HERE, [TOLD]).values()
    (again,) = amendment_records.store(database, HERE, [TOLD]).values()
    assert (first, again) == (True, False)
    assert rows(database, "SELECT count(*) FROM zoning.amendment_version") == [(0,)]


def test_earlier_states_are_kept_as_versions(database: str) -> None:
    """Filed, adopted, annulled: one current row, and a version for each earlier state."""
    for status in ("filed", "adopted", "annulled"):
        amendment_records.store(database, HERE, [Amendment(HERE, case_numbers=("Z-7",), status=status)])
    assert rows(database, "SELECT status FROM zoning.amendment") == [("annulled",)]
    was = rows(database, "SELECT status FROM zoning.amendment_version ORDER BY last_changed")
    assert was == [("filed",), ("adopted",)]


def test_lists_for_review(database: str) -> None:
    ((release,),) = rows(database, RELEASE)
    for change, parcel in (("aa", "1"), ("bb", "2")):
        rows(database, CHANGE, change, parcel, release)
    told = [
        Amendment(**{**TOLD.__dict__, "parcel_ids": ("1",)}),
        Amendment(HERE, case_numbers=("Z-8",), status="enacted", parcel_ids=("77",), new_codes=("MU-1",)),
        Amendment(HERE, case_numbers=("Z-9",), status="filed", dates={"effective": "2024-02-30"}),
    ]
    amendment_records.store(database, HERE, told)
    found = {name: amendment_records.queue(database, name, HERE) for name in amendment_records.QUEUES}
    assert [(row["case_numbers"], row["lag_days"]) for row in found["matched"]] == [(["Z-7"], 20)]
    assert [row["case_numbers"] for row in found["unmapped"]] == [["Z-8"]]
    assert [row["id"] for row in found["unexplained"]] == ["bb"]
    assert [row["case_numbers"] for row in found["questions"]] == [["Z-9"]]
