"""What failed is asked for again, just that, later and later, and not for ever; what cannot pass waits for a person."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import read_toml, rows
from tests.support.asked_questions import settled, tick
from zoning_assets import errors
from zoning_assets.defs import build, run_requests
from zoning_assets.defs.sensors import failed_partitions
from zoning_assets.defs.sensors.tick_data import watched
from zoning_assets.errors import CoverStale, Held, NothingWaits, PortalBusy, PortalUnreachable, ZoningError
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.records import failure_records
from zoning_assets.storage.postgis.records.failure_records import MAX_RETRIES, Failure

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SAID = {"where": "us-xx-a", "do": "wait"}


def failure(id_: int = 1, tile: str | None = "t1", **changes: object) -> Failure:
    plain = Failure(
        id_, "us-xx-a", PARCELS, tile, "PortalUnreachable", "?", True, 1, NOW, NOW, None, "waiting", None, ""
    )
    return replace(plain, **changes)


def kinds() -> Iterator[type[ZoningError]]:
    waiting = [ZoningError]
    while waiting:
        yield (kind := waiting.pop())
        waiting += kind.__subclasses__()


def test_every_error_says_whether_it_passes() -> None:
    """What a person must do something about is never asked for by itself."""
    passing = {kind.__name__ for kind in kinds() if kind.is_temporary and kind.__module__ == errors.__name__}
    assert passing == {
        "PortalUnreachable", "PortalBusy", "PortalResting", "HarvestIncomplete", "CoverStale", "UndoneMeanwhile",
        "Held", "HarvestRunning", "Stopping", "RunGivenUp", "StoreError", "DatabaseUnavailable", "QueueUnavailable",
        "DeliveryFailed",
    }  # fmt: skip


@given(st.integers(1, MAX_RETRIES))
def test_each_time_is_later(tries: int) -> None:
    """10 minutes, then three times as long each time, a little late; five times take less than two days."""
    first, then = (failed_partitions.next_try(failure(tries=number)) for number in (tries, tries + 1))
    assert first is not None
    assert then is not None
    assert timedelta(minutes=10) * 3 ** (tries - 1) <= first - NOW <= timedelta(minutes=12) * 3 ** (tries - 1)
    assert first < then <= NOW + timedelta(days=2 if tries < MAX_RETRIES else 3)


def test_the_portals_own_word_is_waited_for() -> None:
    until = NOW + timedelta(hours=5)
    assert failed_partitions.next_try(failure(not_before=until)) == until
    assert failed_partitions.next_try(failure(kind="PortalResting", not_before=until, tries=4)) == until
    assert failed_partitions.next_try(failure(kind="Held")) == NOW, "as soon as the hold is lifted"
    assert failed_partitions.next_try(failure(state="dead")) is None


def test_only_what_failed_is_asked_for_and_the_same_tick_asks_for_the_same() -> None:
    failed = [
        failure(1, "t1"),
        failure(2, "t2"),
        failure(3, "t3", last=NOW + timedelta(hours=2)),
        failure(4, "t4", state="dead"),
    ]
    later = NOW + timedelta(hours=1)
    (ask,), cursor = failed_partitions.due({}, failed, (), later)
    assert (ask.tiles, ask.ids) == (("t1", "t2"), (1, 2))
    assert failed_partitions.due({}, failed, (), later + timedelta(minutes=1))[0] == [ask], "a cursor that was lost"
    read = failed_partitions.parse_cursor(failed_partitions.serialize(cursor, failed))
    assert read == cursor
    assert failed_partitions.due(read, failed, (), later)[0] == []
    assert failed_partitions.due({}, failed, ["us-xx-a/parcels"], later)[0] == [], "paused, or at rest"
    (next_,), _ = failed_partitions.due(read, [failed[0], failed[2]], (), NOW + timedelta(hours=3))
    assert next_.tiles == ("t3",), "t1 was asked for, and its run has not ended"
    (again,), _ = failed_partitions.due(read, [failed[0]], (), later + timedelta(hours=27))
    assert again.run_key != ask.run_key, "its run was lost"


def test_a_whole_feed_is_asked_for_where_it_failed_as_a_whole() -> None:
    (ask,), _ = failed_partitions.due({}, [failure(1, None), failure(2, "t2")], (), NOW + timedelta(hours=1))
    assert (ask.tiles, ask.ids) == ((), (1, 2))


@given(
    st.lists(
        st.tuples(st.sampled_from(["waiting", "asked", "dead"]), st.integers(0, 6), st.integers(-90, 90)), max_size=12
    ),
    st.lists(st.integers(0, 4000), max_size=12),
)
def test_whenever_it_ticks_a_failure_is_asked_for_once_a_day_at_most(
    given_: list[tuple[str, int, int]], ticks: list[int]
) -> None:
    failed = [
        failure(number, f"t{number}", state=state, tries=tries, last=NOW + timedelta(hours=hours))
        for number, (state, tries, hours) in enumerate(given_)
    ]
    cursor, asked = {}, dict[int, list[datetime]]()
    for minutes in sorted(ticks):
        now = NOW + timedelta(minutes=minutes)
        asks, cursor = failed_partitions.due(cursor, failed, (), now)
        for id_ in (id_ for ask in asks for id_ in ask.ids):
            asked.setdefault(id_, []).append(now)
            failed[id_] = replace(failed[id_], state="asked", asked=now)
    for id_, times in asked.items():
        assert given_[id_][0] != "dead"
        assert all(later - sooner > timedelta(hours=26) for sooner, later in pairwise(times))


def noted(database: str, error: ZoningError | None, minutes: int = 0) -> list[Failure]:
    outcome = Outcome(Place("us-xx-a", "t1"), PARCELS, error=error)
    failure_records.store_outcomes(database, [outcome], "run", NOW + timedelta(minutes=minutes))
    return failure_records.unsolved(database)


def test_a_failure_is_one_row_until_it_is_solved(database: str) -> None:
    (first,) = noted(database, PortalBusy("busy", **SAID, wait_s=600))
    assert (first.tries, first.state, first.not_before) == (1, "waiting", NOW + timedelta(minutes=10))
    (second,) = noted(database, PortalUnreachable("gone", **SAID), 5)
    assert (second.id, second.kind, second.tries, second.not_before) == (first.id, "PortalUnreachable", 2, None)
    assert (second.first, second.last) == (NOW, NOW + timedelta(minutes=5))
    failure_records.store_retry(database, "us-xx-a", PARCELS, ["t1"], "run2", NOW)
    assert failure_records.unsolved(database)[0].state == "asked"
    assert noted(database, None) == []
    (fresh,) = noted(database, PortalUnreachable("gone", **SAID))
    assert (fresh.tries, fresh.id != first.id) == (1, True)


def test_it_is_dead_after_five_more_tries_and_a_person_may_ask_again(database: str) -> None:
    for number in range(MAX_RETRIES):
        (found,) = noted(database, PortalUnreachable("gone", **SAID), number)
        assert found.state == "waiting"
    (found,) = noted(database, PortalUnreachable("gone", **SAID), MAX_RETRIES)
    assert (found.state, found.tries) == ("dead", MAX_RETRIES + 1)
    (again,) = failure_records.request_retry(database, dead=True)
    assert (again.state, again.tries, failed_partitions.next_try(again)) == ("waiting", 0, again.last)
    with pytest.raises(NothingWaits):
        failure_records.request_retry(database, dead=True)
    with pytest.raises(NothingWaits):
        failure_records.request_retry(database, id_=again.id + 1)


def test_what_cannot_pass_is_dead_at_once(database: str) -> None:
    (found,) = noted(database, errors.TooManyRejections("half of it", **SAID))
    assert (found.state, found.kind, found.message) == ("dead", "TooManyRejections", "us-xx-a: half of it; wait")


def test_a_tile_that_is_gone_has_nothing_to_be_asked_for(database: str) -> None:
    noted(database, CoverStale("split", **SAID))
    failure_records.solve_removed_tiles(database, "us-xx-a", PARCELS, ["t1", "t2"], NOW)
    assert len(failure_records.unsolved(database)) == 1
    failure_records.solve_removed_tiles(database, "us-xx-a", PARCELS, ["t2"], NOW)
    assert failure_records.unsolved(database) == []


def test_a_hold_is_kept_as_one(database: str) -> None:
    (found,) = noted(database, Held("paused", **SAID))
    assert (found.kind, found.state) == ("Held", "waiting")


def test_what_a_run_failed_over_is_noted_and_what_went_well_solves_it(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with a wrong address: its tiles cannot be found, nor its zoning fetched; a person must mend it. Then
    both are asked for again, once, and the table is as the portal has it."""
    homes = {"ZONING_HOME": "home", "ZONING_STORE_URL": "store", "ZONING_JURISDICTIONS": "toml"}
    for name, folder in homes.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    read_toml(tmp_path / "toml", county_toml("http://127.0.0.1:1"), ID)
    definitions = build.definitions(Settings.of(os.environ))
    with dg.instance_for_test() as instance, serving(400) as address:
        wrong = county_toml(address).replace("FeatureServer/0", "FeatureServer/8").replace("Server/1", "Server/9")
        read_toml(tmp_path / "toml", wrong, ID)
        asks = [run_requests.of_feed(each.key, each) for each in watched(Settings.of(os.environ))]
        assert settled(definitions, instance, asks) == [("find_tiles", False), ("publish_districts", False)]
        failed = failure_records.unsolved(database)
        assert [(each.feed, each.tile, each.state) for each in failed] == [
            ("parcels", None, "dead"),
            ("zoning", None, "dead"),
        ]
        assert not tick(definitions, instance, "retry_failed").run_requests
        read_toml(tmp_path / "toml", county_toml(address), ID)
        failure_records.request_retry(database, jurisdiction=ID)
        first, same = (tick(definitions, instance, "retry_failed").run_requests or () for _ in range(2))
        assert len({request.run_key for request in first}) == 2
        assert [request.run_key for request in same] == [request.run_key for request in first]
        assert all(went_well for _, went_well in settled(definitions, instance, first))
    assert failure_records.unsolved(database) == []
    published = rows(database, "SELECT count(*) FROM zoning.parcel")
    assert published == [(County.build(400).parcels_by_policy()["dissolve"],)]
