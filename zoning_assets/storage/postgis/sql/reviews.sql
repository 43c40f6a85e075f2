-- Changes that a person must decide about. Each query has a name and one sentence; sql_queries.py loads them.

-- name: waiting
-- Undecided changes: narrower than the tolerance, or events of low confidence that no amendment explains; newest first.
SELECT c.id, c.jurisdiction, c.kind, c.state, c.facet, c.parcel_ids, c.old, c.new, c.area_m2, c.share, c.confidence,
    c.effective, c.detected, c.evidence
FROM zoning.change c
WHERE (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s)
    AND (c.state = 'review' OR c.state = 'event' AND c.confidence < %(least)s
        AND NOT EXISTS (SELECT FROM zoning.amendment_match m WHERE m.change_id = c.id))
    AND NOT c.evidence ? 'decision'
ORDER BY c.detected DESC, c.kind, c.id LIMIT %(limit)s;

-- name: undecided
-- A change that no person decided about, locked.
SELECT jurisdiction, kind, state FROM zoning.change
WHERE id = %(id)s AND state <> 'retracted' AND NOT evidence ? 'decision' FOR UPDATE;

-- name: decide
-- The decision about a change: it is an event, or it is retracted.
UPDATE zoning.change SET state = %(state)s, evidence = evidence || jsonb_build_object('decision', jsonb_build_object(
    'action', %(action)s::text, 'by', %(person)s::text, 'at', clock_timestamp(), 'was', state
)) WHERE id = %(id)s;
