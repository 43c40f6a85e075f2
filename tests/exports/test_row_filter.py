"""Filters: what is allowed does what it says, everything else is refused in one line."""

import pytest

from tests.conftest import rows
from tests.exports.conftest import LOTS, Town
from zoning_assets.errors import SettingInvalid
from zoning_assets.exports import row_filter
from zoning_assets.exports.layers import LAYERS


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("zoning_code = 'C-1'", "zoning_code = 'C-1'"),
        ("zoning_code IN ('C-1', 'X') AND NOT area_m2 < 100", "zoning_code = 'C-1' AND area_m2 >= 100"),
        ("address LIKE '%script%' OR parcel_id = 'P0'", "address LIKE '%script%' OR parcel_id = 'P0'"),
        ("address IS NULL", "address IS NULL"),
        ("split_zoned = false AND area_m2 BETWEEN 1 AND 1e9", "NOT split_zoned"),
        ("zoning_codes LIKE '%C-1%'", "'C-1' = ANY (zoning_codes)"),
        ("last_changed > TIMESTAMP('2020-01-01T00:00:00Z')", "true"),
        ("S_INTERSECTS(geometry, BBOX(-71.18, 42.31, -71.179, 42.311))", "parcel_id = 'P0'"),
        ("parcel_id = '''; DROP TABLE zoning.parcel; --'", "false"),
        ("parcel_id = '%(jurisdiction)s {}'", "false"),
    ],
)
def test_a_filter_selects_what_it_says(town: Town, text: str, condition: str) -> None:
    ((expected,),) = rows(town.url, f"SELECT count(*) FROM zoning.zoned_parcel WHERE {condition}")
    result = town.export(where=text)
    assert result.description["rows"] == expected < LOTS + 1
    assert result.description["where"] == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zoning_code",
        "zoning_code = ",
        "nothing = 1",
        '"area_m2"" > 0 OR 1" = 1',
        "area_m2 > 'x'",
        "zoning_code = 1",
        "split_zoned = 1",
        "last_changed > TIMESTAMP('never')",
        "pg_sleep(10) = 1",
        "area_m2 + 1 = 2",
        "casei(zoning_code) = 'r-1'",
        "area_m2 LIKE '1%'",
        "1 = 1",
        "zoning_code = address",
        "S_INTERSECTS(geometry, BBOX(1000000, 0, 1000001, 1))",
        "S_INTERSECTS(address, POINT(0 0))",
        "S_INTERSECTS(geometry, address)",
        "T_AFTER(last_changed, DATE('2020-01-01'))",
        "zoning_code = 'a\x00b'",
        "zoning_code = 'x'; DROP TABLE zoning.parcel",
        f"{'(' * 2000}zoning_code = 'x'{')' * 2000}",
        "NOT " * 490 + "zoning_code = 'x'",
        "area_m2 = " + "-" * 1980 + "1",
        "area_m2 = " + "[" * 1980,
        "zoning_code = '" + "x" * 3000 + "'",
    ],
)
def test_everything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        row_filter.parse(text, LAYERS["zoned_parcels"])
    assert str(refused.value).startswith("--where: ")
    assert "\n" not in str(refused.value)


def test_the_deepest_filter_that_is_allowed_is_parsed() -> None:
    """cql2 ends the process with a segmentation fault on a text that is nested too deeply."""
    deepest = f"{'(' * 8}zoning_code = 'x'{')' * 8}"
    assert row_filter.parse(deepest, LAYERS["parcels"]).values == {"filter_0": "x"}
    assert row_filter.parse("NOT " * 50 + "zoning_code = 'x'", LAYERS["parcels"]).values == {"filter_0": "x"}
    assert row_filter.parse("zoning_code = '((((' OR " * 50 + "zoning_code = ''", LAYERS["parcels"]).values
