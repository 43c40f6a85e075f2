"""The job `read_minutes`: polls the minutes of one jurisdiction, as `zoning minutes` does.

It is a run of its own, because a first poll reads a year at the pace of `[portal]`, which takes longer than a tick of a
sensor may.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from zoning_assets import graceful_stop
from zoning_assets.defs import retry_policies
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import one_line
from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Jurisdiction

if TYPE_CHECKING:
    from zoning_assets.operations.minutes_poll import MinutesPoll

#: Seconds; Dagster's run monitoring ends a longer run.
_LONGEST_S = 2 * 3600
#: The tag with the jurisdiction. It is not the tag of harvests: shares and changes need not wait for a poll.
_TAG = "zoning/minutes"


class MinutesToRead(dg.Config):
    """Whose minutes are read."""

    jurisdiction: str = Field(description="The id of a jurisdiction whose file has a table [minutes].")


@dg.op(
    description="Stores the amendments in matters that were edited since the last poll.",
    retry_policy=retry_policies.PASSING,
)
def poll_minutes(context: dg.OpExecutionContext, config: MinutesToRead, zoning: Zoning) -> None:
    """Do the same as `zoning minutes`. What a failed poll did not store, the next one reads again."""
    with one_line():
        done = _poll(zoning, config.jurisdiction)
    for why in dict.fromkeys(done.refused):
        context.log.warning(why)
    found, new = len(done.amendments), sum(done.stored.values())
    read = f"{done.matters} matters and {done.events} meetings edited since {done.since.isoformat(timespec='seconds')}"
    context.log.info(f"{config.jurisdiction}: {read}: {found} amendments, {new} new or changed")


@dg.job
def read_minutes() -> None:
    """Poll the minutes of a jurisdiction for amendments of the zoning."""
    poll_minutes()


def request(jurisdiction: Jurisdiction, now: datetime) -> dg.RunRequest:
    """Return the run that polls a jurisdiction; its key permits one a day. A killed one is not started again."""
    minutes = jurisdiction.minutes
    tags = {
        retry_policies.HOST: host_of(minutes.url) if minutes else "",
        _TAG: jurisdiction.id,
        retry_policies.ONCE: "0",
        "dagster/max_runtime": str(_LONGEST_S),
    }
    config = dg.RunConfig({"poll_minutes": MinutesToRead(jurisdiction=jurisdiction.id)})
    key = f"{jurisdiction.id}/minutes {now.date().isoformat()}"
    return dg.RunRequest(key, run_config=config, job_name=read_minutes.name, tags=tags)


def _poll(zoning: Zoning, id_: str) -> "MinutesPoll":
    from zoning_assets.http import Http  # noqa: PLC0415 - see defs/__init__
    from zoning_assets.operations import minutes_poll  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    jurisdiction, url, now = zoning.jurisdiction(id_), zoning.database(), datetime.now(UTC)
    since = minutes_poll.start_of_poll(url, jurisdiction, now)
    return graceful_stop.run(
        minutes_poll.poll(url, jurisdiction, lambda: Http(ledger=PostgresLedger(url)), since, now)
    )  # fmt: skip
