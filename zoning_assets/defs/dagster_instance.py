"""Connection pooling for Dagster's storage."""

import weakref

import dagster as dg

#: How many seconds a connection is kept: long enough for the events of a tile, short enough that it is not reused after
#: a restart of the server. The second number: how many extra connections may be open at the same time.
_KEPT_S, _MOST_MORE = 1, 10
_keeping = weakref.WeakSet[dg.DagsterInstance]()


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance use one connection for several statements. Dagster does this for its webserver only. A run opens
    a connection for each statement, which takes longer than the statement itself."""
    if instance not in _keeping:
        _keeping.add(instance)
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=_KEPT_S, max_overflow=_MOST_MORE)
