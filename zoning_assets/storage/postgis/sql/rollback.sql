-- The inverse of batches, as a batch. Each query has a name and one sentence; sql_queries.py loads them. Written so
-- that no plan can cost more than the jurisdiction's own rows: see publish.sql.

-- name: lock
-- Nothing of the jurisdiction is published or judged meanwhile; nobody pauses.
SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(ARRAY[
    %(jurisdiction)s || '/changes', %(jurisdiction)s || '/parcel_zoning', %(jurisdiction)s || '/parcels',
    %(jurisdiction)s || '/zoning', 'zoning/holds'
]) AS key;

-- name: at
-- The newest batch of a feed that was committed by a moment, and the first one after it.
SELECT coalesce(max(id) FILTER (WHERE committed <= %(moment)s), 0), min(id) FILTER (WHERE committed > %(moment)s)
FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s;

-- name: batch
-- What a batch published where.
SELECT feed, tile FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND id = %(batch)s;

-- name: later_parcels
-- A parcel of a batch that a later batch has changed, and that batch.
SELECT parcel_id, ended_by FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s AND batch_id = %(batch)s
UNION ALL
SELECT t.parcel_id, t.batch_id FROM zoning.parcel_version v, LATERAL (
    SELECT parcel_id, batch_id FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = v.parcel_id OFFSET 0
) t
WHERE v.jurisdiction = %(jurisdiction)s AND v.ended_by = %(batch)s AND t.batch_id > %(batch)s
ORDER BY 1 LIMIT 1;

-- name: later_districts
-- A district of a batch that a later batch has changed, and that batch.
SELECT district_id, ended_by FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s AND batch_id = %(batch)s
UNION ALL
SELECT t.district_id, t.batch_id FROM zoning.district_version v, LATERAL (
    SELECT district_id, batch_id FROM zoning.district
    WHERE jurisdiction = %(jurisdiction)s AND district_id = v.district_id OFFSET 0
) t
WHERE v.jurisdiction = %(jurisdiction)s AND v.ended_by = %(batch)s AND t.batch_id > %(batch)s
ORDER BY 1 LIMIT 1;

-- name: open
-- The batch that undoes; its time is taken under the lock.
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started, undoes)
VALUES (%(jurisdiction)s, NULL, %(feed)s, 'rollback of ' || %(undoes)s::text, '', clock_timestamp(), %(undoes)s)
RETURNING id, started;

-- name: parcels_at
-- The parcels as they were with a batch.
CREATE TEMPORARY TABLE target ON COMMIT DROP AS
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, batch_id, first_seen, last_changed
FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s
UNION ALL
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, batch_id, first_seen, last_changed
FROM zoning.parcel_version
WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s AND ended_by > %(batch)s;

-- name: parcels_without
-- The parcels as they are, but for what one batch did.
CREATE TEMPORARY TABLE target ON COMMIT DROP AS
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, batch_id, first_seen, last_changed
FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND batch_id <> %(batch)s
UNION ALL
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, batch_id, first_seen, last_changed
FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s AND ended_by = %(batch)s;

-- name: end_parcels
-- What is not, or not so, in the target becomes a version; the keys of it.
WITH gone AS (
    DELETE FROM zoning.parcel WHERE ctid = ANY (ARRAY(
        SELECT (array_agg(at))[1] FROM (
            SELECT parcel_id, content_hash, ctid AS at FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s
            UNION ALL
            SELECT parcel_id, content_hash, NULL FROM target
        ) AS both_sides GROUP BY parcel_id, content_hash HAVING count(*) = count(at)
    )) RETURNING *
),
kept AS (
    INSERT INTO zoning.parcel_version SELECT gone.*, gone.last_changed, %(now)s, NULL, NULL, %(undo)s FROM gone
)
SELECT parcel_id FROM gone;

-- name: begin_parcels
-- What the target has and the table has not; the keys of it.
INSERT INTO zoning.parcel
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, %(undo)s, first_seen, %(now)s
FROM target
ON CONFLICT (jurisdiction, parcel_id) DO NOTHING RETURNING parcel_id;

-- name: districts_at
-- The districts as they were with a batch.
CREATE TEMPORARY TABLE target ON COMMIT DROP AS
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    batch_id, first_seen, last_changed
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s
UNION ALL
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    batch_id, first_seen, last_changed
FROM zoning.district_version
WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s AND ended_by > %(batch)s;

-- name: districts_without
-- The districts as they are, but for what one batch did.
CREATE TEMPORARY TABLE target ON COMMIT DROP AS
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    batch_id, first_seen, last_changed
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND batch_id <> %(batch)s
UNION ALL
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    batch_id, first_seen, last_changed
FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s AND ended_by = %(batch)s;

-- name: end_districts
-- What is not, or not so, in the target becomes a version; the keys of it.
WITH gone AS (
    DELETE FROM zoning.district WHERE ctid = ANY (ARRAY(
        SELECT (array_agg(at))[1] FROM (
            SELECT district_id, content_hash, ctid AS at FROM zoning.district WHERE jurisdiction = %(jurisdiction)s
            UNION ALL
            SELECT district_id, content_hash, NULL FROM target
        ) AS both_sides GROUP BY district_id, content_hash HAVING count(*) = count(at)
    )) RETURNING *
),
kept AS (
    INSERT INTO zoning.district_version SELECT gone.*, gone.last_changed, %(now)s, gone.effective, NULL, %(undo)s FROM gone
)
SELECT district_id FROM gone;

-- name: begin_districts
-- What the target has and the table has not; the keys of it.
INSERT INTO zoning.district
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    %(undo)s, first_seen, %(now)s
FROM target
ON CONFLICT (jurisdiction, district_id) DO NOTHING RETURNING district_id;

-- name: drop
-- The target has served.
DROP TABLE target;

-- name: close
-- What the rollback did.
UPDATE zoning.batch SET counts = %(counts)s, committed = clock_timestamp() WHERE id = %(batch)s;

-- name: retract
-- The changes that the undone batches made.
UPDATE zoning.change c SET state = 'retracted',
    evidence = c.evidence || jsonb_build_object('was', c.state, 'retracted_by', %(batch)s::bigint)
WHERE c.ctid = ANY (ARRAY(
    SELECT told.at FROM (
        SELECT ctid AS at, state, release_id FROM zoning.change
        WHERE jurisdiction = %(jurisdiction)s AND %(keys)s::text[] IS NULL
    ) told, LATERAL (
        SELECT FROM zoning.release r WHERE r.id = told.release_id
            AND (r.parcels_to > %(parcels)s OR r.zoning_to > %(zoning)s) OFFSET 0
    ) r
    WHERE told.state <> 'retracted'
    UNION ALL
    SELECT told.at FROM unnest(%(keys)s::text[]) AS k (key), LATERAL (
        SELECT ctid AS at, jurisdiction, state, release_id FROM zoning.change WHERE parcel_ids @> ARRAY[k.key] OFFSET 0
    ) told, LATERAL (
        SELECT FROM zoning.release r WHERE r.id = told.release_id AND r.jurisdiction = %(jurisdiction)s
            AND (r.parcels_to > %(parcels)s OR r.zoning_to > %(zoning)s) OFFSET 0
    ) r
    WHERE told.jurisdiction = %(jurisdiction)s AND told.state <> 'retracted'
));

-- name: restore
-- The changes that an undone rollback had retracted.
UPDATE zoning.change c SET state = c.evidence->>'was', evidence = c.evidence - 'was' - 'retracted_by'
WHERE c.jurisdiction = %(jurisdiction)s AND c.state = 'retracted' AND (c.evidence->>'retracted_by')::bigint IN (
    SELECT id FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND undoes IS NOT NULL AND id = ANY (%(undone)s)
);

-- name: undone
-- The batches of a feed after one. Here and below OFFSET 0 has the jurisdiction's rows found first: by their numbers alone
-- all later ones would be read, whoever's they are.
SELECT coalesce(array_agg(id), '{}') FROM (
    SELECT id FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s OFFSET 0
) own WHERE id > %(batch)s AND id < %(undo)s;

-- name: removed
-- The newest batch that stands and took the jurisdiction out; 0: none. What was before it is compared with nothing.
SELECT coalesce(max(id), 0) FROM (
    SELECT id, harvest FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s OFFSET 0
) own WHERE harvest = 'removal' AND id <= greatest(%(parcels)s, %(zoning)s) AND id <> ALL (%(undone)s);

-- name: told
-- Up to which batches the last release goes of which nothing is undone, and which is not of the time before a removal.
SELECT parcels_to, zoning_to FROM (
    SELECT id, parcels_to, zoning_to FROM zoning.release WHERE jurisdiction = %(jurisdiction)s AND rules <> 'removal' OFFSET 0
) own WHERE parcels_to <= %(parcels)s AND zoning_to <= %(zoning)s AND greatest(parcels_to, zoning_to) > %(removed)s
ORDER BY id DESC LIMIT 1;

-- name: untold
-- Whether something stands that was published since; perhaps of some tiles alone.
SELECT EXISTS (
    SELECT FROM (
        SELECT id FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s OFFSET 0
    ) own WHERE id > %(told)s AND id <= %(kept)s AND id < %(undo)s AND id <> ALL (%(undone)s)
);

-- name: whole
-- The state that the next release is compared with.
INSERT INTO zoning.whole (jurisdiction, feed, batch_id) VALUES (%(jurisdiction)s, %(feed)s, %(batch)s)
ON CONFLICT (jurisdiction, feed) DO UPDATE SET batch_id = excluded.batch_id;

-- name: not_whole
-- Feeds of which nothing was told yet, and that were not whole at the moment either.
DELETE FROM zoning.whole w WHERE jurisdiction = %(jurisdiction)s AND batch_id = 0 AND NOT EXISTS (
    SELECT FROM zoning.survey s WHERE s.jurisdiction = w.jurisdiction AND s.feed = w.feed AND s.whole
        AND s.state IN ('passed', 'accepted') AND s.judged <= coalesce(%(moment)s, clock_timestamp())
        AND s.judged > coalesce((SELECT committed FROM zoning.batch WHERE id = %(removed)s), '-infinity')
);

-- name: release
-- What leads to that state was told before, or is retracted.
INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
    tolerance_m, alarms, counts, judged)
VALUES (%(jurisdiction)s, %(parcels)s, %(parcels)s, %(zoning)s, %(zoning)s, 'rollback', 0, 0, 0, '{}', '{}',
    clock_timestamp());

-- name: disbelieve
-- The surveys with which undone batches were published: an acceptance goes with what was accepted.
UPDATE zoning.survey SET state = 'superseded' WHERE id IN (
    SELECT (
        SELECT max(s.id) FROM zoning.survey s
        WHERE s.jurisdiction = b.jurisdiction AND s.feed = b.feed AND s.state IN ('passed', 'accepted')
            AND s.judged < b.started AND s.contents->coalesce(b.tile, '')->>1 = b.harvest
    ) FROM zoning.batch b WHERE b.jurisdiction = %(jurisdiction)s AND b.id = ANY (%(undone)s) AND b.undoes IS NULL
);
