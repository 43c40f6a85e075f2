"""Waking up when a portal changes: which feed is due, and that a tick told again asks for the same."""

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import read_toml, rows
from tests.support.asked_questions import settled, tick
from zoning_assets.defs import build
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import failed_partitions, overdue_feeds, probe_results, probe_schedule
from zoning_assets.defs.sensors.probe_schedule import ProbeState
from zoning_assets.model import Feed, Jurisdiction, Portal
from zoning_assets.pipeline.pipeline import ProbeResult
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import BOUNDS, ID, county_toml
from zoning_assets.simulation.portal.portal_process import switch_release
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness
from zoning_assets.storage.postgis.records.hold_records import Hold

#: The runs of a harvest of both feeds.
WHOLE = Counter(["find_tiles", "publish_parcels", "publish_districts", "tell_changes"])
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def feed(
    name: str = "us-xx-a",
    hours: int = 24,
    quiet: tuple[str, ...] = (),
    probe: str | None = None,
    *,
    host: str = "gis",
) -> probe_schedule.WatchedFeed:
    described = Feed("zoning", "arcgis", f"https://{host}.example.org/0", probe_hours=hours, probe=probe)
    return probe_schedule.WatchedFeed(
        Jurisdiction(name, name, BOUNDS, {"zoning": described}, portal=Portal(quiet_hours=quiet)), "zoning"
    )


def cursor_of(**times: datetime) -> dict[str, ProbeState]:
    return {f"{name.replace('_', '-')}/zoning": ProbeState(at.isoformat()) for name, at in times.items()}


def failed(state: str = "waiting", *, passes: bool = True) -> Failure:
    evidence = ("PortalUnreachable", "no answer", passes, 1, NOW, NOW, None)
    return Failure(1, "us-xx-a", "zoning", None, *evidence, state, None, None)


@given(st.lists(st.integers(-100, 100), max_size=20, unique=True))
def test_the_longest_overdue_come_first_and_few_at_a_time(hours: list[int]) -> None:
    feeds = [feed(f"us-xx-{number}", host=f"host-{number}") for number in range(len(hours))]
    cursor = {
        each.key: ProbeState((NOW + timedelta(hours=at)).isoformat()) for each, at in zip(feeds, hours, strict=True)
    }
    late = [at for each in probe_schedule.due(cursor, {}, feeds, (), NOW) for at in [hours[feeds.index(each)]]]
    assert late == sorted(at for at in hours if at <= 0)[: probe_schedule.MAX_PROBES]


@given(st.integers(1, 720), st.integers(0, 99))
def test_the_next_time_is_an_interval_away_and_a_little_late(hours: int, failures: int) -> None:
    """A portal without an answer is asked sooner, but less and less often."""
    waits = probe_schedule.after(feed(hours=hours), NOW, failures) - NOW
    least = timedelta(hours=min(hours, 2 ** (failures - 1)) if failures else hours)
    assert least <= waits <= least * 1.1


@given(st.integers(0, 200), st.integers(0, 3600 * 24 * 400))
def test_a_stated_time_is_kept_up_to_an_hour_late(number: int, seconds: int) -> None:
    """A hundred feeds of one time do not ask in one minute, and each keeps its own."""
    now, mine = NOW + timedelta(seconds=seconds), feed(f"us-xx-{number}", probe="0 3 * * *")
    at = probe_schedule.after(mine, now)
    assert now < at <= now + timedelta(hours=25)
    assert timedelta(0) <= at - at.replace(hour=3, minute=0, second=0, microsecond=0) <= timedelta(hours=1)
    later = probe_schedule.after(mine, at) - at
    assert timedelta(hours=23) < later < timedelta(hours=25)


def test_a_hundred_feeds_do_not_ask_in_one_minute() -> None:
    minutes = {probe_schedule.after(feed(f"us-xx-{number}", probe="0 3 * * *"), NOW).minute for number in range(100)}
    assert len(minutes) > 40


def test_a_portal_that_rests_or_is_paused_is_not_due_until_that_is_over_and_then_once() -> None:
    mine, hold = feed(quiet=("11:00-13:00 UTC",)), Hold(1, None, "gis.example.org", "?", "me", NOW, None)
    assert probe_schedule.blocked([mine], [], NOW) == {mine.key} == probe_schedule.blocked([feed()], [hold], NOW)
    assert probe_schedule.blocked([feed("us-xx-b")], [Hold(1, "us-xx-a", None, "?", "me", NOW, None)], NOW) == set()
    assert probe_schedule.due({}, {}, [mine], {mine.key}, NOW) == []
    later = NOW + timedelta(hours=1)
    assert probe_schedule.blocked([mine], [], later) == set()
    cursor = cursor_of(us_xx_a=NOW - timedelta(days=3))
    assert probe_schedule.due(cursor, {}, [mine], (), later) == [mine]
    assert (
        probe_schedule.due({mine.key: ProbeState(probe_schedule.after(mine, later).isoformat())}, {}, [mine], (), later)
        == []
    )


def test_the_same_tick_asks_for_the_same_and_the_next_for_another() -> None:
    now, later = ProbeState(NOW.isoformat()), ProbeState(probe_schedule.after(feed(), NOW).isoformat())
    assert probe_schedule.run_key(feed(), now, "count 1 -> 2") == probe_schedule.run_key(feed(), now, "count 1 -> 2")
    assert probe_schedule.run_key(feed(), now, "count 1 -> 2") != probe_schedule.run_key(feed(), later, "count 1 -> 2")


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"a": 1}', '{"a": {"b": 2}}', '{"a": "2026-01-01"}'])
def test_a_cursor_that_cannot_be_read_is_a_lost_one(text: str | None) -> None:
    assert probe_schedule.parse_cursor(text) == {}
    assert failed_partitions.parse_cursor(text) == {}


def test_a_lost_cursor_does_not_storm_the_portals() -> None:
    """What is known beside it says when each is due; only what was found changed is looked at again, few at a time."""
    feeds = [feed(f"us-xx-{number}", host=f"host-{number}") for number in range(100)]
    soon = NOW + timedelta(hours=3)
    known = {each.key: FeedFreshness(each.jurisdiction.id, each.name, NOW, soon) for each in feeds}
    assert probe_schedule.due({}, known, feeds, (), NOW) == []
    known[feeds[7].key] = FeedFreshness("us-xx-7", "zoning", NOW, soon, why="count 1 -> 2")
    assert probe_schedule.due({}, known, feeds, (), NOW) == [feeds[7]]
    assert len(probe_schedule.due({}, {}, feeds, (), NOW)) == probe_schedule.MAX_PROBES


def test_a_shared_host_is_probed_at_its_pace_and_delays_no_other() -> None:
    """30 requests a minute: three probes of three requests in 20 seconds. The others stay due, the longest first."""
    shared = [feed(f"us-xx-{number:02}", host="shared") for number in range(40)]
    own = feed("us-xx-own", host="own")
    chosen = probe_schedule.due({}, {}, [*shared, own], (), NOW)
    assert chosen == [*shared[:3], own]
    later = {each.key: ProbeState((NOW + timedelta(hours=1)).isoformat()) for each in chosen}
    assert probe_schedule.due(later, {}, [*shared, own], (), NOW) == shared[3:6]


def test_the_cursor_keeps_only_what_the_database_cannot_restore() -> None:
    """A feed without failure and without a change under way is restored from the time of its next probe."""
    feeds = [feed(f"us-xx-{name}") for name in ("quiet", "failed", "changed", "lost")]
    quiet, failed, changed, lost = feeds
    soon = (NOW + timedelta(hours=3)).isoformat()
    cursor = {
        quiet.key: ProbeState(soon),
        failed.key: ProbeState(soon, failed=2),
        changed.key: ProbeState(soon, why="count 1 -> 2", asked=NOW.isoformat()),
    }
    known = {
        each.key: FeedFreshness(each.jurisdiction.id, each.name, NOW, NOW + timedelta(hours=3), why=why)
        for each, why in ((quiet, None), (failed, None), (changed, "count 1 -> 2"), (lost, "count 1 -> 2"))
    }
    text = probe_schedule.serialize(cursor, feeds)
    assert set(json.loads(text)) == {failed.key, changed.key}
    restored = probe_schedule.with_stored(probe_schedule.parse_cursor(text), known)
    assert restored == cursor, "the change of `lost` may not have been requested: it has no entry"
    assert probe_schedule.due(restored, known, feeds, (), NOW) == [lost]


def test_what_was_asked_for_is_not_asked_for_again_while_it_may_be_under_way() -> None:
    asked = ProbeState(NOW.isoformat(), why="count 1 -> 2", asked=NOW.isoformat())
    assert not probe_schedule.needs_run(asked, "count 1 -> 2", [], NOW + timedelta(hours=24))
    assert probe_schedule.needs_run(asked, "count 1 -> 2", [], NOW + timedelta(hours=27)), "its run was lost"
    assert probe_schedule.needs_run(asked, "count 1 -> 3", [failed()], NOW), "it changed once more"
    assert not probe_schedule.needs_run(asked, "count 1 -> 2", [failed()], NOW + timedelta(days=9)), (
        "asked for again by itself"
    )
    assert not probe_schedule.needs_run(asked, "count 1 -> 2", [failed("dead", passes=False)], NOW + timedelta(days=9))
    assert probe_schedule.needs_run(asked, "count 1 -> 2", [failed("dead")], NOW + timedelta(days=9)), (
        "the portal is back"
    )


def test_a_probe_that_finds_nothing_asks_for_nothing() -> None:
    """What was asked for before it counts no more: it is there, or it is no longer so."""
    asked = {feed().key: ProbeState(NOW.isoformat(), why="count 1 -> 2", asked=NOW.isoformat())}
    for before in ({}, asked):
        (found,) = probe_results.decide(
            before, [(feed(), ProbeResult("us-xx-a", "zoning", None, 2))], lambda _: [], NOW
        )
        assert (found.run_key, found.entry.why, found.known.current) == (None, "", NOW)


def test_an_exceeded_freshness_limit_requests_one_run_per_period() -> None:
    mine, known = feed(hours=12), FeedFreshness("us-xx-a", "zoning", current=NOW)
    assert mine.freshness_limit(NOW) == timedelta(hours=24)

    def asked(hours: int, closed: tuple[str, ...] = ()) -> list[str]:
        return [key for _, key in overdue_feeds.due([mine], {mine.key: known}, closed, NOW + timedelta(hours=hours))]

    assert asked(23) == asked(30, (mine.key,)) == []
    assert asked(25) == asked(47)
    assert len(asked(25)) == 1
    assert asked(25) != asked(49)
    assert overdue_feeds.due([mine], {}, (), NOW) == []
    known = replace(known, error="no answer")
    assert asked(25) == [], "its probes are without an answer: its rows will be, too"
    assert len(asked(49)) == 1


def test_what_changed_is_harvested_once_and_told(county: str, database: str) -> None:
    """Never harvested: both feeds. Then nothing. The portal changes: both again, and what really changed is told. The
    packaged examples are never asked."""
    definitions = build.definitions(Settings.of(os.environ))
    with dg.instance_for_test() as instance:

        def asked(cursor: str | None) -> tuple[list[str], str]:
            found = tick(definitions, instance, "feed_changed", cursor)
            runs = settled(definitions, instance, found.run_requests or ())
            assert all(went_well for _, went_well in runs), runs
            assert Counter(job for job, _ in runs) in (WHOLE, Counter())
            return [str(request.run_key) for request in found.run_requests or ()], found.cursor or ""

        first, cursor = asked(None)
        assert [key.split()[0] for key in first] == [f"{ID}/parcels", f"{ID}/zoning"]
        assert set(json.loads(cursor)) == {f"{ID}/parcels", f"{ID}/zoning"}
        assert asked(cursor)[0] == [], "nothing is due"
        entries = probe_schedule.parse_cursor(cursor)
        overdue = json.dumps({key: {"next": "2020-01-01T00:00:00+00:00"} for key in entries})
        assert asked(overdue)[0] == [], "nothing has changed"
        switch_release(county, 2)
        again, same = (tick(definitions, instance, "feed_changed", overdue).run_requests or () for _ in range(2))
        assert [request.run_key for request in again] == [request.run_key for request in same]
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
    waits = datetime.fromisoformat(probe_schedule.parse_cursor(found.cursor)[f"{ID}/zoning"].next) - datetime.now(UTC)
    assert timedelta(minutes=55) < waits <= timedelta(hours=1)
