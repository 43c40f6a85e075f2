-- Rejected rows, and what a person decided about them. Each query has a name and one sentence; sql_queries.py loads them.

-- name: groups
-- The current rejections, counted.
SELECT jurisdiction, feed, reason, state, count(*) AS count, count(DISTINCT tile) AS tiles
FROM zoning.rejection
WHERE state = ANY (%(states)s) AND (%(jurisdiction)s::text IS NULL OR jurisdiction = %(jurisdiction)s)
    AND (%(feed)s::text IS NULL OR feed = %(feed)s) AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(tile)s::text IS NULL OR tile = %(tile)s)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 5 DESC, 3, 4;

-- name: samples
-- Some rejections of a group, always the same ones.
SELECT row_id AS id, tile, detail, raw FROM zoning.rejection
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND reason = %(reason)s AND state = %(state)s
    AND (%(tile)s::text IS NULL OR tile = %(tile)s)
ORDER BY row_id, id LIMIT %(limit)s;

-- name: rejected
-- Current rejections, selected by row id or by their properties.
SELECT DISTINCT ON (row_id, feed, tile) row_id, jurisdiction, feed, tile, reason FROM zoning.rejection
WHERE state <> 'superseded' AND (row_id = ANY (%(ids)s) OR state = 'open' AND jurisdiction = %(jurisdiction)s
    AND reason = %(reason)s AND (%(feed)s::text IS NULL OR feed = %(feed)s)
    AND (%(tile)s::text IS NULL OR tile = %(tile)s))
ORDER BY row_id, feed, tile;

-- name: row_ids
-- The ids of raw rows, in the order of the input.
SELECT zoning.row_id(%(jurisdiction)s, %(feed)s, r.raw::jsonb)
FROM unnest(%(raws)s::text[]) WITH ORDINALITY AS r (raw, n) ORDER BY r.n;

-- name: has_active
-- Whether a feed has active fixes of this action.
SELECT EXISTS (
    SELECT FROM zoning.fix
    WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND action = %(action)s AND ended IS NULL
);

-- name: active_fixes
-- The active fixes of some rows.
SELECT row_id, columns, ST_AsBinary(geom, 'NDR') AS shape, key FROM zoning.fix
WHERE ended IS NULL AND action = 'fix' AND jurisdiction = %(jurisdiction)s AND row_id = ANY (%(ids)s) ORDER BY row_id;

-- name: known_rows
-- Those of some rows that a person marked as known.
SELECT row_id FROM zoning.fix
WHERE ended IS NULL AND action = 'known' AND jurisdiction = %(jurisdiction)s AND row_id = ANY (%(ids)s);

-- name: keys_in_use
-- Those of some keys that published rows have.
SELECT row.key FROM unnest(%(keys)s::text[]) AS k (key), LATERAL (
    SELECT parcel_id AS key FROM zoning.parcel
    WHERE %(feed)s = 'parcels' AND jurisdiction = %(jurisdiction)s AND parcel_id = k.key
    UNION ALL
    SELECT district_id FROM zoning.district
    WHERE %(feed)s = 'zoning' AND jurisdiction = %(jurisdiction)s AND district_id = k.key
    OFFSET 0
) row;

-- name: insert_fix
-- A fix of a row; nothing is inserted if the row has one, or if another fix gives the same key.
INSERT INTO zoning.fix (row_id, jurisdiction, feed, tile, action, columns, geom, key, reason, actor, since)
VALUES (%(row_id)s, %(jurisdiction)s, %(feed)s, %(tile)s, %(action)s, %(columns)s,
    ST_GeomFromWKB(%(shape)s, 4326), %(key)s, %(reason)s, %(actor)s, clock_timestamp())
ON CONFLICT DO NOTHING RETURNING id;

-- name: set_rejection_state
-- Set the state of the rejections of some rows.
UPDATE zoning.rejection SET state = %(state)s WHERE row_id = ANY (%(ids)s) AND state <> 'superseded';

-- name: end
-- End fixes: those of some rows, or the one whose key another row of the portal has now.
UPDATE zoning.fix SET ended = clock_timestamp(), ended_by = %(actor)s, ended_why = %(why)s
WHERE ended IS NULL AND (row_id = ANY (%(ids)s) OR jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND key = %(key)s)
RETURNING row_id, jurisdiction, feed, tile, action;

-- name: active
-- The active fixes, and whether each still applies: the newest batch of its place used it, or rejects the row as known.
SELECT f.row_id AS id, f.jurisdiction, f.feed, f.tile, f.action, f.columns, f.geom IS NOT NULL AS shape, f.key, f.reason,
    f.actor, f.since, f.used AS batch, CASE
        WHEN f.action = 'known' THEN CASE WHEN EXISTS (
            SELECT FROM zoning.rejection r WHERE r.row_id = f.row_id AND r.state <> 'superseded' AND r.state = 'known' OFFSET 0
        ) THEN 'applies' ELSE 'the portal changed or removed the row' END
        WHEN f.used < (
            SELECT max(b.id) FROM zoning.batch b
            WHERE b.jurisdiction = f.jurisdiction AND b.feed = f.feed AND b.undoes IS NOT NULL
        ) AND NOT EXISTS (
            SELECT FROM zoning.parcel p WHERE p.jurisdiction = f.jurisdiction AND p.parcel_id = f.key OFFSET 0
        ) AND NOT EXISTS (
            SELECT FROM zoning.district d WHERE d.jurisdiction = f.jurisdiction AND d.district_id = f.key OFFSET 0
        ) THEN 'rolled back: `zoning replay`, or the next harvest, applies it again'
        WHEN EXISTS (SELECT FROM zoning.rejection r WHERE r.row_id = f.row_id AND r.state <> 'superseded' OFFSET 0)
            THEN 'not applied: `zoning replay`, or another row has its key'
        WHEN f.used = (
            SELECT max(b.id) FROM zoning.batch b WHERE b.jurisdiction = f.jurisdiction AND b.feed = f.feed
                AND coalesce(b.tile, '') = coalesce(f.tile, '') AND b.undoes IS NULL
        ) THEN 'applies'
        ELSE 'the portal changed or removed the row' END AS state
FROM zoning.fix f
WHERE f.ended IS NULL AND (%(jurisdiction)s::text IS NULL OR f.jurisdiction = %(jurisdiction)s)
ORDER BY f.jurisdiction, f.feed, f.row_id;

-- name: store_unpublished
-- The rejections of a harvest that is not published because it has too many. Earlier ones that are not repeated are
-- superseded; those that exist already stay.
WITH held AS (
    SELECT DISTINCT ON (row_id) h.*, row_id FROM unnest(%(reasons)s::text[], %(details)s::text[], %(raws)s::text[])
        AS h (reason, detail, raw), zoning.row_id(%(jurisdiction)s, %(feed)s, h.raw::jsonb) AS row_id
),
superseded AS (
    UPDATE zoning.rejection SET state = 'superseded' WHERE batch_id IS NULL AND jurisdiction = %(jurisdiction)s
        AND feed = %(feed)s AND coalesce(tile, '') = coalesce(%(tile)s, '') AND state <> 'superseded'
        AND row_id NOT IN (SELECT row_id FROM held)
)
INSERT INTO zoning.rejection (batch_id, jurisdiction, tile, feed, reason, detail, raw, state)
SELECT NULL, %(jurisdiction)s, %(tile)s, %(feed)s, reason, detail, raw::jsonb, CASE WHEN EXISTS (
    SELECT FROM zoning.fix f WHERE f.row_id = held.row_id AND f.action = 'known' AND f.ended IS NULL
) THEN 'known' ELSE 'open' END
FROM held WHERE row_id NOT IN (
    SELECT row_id FROM zoning.rejection WHERE batch_id IS NULL AND jurisdiction = %(jurisdiction)s AND feed = %(feed)s
        AND coalesce(tile, '') = coalesce(%(tile)s, '') AND state <> 'superseded'
);
