-- The rate limits of hosts, see rate_limits.py.

-- name: session
-- Losing the last commits does no harm, so commits are not synchronous.
SET synchronous_commit = off;
SET idle_in_transaction_session_timeout = '10s';
SET lock_timeout = '30s';

-- name: heartbeats
-- Slots are locks of the session, so a lost session must be detected soon. Keepalives reach only as far as a proxy.
-- PostgreSQL 13 does not have this setting.
SELECT set_config(name, %(timeout)s, false) FROM pg_settings WHERE name = 'idle_session_timeout';

-- name: locked
-- The locked row of a host, and the time after the lock was taken (an expression inside the CTE would give the time before).
WITH locked AS MATERIALIZED (SELECT * FROM zoning.host_budget WHERE host = %(host)s FOR UPDATE)
SELECT locked.*, clock_timestamp() AS now FROM locked;

-- name: create
-- The row of a new host.
INSERT INTO zoning.host_budget (host) VALUES (%(host)s) ON CONFLICT DO NOTHING;

-- name: store
-- Update the row of a host.
UPDATE zoning.host_budget SET
    ceiling = %(ceiling)s, ceiling_until = %(ceiling_until)s,
    connections = %(connections)s, connections_until = %(connections_until)s,
    slowed_to = %(slowed_to)s, slowed_at = %(slowed_at)s, slowed_after = %(slowed_after)s,
    next_at = %(next_at)s, rests_until = %(rests_until)s,
    stated_limit = %(stated_limit)s, stated_window_s = %(stated_window_s)s, stated_left = %(stated_left)s,
    stated_until = %(stated_until)s, stated_by = %(stated_by)s,
    failures = %(failures)s, opened = %(opened)s, open_until = %(open_until)s,
    probe = %(probe)s, probe_until = %(probe_until)s,
    asked = %(asked)s, refused = %(refused)s, failed = %(failed)s
WHERE host = %(host)s;

-- name: lock_slot
-- Take the first free one of some slots of a host.
SELECT slot FROM unnest(%(slots)s::int[]) AS slot WHERE pg_try_advisory_lock(hashtext(%(host)s), slot) LIMIT 1;

-- name: unlock_slot
-- Give a slot back.
SELECT pg_advisory_unlock(hashtext(%(host)s), %(slot)s);

-- name: hosts
-- All hosts, by the number of requests.
SELECT host_budget.*, clock_timestamp() AS now FROM zoning.host_budget ORDER BY asked DESC, host;
