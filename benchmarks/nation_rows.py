"""Rows and bytes in Dagster's tables and in ours."""

from collections.abc import Mapping
from typing import Any

import psycopg

from zoning_assets.storage.postgis import database

_TABLES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relnamespace = %(schema)s::regnamespace AND relkind = 'r' ORDER BY relname
"""
#: What each job wrote, a run.
_OF_JOBS = """
SELECT r.pipeline_name AS job, count(DISTINCT r.run_id) AS runs,
    round(count(*)::numeric / count(DISTINCT r.run_id), 1)::float AS event_rows,
    round(sum(pg_column_size(e.*))::numeric / count(DISTINCT r.run_id))::int AS event_bytes
FROM event_logs e JOIN runs r USING (run_id) GROUP BY 1 ORDER BY 1
"""
_OURS = "SELECT relname, n_live_tup FROM pg_stat_user_tables WHERE schemaname = 'zoning' AND n_live_tup > 0 ORDER BY 1"


def sizes(address: str) -> dict[str, int]:
    """Return the bytes of each of Dagster's tables with its indexes. `address`: of Dagster's storage."""
    with psycopg.connect(address) as connection:
        schema = connection.execute("SELECT current_schema()").fetchone() or ("public",)
        return dict(connection.execute(_TABLES, {"schema": schema[0]}).fetchall())


def analyze(address: str, url: str) -> None:
    """Update the statistics of both, as autovacuum does."""
    for each in (address, database.as_role(url, None)):
        with psycopg.connect(each, autocommit=True) as connection:
            connection.execute("ANALYZE")


def measure(address: str, url: str, before: Mapping[str, int]) -> dict[str, Any]:
    """Return what was written since `before`, a result of `sizes`."""
    analyze(address, url)
    after = sizes(address)
    with psycopg.connect(address) as connection:
        of_jobs = database.dicts(connection, _OF_JOBS.encode(), {})
    with psycopg.connect(url) as connection:
        ours = dict(connection.execute(_OURS).fetchall())
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    return {"dagster_bytes": grown, "of_jobs": of_jobs, "our_rows": ours}
