-- The ledger of rate_limits.py.

-- name: session
-- A session whose work is cheap to lose and whose end is soon noticed: slots are locks of the session.
SET synchronous_commit = off;
SET idle_in_transaction_session_timeout = '10s';
SET lock_timeout = '30s';
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;

-- name: locked
-- A host's row, locked, and the time once it is (outside: inside it would be that of the beginning of the wait).
WITH locked AS MATERIALIZED (SELECT * FROM zoning.host_budget WHERE host = %(host)s FOR UPDATE)
SELECT locked.*, clock_timestamp() AS now FROM locked;

-- name: create
-- The row of a host that is asked for the first time.
INSERT INTO zoning.host_budget (host) VALUES (%(host)s) ON CONFLICT DO NOTHING;

-- name: store
-- A host's row, changed.
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
-- The first of these slots of a host that nobody has; it is this session's then.
SELECT slot FROM unnest(%(slots)s::int[]) AS slot WHERE pg_try_advisory_lock(hashtext(%(host)s), slot) LIMIT 1;

-- name: unlock_slot
-- Give a slot back.
SELECT pg_advisory_unlock(hashtext(%(host)s), %(slot)s);

-- name: hosts
-- All hosts, those asked most first.
SELECT host_budget.*, clock_timestamp() AS now FROM zoning.host_budget ORDER BY asked DESC, host;
