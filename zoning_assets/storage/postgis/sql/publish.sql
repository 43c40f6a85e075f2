-- The publish transaction. Each query has a name and one sentence; sql_queries.py loads them.
--
-- The planner cannot know how many rows a jurisdiction has that comes for the first time, and where it expects one, each
-- plan that reads all of it looks free. So nothing here is left to its estimates, whatever statistics say:
-- * Rows are looked up key by key, in a LATERAL subquery that OFFSET 0 keeps one: (jurisdiction, parcel_id) has one index.
-- * Rows found once are not looked for again: they are changed by their ctid, from an array. Who writes holds the lock.
-- * Rows of a tile are asked for with `jurisdiction || ''`, as the index parcel_tile has it and no other.
-- * Two sets are compared in one GROUP BY or EXCEPT, which is linear; never joined, as a join may be a product.

-- name: lock
-- One publish at a time for a jurisdiction's feed, so that a parcel may pass from tile to tile without a race.
SELECT pg_advisory_xact_lock(hashtextextended(%(jurisdiction)s || '/' || %(feed)s, 0));

-- name: last_batch
-- What was published last for a place, to do nothing when it is this very harvest; and whether the place still holds
-- all of it, as another tile may have taken a row since.
SELECT harvest, rules, counts, tile IS NULL OR (
    SELECT count(*) FROM zoning.parcel p WHERE p.jurisdiction || '' = %(jurisdiction)s AND p.tile = b.tile
) = (counts->>'added')::bigint + (counts->>'changed')::bigint + (counts->>'unchanged')::bigint
FROM zoning.batch b WHERE b.id = greatest((
    SELECT max(id) FROM zoning.batch
    WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND coalesce(tile, '') = coalesce(%(tile)s, '')
), (
    SELECT max(id) FROM zoning.batch  -- a rollback was everywhere
    WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL
));

-- name: undone
-- The newest rollback of a feed; 0: there is none.
SELECT coalesce(max(id), 0) FROM zoning.batch
WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL;

-- name: taken
-- A staged key that stands in another of today's tiles.
SELECT s.key FROM stage s, LATERAL (
    SELECT p.tile FROM zoning.parcel p WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = s.key OFFSET 0
) p
WHERE p.tile <> %(tile)s AND p.tile = ANY (%(tiles)s) ORDER BY s.key LIMIT 1;

-- name: open_batch
-- A new batch; its time is taken under the lock, so that times agree with the order of the batches.
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started)
VALUES (%(jurisdiction)s, %(tile)s, %(feed)s, %(harvest)s, %(rules)s, clock_timestamp())
RETURNING id, started;

-- name: close_batch
-- What the batch did.
UPDATE zoning.batch SET counts = %(counts)s, committed = clock_timestamp() WHERE id = %(batch)s;

-- name: supersede_rejections
-- Rejections of the place's former batches are answered by this one.
UPDATE zoning.rejection SET state = 'superseded' WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s
    AND coalesce(tile, '') = coalesce(%(tile)s, '') AND state <> 'superseded';

-- name: reject
-- A row held back; a person may have said that it is known.
INSERT INTO zoning.rejection (batch_id, jurisdiction, tile, feed, reason, detail, raw, state)
VALUES (%(batch)s, %(jurisdiction)s, %(tile)s, %(feed)s, %(reason)s, %(detail)s, %(raw)s, CASE WHEN EXISTS (
    SELECT FROM zoning.fix
    WHERE action = 'known' AND ended IS NULL AND row_id = zoning.row_id(%(jurisdiction)s, %(feed)s, %(raw)s)
) THEN 'known' ELSE 'open' END);

-- name: used
-- The fixes that this batch was made with.
UPDATE zoning.fix SET used = %(batch)s, tile = %(tile)s WHERE row_id = ANY (%(fixes)s) AND ended IS NULL;

-- name: stage_parcels
-- Where COPY puts the harvest before it is compared. No index: it is read as a whole.
CREATE TEMPORARY TABLE stage (
    key text NOT NULL, code text, land_use text, address text, attributes text,
    area_m2 double precision, geom geometry, content_hash text NOT NULL
) ON COMMIT DROP;

-- name: repeated
-- A key that stands in several staged rows.
SELECT key FROM stage GROUP BY key HAVING count(*) > 1 ORDER BY key LIMIT 1;

-- name: obsolete_tiles
-- Tiles that rows still name though the cover has them no more (they were split, joined or emptied); of all tiles that
-- were ever published, which the index gives one by one.
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

-- name: orphans
-- Rows of such tiles, so that their new owners can be found.
SELECT p.parcel_id, ST_AsBinary(ST_Transform(ST_PointOnSurface(p.geom), 4326))
FROM unnest(%(obsolete)s::text[]) AS o (tile), LATERAL (
    SELECT parcel_id, geom FROM zoning.parcel WHERE jurisdiction || '' = %(jurisdiction)s AND tile = o.tile OFFSET 0
) p;

-- name: adopt
-- A tile is where we keep a row, no fact about it: passing to another is no change.
UPDATE zoning.parcel SET tile = %(tile)s WHERE ctid = ANY (ARRAY(
    SELECT p.at FROM unnest(%(keys)s::text[]) AS k (key), LATERAL (
        SELECT ctid AS at FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND parcel_id = k.key OFFSET 0
    ) p
));

-- name: published
-- Whether anything was published for a place before this batch.
SELECT EXISTS (
    SELECT FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s
        AND coalesce(tile, '') = coalesce(%(tile)s, '') AND id < %(batch)s
) OR EXISTS (
    SELECT FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s AND undoes IS NOT NULL
);

-- name: insert_parcels
-- All staged rows into a tile that was never published; none is retired or changed. A parcel that comes back was first
-- seen when it was.
INSERT INTO zoning.parcel
SELECT %(jurisdiction)s, s.key, %(tile)s, s.code, s.code, s.land_use, s.address, s.attributes::jsonb, s.area_m2, s.geom,
    s.content_hash, %(batch)s, coalesce((
        SELECT min(v.first_seen) FROM zoning.parcel_version v
        WHERE v.jurisdiction = %(jurisdiction)s AND v.parcel_id = s.key
    ), %(now)s), %(now)s
FROM stage s ORDER BY s.key
ON CONFLICT (jurisdiction, parcel_id) DO NOTHING;

-- name: merge_parcels
-- One comparison, three deeds: rows that differ become versions, are overwritten, or are new; rows that only come from
-- another tile pass over. A parcel that comes back was first seen when it was. Said are the rows merged, those changed,
-- and a key that stands in another of today's tiles, which was published from the same state of the layer.
WITH different AS MATERIALIZED (
    SELECT s.*, old.at, old.content_hash AS old_hash, old.tile AS old_tile
    FROM stage s LEFT JOIN LATERAL (
        SELECT p.ctid AS at, p.content_hash, p.tile FROM zoning.parcel p
        WHERE p.jurisdiction = %(jurisdiction)s AND p.parcel_id = s.key OFFSET 0
    ) old ON true
    WHERE old.at IS NULL OR old.content_hash <> s.content_hash OR old.tile <> %(tile)s
),
kept AS (
    INSERT INTO zoning.parcel_version
    SELECT p.*, p.last_changed, %(now)s, NULL, NULL, %(batch)s FROM zoning.parcel p
    WHERE p.ctid = ANY (ARRAY(SELECT d.at FROM different d WHERE d.old_hash <> d.content_hash))
    RETURNING 1
),
passed AS (
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
SELECT (SELECT count(*) FROM merged), (SELECT count(*) FROM kept), (
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
-- What the place had and the harvest has not becomes a version.
WITH gone AS (
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
INSERT INTO zoning.parcel_version SELECT gone.*, gone.last_changed, %(now)s, NULL, NULL, %(batch)s FROM gone;

-- name: stage_districts
-- Where COPY puts the harvest before it is compared.
CREATE TEMPORARY TABLE stage (
    key text NOT NULL, code text, zone_type text, effective text, attributes text,
    area_m2 double precision, geom geometry, content_hash text NOT NULL
) ON COMMIT DROP;

-- name: merge_districts
-- One comparison, two deeds: rows that differ become versions and are overwritten, or are new. Said as of parcels.
WITH different AS MATERIALIZED (
    SELECT s.*, old.at
    FROM stage s LEFT JOIN LATERAL (
        SELECT p.ctid AS at, p.content_hash FROM zoning.district p
        WHERE p.jurisdiction = %(jurisdiction)s AND p.district_id = s.key OFFSET 0
    ) old ON true
    WHERE old.at IS NULL OR old.content_hash <> s.content_hash
),
kept AS (
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
SELECT (SELECT count(*) FROM merged), (SELECT count(*) FROM kept), NULL;

-- name: retire_districts
-- What the map had and the harvest has not becomes a version.
WITH gone AS (
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
SELECT gone.*, gone.last_changed, %(now)s, gone.effective, NULL, %(batch)s FROM gone;
