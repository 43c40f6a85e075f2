-- Amendments, their matches, and what waits. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock
-- One telling of an amendment at a time.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/amendments', 0));

-- name: find
-- What is known of some amendments; NULL: of all.
SELECT id, jurisdiction, case_numbers, ordinance_numbers, kind, status, dates, parcel_ids, place, old_codes, new_codes,
    ST_AsBinary(geom) AS geometry, source, source_hash, confidence, questions, evidence
FROM zoning.amendment WHERE jurisdiction = %(jurisdiction)s AND (%(ids)s::text[] IS NULL OR id = ANY (%(ids)s))
ORDER BY id;

-- name: keep
-- What was known of one until now.
INSERT INTO zoning.amendment_version SELECT a.*, clock_timestamp() FROM zoning.amendment a WHERE id = %(id)s;

-- name: put
-- What is known of one now.
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
-- Which of these messages were not received before; they are now.
INSERT INTO zoning.received (message_id) SELECT unnest(%(ids)s::text[]) ON CONFLICT DO NOTHING RETURNING message_id;

-- name: tiles
-- The tiles of some parcels, and of those on some ground.
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
-- The changes of zoning that an amendment may explain.
SELECT id, parcel_ids, old, new, detected, ST_AsBinary(geom) AS geom, evidence FROM zoning.change
WHERE jurisdiction = %(jurisdiction)s AND state = 'event' AND facet <> 'parcel' AND kind NOT IN ('recoded', 'redrawn');

-- name: forget_matches
-- Matches are made anew from all that is known.
DELETE FROM zoning.amendment_match m USING zoning.amendment a
WHERE m.amendment_id = a.id AND a.jurisdiction = %(jurisdiction)s;

-- name: match
-- A change is the doing of an amendment.
INSERT INTO zoning.amendment_match (amendment_id, change_id, score, reasons, lag_days)
VALUES (%(amendment)s, %(change)s, %(score)s, %(reasons)s, %(lag_days)s);

-- name: matched
-- Amendments that the map shows, with the days it took.
SELECT a.id, a.jurisdiction, a.case_numbers, a.ordinance_numbers, a.status, a.effective, count(*) AS changes,
    max(m.score) AS score, min(m.lag_days) AS lag_days, (array_agg(m.change_id ORDER BY m.change_id))[1:3] AS some
FROM zoning.amendment a JOIN zoning.amendment_match m ON m.amendment_id = a.id
WHERE %(jurisdiction)s::text IS NULL OR a.jurisdiction = %(jurisdiction)s
GROUP BY a.id ORDER BY a.effective DESC NULLS LAST, a.id;

-- name: unmapped
-- Adopted, but not on the map; or annulled, and still on it.
SELECT a.id, a.jurisdiction, a.case_numbers, a.ordinance_numbers, a.status, a.effective, a.old_codes, a.new_codes,
    a.parcel_ids, current_date - a.effective AS days
FROM zoning.amendment a
WHERE (%(jurisdiction)s::text IS NULL OR a.jurisdiction = %(jurisdiction)s)
    AND a.status = ANY (%(statuses)s) AND NOT EXISTS (SELECT FROM zoning.amendment_match m WHERE m.amendment_id = a.id)
ORDER BY a.effective NULLS LAST, a.id;

-- name: unexplained
-- On the map without an ordinance.
SELECT c.id, c.jurisdiction, c.kind, c.parcel_ids, c.old, c.new, c.detected FROM zoning.change c
WHERE (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s) AND c.state = 'event'
    AND c.facet <> 'parcel' AND c.kind NOT IN ('recoded', 'redrawn')
    AND NOT EXISTS (SELECT FROM zoning.amendment_match m WHERE m.change_id = c.id)
ORDER BY c.detected DESC, c.id LIMIT 10000;

-- name: questions
-- What a person must answer.
SELECT id, jurisdiction, case_numbers, ordinance_numbers, status, questions, confidence, source FROM zoning.amendment
WHERE (%(jurisdiction)s::text IS NULL OR jurisdiction = %(jurisdiction)s)
    AND (cardinality(questions) > 0 OR confidence < %(least)s)
ORDER BY received, id;
