-- Emergency pauses. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock
-- Setting or lifting a pause waits for transactions that have checked for pauses and commit now; this takes milliseconds.
-- A row of the audit (audit.sql) is appended under the same lock.
SELECT pg_advisory_xact_lock(hashtextextended('zoning/holds', 0));

-- name: lock_shared
-- A transaction that checks for pauses holds this lock until its commit, so that no pause is set in between.
SELECT pg_advisory_xact_lock_shared(hashtextextended('zoning/holds', 0));

-- name: active
-- The active pauses.
SELECT id, jurisdiction, host, reason, actor, since, until FROM zoning.hold
WHERE lifted IS NULL AND (until IS NULL OR until > clock_timestamp()) ORDER BY id;

-- name: pause
-- Insert a pause.
INSERT INTO zoning.hold (jurisdiction, host, reason, actor, since, until)
VALUES (%(jurisdiction)s, %(host)s, %(reason)s, %(actor)s, clock_timestamp(), %(until)s)
RETURNING id, jurisdiction, host, reason, actor, since, until;

-- name: resume
-- Lift the pauses of a jurisdiction, of a host, or of everything.
UPDATE zoning.hold SET lifted = clock_timestamp(), lifted_by = %(actor)s
WHERE lifted IS NULL AND jurisdiction IS NOT DISTINCT FROM %(jurisdiction)s AND host IS NOT DISTINCT FROM %(host)s
RETURNING id, jurisdiction, host, reason, actor, since, until;
