"""Starts runs in this process. They are recorded in the same Dagster instance as runs that the UI starts."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

import dagster as dg

from zoning_assets import graceful_stop
from zoning_assets.defs import partitions, retry_policies
from zoning_assets.defs.partitions import asset_key
from zoning_assets.defs.run_results import Progress, Result, collect, gone, refused
from zoning_assets.graceful_stop import STOP
from zoning_assets.jurisdictions.locations import WHOLE, Location

#: The tags in which Dagster stores a run's range of partitions.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

#: The tag of a run that must compute its `tiles` again, even if nothing seems to have changed.
FORCE = "zoning/force"
#: The tag of a run that sends no request to a portal. It makes districts from the stored raw pages, too.
REPLAY = "zoning/replay"


def materialize(  # noqa: PLR0913 - a run needs an instance, assets, partitions and a progress callback
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    assets: Sequence[str],
    keys: Sequence[str],
    *,
    tags: Mapping[str, str] | None = None,
    progress: Progress = lambda _: None,
    location: Location = WHOLE,
) -> Result:
    """Materialize assets for partitions in this process: one run for each contiguous range of keys.

    If another process has unregistered a key meanwhile, that partition fails.

    Raises:
        Stopping: a stop of this process was requested.
    """
    result = Result()
    chosen = [asset_key(name, location) for name in assets]
    ordered = definitions.resolve_asset_graph().get(chosen[-1]).partitions_def
    known = list(ordered.get_partition_keys(dynamic_partitions_store=instance)) if ordered else []
    watched = dg.Definitions.merge(definitions, dg.Definitions(loggers={"console": _watcher(chosen[-1], progress)}))
    job = watched.resolve_implicit_global_asset_job_def()
    execute = partial(
        job.execute_in_process,
        instance=instance,
        asset_selection=chosen,
        run_config={"loggers": {"console": {}}},  # without a named logger, Dagster's default logger would print
        raise_on_error=False,
    )
    result.failed |= {key: gone(key) for key in sorted(set(keys) - set(known))}
    for start, end in ranges(known, keys):
        members = known[known.index(start) : known.index(end) + 1]
        run_tags = {**(tags or {}), **_found_by(start), retry_policies.ONCE: "0", RANGE_START: start, RANGE_END: end}
        try:
            run = graceful_stop.run_in_thread(partial(execute, tags=run_tags))
        except dg.DagsterError as error:  # the run's partitions were unregistered before it started
            result.failed |= dict.fromkeys(members, refused(start, error))
        else:
            failure = None if run.success else "the run failed before its first step"
            collect(instance, run.run_id, chosen, members, result, failure)
        STOP.check(partitions.place_of(start).jurisdiction)
    return result


def _found_by(key: str) -> dict[str, str]:
    return {retry_policies.JURISDICTION: partitions.place_of(key).jurisdiction}


class _Watcher(logging.Handler):
    """Receives a run's events as they happen, and reports each completed partition."""

    def __init__(self, asset: dg.AssetKey, progress: Progress) -> None:
        super().__init__()
        self._asset, self._progress = asset, progress

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is not None and event.is_step_materialization:
            done = event.step_materialization_data.materialization
            if done.asset_key == self._asset and done.partition:
                self._progress(done.partition)


def _watcher(asset: dg.AssetKey, progress: Progress) -> dg.LoggerDefinition:
    def build(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("zoning")
        logger.addHandler(_Watcher(asset, progress))
        return logger

    return dg.LoggerDefinition(build)


def ranges(known: Sequence[str], keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Split keys into contiguous ranges of the registered keys."""
    position = {key: number for number, key in enumerate(known)}
    numbers = sorted(position[key] for key in keys if key in position)
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield known[members[0]], known[members[-1]]
