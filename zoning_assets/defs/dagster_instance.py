"""Connection pooling for Dagster's storage."""

import weakref

import dagster as dg

#: Dagster's options for a storage that uses a connection for several statements. It is kept for a second: long enough
#: for the events of a tile, short enough that it is not reused after a restart of the server. Ten more may be open at
#: the same time.
KEPT = {"statement_timeout": 0, "pool_recycle": 1, "max_overflow": 10}
_keeping = weakref.WeakSet[dg.DagsterInstance]()


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance use one connection for several statements. Dagster does this for its webserver only. A run opens
    a connection for each statement, which takes longer than the statement itself."""
    if instance not in _keeping:
        _keeping.add(instance)
        instance.optimize_for_webserver(**KEPT)
