"""The list of the sensors. Each one is a thin wrapper in a module of its name; pure functions decide its runs.

    module and sensor  decided in                       what it does
    feed_changed       probe_schedule, probe_results    probes feeds on schedule, and harvests changed feeds
    retry_failed       failed_partitions                retries failed partitions, and only these
    promise_broken     overdue_feeds                    harvests feeds that exceeded their freshness limit
    amendment_arrived  queued_tiles,                    stores amendments from the queue, and harvests the tiles that
                       operations/amendment_consumer    they affect
    harvest_goes_on    harvest_goes_on                  publishes found tiles, then computes shares and changes
    exports_follow     defs/export_assets               writes exports again after changes were computed
    run_lost           defs/run_workers                 fails runs with a dead process, and records runs that Dagster
                                                        does not restart
    changes_delivered  subscriptions/delivery           sends new changes to the subscriptions
    minutes_due        minutes_due                      polls the minutes of legislative bodies once a day
    runs_expired       runs_expired                     deletes old runs of Dagster whose results were replaced

If jurisdictions are grouped (ZONING_LOCATIONS), each group has these sensors for its own jurisdictions; run_lost,
changes_delivered and runs_expired, which concern everything, are in the first group only.

The end of a hold or of a maintenance window needs no sensor: feeds that became due meanwhile are requested once then.
"""

from collections.abc import Sequence

import dagster as dg

from zoning_assets.defs.export_assets import exports_follow
from zoning_assets.defs.sensors.amendment_arrived import amendment_arrived
from zoning_assets.defs.sensors.changes_delivered import changes_delivered
from zoning_assets.defs.sensors.feed_changed import feed_changed
from zoning_assets.defs.sensors.harvest_goes_on import harvest_goes_on
from zoning_assets.defs.sensors.minutes_due import minutes_due
from zoning_assets.defs.sensors.promise_broken import promise_broken
from zoning_assets.defs.sensors.retry_failed import retry_failed
from zoning_assets.defs.sensors.run_lost import run_lost
from zoning_assets.defs.sensors.runs_expired import runs_expired
from zoning_assets.jurisdictions.locations import WHOLE, Location


def sensors(
    jobs: Sequence[dg.JobDefinition], location: Location = WHOLE, *, is_first: bool = True
) -> list[dg.SensorDefinition]:
    """Return the sensors of a group. `zoning up` runs them. `is_first`: it is the first group, or the only one."""
    requesting = (feed_changed, retry_failed, promise_broken, harvest_goes_on)
    return [
        *(sensor(jobs, location) for sensor in requesting),
        amendment_arrived(jobs, location, is_first=is_first),
        exports_follow(),
        minutes_due(location),
        *((run_lost, changes_delivered, runs_expired) if is_first else ()),
    ]
