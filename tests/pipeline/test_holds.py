"""An emergency pause: in force for all at once, nothing published under it, nothing lost."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import read_toml, rows, sync
from tests.integration.signals.gated_portal import gated
from tests.support.waiting import until
from zoning_assets.errors import Held, NothingWaits
from zoning_assets.http.response_checks import host_of
from zoning_assets.model import ZONING
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.records import hold_records

_PARCELS = 2000
_COMMITTED = "SELECT count(*) FROM zoning.batch"
_ASKED = "SELECT coalesce(sum(asked), 0) FROM zoning.host_budget"


def quiet(database: str) -> int:
    """Wait until nobody asks any more, looked at each second; how much had been asked until then."""
    before, asked = -1, 0
    while before != asked:
        before, asked = asked, int(rows(database, _ASKED)[0][0])
        time.sleep(1)
    return asked


def held(database: str, **what: str) -> hold_records.Hold:
    chosen = {"jurisdiction": None, "host": None, **what}
    return hold_records.pause(database, **chosen, reason="the portal lies", actor="ann", until=None)


def lifted(database: str, **what: str) -> None:
    hold_records.resume(database, **{"jurisdiction": None, "host": None, **what}, reason="mended", actor="bob")


def test_three_processes_stop_at_once_and_go_on(database: str, tmp_path: Path) -> None:
    """Three counties are being harvested: after `pause` soon nobody asks, and not a row is published until `resume`;
    then all three end as if nothing had been. How soon: see test_pausing.

    None of them can end before the pause: the server of their zoning maps does not answer until then."""
    counties = ("us-xx-one", "us-xx-two", "us-xx-three")
    with serving(_PARCELS) as portal, gated(portal) as gate:
        runs = []
        for each in counties:
            parcels, zoning, rest = county_toml(portal, tile_resolution=8).replace(ID, each).partition("[feeds.zoning]")
            read_toml(tmp_path / each, parcels + zoning + rest.replace(portal, gate.address), each)
            words = [
                str(tmp_path / each / f"{each}.toml"),
                str(tmp_path / each / "store"),
                database,
                str(tmp_path / each),
            ]
            runs.append(
                subprocess.Popen([sys.executable, "-m", "tests.support.kill_child", *words], stderr=subprocess.PIPE)
            )
        begun = "SELECT count(DISTINCT jurisdiction) FROM zoning.batch"
        until(lambda: rows(database, begun) == [(3,)], "all three have published")
        held(database)
        gate.close_after(None)
        before, parcels = rows(database, _COMMITTED), rows(database, "SELECT count(*) FROM zoning.parcel")
        asked = quiet(database)
        time.sleep(1)  # long enough for a run that does not wait to publish
        assert [run.poll() for run in runs] == [None] * 3, "they wait"
        assert rows(database, _ASKED) == [(asked,)]
        assert rows(database, _COMMITTED) == before
        assert rows(database, "SELECT count(*) FROM zoning.parcel") == parcels
        lifted(database)
        said = [run.communicate(timeout=500)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0] * 3, said
    assert all(text.count("paused by ann: the portal lies") == 1 for text in said)
    whole = County.build(_PARCELS).parcels_by_policy()["dissolve"]
    found = dict(rows(database, "SELECT jurisdiction, count(*) FROM zoning.parcel GROUP BY 1"))
    assert found == dict.fromkeys(counties, whole)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("what", ["all", "jurisdiction", "host"])
def test_what_is_paused_publishes_nothing(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Everything, the county, or the host that it is asked from."""
    monkeypatch.setattr("zoning_assets.pipeline.holds._LONGEST_S", 0.0)
    with serving(400) as portal:
        county = read_toml(tmp_path / "toml", county_toml(portal), ID)
        chosen = {"all": {}, "jurisdiction": {"jurisdiction": ID}, "host": {"host": host_of(portal)}}[what]
        held(pipeline.database, **chosen)
        (outcome,) = sync(pipeline, county, ZONING)
        assert isinstance(outcome.error, Held)
        assert rows(pipeline.database, _COMMITTED) == [(0,)]
        lifted(pipeline.database, **chosen)
        (outcome,) = sync(pipeline, county, ZONING)
        assert outcome.error is None


def test_what_is_paused_elsewhere_is_no_matter(pipeline: Pipeline, tmp_path: Path) -> None:
    held(pipeline.database, jurisdiction="us-xx-other")
    held(pipeline.database, host="gis.example.org")
    with serving(400) as portal:
        county = read_toml(tmp_path / "toml", county_toml(portal), ID)
        (outcome,) = sync(pipeline, county, ZONING)
        assert outcome.error is None


def test_shares_and_changes_are_not_published_either(pipeline: Pipeline, tmp_path: Path) -> None:
    with serving(400) as portal:
        county = read_toml(tmp_path / "toml", county_toml(portal), ID)
        sync(pipeline, county)
        sync(pipeline, county, ZONING)
    held(pipeline.database, jurisdiction=ID)
    for judge in (change_detection.update_parcel_zoning, change_detection.detect_changes):
        with pytest.raises(Held, match="paused by ann: the portal lies"):
            judge(pipeline.database, county)
    assert rows(
        pipeline.database, "SELECT (SELECT count(*) FROM zoning.parcel_zoning), count(*) FROM zoning.release"
    ) == [(0, 0)]


def test_a_pause_may_end_by_itself(database: str) -> None:
    def paused(jurisdiction: str, seconds: float) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=seconds)
        hold_records.pause(database, jurisdiction=jurisdiction, host=None, reason="", actor="ann", until=soon)

    paused(ID, 3600)
    paused("us-xx-other", 0.3)
    until(lambda: [hold.jurisdiction for hold in hold_records.active(database)] == [ID], "the end of the shorter one")


def test_only_what_is_paused_can_be_resumed(database: str) -> None:
    held(database, jurisdiction=ID)
    with pytest.raises(NothingWaits):
        lifted(database, host="gis.example.org")
    assert len(hold_records.active(database)) == 1
