"""The map of a real city: Cambridge before and after February 2025, when most residential districts became one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.integration.browser.map_page import published, watched
from tests.integration.browser.screen import browser
from tests.support.shared_data import cambridge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ID = "us-ma-cambridge"
FILE = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "{folder}/parcels_FY2014_4326.geojson"
key = "ML"
on_repeated_key = "dissolve"
[feeds.zoning]
type = "download"
url = "{folder}/zoning_{vintage}.geojson"
fields = {{ code = "ZONE_TYPE" }}
[codes]
version = "2025"
[codes.types]
"Primarily Residential" = ["A-1", "A-2", "B", "C", "C-1", "C-1A", "C-2", "C-2A", "C-2B", "C-3", "C-3A", "C-3B"]
"Nonresidential" = ["IA", "IB", "OS"]
"""


def vintages(folder: Path) -> Iterator[list[str]]:
    """Write the file for one vintage of the map after the other, and harvest it."""
    (folder / "jurisdictions").mkdir()
    for vintage in ("2024-03-05", "2025-02-24"):
        text = FILE.format(folder=cambridge().resolve(), vintage=vintage)
        (folder / "jurisdictions" / f"{ID}.toml").write_text(text)
        yield ["sync", ID]


def test_the_rezoning_of_a_city_is_seen(server: str, template: str, tmp_path: Path) -> None:
    with (
        published(server, template, tmp_path, vintages(tmp_path)) as served,
        browser() as opened,
        watched(opened, served, tmp_path / "screenshots") as page,
    ):
        rezoned = "SELECT count(*) FROM zoning.change WHERE state = 'event' AND kind = 'rezoned' AND new = 'C-1'"
        assert page.one(rezoned) > 1000
        page.open()
        page.title(f"^{page.one('SELECT count(*) FROM zoning.change WHERE state = %s', 'event'):,} changes$")
        assert opened.get_by_label("By zone type").is_checked()  # the file states types
        page.picture("city")
        page.accessible()
        parcel = rows(served.url, "SELECT parcel_ids[1] FROM zoning.change WHERE kind = 'rezoned' ORDER BY id LIMIT 1")[
            0
        ][0]
        opened.get_by_role("combobox", name="Search").fill(parcel)
        opened.locator("#search-results [role=option]").first.wait_for()
        opened.keyboard.press("Enter")
        page.title(parcel)
        opened.locator(".timeline").get_by_role("link", name="Rezoned").first.click()
        opened.get_by_role("link", name="Compare before and after").click()
        opened.locator("#divider").wait_for()
        page.settle()
        assert opened.get_by_label("By code").is_checked()  # both codes are of one type
        page.picture("city-compare")
