"""Retry policies of steps. Each kind of failure has one place that retries it: the HTTP client (http/) retries
requests, the sensor `retry_failed` retries failed partitions, and Dagster restarts killed runs. This module retries a
step for about a minute after a failure on our side, such as a restart of the database. A run that Dagster abandoned is
recorded as failed by the sensor `run_lost`, so that `retry_failed` requests its partitions again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from zoning_assets.defects import unexpected_error
from zoning_assets.errors import StoreError, ZoningError

#: For a restarted database or a killed worker: retry after about 2, 4 and 8 seconds. Portal failures are never retried
#: here, because that would repeat the whole step.
PASSING = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

#: The tag by which dagster.yaml limits concurrent runs per host.
HOST = "zoning/host"
#: The tags for finding a run in the UI's list of runs.
JURISDICTION, FEED = "zoning/jurisdiction", "zoning/feed"
#: The tag of runs that belong to a command, and of polls of minutes. Dagster does not restart a killed run that has it.
ONCE = "dagster/max_retries"
#: The tag of runs that a command submitted to the queue: the command's name and a random number, the same for all of
#: its runs. The command holds the lock of this name (process_locks.py).
COMMAND = "zoning/command"
#: The tag of one submission, so that its run is found if the webserver did not answer. Dagster's prefix hides the tag.
SUBMISSION = "dagster/zoning-submission"


def is_submitted(run: dg.DagsterRun) -> bool:
    """Return whether a command submitted the run and watches it. A run that a person re-executes inherits the tag, but
    no command waits for it."""
    return COMMAND in run.tags and run.parent_run_id is None


def is_of_command(run: dg.DagsterRun) -> bool:
    """Return whether a command started the run, in its own process or by the queue, and watches it."""
    return not {ONCE, COMMAND}.isdisjoint(run.tags) and run.parent_run_id is None


@contextmanager
def one_line() -> Iterator[None]:
    """Show errors that an operator can act on as one message, without a stack trace."""
    try:
        yield
    except ZoningError as error:
        raise dg.Failure(description=str(error), allow_retries=ours(error)) from None
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:  # noqa: BLE001 - secrets are redacted in the message and in the log
        raise dg.Failure(
            description=str(
                unexpected_error("this step", error, "everything published before the error stays published")
            )
        ) from None


def ours(error: ZoningError) -> bool:
    """Return whether the failure is temporary and on our side."""
    return isinstance(error, StoreError) and error.is_temporary
