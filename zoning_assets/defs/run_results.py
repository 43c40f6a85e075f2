"""The result of the runs that a command started, read from Dagster's event log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from zoning_assets.defs import partitions

#: Called with the partition key each time the last asset of a partition was materialized.
Progress = Callable[[str], None]


@dataclass
class Result:
    """The result of a run.

    Attributes:
        done: partition -> metadata of the last asset.
        failed: partition -> error.
        first: partition -> metadata of the first asset; complete also where a later asset failed.
    """

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    first: dict[str, dict[str, Any]] = field(default_factory=dict)


def collect(  # noqa: PLR0913 - a run, its assets, its partitions and its end
    instance: dg.DagsterInstance,
    run_id: str,
    assets: Sequence[dg.AssetKey],
    keys: Sequence[str],
    result: Result,
    failure: str | None,
) -> None:
    """Add the result of a finished run.

    Args:
        instance: where the run is recorded.
        run_id: the run.
        assets: its assets, in their order.
        keys: its partitions.
        result: receives the metadata of materialized partitions, and the errors of the other ones.
        failure: why the run did not succeed, if no step says it; None: it succeeded. Of a canceled run the failures of
            its steps are not used: a step fails when it is interrupted.
    """
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        materialization = entry.asset_materialization
        if materialization and materialization.partition:
            for asset, found in ((assets[0], result.first), (assets[-1], result.done)):
                if materialization.asset_key == asset:
                    found[materialization.partition] = {n: v.value for n, v in materialization.metadata.items()}
    missing = [key for key in keys if key not in result.done]
    if failure is None:
        result.failed |= {key: gone(key) for key in missing}
        return
    failures = [] if _is_canceled(instance, run_id) else _step_failures(instance, run_id)
    for data in failures:
        table = data.user_failure_data.metadata.get("failed") if data.user_failure_data else None
        if isinstance(table, dg.TableMetadataValue):
            result.failed |= {str(r.data["partition"]): str(r.data["error"]) for r in table.records}
    why = next(map(_why, failures), failure)
    described = next((d.user_failure_data.description for d in failures if d.user_failure_data), why)
    line = str(described).splitlines()[0]
    result.failed |= {key: line for key in missing if key not in result.failed}


def _is_canceled(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status == dg.DagsterRunStatus.CANCELED


def _step_failures(instance: dg.DagsterInstance, run_id: str) -> list[Any]:
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return [entry.dagster_event.step_failure_data for entry in entries if entry.dagster_event]


def gone(key: str) -> str:
    """Return the error of a partition that is no longer registered."""
    return f"{partitions.place_of(key)}: another process changed the tiles meanwhile; run the command again"


def refused(key: str, error: object) -> str:
    """Return the error of the partitions of a run that could not be started. `key`: the first of them."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{partitions.place_of(key).jurisdiction}: Dagster refused the run ({first}); run the command again"


def _why(data: Any) -> str:
    """Return the original error, not the notice that the step was retried."""
    last = data.error.cause if data.error and data.error.cls_name == "RetryRequestedFromPolicy" else None
    return str(last.message if last else data.error_display_string)
