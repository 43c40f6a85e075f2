-- Releases and their changes. Each query has a name and one sentence; sql_queries.py loads them.

-- name: lock
-- Only one release of a jurisdiction at a time.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/changes', 0));

-- name: insert_release
-- A release after its comparison.
INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
    tolerance_m, alarms, refused, counts, judged)
VALUES (%(jurisdiction)s, %(parcels_from)s, %(parcels_to)s, %(zoning_from)s, %(zoning_to)s, %(rules)s, %(drift_m)s,
    %(moved)s, %(tolerance_m)s, %(alarms)s, %(refused)s, %(counts)s, clock_timestamp())
RETURNING id, judged;

-- name: accept
-- A person accepts the map that was refused.
UPDATE zoning.release SET accepted_by = %(actor)s
WHERE id = (SELECT max(id) FROM zoning.release WHERE jurisdiction = %(jurisdiction)s)
    AND refused IS NOT NULL AND accepted_by IS NULL
RETURNING alarms;

-- name: insert_change
-- A change; one that is already stored stays as it is.
INSERT INTO zoning.change (id, jurisdiction, kind, state, facet, parcel_ids, old, new, area_m2, share, confidence,
    effective, detected, evidence, geom, release_id)
VALUES (%(id)s, %(jurisdiction)s, %(kind)s, %(state)s, %(facet)s, %(parcel_ids)s, %(old)s, %(new)s, %(area_m2)s,
    %(share)s, %(confidence)s, %(effective)s, %(detected)s, %(evidence)s, ST_GeomFromWKB(%(geom)s, %(srid)s), %(release)s)
ON CONFLICT (id) DO NOTHING;

-- name: watch_children
-- Also watch the parcels that watched parcels became.
INSERT INTO zoning.watch (jurisdiction, parcel_id, since, came_from)
SELECT DISTINCT ON (child) c.jurisdiction, child, c.detected, w.parcel_id
FROM zoning.change c, jsonb_array_elements_text(c.evidence->'parents') AS parent, LATERAL (
    SELECT parcel_id FROM zoning.watch WHERE jurisdiction = c.jurisdiction AND parcel_id = parent OFFSET 0
) w, jsonb_array_elements_text(c.evidence->'children') AS child
WHERE c.release_id = %(release)s AND c.facet = 'parcel' AND c.state = 'event'
ON CONFLICT DO NOTHING;

-- name: watch_these
-- Watch parcels that a person names.
INSERT INTO zoning.watch (jurisdiction, parcel_id, since)
SELECT %(jurisdiction)s, id, clock_timestamp() FROM unnest(%(parcels)s::text[]) AS id ON CONFLICT DO NOTHING;

-- name: ever_published
-- Those of some parcel ids that are published or were.
SELECT given.id AS parcel_id FROM unnest(%(parcels)s::text[]) AS given (id), LATERAL (
    (SELECT 1 FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = given.id LIMIT 1)
    UNION ALL
    (SELECT 1 FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s AND parcel_id = given.id LIMIT 1)
    LIMIT 1
) found;

-- name: watched
-- The watched parcels: from which parcel each came, and how many changes it had since.
SELECT w.parcel_id, w.came_from, w.since, count(c.id) AS changes, max(c.detected) AS last_change
FROM zoning.watch w LEFT JOIN LATERAL (
    SELECT id, jurisdiction, state, detected FROM zoning.change WHERE parcel_ids @> ARRAY[w.parcel_id] OFFSET 0
) c ON c.jurisdiction = w.jurisdiction AND c.state = 'event' AND c.detected >= w.since
WHERE w.jurisdiction = %(jurisdiction)s GROUP BY w.jurisdiction, w.parcel_id ORDER BY 1;

-- name: existing
-- Those of some ids that were used before, also as the base of another id, and how often.
SELECT given.name, count(*) FROM unnest(%(ids)s::text[]) AS asked (id), LATERAL (
    SELECT coalesce(evidence->>'again', id) AS name FROM zoning.change WHERE id = asked.id
    UNION ALL
    SELECT evidence->>'again' FROM zoning.change WHERE evidence->>'again' = asked.id
    OFFSET 0
) given GROUP BY 1;

-- name: last_zoning_change
-- The last zoning change of each of these parcels, of those that concern one parcel.
SELECT DISTINCT ON (k.parcel) k.parcel, c.id, c.kind, c.old, c.new FROM unnest(%(parcels)s::text[]) AS k (parcel), LATERAL (
    SELECT * FROM zoning.change WHERE parcel_ids @> ARRAY[k.parcel] OFFSET 0
) c
WHERE c.jurisdiction = %(jurisdiction)s AND c.state = 'event' AND c.facet = 'base' AND cardinality(c.parcel_ids) = 1
    AND c.kind IN ('rezoned', 'reverted', 'reinstated')
ORDER BY k.parcel, c.detected DESC;

-- name: changes
-- The change feed, newest first. A matched amendment raises the confidence and gives the legal date. If the parcel layer
-- also states the new code, before or after the map, the confidence rises by 0.1, to at most 0.95. A page begins after the
-- last change of the page before: its time, kind and id.
SELECT c.id, c.jurisdiction, c.kind, c.state, c.facet, c.parcel_ids, c.old, c.new, c.area_m2, c.share,
    greatest(m.confidence, CASE WHEN c.state = 'event' AND c.facet = 'base'
        AND c.kind IN ('rezoned', 'partly_rezoned', 'reverted', 'reinstated') AND EXISTS (
            SELECT FROM (
                SELECT p.zoning_code_local FROM zoning.parcel p
                WHERE p.jurisdiction = c.jurisdiction AND p.parcel_id = c.parcel_ids[1]
                UNION ALL
                SELECT v.zoning_code_local FROM zoning.parcel_version v JOIN zoning.batch b ON b.id = v.ended_by
                WHERE v.jurisdiction = c.jurisdiction AND v.parcel_id = c.parcel_ids[1]
                    AND v.system_to > c.detected AND b.undoes IS NULL  -- a state that a rollback ended was wrong
            ) AS since JOIN zoning.code k ON k.jurisdiction = c.jurisdiction AND k.local = since.zoning_code_local
            WHERE k.code = c.new
        ) THEN least(round((c.confidence + 0.1)::numeric, 3), 0.95) ELSE c.confidence END) AS confidence,
    coalesce(m.effective, c.effective) AS effective, c.detected, c.evidence, m.amendments
FROM zoning.change c LEFT JOIN LATERAL (
    SELECT max(a.effective) AS effective, max(0.9 + x.score / 10) AS confidence,
        jsonb_agg(jsonb_build_object('amendment', x.amendment_id, 'case_numbers', a.case_numbers, 'ordinance_numbers',
            a.ordinance_numbers, 'status', a.status, 'source', a.source, 'score', x.score, 'lag_days', x.lag_days,
            'reasons', x.reasons) ORDER BY x.score DESC) AS amendments
    FROM zoning.amendment_match x JOIN zoning.amendment a ON a.id = x.amendment_id WHERE x.change_id = c.id
) m ON true
WHERE (%(jurisdiction)s::text IS NULL OR c.jurisdiction = %(jurisdiction)s)
    AND (%(since)s::timestamptz IS NULL OR c.detected >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR c.detected < %(until)s)
    AND (%(kind)s::text IS NULL OR c.kind = %(kind)s)
    AND (%(parcel)s::text IS NULL OR c.id = ANY (ARRAY(
        SELECT id FROM zoning.change WHERE parcel_ids @> ARRAY[%(parcel)s::text]
    )))
    AND (%(id)s::text IS NULL OR c.id LIKE %(id)s || '%%')
    AND (%(state)s::text IS NULL OR c.state = %(state)s)
    AND (%(min_area)s::float8 IS NULL OR c.area_m2 >= %(min_area)s)
    AND (%(page_detected)s::timestamptz IS NULL OR c.detected <= %(page_detected)s)
    AND (%(page_detected)s::timestamptz IS NULL OR c.detected < %(page_detected)s
        OR (c.kind, c.id) > (%(page_kind)s::text, %(page_id)s::text))
ORDER BY c.detected DESC, c.kind, c.id LIMIT %(limit)s;

-- name: parcel_history
-- All states of a parcel, oldest first.
SELECT system_from, system_to, legal_from, zoning_code, zoning_code_local, land_use, address, area_m2, content_hash
FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
UNION ALL
SELECT last_changed, NULL, NULL, zoning_code, zoning_code_local, land_use, address, area_m2, content_hash
FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
ORDER BY 1;

-- name: zoning_history
-- All states of the zoning of a parcel, oldest first.
SELECT system_from, system_to, legal_from, facet, code, area_m2, fraction, rank, listed
FROM zoning.parcel_zoning_version WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
UNION ALL
SELECT last_changed, NULL, effective, facet, code, area_m2, fraction, rank, listed
FROM zoning.parcel_zoning WHERE jurisdiction = %(jurisdiction)s AND parcel_id = %(parcel)s
ORDER BY 1, 4, 8;

-- name: zoning_as_of
-- The zoning of one parcel on a day, as known at a time.
SELECT facet, code, area_m2, fraction, rank, listed FROM zoning.zoning_as_of(%(jurisdiction)s, %(legal)s, %(system)s)
WHERE parcel_id = %(parcel)s ORDER BY facet, rank;
