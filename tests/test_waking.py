"""Waking up when a portal changes: which feed is due, and that a tick told again asks for the same."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import read_toml, rows
from zoning_assets.model import Feed as FeedOf
from zoning_assets.model import Jurisdiction, Portal
from zoning_assets.orchestration import build, waking
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.settings import Settings
from zoning_assets.simulation.county import BOUNDS, ID, county_toml
from zoning_assets.simulation.process import serving, switch_release

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def feed(name: str = "us-xx-a", hours: int = 24, quiet: tuple[str, ...] = ()) -> waking.Feed:
    described = FeedOf("zoning", "arcgis", "https://gis.example.org/0", probe_hours=hours)
    return waking.Feed(
        Jurisdiction(name, name, BOUNDS, {"zoning": described}, portal=Portal(quiet_hours=quiet)), "zoning"
    )


@given(st.lists(st.integers(-100, 100), max_size=9, unique=True))
def test_the_longest_overdue_come_first_and_few_at_a_time(hours: list[int]) -> None:
    feeds = [feed(f"us-xx-{number}") for number in range(len(hours))]
    cursor = {each.key: (NOW + timedelta(hours=at)).isoformat() for each, at in zip(feeds, hours, strict=True)}
    late = [at for each in waking.due(cursor, feeds, NOW) for at in [hours[feeds.index(each)]]]
    assert late == sorted(at for at in hours if at <= 0)[: waking.MOST_PROBES]


@given(st.integers(1, 720), st.booleans())
def test_the_next_time_is_an_interval_away_and_a_little_late(hours: int, failed: bool) -> None:
    waits = datetime.fromisoformat(waking.after(feed(hours=hours), NOW, failed=failed)) - NOW
    least = timedelta(hours=1 if failed else hours)
    assert least <= waits <= least * 1.1


def test_a_portal_that_rests_is_not_due() -> None:
    assert waking.due({}, [feed(quiet=("11:00-13:00 UTC",))], NOW) == []
    assert len(waking.due({}, [feed(quiet=("13:00-14:00 UTC",))], NOW)) == 1


def test_the_same_tick_asks_for_the_same_and_the_next_for_another() -> None:
    cursor = {feed().key: NOW.isoformat()}
    later = {feed().key: waking.after(feed(), NOW, failed=False)}
    assert waking.run_key(feed(), cursor, "count 1 -> 2") == waking.run_key(feed(), cursor, "count 1 -> 2")
    assert waking.run_key(feed(), cursor, "count 1 -> 2") != waking.run_key(feed(), later, "count 1 -> 2")


@pytest.fixture
def county(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A county of the user's own, served by a portal of its own."""
    homes = {"ZONING_HOME": "home", "ZONING_STORE_URL": "store", "ZONING_JURISDICTIONS": "toml"}
    for name, folder in homes.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    with serving(400) as portal:
        read_toml(tmp_path / "toml", county_toml(portal), ID)
        yield portal


def test_what_changed_is_harvested_once_and_told(county: str, database: str) -> None:
    """Never harvested: both feeds. Then nothing. The portal changes: both again, and what really changed is told. The
    packaged examples are never asked."""
    definitions = build.definitions(Settings.of(os.environ))
    sensor, job = definitions.resolve_sensor_def("feed_changed"), definitions.resolve_job_def("harvest")
    with dg.instance_for_test() as instance:

        def tick(cursor: str | None) -> dg.SensorResult:
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"zoning": Zoning()})
            with context:
                return sensor.evaluate_tick(context)

        def asked(cursor: str | None) -> tuple[list[str], str]:
            found = tick(cursor)
            for request in found.run_requests:
                assert job.execute_in_process(run_config=request.run_config, instance=instance).success
            return [request.run_key for request in found.run_requests], found.cursor or ""

        first, cursor = asked(None)
        assert [key.split()[0] for key in first] == [f"{ID}/parcels", f"{ID}/zoning"]
        assert set(json.loads(cursor)) == {f"{ID}/parcels", f"{ID}/zoning"}
        assert asked(cursor)[0] == [], "nothing is due"
        overdue = json.dumps(dict.fromkeys(json.loads(cursor), NOW.replace(year=2020).isoformat()))
        assert asked(overdue)[0] == [], "nothing has changed"
        switch_release(county, 2)
        again = [request.run_key for request in tick(overdue).run_requests]
        assert again == [request.run_key for request in tick(overdue).run_requests]
        assert len(again) == 2
        asked(overdue)
        kinds = rows(database, "SELECT DISTINCT kind FROM zoning.change")
        assert {"rezoned", "split", "merged"} <= {kind for (kind,) in kinds}
        assert rows(database, "SELECT count(DISTINCT host) FROM zoning.host_budget") == [(1,)]


def test_a_portal_that_is_gone_is_asked_again_in_an_hour(county: str, database: str, tmp_path: Path) -> None:
    read_toml(tmp_path / "toml", county_toml("http://127.0.0.1:1"), ID)
    definitions = build.definitions(Settings.of(os.environ))
    with (
        dg.instance_for_test() as instance,
        dg.build_sensor_context(instance=instance, cursor=None, resources={"zoning": Zoning()}) as context,
    ):
        found = definitions.resolve_sensor_def("feed_changed").evaluate_tick(context)
    assert not found.run_requests
    assert "us-xx-simulated/parcels: " in str(found.skip_message)
    waits = datetime.fromisoformat(json.loads(found.cursor or "")[f"{ID}/zoning"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < waits <= timedelta(hours=1)
