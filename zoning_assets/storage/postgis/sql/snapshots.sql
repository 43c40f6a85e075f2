-- A jurisdiction as it was published with a batch. Each query has a name and one sentence; sql_queries.py loads them.

-- name: set_compared_batch
-- All places of the feed were published from one state of the layer, with its newest batch.
INSERT INTO zoning.whole (jurisdiction, feed, batch_id)
SELECT %(jurisdiction)s, %(feed)s, max(id) FROM zoning.batch WHERE jurisdiction = %(jurisdiction)s AND feed = %(feed)s
HAVING max(id) IS NOT NULL
ON CONFLICT (jurisdiction, feed) DO UPDATE SET batch_id = excluded.batch_id;

-- name: span
-- The batches between which the next release is compared.
SELECT coalesce(r.parcels_to, 0), coalesce(p.batch_id, 0), coalesce(r.zoning_to, 0), coalesce(z.batch_id, 0)
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (
    SELECT parcels_to, zoning_to FROM zoning.release WHERE jurisdiction = %(jurisdiction)s ORDER BY id DESC LIMIT 1
) r ON true
LEFT JOIN zoning.whole p ON p.jurisdiction = %(jurisdiction)s AND p.feed = 'parcels'
LEFT JOIN zoning.whole z ON z.jurisdiction = %(jurisdiction)s AND z.feed = 'zoning';

-- name: refused
-- The refused map of the last release; no row: it was not refused.
SELECT refused, parcels_to, alarms, accepted_by FROM (
    SELECT * FROM zoning.release WHERE jurisdiction = %(jurisdiction)s ORDER BY id DESC LIMIT 1
) last WHERE refused IS NOT NULL;

-- name: accepted
-- Whether a person accepted the map of a batch before it was published.
SELECT EXISTS (
    SELECT FROM zoning.batch b JOIN zoning.survey s USING (jurisdiction, feed)
    WHERE b.id = %(batch)s AND s.state = 'accepted' AND s.contents->''->>1 = b.harvest
);

-- name: types
-- The type of each canonical code.
SELECT code, max(zone_type) FROM zoning.code WHERE jurisdiction = %(jurisdiction)s GROUP BY code;

-- name: releases
-- Releases that were not refused.
SELECT id, parcels_from, parcels_to, zoning_from, zoning_to FROM zoning.release
WHERE jurisdiction = %(jurisdiction)s AND cardinality(alarms) = 0 ORDER BY id;

-- name: zoning_changes
-- The zoning changes of a release.
SELECT state, facet, parcel_ids, old, new FROM zoning.change
WHERE release_id = %(release)s AND facet <> 'parcel' AND evidence ? 'maps';

-- name: districts
-- The map as published with a batch.
SELECT district_id, code_local, effective, content_hash, ST_AsBinary(geom) FROM zoning.district
WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s
UNION ALL
SELECT district_id, code_local, effective, content_hash, ST_AsBinary(geom) FROM zoning.district_version
WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s AND ended_by > %(batch)s
ORDER BY 1;

-- name: parcels
-- The parcels as published with a batch.
SELECT parcel_id, zoning_code_local, content_hash, ST_AsBinary(geom) FROM zoning.parcel
WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s
UNION ALL
SELECT parcel_id, zoning_code_local, content_hash, ST_AsBinary(geom) FROM zoning.parcel_version
WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(batch)s AND ended_by > %(batch)s
ORDER BY 1;

-- name: parcels_on
-- The same, only parcels whose current or earlier bounding box meets that of some shapes (WKB). Shapes are looked up first,
-- then each parcel by its key (see publish.sql).
WITH ground AS MATERIALIZED (
    SELECT ST_GeomFromWKB(g, (
        SELECT ST_SRID(geom) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s LIMIT 1
    )) AS shape FROM unnest(%(ground)s::bytea[]) AS g
),
near AS MATERIALIZED (
    SELECT p.parcel_id FROM ground, LATERAL (
        SELECT jurisdiction, parcel_id FROM zoning.parcel WHERE geom && shape OFFSET 0
    ) p WHERE p.jurisdiction = %(jurisdiction)s
    UNION
    SELECT v.parcel_id FROM ground, LATERAL (
        SELECT jurisdiction, parcel_id, batch_id, ended_by FROM zoning.parcel_version WHERE geom && shape OFFSET 0
    ) v WHERE v.jurisdiction = %(jurisdiction)s AND v.batch_id <= %(batch)s AND v.ended_by > %(batch)s
)
SELECT s.parcel_id, s.zoning_code_local, s.content_hash, ST_AsBinary(s.geom) FROM near, LATERAL (
    SELECT parcel_id, zoning_code_local, content_hash, geom FROM zoning.parcel
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = near.parcel_id AND batch_id <= %(batch)s
    UNION ALL
    SELECT parcel_id, zoning_code_local, content_hash, geom FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND parcel_id = near.parcel_id AND batch_id <= %(batch)s AND ended_by > %(batch)s
    OFFSET 0
) s
ORDER BY 1;

-- name: parcels_before
-- Parcels of the first state that are missing or different in the second.
SELECT v.parcel_id, v.zoning_code_local, v.content_hash, ST_AsBinary(v.geom) FROM zoning.parcel_version v
WHERE v.jurisdiction = %(jurisdiction)s AND v.batch_id <= %(from)s AND v.ended_by > %(from)s AND v.ended_by <= %(to)s
ORDER BY 1;

-- name: parcels_after
-- Parcels of the second state that are missing or different in the first.
SELECT parcel_id, zoning_code_local, content_hash, ST_AsBinary(geom) FROM zoning.parcel
WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(from)s AND batch_id <= %(to)s
UNION ALL
SELECT parcel_id, zoning_code_local, content_hash, ST_AsBinary(geom) FROM zoning.parcel_version
WHERE jurisdiction = %(jurisdiction)s AND batch_id > %(from)s AND batch_id <= %(to)s AND ended_by > %(to)s
ORDER BY 1;

-- name: unchanged_count
-- The number of parcels that are equal in both states.
SELECT (
    SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(from)s
) + (
    SELECT count(*) FROM zoning.parcel_version
    WHERE jurisdiction = %(jurisdiction)s AND batch_id <= %(from)s AND ended_by > %(to)s
);
