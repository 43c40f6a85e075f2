-- Rollback: a new batch that undoes earlier ones. Each query has a name and one sentence; sql_queries.py loads them. No plan
-- reads more than the rows of the jurisdiction: see publish.sql.

-- name: lock
-- Meanwhile nothing of the jurisdiction is published or compared, and no pause is set or lifted.
SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(ARRAY[
    %(jurisdiction)s || '/changes', %(jurisdiction)s || '/parcel_zoning', %(jurisdiction)s || '/parcels',
    %(jurisdiction)s || '/zoning', 'zoning/holds'
]) AS key;

-- name: batches_at
-- The newest batch of a feed at a time, and the first batch after it.
SELECT coalesce(max(id) FILTER (WHERE committed <= %(moment)s), 0), min(id) FILTER (WHERE committed > %(moment)s)
FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s;

-- name: batch
-- The feed and the tile of a batch.
SELECT feed, tile FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND id = %(batch)s;

-- name: later_parcels
-- A parcel of a batch that a later batch changed, and that later batch.
SELECT parcel_id, ended_by FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s AND batch_id = %(batch)s
UNION ALL
SELECT t.parcel_id, t.batch_id FROM zoning.parcel_version v, LATERAL (
    SELECT parcel_id, batch_id FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = v.parcel_id OFFSET 0
) t
WHERE v.jurisdiction = %(jurisdiction)s AND v.ended_by = %(batch)s AND t.batch_id > %(batch)s
ORDER BY 1 LIMIT 1;

-- name: later_districts
-- A district of a batch that a later batch changed, and that later batch.
SELECT district_id, ended_by FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s AND batch_id = %(batch)s
UNION ALL
SELECT t.district_id, t.batch_id FROM zoning.district_version v, LATERAL (
    SELECT district_id, batch_id FROM zoning.district
    WHERE jurisdiction = %(jurisdiction)s AND district_id = v.district_id OFFSET 0
) t
WHERE v.jurisdiction = %(jurisdiction)s AND v.ended_by = %(batch)s AND t.batch_id > %(batch)s
ORDER BY 1 LIMIT 1;

-- name: open_batch
-- The batch of the rollback. Its time is taken while the lock is held.
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started, undoes)
VALUES (%(jurisdiction)s, NULL, %(feed)s, 'rollback of ' || %(undoes)s::text, '', clock_timestamp(), %(undoes)s)
RETURNING id, started;

-- name: parcels_at
-- The parcels as they were published with a batch.
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
-- The current parcels, without the effect of one batch.
CREATE TEMPORARY TABLE target ON COMMIT DROP AS
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, batch_id, first_seen, last_changed
FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND batch_id <> %(batch)s
UNION ALL
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, batch_id, first_seen, last_changed
FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s AND ended_by = %(batch)s;

-- name: end_parcels
-- Current rows that are not in the target, or differ from it, become versions; returns their keys.
WITH ended AS (
    DELETE FROM zoning.parcel WHERE ctid = ANY (ARRAY(
        SELECT (array_agg(at))[1] FROM (
            SELECT parcel_id, content_hash, ctid AS at FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s
            UNION ALL
            SELECT parcel_id, content_hash, NULL FROM target
        ) AS both_sides GROUP BY parcel_id, content_hash HAVING count(*) = count(at)
    )) RETURNING *
),
versions AS (
    INSERT INTO zoning.parcel_version SELECT ended.*, ended.last_changed, %(now)s, NULL, NULL, %(undo)s FROM ended
)
SELECT parcel_id FROM ended;

-- name: begin_parcels
-- Insert the rows of the target that are missing; returns their keys.
INSERT INTO zoning.parcel
SELECT jurisdiction, parcel_id, tile, zoning_code, zoning_code_local, land_use, address, attributes, area_m2, geom,
    content_hash, %(undo)s, first_seen, %(now)s
FROM target
ON CONFLICT (jurisdiction, parcel_id) DO NOTHING RETURNING parcel_id;

-- name: districts_at
-- The districts as they were published with a batch.
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
-- The current districts, without the effect of one batch.
CREATE TEMPORARY TABLE target ON COMMIT DROP AS
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    batch_id, first_seen, last_changed
FROM zoning.district WHERE jurisdiction = %(jurisdiction)s AND batch_id <> %(batch)s
UNION ALL
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    batch_id, first_seen, last_changed
FROM zoning.district_version WHERE jurisdiction = %(jurisdiction)s AND ended_by = %(batch)s;

-- name: end_districts
-- Current rows that are not in the target, or differ from it, become versions; returns their keys.
WITH ended AS (
    DELETE FROM zoning.district WHERE ctid = ANY (ARRAY(
        SELECT (array_agg(at))[1] FROM (
            SELECT district_id, content_hash, ctid AS at FROM zoning.district WHERE jurisdiction = %(jurisdiction)s
            UNION ALL
            SELECT district_id, content_hash, NULL FROM target
        ) AS both_sides GROUP BY district_id, content_hash HAVING count(*) = count(at)
    )) RETURNING *
),
versions AS (
    INSERT INTO zoning.district_version
    SELECT ended.*, ended.last_changed, %(now)s, ended.effective, NULL, %(undo)s FROM ended
)
SELECT district_id FROM ended;

-- name: begin_districts
-- Insert the rows of the target that are missing; returns their keys.
INSERT INTO zoning.district
SELECT jurisdiction, district_id, code, code_local, zone_type, effective, attributes, area_m2, geom, content_hash,
    %(undo)s, first_seen, %(now)s
FROM target
ON CONFLICT (jurisdiction, district_id) DO NOTHING RETURNING district_id;

-- name: drop_target
-- Drop the temporary table.
DROP TABLE target;

-- name: close_batch
-- The counts of the rollback.
UPDATE zoning.batch SET counts = %(counts)s, committed = clock_timestamp() WHERE id = %(batch)s;

-- name: retract
-- Retract the changes that the undone batches caused.
UPDATE zoning.change c SET state = 'retracted',
    evidence = c.evidence || jsonb_build_object('was', c.state, 'retracted_by', %(batch)s::bigint)
WHERE c.ctid = ANY (ARRAY(
    SELECT found.at FROM (
        SELECT ctid AS at, state, release_id FROM zoning.change
        WHERE jurisdiction = %(jurisdiction)s AND %(keys)s::text[] IS NULL
    ) found, LATERAL (
        SELECT FROM zoning.release r WHERE r.id = found.release_id
            AND (r.parcels_to > %(parcels)s OR r.zoning_to > %(zoning)s) OFFSET 0
    ) r
    WHERE found.state <> 'retracted'
    UNION ALL
    SELECT found.at FROM unnest(%(keys)s::text[]) AS k (key), LATERAL (
        SELECT ctid AS at, jurisdiction, state, release_id FROM zoning.change WHERE parcel_ids @> ARRAY[k.key] OFFSET 0
    ) found, LATERAL (
        SELECT FROM zoning.release r WHERE r.id = found.release_id AND r.jurisdiction = %(jurisdiction)s
            AND (r.parcels_to > %(parcels)s OR r.zoning_to > %(zoning)s) OFFSET 0
    ) r
    WHERE found.jurisdiction = %(jurisdiction)s AND found.state <> 'retracted'
));

-- name: restore
-- Restore the changes that an undone rollback retracted.
UPDATE zoning.change c SET state = c.evidence->>'was', evidence = c.evidence - 'was' - 'retracted_by'
WHERE c.jurisdiction = %(jurisdiction)s AND c.state = 'retracted' AND (c.evidence->>'retracted_by')::bigint IN (
    SELECT id FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND undoes IS NOT NULL AND id = ANY (%(undone)s)
);

-- name: undone_batches
-- The batches of a feed after one batch. Here and below OFFSET 0 selects the rows of the jurisdiction first; with a
-- condition on the id alone the planner would read the later batches of all jurisdictions.
SELECT coalesce(array_agg(id), '{}') FROM (
    SELECT id FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s OFFSET 0
) own WHERE id > %(batch)s AND id < %(undo)s;

-- name: last_removal
-- The newest removal of the jurisdiction that is not undone; 0: there is none. Batches before it are not compared.
SELECT coalesce(max(id), 0) FROM (
    SELECT id, harvest FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s OFFSET 0
) own WHERE harvest = 'removal' AND id <= greatest(%(parcels)s, %(zoning)s) AND id <> ALL (%(undone)s);

-- name: last_release
-- Up to which batches the last release goes that contains no undone batch and is newer than the last removal.
SELECT parcels_to, zoning_to FROM (
    SELECT id, parcels_to, zoning_to FROM zoning.release WHERE jurisdiction = %(jurisdiction)s AND rules <> 'removal' OFFSET 0
) own WHERE parcels_to <= %(parcels)s AND zoning_to <= %(zoning)s AND greatest(parcels_to, zoning_to) > %(removed)s
ORDER BY id DESC LIMIT 1;

-- name: has_unreleased
-- Whether batches that remain published were published after that release; possibly of some tiles only.
SELECT EXISTS (
    SELECT FROM (
        SELECT id FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s OFFSET 0
    ) own WHERE id > %(released)s AND id <= %(kept)s AND id < %(undo)s AND id <> ALL (%(undone)s)
);

-- name: set_compared_batch
-- The state that the next release is compared with.
INSERT INTO zoning.whole (jurisdiction, feed, batch_id) VALUES (%(jurisdiction)s, %(feed)s, %(batch)s)
ON CONFLICT (jurisdiction, feed) DO UPDATE SET batch_id = excluded.batch_id;

-- name: delete_incomplete
-- Feeds without a release that were not published completely at that time either.
DELETE FROM zoning.whole w WHERE jurisdiction = %(jurisdiction)s AND batch_id = 0 AND NOT EXISTS (
    SELECT FROM zoning.survey s WHERE s.jurisdiction = w.jurisdiction AND s.feed = w.feed AND s.whole
        AND s.state IN ('passed', 'accepted') AND s.judged <= coalesce(%(moment)s, clock_timestamp())
        AND s.judged > coalesce((SELECT committed FROM zoning.batch WHERE id = %(removed)s), '-infinity')
);

-- name: insert_release
-- A release without changes: everything up to this state is released already, or retracted.
INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
    tolerance_m, alarms, counts, judged)
VALUES (%(jurisdiction)s, %(parcels)s, %(parcels)s, %(zoning)s, %(zoning)s, 'rollback', 0, 0, 0, '{}', '{}',
    clock_timestamp());

-- name: supersede_profiles
-- The release profiles of the undone batches: what a person accepted is no longer accepted.
UPDATE zoning.survey SET state = 'superseded' WHERE id IN (
    SELECT (
        SELECT max(s.id) FROM zoning.survey s
        WHERE s.jurisdiction = b.jurisdiction AND s.feed = b.feed AND s.state IN ('passed', 'accepted')
            AND s.judged < b.started AND s.contents->coalesce(b.tile, '')->>1 = b.harvest
    ) FROM zoning.batch b WHERE b.jurisdiction = %(jurisdiction)s AND b.id = ANY (%(undone)s) AND b.undoes IS NULL
);
