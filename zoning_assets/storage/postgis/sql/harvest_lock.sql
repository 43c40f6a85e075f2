-- The lock of a feed that is being harvested, see harvest_lock.py. Its key cannot be that of another lock: no
-- jurisdiction is named `zoning`.

-- name: holder
-- The address of the process that has the lock, and since when. NULL: this role may not see sessions of that login; an
-- address is also NULL for a Unix socket.
SELECT host(client_addr), backend_start
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint)
        = hashtextextended(%(key)s, 0);
