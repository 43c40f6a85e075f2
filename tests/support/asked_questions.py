"""What sensors ask for, carried out in this process as Dagster's daemon would."""

from collections.abc import Sequence

import dagster as dg

from zoning_assets.defs.resources import Zoning


def tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, sensor: str, cursor: str | None = None
) -> dg.SensorResult:
    """A tick of a sensor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"zoning": Zoning()}) as context:
        return definitions.resolve_sensor_def(sensor).evaluate_tick(context)


def carried_out(
    definitions: dg.Definitions, instance: dg.DagsterInstance, requests: Sequence[dg.RunRequest]
) -> list[tuple[str, bool]]:
    """The runs that were asked for: the job of each, and whether it went well."""
    found = []
    for request in requests:
        job, tags = definitions.resolve_job_def(str(request.job_name)), {"dagster/run_key": str(request.run_key)}
        run = job.execute_in_process(instance=instance, tags={**request.tags, **tags}, raise_on_error=False)
        found.append((str(request.job_name), run.success))
    return found


def settled(
    definitions: dg.Definitions, instance: dg.DagsterInstance, requests: Sequence[dg.RunRequest]
) -> list[tuple[str, bool]]:
    """The same, and all that follows."""
    found, cursor, done = list[tuple[str, bool]](), None, set[str | None]()
    while requests:
        found += carried_out(definitions, instance, requests)
        done |= {request.run_key for request in requests}
        after = tick(definitions, instance, "harvest_goes_on", cursor)
        requests = [request for request in after.run_requests or () if request.run_key not in done]
        cursor = after.cursor
    return found
