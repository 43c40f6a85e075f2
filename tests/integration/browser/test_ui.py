"""What a person does in Dagster's UI, done in a real browser; whether it was done is asked of the database.

`ZONING_SCREENSHOTS` names a folder for the pictures; else they are left with pytest's own files.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.integration.browser.screen import LOCATION, Screen, browser
from tests.support import town
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases
from zoning_assets.simulation.portal.portal_process import serving, set_faults, switch_release

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

LOTS = 1200
TOWN = "us-xx-town"
county = CountyReleases(LOTS).county
TILE_ASSETS = ("raw_feed", "normalized", "validated", "parcels")


@dataclass
class World:
    """A portal, the program as a user started it, its UI and its database."""

    folder: Path
    portal: str
    environ: dict[str, str]
    url: str
    screen: Screen

    def add(self, name: str, text: str) -> None:
        """A jurisdiction file; the UI reads it when it is reloaded."""
        (self.folder / "jurisdictions" / f"{name}.toml").write_text(text)
        self.screen.reload()

    def parcels(self, jurisdiction: str = ID) -> list[tuple]:
        return rows(
            self.url,
            "SELECT parcel_id, content_hash FROM zoning.parcel WHERE jurisdiction = %s ORDER BY 1",
            jurisdiction,
        )

    def one(self, query: str) -> object:
        return rows(self.url, query)[0][0]

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until the database says so."""
        deadline = time.monotonic() + 240
        while not holds():
            assert time.monotonic() < deadline
            self.screen.page.wait_for_timeout(500)

    def ended(self, job: str, status: str) -> int:
        """How many runs of a job ended so."""
        query = "SELECT count(*) FROM zoning_dagster.runs WHERE pipeline_name = %s AND status = %s"
        return int(rows(self.url, query, job, status)[0][0])

    @contextmanager
    def one_more(self, job: str, status: str) -> Iterator[None]:
        """After the block, wait until one more run of a job has ended so."""
        before = self.ended(job, status)
        yield
        self.until(lambda: self.ended(job, status) > before)

    def status(self) -> dict:
        command = [sys.executable, "-m", "zoning_assets.cli", "status", "--json"]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout)


@contextmanager
def up(environ: dict[str, str]) -> Iterator[str]:
    """`zoning up`, as a user starts it: the address of its UI."""
    command = [sys.executable, "-m", "zoning_assets.cli", "up", "--json", "--port", "3960"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            yield json.loads("".join(iter(started.stdout.readline, "}\n")) + "}")["ui"]
        finally:
            started.terminate()
            assert started.wait(60) == 128 + signal.SIGTERM


@pytest.fixture
def world(tmp_path: Path, database: str) -> Iterator[World]:
    (tmp_path / "jurisdictions").mkdir()
    places = {"HOME": "", "ZONING_HOME": "home", "DAGSTER_HOME": "dagster", "ZONING_JURISDICTIONS": "jurisdictions"}
    environ = {**os.environ, "ZONING_DATABASE_URL": database} | {
        name: str(tmp_path / folder) for name, folder in places.items()
    }
    pictures = Path(os.environ.get("ZONING_SCREENSHOTS") or tmp_path / "screenshots")
    with browser() as page, serving(LOTS) as portal, up(environ) as ui:
        screen = Screen(page, ui, pictures)
        yield World(tmp_path, portal, environ, database, screen)
        screen.picture("last")


def test_a_person_runs_it_from_the_ui(world: World) -> None:
    """Backfill, sensor, retry, pause, rollback and a failed check, one after the other, as days go by."""
    world.screen.switch(["feed_changed", "retry_failed", "harvest_goes_on"], on=False)  # they would be before us
    world.add(ID, county_toml(world.portal))
    backfill(world)
    world.screen.switch(["harvest_goes_on"], on=True)
    sensor_tick(world)
    retry(world)
    pause(world)
    rollback(world)
    failed_check(world)


def backfill(world: World) -> None:
    """`tiles`, then the four tile assets for all tiles of the jurisdiction."""
    screen = world.screen
    screen.materialize("tiles", ID, "Never materialized")
    screen.ends("Success")
    screen.open(f"{LOCATION}/asset-groups/parcels/lineage", "parcel_zoning")
    for name in TILE_ASSETS:
        screen.page.get_by_text(name, exact=True).last.click(modifiers=["Shift"])
    screen.click("Materialize selected (4)")
    screen.choose(ID)
    screen.picture("1-backfill-dialog")
    screen.click("Launch backfill")
    screen.follow()
    screen.sees("100% completed", times=len(TILE_ASSETS), within_s=240)
    screen.picture("1-backfill-done")
    shown(world)
    assert len(world.parcels()) == county(1).parcels_by_policy()["dissolve"]


def shown(world: World) -> None:
    """What the materializations say."""
    screen = world.screen
    for name in ("tiles", *TILE_ASSETS):
        screen.open(f"/assets/{name}", "Value")
        screen.picture(f"1-asset-{name}")
    screen.open("/assets/validated", "[Show Markdown]")
    screen.page.get_by_text("[Show Markdown]").click()
    screen.page.get_by_role("dialog").locator("img").wait_for()
    screen.picture("1-map")


def sensor_tick(world: World) -> None:
    """The county changes; a tick of `feed_changed` asks for a harvest, and it is done."""
    screen, before = world.screen, world.parcels()
    switch_release(world.portal, 2)
    screen.open(f"{LOCATION}/sensors/feed_changed", "Preview tick result")
    screen.click("Preview tick result")
    screen.click("Continue")
    screen.sees("2 run requests")
    screen.picture("2-tick")
    screen.click("Apply requests & commit tick result")
    screen.sees("zoning/feed: parcels")
    screen.picture("2-runs-queued")
    world.until(lambda: world.parcels() != before and world.one("SELECT count(*) FROM zoning.parcel_zoning"))
    screen.open("/runs", "harvest_goes_on")
    screen.sees("feed_changed")
    screen.picture("2-runs-done")
    assert len(world.parcels()) == county(2).parcels_by_policy()["dissolve"]


def retry(world: World) -> None:
    """The portal wants a token for a while: the run fails, says why, and is executed again when that is over."""
    screen, before = world.screen, world.parcels()
    switch_release(world.portal, 3)
    set_faults(world.portal, ["token_wall"])
    run = screen.materialize("tiles", ID)
    screen.ends("Failure")
    screen.sees("token")
    screen.picture("3-run-failed")
    assert world.parcels() == before
    assert world.one("SELECT count(*) FROM zoning.failure WHERE state <> 'solved'") == 1
    screen.open("/runs", "Failure")
    screen.picture("3-runs")
    set_faults(world.portal, [])
    screen.page.goto(run)
    with world.one_more("tell_changes", "SUCCESS"):
        screen.click("Re-execute all (*)")
        screen.page.wait_for_url(lambda url: url != run)
        screen.ends("Success")
        screen.picture("3-retried")
    assert world.parcels() != before
    assert world.one("SELECT count(*) FROM zoning.failure WHERE state <> 'solved'") == 0


def pause(world: World) -> None:
    """Under a pause a run waits, and goes on after `resume`."""
    screen, before = world.screen, world.parcels()
    screen.launch("pause", f"ops: {{place_hold: {{config: {{jurisdiction: {ID}, reason: a look at the map}}}}}}")
    screen.ends("Success")
    screen.sees(f"{ID} is paused")
    screen.picture("4-paused")
    assert [hold["reason"] for hold in world.status()["holds"]] == ["a look at the map"]
    switch_release(world.portal, 4)
    waiting = screen.materialize("tiles", ID)
    screen.sees("This run waits. ")
    screen.page.wait_for_timeout(5_000)
    screen.picture("4-waits")
    assert world.parcels() == before
    with world.one_more("tell_changes", "SUCCESS"):
        screen.launch("resume", f"ops: {{lift_hold: {{config: {{jurisdiction: {ID}, reason: it is right}}}}}}")
        screen.ends("Success")
        screen.page.goto(waiting)
        screen.ends("Success")
        screen.picture("4-resumed")
    assert world.status()["holds"] == []
    assert world.parcels() != before


def rollback(world: World) -> None:
    """Looked at first, then done: the rows are those of that moment, and the jurisdiction is paused."""
    screen, before, moment = world.screen, world.parcels(), datetime.now(UTC)
    switch_release(world.portal, 5)
    with world.one_more("tell_changes", "SUCCESS"):
        screen.materialize("tiles", ID)
        screen.ends("Success")
    after = world.parcels()
    assert after != before
    back = f"jurisdiction: {ID}, reason: wrong export, to: '{moment.isoformat()}'"
    for dry_run, then in (("true", after), ("false", before)):
        screen.launch("rollback", f"ops: {{undo: {{config: {{{back}, dry_run: {dry_run}}}}}}}")
        screen.ends("Success")
        screen.sees("rows ended")
        screen.picture(f"5-rollback-dry-run-{dry_run}")
        assert world.parcels() == then
    assert [hold["reason"] for hold in world.status()["holds"]] == ["rolled back: wrong export"]


def failed_check(world: World) -> None:
    """All codes of a release are one: the check says so, and nothing of it is published."""
    screen, files = world.screen, world.folder / "town"
    town.release(files, County.build(LOTS))
    world.add(TOWN, town.text(files, name=TOWN))
    with world.one_more("tell_changes", "SUCCESS"):
        screen.materialize("tiles", TOWN)
        screen.ends("Success")
    before = world.parcels(TOWN)
    assert before
    town.release(files, County.build(LOTS), parcels=town.one_code("ZONE"))
    with world.one_more("publish_parcels", "FAILURE"):
        screen.materialize("tiles", TOWN)
        screen.ends("Success")
    screen.open("/runs", "Failure")
    screen.picture("6-run-failed")
    screen.open("/assets/parcels?view=checks", "mass_rezoning")
    screen.picture("6-checks")
    screen.page.get_by_text("mass_rezoning").first.click()
    screen.sees("got another zoning code (")
    screen.sees("Failed")
    screen.picture("6-mass-rezoning")
    screen.open("/assets/parcels", "Value")
    screen.picture("6-asset")
    assert world.parcels(TOWN) == before
    assert world.status()["needs"]
