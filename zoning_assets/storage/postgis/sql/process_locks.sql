-- Advisory locks that show which processes are alive (process_locks.py).

-- name: living
-- pg_locks shows the two halves of a key of 64 bits.
SELECT name
FROM unnest(%(names)s::text[]) AS name
WHERE hashtextextended('zoning/process/' || name, 0) IN (
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
);
