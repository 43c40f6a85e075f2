-- The lock of a feed that is being harvested, see harvest_lock.py. Its key cannot be that of another lock: no
-- jurisdiction is named `zoning`.

-- name: session
-- The lock ends with its session, so a lost session must be detected soon.
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;
-- A harvest of hours sends nothing in this session. PostgreSQL 13 does not have this setting.
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout';

-- name: take
-- Take the lock of a feed, unless another session has it.
SELECT pg_try_advisory_lock(hashtextextended('zoning/harvest/' || %(jurisdiction)s || '/' || %(feed)s, 0));

-- name: holder
-- The address of the process that has the lock, and since when. NULL: this role may not see sessions of that login; an
-- address is also NULL for a Unix socket.
SELECT host(client_addr), backend_start
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint)
        = hashtextextended('zoning/harvest/' || %(jurisdiction)s || '/' || %(feed)s, 0);
