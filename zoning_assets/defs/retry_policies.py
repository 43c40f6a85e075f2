"""What is tried again by whom. Requests are tried again by the client (http/), what failed of a run by the sensor
`retry_failed`, a run that was killed by Dagster; here: a step that our own side failed, for a minute or so."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from zoning_assets.defects import defect
from zoning_assets.errors import StoreError, ZoningError

#: The database is restarted, a worker was killed: 2, 4 and 8 seconds, each more or less. What a portal did is never
#: tried again here, as the whole step would be.
PASSING = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

#: The tag by which dagster.yaml bounds the runs that ask one host.
HOST = "zoning/host"
#: The tags by which a person finds a run in the list.
JURISDICTION, FEED = "zoning/jurisdiction", "zoning/feed"
#: The tag of runs that are part of another: with it, Dagster does not start one again that was killed.
ONCE = "dagster/max_retries"


@contextmanager
def one_line() -> Iterator[None]:
    """An error that a person can act on is shown as what it says, not as a stack."""
    try:
        yield
    except ZoningError as error:
        raise dg.Failure(description=str(error), allow_retries=ours(error)) from None
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:  # noqa: BLE001 - its words may hold secrets; its stack goes to the log, without them
        raise dg.Failure(
            description=str(defect("this step", error, "what was published before the error stands"))
        ) from None


def ours(error: ZoningError) -> bool:
    """Whether our own side failed, in a way that may pass."""
    return isinstance(error, StoreError) and error.passes
