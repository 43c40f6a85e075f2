-- Advisory locks that a process keeps while it lives (kept_lock.py).

-- name: session
-- The server ends a session from which no heartbeat arrives. PostgreSQL 13 does not have the last setting.
SELECT set_config(name, value, false)
FROM (VALUES
    ('tcp_keepalives_idle', '30'),
    ('tcp_keepalives_interval', '10'),
    ('tcp_keepalives_count', '3'),
    ('idle_session_timeout', %(timeout)s)
) AS wanted (name, value)
JOIN pg_settings USING (name);

-- name: take
-- Take a lock, unless another session has it.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0));
