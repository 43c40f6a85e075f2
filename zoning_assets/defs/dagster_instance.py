"""How this program opens Dagster's instance: connections are kept, and output is not captured."""

import weakref

import dagster as dg

from zoning_assets.defs.kept_storage import KEPT, KeptRuns

_keeping = weakref.WeakSet[dg.DagsterInstance]()


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance use one connection for several statements. Dagster does this for its webserver only. A run opens
    a connection for each statement, which takes longer than the statement itself."""
    runs = instance.run_storage
    if instance not in _keeping and not (isinstance(runs, KeptRuns) and runs.keeps_connections):
        _keeping.add(instance)
        instance.optimize_for_webserver(**KEPT)


def without_captured_output(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """Open an instance again, for runs in the process of a command, which writes to a terminal or to a pipe.

    During a run Dagster replaces stdout and stderr of its process by files, which other processes copy to the terminal.
    Then a progress bar finds no terminal and stands still, and the last lines are lost if the copying ends early.
    """
    ref = instance.get_ref()
    # as in a dagster.yaml
    nothing = type(ref.compute_logs_data)(
        "dagster.core.storage.noop_compute_log_manager", "NoOpComputeLogManager", "{}"
    )
    opened = dg.DagsterInstance.from_ref(ref._replace(compute_logs_data=nothing))
    keep_connections(opened)
    return opened
