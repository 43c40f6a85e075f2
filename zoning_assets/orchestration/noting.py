"""What a run leaves for the sensor `retry_failed` and for `zoning status`: what failed, and what went well since."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from zoning_assets.errors import StoreError, ZoningError
from zoning_assets.model import Outcome, Place
from zoning_assets.orchestration.policies import PASSING, ours
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.stores import failures

_log = logging.getLogger(__name__)


def note(context: dg.AssetExecutionContext, zoning: Zoning, outcomes: Sequence[Outcome]) -> None:
    """Keep what became of partitions; where the database is away, the run's own failure is all that is said."""
    try:
        failures.note(zoning.database(), outcomes, context.run.run_id, datetime.now(UTC))
    except StoreError as error:
        _log.warning("what failed cannot be noted: %s", error)


@contextmanager
def noted(context: dg.AssetExecutionContext, zoning: Zoning, feed: str) -> Iterator[None]:
    """Keep what becomes of the block, as that of a feed of the whole jurisdiction; once where it is tried again."""
    place = Place(context.partition_key)
    try:
        yield
    except ZoningError as error:
        if not ours(error) or context.op_execution_context.retry_number == PASSING.max_retries:
            note(context, zoning, [Outcome(place, feed, error=error)])
        raise
    note(context, zoning, [Outcome(place, feed)])
