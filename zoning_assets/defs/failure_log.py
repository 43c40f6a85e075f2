"""Records failed and succeeded partitions for the sensor `retry_failed` and for `zoning status`."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg

from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import FEED, PASSING, is_of_command, is_submitted, ours
from zoning_assets.errors import Stopping, StoreError, ZoningError
from zoning_assets.model import CHANGES, PARCELS, Outcome, Place
from zoning_assets.pipeline import holds
from zoning_assets.storage.postgis.records import failure_records, hold_records

_log = logging.getLogger(__name__)


def note(context: dg.AssetExecutionContext, zoning: Zoning, outcomes: Sequence[Outcome]) -> None:
    """Record the outcome of partitions. If the database is not available, only the run's own failure is reported."""
    recorded = filter(None, (_recorded(context.run, each) for each in outcomes))
    try:
        failure_records.store_outcomes(zoning.database(), recorded, context.run.run_id, zoning.now())
    except StoreError as error:
        _log.warning("failed partitions cannot be recorded: %s", error)


def _recorded(run: dg.DagsterRun, outcome: Outcome) -> Outcome | None:
    """Return what is recorded of an outcome; None: nothing, because a person stopped the run of a command. The sensor
    retry_failed would restart it at once. An interrupted run of the daemon is restarted by this sensor."""
    if not isinstance(outcome.error, Stopping):
        return outcome
    if is_of_command(run):
        return None
    do = "no action is needed, it is retried automatically"
    return replace(outcome, error=Stopping("the run was interrupted", where=outcome.error.where, do=do))


def begin(context: dg.AssetExecutionContext, zoning: Zoning, feed: str, places: Sequence[Place]) -> None:
    """Record that a sensor requested these partitions again. Log a line if they are paused.

    Raises:
        dg.Failure: the run is being canceled. Dagster interrupts a run once. A library may have converted the interrupt
            to an error, after which the step was retried.
    """
    current = context.instance.get_run_by_id(context.run.run_id)
    if current and current.status == dg.DagsterRunStatus.CANCELING:
        raise dg.Failure(description="the run was canceled", allow_retries=False)
    url, known = zoning.database(), zoning.load_jurisdictions([place.jurisdiction for place in places])[0]
    for name, jurisdiction in known.items():
        hosts = () if feed == CHANGES else holds.hosts_of(jurisdiction, feed)
        if hold := hold_records.find_hold(hold_records.active(url), name, hosts):
            context.log.warning(f"This run waits. {hold.error()}")
        tiles = [place.tile for place in places if place.jurisdiction == name and place.tile]
        # The run that publishes tiles records the request: the run that finds them may be the last one for a while.
        if FEED in context.run.tags and not is_submitted(context.run) and (tiles or feed != PARCELS):
            failure_records.store_retry(url, name, feed, tiles, context.run.run_id, zoning.now())


@contextmanager
def noted(context: dg.AssetExecutionContext, zoning: Zoning, feed: str) -> Iterator[None]:
    """Record the outcome of the block for a feed of the whole jurisdiction. A retried step is recorded once."""
    place = Place(context.partition_key)
    begin(context, zoning, feed, [place])
    try:
        yield
    except ZoningError as error:
        if not ours(error) or context.op_execution_context.retry_number == PASSING.max_retries:
            note(context, zoning, [Outcome(place, feed, error=error)])
        raise
    note(context, zoning, [Outcome(place, feed)])
