"""Rows of an overlay layer in the columns of the map."""

from zoning_assets.model import ZONING, Feed
from zoning_assets.transform import overlay_rows

BASE = Feed(ZONING, "download", "x", key="ID", fields={"code": "ZONE", "effective": "SINCE"})
FLOOD = Feed("overlay-flood", "download", "y", key="FID_", fields={"code": "FLD", "effective": "DAY", "zone_type": "T"})


def test_columns_get_the_names_of_the_map() -> None:
    """What the map's own columns would hide keeps its value under another name; a type that the map has no column for
    stays an attribute; columns that servers manage are left out."""
    row = {"FID_": 7, "FLD": " AE ", "DAY": "2024-05-01", "T": "x", "ZONE": "other", "OBJECTID": 1, "overlay": "own"}
    [found] = overlay_rows.as_base_rows([row], "flood", FLOOD, BASE, {})
    assert found == {
        "ZONE": "overlay flood: AE",
        "SINCE": "2024-05-01",
        "ID": "flood/7",
        "T": "x",
        "ZONE_overlay": "other",
        "overlay_overlay": "own",
        "overlay": "flood",
    }


def test_a_row_without_a_code_or_a_key() -> None:
    """It is the overlay itself; without its key it is rejected later, as every row is."""
    without = Feed("overlay-flood", "download", "y", key="K", fields={})
    found = overlay_rows.as_base_rows([{"FLD": "AE", "K": None}, {"FLD": None}], "flood", without, BASE, {})
    assert [(row["ZONE"], row["ID"], row.get("FLD")) for row in found] == [
        ("overlay flood", None, "AE"),
        ("overlay flood", None, None),
    ]


def test_dates_are_those_of_the_layer() -> None:
    """ArcGIS sends milliseconds."""
    [found] = overlay_rows.as_base_rows([{"DAY": 86_400_000}], "flood", FLOOD, BASE, {"dates": ["DAY"]})
    assert found["SINCE"] == "1970-01-02"
