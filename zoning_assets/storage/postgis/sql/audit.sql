-- The audit of what people did. Each query has a name and one sentence; sql_queries.py loads them.

-- name: append
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
