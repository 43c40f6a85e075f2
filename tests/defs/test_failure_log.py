"""Which outcomes of a run are recorded for the sensor retry_failed."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from tests.conftest import read_toml
from zoning_assets.defs import failure_log
from zoning_assets.defs.retry_policies import COMMAND, FEED, ONCE
from zoning_assets.errors import PortalBusy, Stopping
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.storage.postgis.records import failure_records

TILES = [Place(ID, "1"), Place(ID, "2")]


def context(
    tags: dict[str, str], parent: str | None = None, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
) -> Any:
    run = dg.DagsterRun(job_name="publish_parcels", run_id="run", tags=tags, parent_run_id=parent, root_run_id=parent)
    return SimpleNamespace(run=run, instance=SimpleNamespace(get_run_by_id=lambda _: run.with_status(status)))


@pytest.mark.parametrize(
    ("tags", "parent", "recorded"),
    [
        ({COMMAND: "sync 1"}, None, ["PortalBusy"]),
        ({ONCE: "0"}, None, ["PortalBusy"]),
        ({COMMAND: "sync 1"}, "the run of the command", ["Stopping", "PortalBusy"]),
        ({ONCE: "0"}, "the run of the command", ["Stopping", "PortalBusy"]),
        ({}, None, ["Stopping", "PortalBusy"]),
    ],
)
def test_the_stop_of_a_commands_run_is_not_recorded(
    database: str, tags: dict[str, str], parent: str | None, recorded: list[str]
) -> None:
    """The sensor would restart at once what a person stopped. Other failures of the run are recorded."""
    errors = [Stopping("stopped", where="x", do="y"), PortalBusy("busy", where="x", do="y")]
    outcomes = [Outcome(place, PARCELS, error=error) for place, error in zip(TILES, errors, strict=True)]
    zoning: Any = SimpleNamespace(database=lambda: database, now=lambda: datetime.now(UTC))
    failure_log.note(context(tags, parent), zoning, outcomes)
    assert [each.kind for each in failure_records.unsolved(database)] == recorded


@pytest.mark.parametrize(("tags", "state"), [({COMMAND: "sync 1"}, "waiting"), ({}, "asked")])
def test_a_submitted_run_does_not_count_as_a_retry(
    database: str, tmp_path: Any, tags: dict[str, str], state: str
) -> None:
    """If it is stopped, the failure would wait for a day for its outcome."""
    jurisdiction = read_toml(tmp_path, county_toml("http://127.0.0.1:1"), ID)
    zoning: Any = SimpleNamespace(
        database=lambda: database, now=lambda: datetime.now(UTC), load_jurisdictions=lambda _: ({ID: jurisdiction}, {})
    )
    failed = Outcome(TILES[0], PARCELS, error=PortalBusy("busy", where="x", do="y"))
    failure_log.note(context({}), zoning, [failed])
    failure_log.begin(context({FEED: PARCELS, **tags}), zoning, PARCELS, TILES)
    assert [each.state for each in failure_records.unsolved(database)] == [state]


def test_a_step_that_was_interrupted_and_retried_ends() -> None:
    zoning: Any = SimpleNamespace()
    with pytest.raises(dg.Failure, match="canceled"):
        failure_log.begin(context({}, status=dg.DagsterRunStatus.CANCELING), zoning, PARCELS, TILES)


def test_an_interrupted_run_of_a_sensor_is_told_as_retried(database: str) -> None:
    """Nobody started a command that could be run again."""
    stopped = Stopping("stopped", where="the portal", do="run the same command again to continue")
    zoning: Any = SimpleNamespace(database=lambda: database, now=lambda: datetime.now(UTC))
    failure_log.note(context({}), zoning, [Outcome(TILES[0], PARCELS, error=stopped)])
    (found,) = failure_records.unsolved(database)
    assert (found.kind, found.state) == ("Stopping", "waiting")
    assert found.message == "the portal: the run was interrupted; no action is needed, it is retried automatically"
