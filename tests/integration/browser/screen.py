"""Dagster's UI as a person has it before them: what is clicked, typed and seen, in a Chromium without a window."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers.install import python

#: Drives the browser that the machine has; 160 MB, so it is no dependency of ours.
PLAYWRIGHT = "playwright==1.65.2"
LOCATION = "/locations/zoning_assets.definitions"
_RUN_S = 240.0


@contextmanager
def browser() -> Iterator[Any]:
    """A page of the machine's Chromium; skips where there is none, or nothing to drive it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed here")
    site = next(python("playwright", PLAYWRIGHT).parents[1].glob("lib/python*/site-packages"))
    sys.path.append(str(site))
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it is here from now on

    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver, driver.chromium.launch(executable_path=chromium, args=sandbox) as opened:
        page = opened.new_page(viewport={"width": 1500, "height": 1200})
        page.set_default_timeout(30_000)
        yield page


class Screen:
    """The UI at an address; pictures of it go to a folder."""

    def __init__(self, page: Any, ui: str, pictures: Path) -> None:
        self.page, self.ui, self.pictures = page, ui, pictures
        pictures.mkdir(parents=True, exist_ok=True)

    def open(self, path: str, sees: str) -> None:
        """Go to a page, and wait until it shows this."""
        self.page.goto(self.ui + path)
        self.sees(sees)

    def sees(self, text: str, *, times: int = 1, exact: bool = False, within_s: float = 60.0) -> None:
        """Wait until a text is seen, so many times."""
        self.page.get_by_text(text, exact=exact).filter(visible=True).nth(times - 1).wait_for(timeout=within_s * 1000)

    def click(self, name: str) -> None:
        """Click a button, by its words (an icon's may stand before them); what opened last stands last."""
        named = re.compile(rf"(^|\s){re.escape(name)}(…|$)")
        self.page.get_by_role("button", name=named).last.click()

    def follow(self) -> None:
        """What was launched, by the link that then shows for some seconds."""
        self.page.get_by_text("View", exact=True).last.click()

    def picture(self, name: str) -> None:
        """Keep what is seen now."""
        self.page.wait_for_timeout(1000)  # what moves in the UI has come to rest
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def switch(self, sensors: list[str], *, on: bool) -> None:
        """Automation: the switch of each."""
        self.open("/automation", sensors[0])
        for name in sensors:
            row = self.page.locator("div[data-index]").filter(has=self.page.get_by_text(name, exact=True))
            switch = row.locator("label").nth(1)  # the first one chooses the row
            switch.click()
            switch.locator("input:checked" if on else "input:not(:checked)").wait_for(state="attached")
            self.page.wait_for_timeout(500)

    def reload(self) -> None:
        """Deployment: read the definitions anew."""
        self.open("/locations", "Loaded")
        with self.page.expect_response(lambda answer: "ReloadWorkspace" in (answer.request.post_data or "")):
            self.click("Reload all")
        self.page.wait_for_timeout(2000)

    def choose(self, jurisdiction: str) -> None:
        """In the dialog: all partitions of a jurisdiction, by its id."""
        self.page.get_by_text("Select a partition").click()
        self.page.wait_for_timeout(500)  # until what opens takes what is typed
        self.page.keyboard.type(jurisdiction)
        self.page.get_by_text(re.compile(r"^Select all \(\d+\)")).click()
        self.page.keyboard.press("Escape")

    def materialize(self, asset: str, jurisdiction: str, sees: str = "Value") -> str:
        """An asset's page: one run for a jurisdiction; its page."""
        self.open(f"/assets/{asset}", sees)
        self.click("Materialize")
        self.choose(jurisdiction)
        self.click("Launch 1 run")
        self.follow()
        self.page.wait_for_url("**/runs/*")
        return str(self.page.url)

    def launch(self, job: str, config: str) -> str:
        """A job's launchpad: config typed, the run launched; its page."""
        self.open(f"{LOCATION}/jobs/{job}/playground", "Launch Run")
        self.page.locator(".CodeMirror").first.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(config)
        self.sees("No errors")
        self.picture(f"launchpad-{job}")
        self.click("Launch Run")
        self.page.wait_for_url("**/runs/*")
        return str(self.page.url)

    def ends(self, status: str) -> None:
        """Wait on the page of a run or a backfill until its status is this."""
        self.sees(status, exact=True, within_s=_RUN_S)
