"""Keys that stand for no key are never made one parcel; `dissolve` is proposed only for parcels of several parts."""

from typing import Any

import pytest

from zoning_assets.onboarding import repeat_policy


def rows(*keys: str | None, **columns: Any) -> list[dict[str, Any]]:
    found = [{"PIN": key, "ADDR": f"{n} Elm St", **columns} for n, key in enumerate(keys)]
    return [{**row, "OBJECTID": n} for n, row in enumerate(found)]


def unique(count: int) -> list[str]:
    return [f"12-{n:04d}" for n in range(count)]


PLACEHOLDERS = [
    *("---", "-", "ROAD", "Road", "0", "000-000-000", "UNKNOWN", "NONE", "N/A", "n.a.", "ROW", "R.O.W.", "*", "NULL"),
    *("RIGHT OF WAY", "Right-of-Way", "WATER", "99999999", "XXXX", "TBD", "NO PIN", "COMMON AREA", "?", "_"),
]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
@pytest.mark.parametrize("often", [2, 40])
def test_placeholders_are_never_dissolved(placeholder: str, often: int) -> None:
    """However often it stands there; the reason names it."""
    found = repeat_policy.policy(rows(*unique(400), *[placeholder] * often), "PIN", ["OBJECTID"])
    assert found.choice == ("reject" if often == 2 else "suffix")
    assert repr(placeholder) in found.why


@pytest.mark.parametrize("key", ["12-001", "R1", "0012", "ROAD-12", "10", "99", "1000", "A", "WATER ST 5", "4-0-1"])
def test_keys_are_no_placeholders(key: str) -> None:
    """What could be a parcel's number is one."""
    assert not repeat_policy.is_placeholder(key)


def test_parts_of_one_parcel_are_dissolved() -> None:
    """Rows that share their key and all they say."""
    lots = [
        {"PIN": key, "ADDR": "1 Elm St", "ZONE": "R1", "OBJECTID": n} for n, key in enumerate([*unique(20), "7", "7"])
    ]
    assert repeat_policy.policy(lots, "PIN", ["OBJECTID"]).choice == "dissolve"


def test_rows_that_differ_stay_by_themselves() -> None:
    """Condominiums: one key, another owner and address each."""
    found = rows(*unique(20), "7", "7", ZONE="R1")
    condominiums = [row | {"OWNER": f"owner {n}", "UNIT": str(n)} for n, row in enumerate(found)]
    assert repeat_policy.policy(condominiums, "PIN", ["OBJECTID"]).choice == "suffix"


def test_one_key_for_very_many_rows_is_no_parcel() -> None:
    """Forty rows that agree in everything are no parcel of forty parts."""
    lots = [{"PIN": key, "ZONE": "R1", "OBJECTID": n} for n, key in enumerate([*unique(400), *["7"] * 40])]
    assert repeat_policy.policy(lots, "PIN", ["OBJECTID"]).choice == "suffix"


def test_keys_that_do_not_repeat_are_guarded() -> None:
    """`reject`: a repetition that comes later is held back until a person looked at it."""
    assert repeat_policy.policy(rows(*unique(20), None, None), "PIN", ["OBJECTID"]).choice == "reject"
