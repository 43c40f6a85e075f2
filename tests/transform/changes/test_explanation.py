"""The sentences of `zoning explain`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from zoning_assets.transform.changes import explanation

CHANGE = {
    "id": "018f642a028d", "kind": "rezoned", "state": "event", "jurisdiction": "us-xx-a", "parcel_ids": ["1"],
    "old": "R-1", "new": "R-4", "confidence": 0.95, "area_m2": None, "share": None, "effective": None,
    "detected": datetime(2026, 11, 30, tzinfo=UTC), "amendments": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        (
            {"zoning_to": 15, "parcels_to": 14, "zoning_from": 7, "parcels_from": 6},
            "parcels 6 with 14, zoning 7 with 15",
        ),
        ({"zoning_to": 0, "parcels_to": 14, "zoning_from": 0, "parcels_from": 6}, "parcels 6 with 14"),
        ({"parcels_to": 1}, "parcels 1"),
        ({}, "none"),
    ],
)
def test_the_batches_that_were_compared_stand_in_pairs(batches: dict[str, Any], says: str) -> None:
    evidence = {"batches": batches, "rules": "6fc2", "maps": ["a", "b"]}
    assert explanation.lines({**CHANGE, "evidence": evidence})[-2:] == [
        f"batches compared: {says}",
        "rules: 6fc2; maps: a, b",
    ]
