-- Advisory locks that a process keeps while it lives (kept_lock.py).

-- name: session
-- The server ends a session from which no heartbeat arrives. PostgreSQL 13 does not have this setting.
SELECT set_config(name, %(timeout)s, false) FROM pg_settings WHERE name = 'idle_session_timeout';

-- name: take
-- Take a lock, unless another session has it.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0));

-- name: release
-- Release a lock.
SELECT pg_advisory_unlock(hashtextextended(%(key)s, 0));
