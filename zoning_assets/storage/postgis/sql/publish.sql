-- The publish transaction. Each query has a name and one sentence; sql_queries.py loads them.
--
-- The planner cannot know how many rows a new jurisdiction has. If it expects one row, it may choose a plan that reads all
-- rows of the jurisdiction in a loop. So no plan here depends on estimates:
-- * Rows are looked up by key, in a LATERAL subquery. OFFSET 0 keeps the planner from merging it into the outer query.
--   (jurisdiction, parcel_id) has one index.
-- * Rows that were found are changed by their ctid, from an array. The transaction holds the lock, so ctids stay valid.
-- * Rows of a tile are selected with `jurisdiction || ''`: only the index parcel_tile has this expression.
-- * Two sets are compared with one GROUP BY or EXCEPT, which takes linear time. They are never joined.

-- name: lock
-- Only one publish at a time for a feed of a jurisdiction, because a parcel may move from one tile to another.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/' || %(feed)s, 0));

-- name: last_batch
-- The last batch of a place, to skip a harvest that is already published. The last column: whether the place still has all
-- its rows, because another tile may have taken some since.
SELECT harvest, rules, counts, tile IS NULL OR (
    SELECT count(*) FROM zoning.parcel p WHERE p.jurisdiction || '' = %(jurisdiction)s AND p.tile = b.tile
) = (counts->>'added')::bigint + (counts->>'changed')::bigint + (counts->>'unchanged')::bigint
FROM zoning.batch b WHERE b.id = greatest((
    SELECT max(id) FROM zoning.batch
    WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND coalesce(tile, '') = coalesce(%(tile)s, '')
), (
    SELECT max(id) FROM zoning.batch  -- a rollback concerns all tiles
    WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL
));

-- name: newest_rollback
-- The newest rollback of a feed; 0: there is none.
SELECT coalesce(max(id), 0) FROM zoning.batch
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL;

-- name: newest_batch
-- The newest batch of a feed; 0: there is none.
SELECT coalesce(max(id), 0) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s;

-- name: other_batch
-- Whether a later batch of a feed is a rollback, or of another harvest and not of some tiles.
SELECT EXISTS (
    SELECT FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND id > %(since)s
        AND counts->>'layer' IS DISTINCT FROM %(layer)s
        AND (undoes IS NOT NULL OR coalesce(tile, '') <> ALL (%(older)s::text[]))
);

-- name: key_in_other_tile
-- A staged key that belongs to another current tile.
SELECT s.key FROM stage s, LATERAL (
    SELECT p.tile FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = s.key OFFSET 0
) p
WHERE p.tile <> %(tile)s AND p.tile = ANY (%(tiles)s) ORDER BY s.key LIMIT 1;

-- name: open_batch
-- A new batch. Its time is taken while the lock is held, so that times and batch ids have the same order.
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started)
VALUES (%(jurisdiction)s, %(tile)s, %(feed)s, %(harvest)s, %(rules)s, clock_timestamp())
RETURNING id, started;

-- name: close_batch
-- The counts of the batch.
UPDATE zoning.batch SET counts = %(counts)s, committed = clock_timestamp() WHERE id = %(batch)s;

-- name: supersede_rejections
-- This batch replaces the rejections of earlier batches of the place.
UPDATE zoning.rejection SET state = 'superseded' WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s
    AND coalesce(tile, '') = coalesce(%(tile)s, '') AND state <> 'superseded';

-- name: reject
-- A rejected row; `known` if a person marked it so.
INSERT INTO zoning.rejection (batch_id, jurisdiction, tile, feed, reason, detail, raw, state)
VALUES (%(batch)s, %(jurisdiction)s, %(tile)s, %(feed)s, %(reason)s, %(detail)s, %(raw)s, CASE WHEN EXISTS (
    SELECT FROM zoning.fix
    WHERE action = 'known' AND ended IS NULL AND row_id = zoning.row_id(%(jurisdiction)s, %(feed)s, %(raw)s)
) THEN 'known' ELSE 'open' END);

-- name: mark_fixes_used
-- The fixes that were applied in this batch.
UPDATE zoning.fix SET used = %(batch)s, tile = %(tile)s WHERE row_id = ANY (%(fixes)s) AND ended IS NULL;

-- name: stage_parcels
-- The target of COPY. It has no index, because it is always read completely.
CREATE TEMPORARY TABLE stage (
    key text NOT NULL, code text, land_use text, address text, attributes text,
    area_m2 double precision, geom geometry, content_hash text NOT NULL
) ON COMMIT DROP;

-- name: repeated_key
-- A key that several staged rows have.
SELECT key FROM stage GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT 1;

-- name: obsolete_tiles
-- Tiles that still have rows but are not in the current tile index (they were split, joined or emptied). The recursion
-- reads the distinct tiles of all batches from the index.
WITH RECURSIVE published AS (
    SELECT min(coalesce(tile, '')) AS tile FROM zoning.batch
    WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND coalesce(tile, '') > ''
    UNION ALL
    SELECT (
        SELECT min(coalesce(b.tile, '')) FROM zoning.batch b
        WHERE b.jurisdiction = %(jurisdiction)s AND b.feed = %(feed)s AND coalesce(b.tile, '') > published.tile
    ) FROM published WHERE published.tile IS NOT NULL
)
SELECT tile FROM published WHERE tile <> ALL (%(tiles)s) AND EXISTS (
    SELECT FROM zoning.parcel p WHERE p.jurisdiction || '' = %(jurisdiction)s AND p.tile = published.tile OFFSET 0
);

-- name: rows_of_obsolete_tiles
-- Rows of obsolete tiles with a representative point (EPSG:4326), to find their new owners.
SELECT p.parcel_id, ST_AsBinary(ST_Transform(ST_PointOnSurface(p.geom), 4326))
FROM unnest(%(obsolete)s::text[]) AS o (tile), LATERAL (
    SELECT parcel_id, geom FROM zoning.parcel WHERE jurisdiction || '' = %(jurisdiction)s AND tile = o.tile OFFSET 0
) p;

-- name: move_to_tile
-- Move rows to a tile. A tile is only a storage partition, so this is not a change of the parcel.
UPDATE zoning.parcel SET tile = %(tile)s WHERE ctid = ANY (ARRAY(
    SELECT p.at FROM unnest(%(keys)s::text[]) AS k (key), LATERAL (
        SELECT ctid AS at FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.key OFFSET 0
    ) p
));

-- name: was_published
-- Whether the place has an earlier batch, or the feed a rollback.
SELECT EXISTS (
    SELECT FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s
        AND coalesce(tile, '') = coalesce(%(tile)s, '') AND id < %(batch)s
) OR EXISTS (
    SELECT FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL
);

-- name: insert_parcels
-- Insert all staged rows into a tile without earlier batches. `first_seen` of a parcel that existed before is kept; it is
-- looked up only if the jurisdiction has versions. A key that exists is an error, because ON CONFLICT takes longer.
INSERT INTO zoning.parcel
SELECT %(jurisdiction)s, s.key, %(tile)s, s.code, s.code, s.land_use, s.address, s.attributes::jsonb, s.area_m2, s.geom,
    s.content_hash, %(batch)s, CASE
        WHEN (SELECT EXISTS (SELECT FROM zoning.parcel_version v WHERE v.jurisdiction = %(jurisdiction)s)) THEN coalesce((
            SELECT min(v.first_seen) FROM zoning.parcel_version v
            WHERE v.jurisdiction = %(jurisdiction)s AND v.parcel_id = s.key
        ), %(now)s)
        ELSE %(now)s
    END, %(now)s
FROM stage s ORDER BY s.key;

-- name: merge_parcels
-- Compare once; changed rows become versions and are overwritten, new rows are inserted, rows of another tile are moved.
-- `first_seen` of a parcel that existed before is kept. Returns the number of merged rows, the number of changed rows, and a
-- key that another current tile published from the same state of the layer.
WITH different AS MATERIALIZED (
    SELECT s.*, old.at, old.content_hash AS old_hash, old.tile AS old_tile
    FROM stage s LEFT JOIN LATERAL (
        SELECT p.ctid AS at, p.content_hash, p.tile FROM zoning.parcel p
        WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = s.key OFFSET 0
    ) old ON true
    WHERE old.at IS NULL OR old.content_hash <> s.content_hash OR old.tile <> %(tile)s
),
versions AS (
    INSERT INTO zoning.parcel_version
    SELECT p.*, p.last_changed, %(now)s, NULL, NULL, %(batch)s FROM zoning.parcel p
    WHERE p.ctid = ANY (ARRAY(SELECT d.at FROM different d WHERE d.old_hash <> d.content_hash))
    RETURNING 1
),
moved AS (
    UPDATE zoning.parcel p SET tile = %(tile)s
    WHERE p.ctid = ANY (ARRAY(SELECT d.at FROM different d WHERE d.old_hash = d.content_hash))
),
merged AS (
    INSERT INTO zoning.parcel AS p
    SELECT %(jurisdiction)s, d.key, %(tile)s, d.code, d.code, d.land_use, d.address, d.attributes::jsonb,
        d.area_m2, d.geom, d.content_hash, %(batch)s, coalesce((
            SELECT min(v.first_seen) FROM zoning.parcel_version v
            WHERE v.jurisdiction = %(jurisdiction)s AND v.parcel_id = d.key
        ), %(now)s), %(now)s
    FROM different d
    WHERE d.old_hash IS DISTINCT FROM d.content_hash
    ORDER BY d.key
    ON CONFLICT (jurisdiction, parcel_id) DO UPDATE SET
        tile = excluded.tile, zoning_code = excluded.zoning_code, zoning_code_local = excluded.zoning_code_local,
        land_use = excluded.land_use, address = excluded.address, attributes = excluded.attributes,
        area_m2 = excluded.area_m2, geom = excluded.geom, content_hash = excluded.content_hash,
        batch_id = excluded.batch_id, last_changed = excluded.last_changed
    WHERE p.content_hash <> excluded.content_hash
    RETURNING 1
)
SELECT (SELECT count(*) FROM merged), (SELECT count(*) FROM versions), (
    SELECT min(d.key) FROM different d
    WHERE d.old_tile <> %(tile)s AND d.old_tile = ANY (%(tiles)s) AND %(layer)s <> '' AND %(layer)s = (
        SELECT b.counts->>'layer' FROM zoning.batch b WHERE b.id = greatest((
            SELECT max(id) FROM zoning.batch
            WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND coalesce(tile, '') = d.old_tile
        ), (
            SELECT max(id) FROM zoning.batch
            WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL
        ))
    )
);

-- name: retire_parcels
-- Rows of the place that are not in the harvest become versions.
WITH retired AS (
    DELETE FROM zoning.parcel WHERE ctid = ANY (ARRAY(
        SELECT (array_agg(at))[1] FROM (
            SELECT p.parcel_id AS key, p.ctid AS at FROM zoning.parcel p
            WHERE p.jurisdiction || '' = %(jurisdiction)s AND p.tile = %(tile)s
            UNION ALL
            SELECT key, NULL FROM stage
        ) AS both_sides GROUP BY key HAVING count(*) = count(at)
    ))
    RETURNING *
)
INSERT INTO zoning.parcel_version SELECT retired.*, retired.last_changed, %(now)s, NULL, NULL, %(batch)s FROM retired;

-- name: stage_districts
-- The target of COPY.
CREATE TEMPORARY TABLE stage (
    key text NOT NULL, code text, zone_type text, effective text, attributes text,
    area_m2 double precision, geom geometry, content_hash text NOT NULL
) ON COMMIT DROP;

-- name: merge_districts
-- Compare once; changed rows become versions and are overwritten, new rows are inserted. Returns the same columns as
-- merge_parcels.
WITH different AS MATERIALIZED (
    SELECT s.*, old.at
    FROM stage s LEFT JOIN LATERAL (
        SELECT p.ctid AS at, p.content_hash FROM zoning.district p
        WHERE p.jurisdiction = %(jurisdiction)s AND p.district_id = s.key OFFSET 0
    ) old ON true
    WHERE old.at IS NULL OR old.content_hash <> s.content_hash
),
versions AS (
    INSERT INTO zoning.district_version
    SELECT p.*, p.last_changed, %(now)s, p.effective, NULL, %(batch)s FROM zoning.district p
    WHERE p.ctid = ANY (ARRAY(SELECT d.at FROM different d))
    RETURNING 1
),
merged AS (
    INSERT INTO zoning.district AS p
    SELECT %(jurisdiction)s, d.key, d.code, d.code, d.zone_type, zoning.date_or_null(d.effective), d.attributes::jsonb,
        d.area_m2, d.geom, d.content_hash, %(batch)s, coalesce((
            SELECT min(v.first_seen) FROM zoning.district_version v
            WHERE v.jurisdiction = %(jurisdiction)s AND v.district_id = d.key
        ), %(now)s), %(now)s
    FROM different d
    ORDER BY d.key
    ON CONFLICT (jurisdiction, district_id) DO UPDATE SET
        code = excluded.code, code_local = excluded.code_local, zone_type = excluded.zone_type,
        effective = excluded.effective, attributes = excluded.attributes, area_m2 = excluded.area_m2,
        geom = excluded.geom, content_hash = excluded.content_hash, batch_id = excluded.batch_id,
        last_changed = excluded.last_changed
    WHERE p.content_hash <> excluded.content_hash
    RETURNING 1
)
SELECT (SELECT count(*) FROM merged), (SELECT count(*) FROM versions), NULL;

-- name: retire_districts
-- Districts that are not in the harvest become versions.
WITH retired AS (
    DELETE FROM zoning.district WHERE ctid = ANY (ARRAY(
        SELECT (array_agg(at))[1] FROM (
            SELECT d.district_id AS key, d.ctid AS at FROM zoning.district d WHERE d.jurisdiction = %(jurisdiction)s
            UNION ALL
            SELECT key, NULL FROM stage
        ) AS both_sides GROUP BY key HAVING count(*) = count(at)
    ))
    RETURNING *
)
INSERT INTO zoning.district_version
SELECT retired.*, retired.last_changed, %(now)s, retired.effective, NULL, %(batch)s FROM retired;
