"""How a program of ours uses Dagster's storage."""

import weakref

import dagster as dg

#: A connection is kept for so many seconds: long enough for the events of a tile, too short to outlive a server that
#: is started again. Beside the kept one, so many are opened while they are needed.
_KEPT_S, _MOST_MORE = 1, 10
_keeping = weakref.WeakSet[dg.DagsterInstance]()


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance use a connection for more than one statement. Dagster does this for its webserver only; a run
    opens one for each statement, which takes more time than the statement."""
    if instance not in _keeping:
        _keeping.add(instance)
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=_KEPT_S, max_overflow=_MOST_MORE)
