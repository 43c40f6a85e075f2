-- Emergency pauses, and the audit. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock
-- Setting or lifting a pause waits for transactions that have checked for pauses and commit now; this takes milliseconds.
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

-- name: append_audit
-- Append a row to the audit, with the hash of the row before.
WITH before AS (SELECT id, hash FROM zoning.audit ORDER BY id DESC LIMIT 1),
entry AS (
    SELECT ROW(coalesce((SELECT id FROM before), 0) + 1, clock_timestamp(), %(actor)s::text, %(action)s::text,
        %(subject)s::jsonb, %(reason)s::text, '')::zoning.audit AS a
)
INSERT INTO zoning.audit
SELECT (a).id, (a).at, (a).actor, (a).action, (a).subject, (a).reason,
    zoning.audit_hash(coalesce((SELECT hash FROM before), ''), a) FROM entry;

-- name: broken_audit_rows
-- Rows of the audit whose hash or number does not follow from the row before.
SELECT id FROM (
    SELECT a.id, a.hash, zoning.audit_hash(coalesce(lag(a.hash) OVER (ORDER BY a.id), ''), a) AS should, lag(a.id)
        OVER (ORDER BY a.id) AS before FROM zoning.audit a
) chained WHERE hash <> should OR id <> coalesce(before, 0) + 1 ORDER BY id;
