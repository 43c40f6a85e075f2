-- What a compliance report reads besides the change feed. Each query has a name and one sentence; sql_queries.py loads them.
-- A period is half-open: start <= time < end.

-- name: harvests
-- The publications of the period, grouped by feed and state of the layer, with one place whose harvest has the proof.
SELECT feed, min(started) AS first, max(committed) AS last, count(*) AS places,
    sum((counts->>'added')::bigint)::bigint AS added, sum((counts->>'changed')::bigint)::bigint AS changed,
    sum((counts->>'unchanged')::bigint)::bigint AS unchanged, sum((counts->>'retired')::bigint)::bigint AS retired,
    sum((counts->>'rejected')::bigint)::bigint AS rejected,
    (array_agg(tile ORDER BY id DESC))[1] AS tile, (array_agg(harvest ORDER BY id DESC))[1] AS harvest
FROM zoning.batch
WHERE jurisdiction = %(jurisdiction)s AND feed IN ('parcels', 'zoning') AND undoes IS NULL
    AND started >= %(start)s AND started < %(end)s
GROUP BY feed, counts->>'layer' ORDER BY max(id) DESC LIMIT %(most)s;

-- name: checks
-- The checks of releases in the period, with what a person decided.
SELECT feed, state, whole, findings, judged FROM zoning.survey
WHERE jurisdiction = %(jurisdiction)s AND judged >= %(start)s AND judged < %(end)s ORDER BY id DESC LIMIT %(most)s;

-- name: releases
-- The comparisons of releases in the period.
SELECT id, judged, drift_m, moved, tolerance_m, alarms, accepted_by, counts, rules FROM zoning.release
WHERE jurisdiction = %(jurisdiction)s AND judged >= %(start)s AND judged < %(end)s ORDER BY id DESC LIMIT %(most)s;

-- name: holds
-- The pauses of the jurisdiction, of its hosts or of everything that were active in the period.
SELECT coalesce(jurisdiction, host, 'everything') AS what, reason, actor, since, until, lifted, lifted_by FROM zoning.hold
WHERE (jurisdiction = %(jurisdiction)s OR jurisdiction IS NULL AND (host IS NULL OR host = ANY (%(hosts)s)))
    AND since < %(end)s AND coalesce(lifted, until, 'infinity') >= %(start)s
ORDER BY id DESC LIMIT %(most)s;

-- name: rollbacks
-- The rollbacks of the period: the batch that undid, the first batch that it undid, and the rows that it restored and ended.
SELECT id AS batch, feed, started, undoes, (counts->>'added')::bigint AS restored, (counts->>'retired')::bigint AS ended
FROM zoning.batch
WHERE jurisdiction = %(jurisdiction)s AND undoes IS NOT NULL AND started >= %(start)s AND started < %(end)s
ORDER BY id DESC LIMIT %(most)s;

-- name: actions
-- What people did in the period to the jurisdiction, to its hosts or to everything.
SELECT id, at, actor, action, reason FROM zoning.audit
WHERE at >= %(start)s AND at < %(end)s AND (
    subject->>'jurisdiction' = %(jurisdiction)s
    OR subject->>'what' = ANY (%(hosts)s || ARRAY['everything', %(jurisdiction)s]::text[])
    OR subject->'rows' @> jsonb_build_array(jsonb_build_object('jurisdiction', %(jurisdiction)s::text))
)
ORDER BY id DESC LIMIT %(most)s;

-- name: audit_end
-- The last row of the audit before the end of the period; its hash covers all rows before it.
SELECT id AS rows, at, hash FROM zoning.audit WHERE at < %(end)s ORDER BY id DESC LIMIT 1;

-- name: changed_ground
-- The changes of the period that a map can show, the largest first; and the batches between which each was found.
SELECT c.id, c.kind, c.facet, c.parcel_ids, c.old, c.new, ST_AsBinary(c.geom) AS geom, ST_SRID(c.geom) AS srid,
    r.parcels_from, r.parcels_to, r.zoning_from, r.zoning_to
FROM zoning.change c JOIN zoning.release r ON r.id = c.release_id
WHERE c.jurisdiction = %(jurisdiction)s AND c.detected >= %(start)s AND c.detected < %(end)s AND c.state = 'event'
    AND c.geom IS NOT NULL AND NOT ST_IsEmpty(c.geom)
    AND (c.facet <> 'parcel' AND c.kind <> 'recoded' OR c.kind IN ('split', 'merged', 'replatted', 'adjusted'))
ORDER BY c.facet = 'parcel', c.area_m2 DESC NULLS LAST, c.id LIMIT %(most)s;

-- name: districts_in
-- The map in a window as published with a batch, clipped, the largest districts first; `coarse`: units of the CRS.
SELECT coalesce(d.code, d.code_local, '') AS code,
    ST_AsBinary(ST_ClipByBox2D(ST_Simplify(d.geom, %(coarse)s, true), box.shape::box2d)) AS geom
FROM (SELECT ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, %(srid)s) AS shape) AS box, LATERAL (
    SELECT code, code_local, geom, area_m2 FROM zoning.district
    WHERE geom && box.shape AND jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s
    UNION ALL
    SELECT code, code_local, geom, area_m2 FROM zoning.district_version
    WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s AND ended_by > %(batch)s AND geom && box.shape
) d
ORDER BY d.area_m2 DESC LIMIT %(most)s;

-- name: parcels_in
-- The parcels in a window as published with a batch, with the code that the parcel layer states.
SELECT coalesce(p.zoning_code, p.zoning_code_local, '') AS code, ST_AsBinary(p.geom) AS geom
FROM (SELECT ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, %(srid)s) AS shape) AS box, LATERAL (
    SELECT zoning_code, zoning_code_local, geom, parcel_id FROM zoning.parcel
    WHERE geom && box.shape AND jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s
    UNION ALL
    SELECT zoning_code, zoning_code_local, geom, parcel_id FROM zoning.parcel_version
    WHERE geom && box.shape AND jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s AND ended_by > %(batch)s
) p
ORDER BY p.parcel_id LIMIT %(most)s;
