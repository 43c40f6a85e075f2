"""The map page as a person uses it, in a real browser, over the simulated county of `zoning demo`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import rows
from tests.integration.browser.map_page import DESKTOP, MapPage, MapServer, published, watched
from tests.integration.browser.screen import browser
from zoning_assets.simulation.county.county import ID

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PARCELS = 1200
ACCENT_LIGHT, ACCENT_DARK = (185, 60, 10), (255, 154, 92)
MARKUP = "<img src=x onerror=\"document.title='attacked'\"><script>document.title='attacked'</script>"
HOSTILE = f"{MARKUP} \u202e =cmd|' /C calc'!A0"
WIDE, PHONE = (1800, 1000), (390, 844)


@pytest.fixture(scope="module")
def served(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """The demo's county."""
    demo = iter([["demo", "--parcels", str(PARCELS), "--json"]])
    with published(server, template, tmp_path_factory.mktemp("map"), demo) as found:
        yield found


@pytest.fixture(scope="module")
def opened() -> Iterator[Any]:
    with browser() as page:
        yield page


@pytest.fixture
def page(served: MapServer, opened: Any, tmp_path: Path) -> Iterator[MapPage]:
    with watched(opened, served, tmp_path) as found:
        yield found


def test_the_first_view_shows_what_was_rezoned(page: MapPage) -> None:
    total = page.one("SELECT count(*) FROM zoning.change WHERE state = 'event'")
    page.open()
    page.title(f"^{total} changes$")
    page.page.get_by_text("R-4").first.wait_for()
    assert page.count(ACCENT_LIGHT) > 2000  # outlines of the rezoned lots
    page.picture("light")
    page.accessible()
    page.page.locator("input[data-layer=changes]").click()
    page.page.locator("input[data-layer=parcels]").click()
    page.settle()
    assert page.count(ACCENT_LIGHT) == 0


@pytest.mark.parametrize(("name", "size", "scheme", "accent"), [
    ("dark", DESKTOP, "dark", ACCENT_DARK),
    ("phone", PHONE, "light", ACCENT_LIGHT),
    ("phone-dark", PHONE, "dark", ACCENT_DARK),
    ("wide", WIDE, "light", ACCENT_LIGHT),
])  # fmt: skip
def test_every_screen_shows_it(page: MapPage, name: str, size: tuple[int, int], scheme: str, accent: tuple) -> None:
    page.open(size=size, scheme=scheme)
    assert page.count(accent) > 300
    page.picture(name)
    page.accessible()
    width = page.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]  # nothing sticks out at the side


_ONE_ADDRESS = (
    "SELECT min(parcel_id), address FROM zoning.parcel GROUP BY address HAVING count(*) = 1 ORDER BY 1 LIMIT 1"
)


def test_a_parcel_is_found_by_id_and_by_address(page: MapPage) -> None:
    parcel, address = rows(page.server.url, _ONE_ADDRESS)[0]
    page.open()
    search = page.page.get_by_role("combobox", name="Search by parcel id or address")
    for text in (parcel, address.lower()):
        search.fill(text)
        page.page.get_by_role("option", name=parcel).first.wait_for()
        page.picture("search")
        search.press("ArrowDown")
        search.press("Enter")
        page.title(f"^{re.escape(parcel)}$")
        assert urlsplit(page.page.url).path == f"/parcel/{ID}/{parcel}"
    page.page.get_by_text(address, exact=True).first.wait_for()
    page.accessible()


def test_a_change_has_a_card_and_can_be_compared(page: MapPage) -> None:
    change, parcel = rows(
        page.server.url, "SELECT id, parcel_ids[1] FROM zoning.change WHERE kind = 'rezoned' LIMIT 1"
    )[0]
    page.open(f"/#change={change}")
    page.title("^Rezoned$")
    card = page.page.locator("article")
    for name in ("Area", "Noticed", "Legal from", "Ordinance", "Confidence"):
        card.locator("dt", has_text=name).first.wait_for()
    card.get_by_role("link", name=parcel).wait_for()
    page.picture("change")
    page.accessible()
    page.page.get_by_role("link", name="Compare before and after").click()
    divider = page.page.get_by_role("slider", name="Border between the older and the current map")
    divider.wait_for()
    page.settle()
    page.picture("compare")
    at = float(divider.get_attribute("aria-valuenow"))
    divider.press("ArrowRight")
    assert float(divider.get_attribute("aria-valuenow")) > at
    now = page.page.locator("#after").screenshot()
    divider.press("PageUp")
    page.page.wait_for_timeout(300)
    assert page.page.locator("#stage").screenshot() != now
    page.accessible()


def test_the_slider_shows_an_older_release(page: MapPage) -> None:
    page.open()
    slider = page.page.get_by_role("slider", name="Release shown on the map")
    with page.page.expect_response(lambda answer: "zoning.parcel_as_of/tiles" in answer.url) as answer:
        slider.press("Home")
    assert answer.value.ok
    page.settle()
    assert "time=" in page.page.url
    page.picture("older")
    page.page.reload()
    page.page.locator("html[data-ready]").wait_for()
    assert slider.input_value() == "0"  # the address has it
    slider.press("End")
    page.settle()
    assert "time=" not in page.page.url


def test_the_list_is_used_with_the_keyboard(page: MapPage) -> None:
    page.open()
    page.page.locator(".items a").first.focus()
    page.page.keyboard.press("Enter")
    page.page.get_by_role("link", name="All changes").wait_for()
    assert page.page.evaluate("document.activeElement.className") == "title"
    page.page.go_back()
    page.title("changes$")
    page.page.get_by_label("Kind of change").select_option("split")
    page.title("^1 change$")
    assert "kind=split" in page.page.url


def test_a_parcel_has_a_timeline_and_a_lineage(page: MapPage) -> None:
    parent, child = rows(
        page.server.url,
        "SELECT evidence->'parents'->>0, evidence->'children'->>-1 FROM zoning.change WHERE kind = 'split'",
    )[0]
    page.open(f"/parcel/{ID}/{child}")
    page.title(f"^{re.escape(child)}$")
    page.page.get_by_role("link", name=parent, exact=True).first.wait_for()
    page.page.locator(".timeline").get_by_text("First published").wait_for()
    page.picture("parcel")
    page.accessible()
    page.page.get_by_role("link", name=parent, exact=True).first.click()
    page.title(f"^{re.escape(parent)}$")


#: A lot without a change, and a point inside it.
_UNCHANGED = """
    SELECT parcel_id, ST_X(at), ST_Y(at) FROM (
        SELECT parcel_id, ST_PointOnSurface(geom) AS at FROM zoning.zoned_parcel p
        WHERE NOT EXISTS (SELECT FROM zoning.change_feature c WHERE c.geom && p.geom)
    ) lot ORDER BY parcel_id LIMIT 1"""


def test_a_click_on_a_lot_opens_its_page(page: MapPage) -> None:
    parcel, x, y = rows(page.server.url, _UNCHANGED)[0]
    page.open(f"/#at=18.5/{y:.6f}/{x:.6f}")
    page.page.locator("#after canvas").click()  # in its middle
    page.title(f"^{re.escape(parcel)}$")


def test_the_lists_work_without_webgl(page: MapPage) -> None:
    page.page.add_init_script(_NO_WEBGL)
    page.open("/#webgl=off")
    page.page.get_by_text("The map needs WebGL").wait_for()
    page.page.locator(".items a").first.click()
    page.page.get_by_text("Why it was recorded").wait_for()


#: Init scripts of a page cannot be removed: this one acts only on addresses that say so.
_NO_WEBGL = """
    const real = HTMLCanvasElement.prototype.getContext;
    const isOff = location.hash.includes("webgl=off");
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return isOff && kind.includes("webgl") ? null : real.call(this, kind, ...rest);
    };"""


def test_a_person_accepts_a_change(page: MapPage) -> None:
    with psycopg.connect(page.server.url) as connection:
        found = connection.execute(
            "UPDATE zoning.change SET state = 'review', confidence = 0.4 WHERE kind = 'partly_rezoned' RETURNING id"
        ).fetchall()
    page.open("/#view=review")
    page.title(f"^{len(found)} decisions? to make$")
    page.picture("review")
    page.accessible()
    accept = page.page.get_by_role("button", name=re.compile("^Accept")).first
    accept.click()
    page.page.get_by_text("Write your name first").wait_for()
    page.page.get_by_label("Your name").fill("Ada Example")
    page.page.get_by_role("textbox", name="Token", exact=True).fill(page.server.token)
    accept.click()
    page.page.get_by_text(re.compile("^Accepted: Partly rezoned")).first.wait_for()
    assert page.one("SELECT count(*) FROM zoning.change WHERE state = 'review'") == len(found) - 1
    assert page.one("SELECT actor FROM zoning.audit ORDER BY id DESC LIMIT 1") == "Ada Example"


def test_the_state_of_every_jurisdiction_is_seen(page: MapPage) -> None:
    page.open("/#view=status")
    page.title("^Status$")
    page.page.get_by_text(re.compile("rejected row")).first.click()
    page.page.get_by_text(re.compile("null key|repeated key|geometry")).first.wait_for()
    page.picture("status")
    page.accessible()


def test_markup_in_the_data_is_text(page: MapPage) -> None:
    """Parcel ids, addresses, codes and evidence that are script have no effect."""
    with psycopg.connect(page.server.url) as connection:
        # A lot with one code after the change.
        rezoned = """
            SELECT c.id, c.parcel_ids[1]
            FROM zoning.change c JOIN zoning.parcel_zoning z ON z.parcel_id = c.parcel_ids[1]
            WHERE c.kind = 'rezoned' GROUP BY c.id HAVING count(*) = 1 ORDER BY c.id LIMIT 1
        """
        [(change, old)] = connection.execute(rezoned).fetchall()
        values = {"bad": HOSTILE, "old": old, "change": change}
        connection.execute(
            "UPDATE zoning.parcel SET address = %(bad)s, land_use = %(bad)s, zoning_code_local = %(bad)s,"
            " parcel_id = %(bad)s, attributes = jsonb_build_object(%(bad)s::text, %(bad)s::text)"
            " WHERE parcel_id = %(old)s", values,
        )  # fmt: skip
        connection.execute(
            "UPDATE zoning.parcel_zoning SET code = %(bad)s, parcel_id = %(bad)s WHERE parcel_id = %(old)s", values
        )
        connection.execute("UPDATE zoning.code SET code = %(bad)s, zone_type = %(bad)s WHERE code = 'R-4'", values)
        connection.execute(
            "UPDATE zoning.change SET new = %(bad)s, parcel_ids = ARRAY[%(bad)s::text],"
            " evidence = evidence || jsonb_build_object('source', %(bad)s::text) WHERE id = %(change)s", values,
        )  # fmt: skip
    for path in ("/", f"/#change={change}", f"/#change={change}&color=code&at=18/42.3/-71.6"):
        page.open(path)
        page.page.get_by_text(MARKUP).first.wait_for()
        harmless(page)
    page.picture("hostile")
    page.page.locator("article").get_by_role("link", name=re.compile("^<img")).first.click()
    page.title("^<img")
    harmless(page)
    page.page.get_by_role("combobox", name="Search").fill(HOSTILE[:20])
    page.page.locator("#search-results").get_by_text(MARKUP).first.wait_for()
    harmless(page)


def harmless(page: MapPage) -> None:
    page.settle()
    assert page.page.title() != "attacked"
    assert page.page.locator("img, body script").count() == 0
