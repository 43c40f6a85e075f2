"""The sensor changes_delivered: sends what changed to the subscriptions. subscriptions/delivery.py does the work."""

import asyncio

import dagster as dg

from zoning_assets.defs.resources import Zoning
from zoning_assets.errors import StoreError

_TICK_S = 30
#: How long a tick repeats failed deliveries, and begins requests at all; seconds. Dagster ends a tick after 60 s.
_REPEAT_S, _MOST_S = 20.0, 35.0


@dg.sensor(
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends new changes to the subscriptions (webhooks, e-mail, Atom, files, other databases).",
)
def changes_delivered(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SkipReason:
    """Deliver to each subscription that is due."""
    from zoning_assets.subscriptions import delivery  # noqa: PLC0415 - see defs/__init__

    try:
        work = delivery.deliver(zoning.database(), zoning.settings, seconds=_REPEAT_S, most_s=_MOST_S)
        results = asyncio.run(work)
    except StoreError as error:
        return dg.SkipReason(f"{error}; nothing is lost")
    for why in delivery.errors(results):
        context.log.warning(why)
    sent = [f"{each.name}: {each.delivered} delivered" for each in results if each.delivered]
    return dg.SkipReason("; ".join(sent) or "nothing new for a subscription")
