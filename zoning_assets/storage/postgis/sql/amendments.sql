-- Amendments, their matches, and lists of open questions. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock
-- Only one update of amendments of a jurisdiction at a time.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/amendments', 0));

-- name: find
-- Some amendments; NULL: all.
SELECT id, jurisdiction, case_numbers, ordinance_numbers, kind, status, dates, parcel_ids, place, old_codes, new_codes,
    ST_AsBinary(geom) AS geometry, source, source_hash, confidence, questions, evidence
FROM zoning.amendment WHERE jurisdiction = %(jurisdiction)s AND (%(ids)s::text[] IS NULL OR id = ANY (%(ids)s))
ORDER BY id;

-- name: insert_version
-- The current state of an amendment becomes a version.
INSERT INTO zoning.amendment_version SELECT a.*, clock_timestamp() FROM zoning.amendment a WHERE id = %(id)s;

-- name: put
-- Insert or replace an amendment.
INSERT INTO zoning.amendment AS a (id, jurisdiction, case_numbers, ordinance_numbers, kind, status, dates, effective,
    parcel_ids, place, old_codes, new_codes, geom, source, source_hash, confidence, questions, evidence, received,
    last_changed)
VALUES (%(id)s, %(jurisdiction)s, %(case_numbers)s, %(ordinance_numbers)s, %(kind)s, %(status)s, %(dates)s,
    %(effective)s, %(parcel_ids)s, %(place)s, %(old_codes)s, %(new_codes)s, ST_GeomFromWKB(%(geometry)s, %(srid)s),
    %(source)s, %(source_hash)s, %(confidence)s, %(questions)s, %(evidence)s, clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE SET case_numbers = excluded.case_numbers, ordinance_numbers = excluded.ordinance_numbers,
    kind = excluded.kind, status = excluded.status, dates = excluded.dates, effective = excluded.effective,
    parcel_ids = excluded.parcel_ids, place = excluded.place, old_codes = excluded.old_codes,
    new_codes = excluded.new_codes, geom = excluded.geom, source = excluded.source, source_hash = excluded.source_hash,
    confidence = excluded.confidence, questions = excluded.questions, evidence = excluded.evidence,
    last_changed = excluded.last_changed;

-- name: receive
-- Store message ids; returns those that are new.
INSERT INTO zoning.received (message_id) SELECT unnest(%(ids)s::text[]) ON CONFLICT DO NOTHING RETURNING message_id;

-- name: tiles
-- The tiles of some parcels, and of the parcels that intersect a shape.
SELECT p.tile FROM unnest(%(parcel_ids)s::text[]) AS k (key), LATERAL (
    SELECT tile FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.key OFFSET 0
) p
UNION
SELECT p.tile FROM (SELECT ST_GeomFromWKB(%(ground)s, %(srid)s) AS shape OFFSET 0) AS ground, LATERAL (
    SELECT tile FROM zoning.parcel
    WHERE jurisdiction || '' = %(jurisdiction)s AND ST_Intersects(geom, ground.shape) OFFSET 0
) p
ORDER BY tile LIMIT 2000;

-- name: changes
-- The zoning changes that an amendment may explain.
SELECT id, parcel_ids, old, new, detected, ST_AsBinary(geom) AS geom, evidence FROM zoning.change
WHERE jurisdiction = %(jurisdiction)s AND state = 'event' AND facet <> 'parcel' AND kind NOT IN ('recoded', 'redrawn');

-- name: delete_matches
-- Delete all matches, before they are computed again.
DELETE FROM zoning.amendment_match m USING zoning.amendment a
WHERE m.amendment_id = a.id AND a.jurisdiction = %(jurisdiction)s;

-- name: insert_match
-- A change that an amendment explains.
INSERT INTO zoning.amendment_match (amendment_id, change_id, score, reasons, lag_days)
VALUES (%(amendment)s, %(change)s, %(score)s, %(reasons)s, %(lag_days)s);

-- name: matched
-- Amendments that explain changes, with the delay in days.
SELECT a.id, a.jurisdiction, a.case_numbers, a.ordinance_numbers, a.status, a.effective, count(*) AS changes,
    max(m.score) AS score, min(m.lag_days) AS lag_days, (array_agg(m.change_id ORDER BY m.change_id))[1:3] AS some
FROM zoning.amendment a JOIN zoning.amendment_match m ON m.amendment_id = a.id
WHERE %(jurisdiction)s::text IS NULL OR a.jurisdiction = %(jurisdiction)s
GROUP BY a.id ORDER BY a.effective DESC NULLS LAST, a.id;

-- name: unmapped
-- Amendments that are adopted or annulled but match no change of the map.
SELECT a.id, a.jurisdiction, a.case_numbers, a.ordinance_numbers, a.status, a.effective, a.old_codes, a.new_codes,
    a.parcel_ids, current_date - a.effective AS days
FROM zoning.amendment a
WHERE (%(jurisdiction)s::text IS NULL OR a.jurisdiction = %(jurisdiction)s)
    AND a.status = ANY (%(statuses)s) AND NOT EXISTS (SELECT FROM zoning.amendment_match m WHERE m.amendment_id = a.id)
ORDER BY a.effective NULLS LAST, a.id;

-- name: unexplained
-- Changes of the map that no amendment explains.
SELECT c.id, c.jurisdiction, c.kind, c.parcel_ids, c.old, c.new, c.detected FROM zoning.change c
WHERE (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s) AND c.state = 'event'
    AND c.facet <> 'parcel' AND c.kind NOT IN ('recoded', 'redrawn')
    AND NOT EXISTS (SELECT FROM zoning.amendment_match m WHERE m.change_id = c.id)
ORDER BY c.detected DESC, c.id LIMIT 10000;

-- name: questions
-- Amendments with open questions or low confidence.
SELECT id, jurisdiction, case_numbers, ordinance_numbers, status, questions, confidence, source FROM zoning.amendment
WHERE (%(jurisdiction)s::text IS NULL OR jurisdiction = %(jurisdiction)s)
    AND (cardinality(questions) > 0 OR confidence < %(least)s)
ORDER BY received, id;
